"""Kernels that are forked from one process which has imported the kit: at once there, and smaller.

A kernel of its own needs seconds and some 300 MiB for these imports; forked ones share them. This file
is also that process, run with nothing behind its name, and what a Jupyter server starts in a kernel's
place.
"""

import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-P", __file__]
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Every computation is a thread; where each has memory of its own, a kernel grows to twice as much."""
NO_PORTS = {"KernelManager": {"transport": "ipc"}}
"""Voilà finds free ports for a kernel; until it has started, another program may take one of them."""
POLL = 10.0
"""Seconds after which a kernel whose server was killed ends, at most."""


@contextmanager
def forked() -> Iterator[dict[str, str]]:
    """Run that process; gives the variables of a server whose kernels come from it.

    Where a process that has loaded torch cannot be forked there are none: kernels start as ever.
    """
    if sys.platform != "linux":
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder:  # nobody else may enter it, and ask for a kernel
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(f"{folder}/socket")
            listening.listen()
            parent = subprocess.Popen(COMMAND, stdin=listening.fileno(), env=os.environ | ONE_ARENA)
        _describe(Path(folder))
        try:
            yield {
                name: os.pathsep.join(filter(None, [folder, os.environ.get(name)]))
                for name in ("JUPYTER_PATH", "JUPYTER_CONFIG_PATH")
            }
        finally:
            parent.terminate()
            parent.wait()


def _describe(folder: Path) -> None:
    """Write what says to Jupyter how to start a kernel, and to Voilà how to speak with it."""
    spec = {
        "argv": [*COMMAND, f"{folder}/socket", "{connection_file}"],
        "display_name": "Python 3",
        "language": "python",
        "interrupt_mode": "message",  # a signal would reach who asked
    }
    for name, said in (("kernels/python3/kernel.json", spec), ("voila.json", NO_PORTS)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(said))


def ask(at: str, connection_file: str) -> None:
    """Have a kernel forked, which gets this process's variables and folder, and end with it."""
    server = os.getppid()
    with socket.socket(socket.AF_UNIX) as other:
        other.connect(at)
        other.sendall(json.dumps([connection_file, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        other.settimeout(POLL)
        while os.getppid() == server:
            try:
                other.recv(1)
                break
            except TimeoutError:
                pass


def fork() -> socket.socket:
    """Import what a lab needs, and fork a kernel whenever one is asked for."""
    import ipywidgets  # noqa: F401
    import scipy.optimize  # noqa: F401
    import torch
    from ipykernel import kernelapp, zmqshell  # noqa: F401

    from ssae_kit import labs

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first optimiser imports torch's compiler
    for name in labs.__all__:
        getattr(labs, name)
    gc.collect()
    gc.freeze()  # what is collected is written to, and no longer shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # kernels that end leave nothing
    listening = socket.socket(fileno=os.dup(0))
    while True:
        other, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return other
        other.close()


def become_kernel(other: socket.socket) -> None:
    """Be the kernel that `ask` asks for."""
    import ipywidgets
    from ipykernel.kernelapp import IPKernelApp

    connection_file, folder, variables = json.loads(other.makefile().readline())
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    threading.Thread(target=lambda: other.recv(1) or os._exit(0), daemon=True).start()
    kernel = IPKernelApp.instance(parent_handle=1)  # 1: it watches nobody, and says no word of it
    kernel.initialize(["-f", connection_file])
    ipywidgets.register_comm_target()  # was imported where no kernel was
    kernel.start()


if __name__ == "__main__":
    ask(*sys.argv[1:]) if sys.argv[1:] else become_kernel(fork())
