"""A real browser and the servers it visits, for the tests marked `browser`."""

import functools
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOTS = ROOT / "build" / "labs"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SEVERE = ("serious", "critical")
"""Impacts of an accessibility finding, as axe-core names them, that are too much."""
SETTINGS = {
    "apputils-extension/notification": '{"fetchNews": "false", "checkForUpdates": false}',
    "docmanager-extension/plugin": '{"autosave": false}',
}
"""JupyterLab's, which change nothing behind a test's back."""
WAIT = 90_000
"""Milliseconds that the browser waits for anything, at most."""

STILL = """
const still = new CSSStyleSheet();
still.replaceSync("* { animation: none !important; }");
document.adoptedStyleSheets.push(still);
"""
"""Stops what turns while a page waits for its kernel: drawn without a GPU, it takes the kernel's time."""


@functools.cache
def missing():
    """What the browser tests lack here; empty if they can run."""
    needed = ("playwright", "voila", "axe_playwright_python")
    lacking = [name for name in needed if find_spec(name) is None]
    lacking += [] if lacking or executable() else ["Chromium (`playwright install chromium`)"]
    if int(version("ipywidgets").split(".")[0]) < 8:  # 7 is for Colab, which shows it by itself
        lacking.append("ipywidgets 8 (JupyterLab 4 and Voilà show no widget of 7)")
    return f"needs {' and '.join(lacking)}" if lacking else ""


@functools.cache
def executable():
    """Path of the system's browser, else of the one that playwright has downloaded, or None."""
    from playwright.sync_api import sync_playwright

    for found in filter(None, map(shutil.which, NAMES)):
        return found
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@contextmanager
def served(folder, *command, **variables):
    """Run a Jupyter server with settings of its own, and yield its address."""
    port = free_port()
    settings = folder / "settings" / "@jupyterlab"
    for name, text in SETTINGS.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).with_suffix(".jupyterlab-settings").write_text(text)
    config = folder / "config"
    config.mkdir(exist_ok=True)
    (config / "jupyter_server_config.py").write_text("c.ServerApp.allow_root = True\n")
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(config),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "OMP_NUM_THREADS": "1",
        **variables,
    }
    arguments = [part.format(port=port) for part in command]
    with (folder / f"{command[0]}.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment, stdout=log, stderr=log
        )
    try:
        yield _when_up(f"http://127.0.0.1:{port}", server)
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()


def _when_up(address, server):
    for _ in range(900):
        assert server.poll() is None, "the server stopped at once; its log says why"
        try:
            urllib.request.urlopen(f"{address}/static/favicon.ico", timeout=2)
            return address
        except urllib.error.HTTPError:
            return address  # it answers
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("the server did not start")


class Page:
    """One page, and what its console and its kernel complained about."""

    def __init__(self, page):
        self.page, self.complaints = page, []
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._console)
        page.on("websocket", lambda socket: socket.on("framereceived", self._message))

    def _console(self, message):
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _message(self, frame):
        """Of what the kernel sends, keep the errors: those outside of a cell are shown nowhere."""
        text = frame if isinstance(frame, str) else frame.decode(errors="replace")
        if '"msg_type": "error"' in text:
            self.complaints.append(f"the kernel: {text[-300:]}")

    def words(self):
        """What the lab says."""
        return self.page.locator(".ssae-words").first.text_content()

    def status(self, text):
        """Wait until the lab's status starts with `text`."""
        script = "(t) => [...document.querySelectorAll('.ssae-lab .widget-label')].some((l) => l.textContent.startsWith(t))"
        try:
            self.page.wait_for_function(script, arg=text)
        except Exception as error:
            self.shot("failed")
            raise AssertionError(f"never {text!r}; the console said {self.complaints}") from error

    def handle(self, label):
        """The handle of the slider with this label."""
        return self.page.get_by_role("slider", name=label).first

    @contextmanager
    def held(self, label):
        """Hold a slider's handle with the mouse; gives what moves it, to so many pixels away."""
        handle = self.handle(label)
        handle.scroll_into_view_if_needed()
        box = handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        yield lambda by: self.page.mouse.move(x + by, y)
        self.page.mouse.up()

    def drag(self, label, by):
        """Move a slider's handle by so many pixels with the mouse."""
        with self.held(label) as move:
            move(by)

    def barriers(self):
        """Serious findings of axe-core within the lab, as texts; the page around it is Voilà's.

        The buttons of the Play control are ipywidgets' own: it gives them no name.
        """
        from axe_playwright_python.sync_playwright import Axe

        parts = {"include": [[".ssae-lab"]], "exclude": [[".widget-play"]]}
        found = Axe().run(self.page, context=parts).response["violations"]
        return [
            f"{rule['id']} ({rule['impact']}): {node['html']}"
            for rule in found
            for node in rule["nodes"]
            if rule["impact"] in SEVERE
        ]

    def shot(self, name):
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png", full_page=True)


@contextmanager
def started():
    """A browser without a window; it takes a second to start."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=options)
        yield browser
        browser.close()


@contextmanager
def opened(browser):
    """A page of a browser, 1280 pixels wide, that knows nothing of its other pages."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.add_init_script(STILL)
    yield Page(page)
    page.close()


def run_all(page):
    """Run all cells of the notebook open in JupyterLab, once its kernel is connected."""
    ready = "() => window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
    page.locator(".jp-NotebookPanel").wait_for()
    page.wait_for_function(ready)
    command(page, "notebook:run-all-cells")


def command(page, name):
    """Have JupyterLab carry out a command of its menus."""
    page.evaluate(f"() => window.jupyterapp.commands.execute('{name}')")


def execute(page, code):
    """Run code in the kernel of the notebook open in JupyterLab."""
    kernel = "window.jupyterapp.shell.currentWidget.sessionContext.session.kernel"
    page.evaluate(f"(code) => {kernel}.requestExecute({{code}}).done", code)
