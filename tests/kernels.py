"""Kernels that are forked from one process which has the kit's imports behind it.

A kernel needs seconds for them, and a browser test one for each page. This file is also that
process, run with nothing behind its name, and what a Jupyter server starts in a kernel's place.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager


@contextmanager
def forked(folder):
    """Run that process; gives the variables of a server whose kernels come from it.

    Where a process that has loaded torch cannot be forked there are none: kernels start as ever.
    """
    if sys.platform != "linux":
        yield {}
        return
    command = [sys.executable, "-P", __file__]
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        (folder / "kernels.log").open("w") as log,
    ):
        argv = [*command, str(listening.getsockname()[1]), "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
        parent = subprocess.Popen(command, stdin=listening, stdout=log, stderr=log)
    kernel = folder / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps(spec))
    try:
        yield {"JUPYTER_PATH": str(folder)}
    finally:
        parent.terminate()
        parent.wait()


def ask(port, connection_file):
    """Have a kernel forked, which gets this process's variables and folder, and end with it."""
    with socket.create_connection(("127.0.0.1", int(port))) as other:
        other.sendall(json.dumps([connection_file, os.getcwd(), dict(os.environ)]).encode() + b"\n")
        other.recv(1)


def fork():
    """Import what a lab needs, and fork a kernel whenever one is asked for."""
    import scipy.optimize  # noqa: F401
    import torch

    from ssae_kit import labs

    torch.set_num_threads(1)
    torch.optim.Adam([torch.zeros(1)])  # the first optimiser imports torch's compiler
    [getattr(labs, name) for name in labs.__all__]
    listening = socket.socket(fileno=os.dup(0))
    while True:
        other, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            return other
        other.close()


def become_kernel(other):
    """Be the kernel that `ask` asks for."""
    import ipywidgets
    from ipykernel.kernelapp import IPKernelApp

    connection_file, folder, variables = json.loads(other.makefile().readline())
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    threading.Thread(target=lambda: other.recv(1) or os._exit(0), daemon=True).start()
    kernel = IPKernelApp.instance()
    kernel.initialize(["-f", connection_file])
    ipywidgets.register_comm_target()  # was imported where no kernel was
    kernel.start()


if __name__ == "__main__":
    ask(*sys.argv[1:]) if sys.argv[1:] else become_kernel(fork())
