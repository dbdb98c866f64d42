"""Kernels of served labs, forked from one process: what they share, and when they end."""

import json
import os
import stat
import sys
from pathlib import Path

import psutil
import pytest
from jupyter_client.manager import KernelManager
from traitlets.config import Config

from ssae_kit.labs import kernels

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")
WAIT = 120.0
"""Seconds that a kernel may take for anything, on a busy machine."""


@pytest.fixture(scope="module")
def folder():
    """The folder of a process that kernels are forked from; Jupyter looks for kernels there."""
    with kernels.forked() as variables, pytest.MonkeyPatch.context() as patch:
        [patch.setenv(name, value) for name, value in variables.items()]
        yield variables["JUPYTER_PATH"].split(os.pathsep)[0]


@pytest.fixture
def started(folder, tmp_path):
    """Start kernels in a folder, with variables; gives a client and what runs it."""
    running = []

    def start(**options):
        said = json.loads((Path(folder) / "voila.json").read_text())
        at = str(tmp_path / f"{len(running)}.json")
        manager = KernelManager(kernel_name="python3", connection_file=at, config=Config(said))
        manager.start_kernel(**options)
        client = manager.client()
        client.start_channels()
        running.append((manager, client))
        client.wait_for_ready(WAIT)
        return client, manager

    yield start
    for manager, client in running:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def said(client, code):
    """What a kernel prints."""
    parts = []
    client.execute_interactive(
        code, timeout=WAIT, output_hook=lambda message: parts.append(message["content"])
    )
    return "".join(part.get("text", str(part.get("evalue", ""))) for part in parts)


def process(client):
    return psutil.Process(int(said(client, "import os; print(os.getpid())")))


def test_a_forked_kernel_has_imported_the_kit_and_shares_that_with_the_others(started):
    clients = [started()[0] for _ in range(2)]
    for client in clients:
        assert (
            said(client, "import sys; print('ssae_kit.labs.steering' in sys.modules)") == "True\n"
        )
    for one in map(process, clients):
        memory = one.memory_full_info()
        assert memory.uss < 0.5 * memory.rss


def test_a_forked_kernel_has_the_folder_and_the_variables_of_who_asked(started, tmp_path):
    client, _ = started(cwd=str(tmp_path), env=os.environ | {"ASKED_BY": "a visitor"})
    code = "import os; print(os.environ['ASKED_BY'], os.getcwd(), 'MALLOC_ARENA_MAX' in os.environ)"
    assert said(client, code) == f"a visitor {tmp_path} False\n"


def test_a_forked_kernel_needs_no_port_that_another_program_may_take(started):
    client, manager = started()
    assert manager.transport == "ipc"
    assert said(client, "print(1)") == "1\n"


def test_a_forked_kernel_can_be_interrupted(started):
    client, manager = started()
    client.execute("import time\nprint('on')\nwhile True: time.sleep(0.01)")
    while client.get_iopub_msg(timeout=WAIT)["msg_type"] != "stream":
        pass  # before it runs, the interrupt would meet the kernel and not the cell
    manager.interrupt_kernel()
    reply = client.get_shell_msg(timeout=WAIT)
    while reply["msg_type"] != "execute_reply":  # the kernel's answers to who waited for it
        reply = client.get_shell_msg(timeout=WAIT)
    assert reply["content"]["ename"] == "KeyboardInterrupt"


def test_a_forked_kernel_ends_with_who_asked_for_it_and_leaves_nothing(started):
    client, manager = started()
    one = process(client)
    psutil.Process(manager.provisioner.pid).kill()
    one.wait(WAIT)
    assert not psutil.pid_exists(one.pid)


def test_nobody_else_may_ask_for_a_kernel(folder):
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700


def test_where_kernels_cannot_be_forked_a_server_starts_its_own(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    with kernels.forked() as variables:
        assert variables == {}
