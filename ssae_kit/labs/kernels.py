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

ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""Every computation is a thread; where each has memory of its own, a kernel grows to twice as much."""
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
    command = [sys.executable, "-P", __file__]
    with tempfile.TemporaryDirectory() as folder:  # nobody else may enter it, and ask for a kernel
        at, kernel = Path(folder) / "socket", Path(folder) / "kernels" / "python3"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(at))
            listening.listen()
            parent = subprocess.Popen(command, stdin=listening.fileno(), env=os.environ | ONE_ARENA)
        spec = {
            "argv": [*command, str(at), "{connection_file}"],
            "display_name": "Python 3",
            "language": "python",
            "interrupt_mode": "message",  # a signal would reach who asked
        }
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps(spec))
        others = os.environ.get("JUPYTER_PATH", "")
        try:
            yield {"JUPYTER_PATH": os.pathsep.join(filter(None, [folder, others]))}
        finally:
            parent.terminate()
            parent.wait()


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
