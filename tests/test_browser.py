"""The labs in a real browser: JupyterLab and Voilà, by mouse and by keyboard; axe-core's findings."""

import nbformat
import pytest

from ssae_kit.labs.__main__ import page as page_of
from tests import browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "never"),
]

ENDLESS = """import time
from ssae_kit import labs

class Endless(labs.ShiftLab):
    def compute(self, settings, report):
        while True:
            report(0.5)
            with open("beats", "a") as file:
                file.write(".")
            time.sleep(0.1)

Endless()"""
LABS = {  # lab: the slider that is moved
    "DictionaryLab": "features",
    "InterchangeLab": "layer",
    "LatentLab": "latent",
    "ShiftLab": "noise",
    "SuperpositionLab": "features",
    "SteeringLab": "strength",
}
NOT_OURS = ("/lsp/status", "cdn.jsdelivr.net", "/voila/files/", "favicon.ico")
"""Requests that JupyterLab and Voilà make themselves, in vain, also without a lab."""
LIVE = ("DictionaryLab", "ShiftLab", "SuperpositionLab")
"""Labs whose figure moves while a model trains."""
DRAWINGS = 3
"""Drawings of a training that a browser must show at least: it moves. A machine with nothing else to
do shows six and more; how many is a question of its speed, which no test asks."""
DRAWN = "() => JSON.stringify(document.querySelector('.js-plotly-plot').data.map((t) => [t.x, t.y, t.z]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one small notebook per lab."""
    path = tmp_path_factory.mktemp("labs")
    for lab in LABS:
        nbformat.write(page_of(lab), path / f"{lab}.ipynb")
    return path


@pytest.fixture(scope="module")
def chromium():
    with browser.started() as one:
        yield one


@pytest.fixture(scope="module")
def jupyterlab(folder):
    command = ("--no-browser", "--port={port}", "--IdentityProvider.token=t")
    with browser.served(
        folder, "jupyterlab", *command, "--LabApp.expose_app_in_browser=True"
    ) as at:
        yield at


@pytest.fixture(scope="module")
def voila(folder):
    with browser.served(folder, "voila", "--no-browser", "--port={port}") as at:
        yield at


COUNT = """() => {
  window.drawn = 0;
  document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => window.drawn++);
}"""
FOLLOWS = f"(before) => ({DRAWN})() !== before"


def use(page, slider):
    """Move a slider by mouse, then by keyboard; figure and words must follow each time.

    Returns how often the browser drew after the last change.
    """
    page.status("Done")
    page.page.evaluate(COUNT)
    assert page.page.locator(".ssae-words[aria-live=polite]").count() == 1
    for move in (lambda: page.drag(slider, 25), lambda: press(page, slider)):
        page.page.evaluate("() => window.drawn = 0")
        drawn, words = page.page.evaluate(DRAWN), page.words()
        move()
        page.status("Computing")
        page.status("Done")
        page.page.wait_for_function(FOLLOWS, arg=drawn)
        assert page.words() != words
    return page.page.evaluate("() => window.drawn")


def moves_while_dragged(page, slider):
    """Wait until the figure is drawn while the mouse still holds the slider."""
    page.page.evaluate("() => window.drawn = 0")
    with page.held(slider) as move:
        for by in range(1, 16):
            move(2 * by)
            page.page.wait_for_timeout(100)
        page.page.wait_for_function("() => window.drawn > 1")


SIZES = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  const [lab, controls, figure] = ['.ssae-lab', '.ssae-controls', '.js-plotly-plot'].map(box);
  const drawn = box('.js-plotly-plot .main-svg');
  return {beside: controls.right <= figure.left, height: figure.bottom - controls.top,
          over: Math.max(document.documentElement.scrollWidth, drawn.right, lab.right) - innerWidth};
}"""


def fits(page):
    """Controls and figure fit a small screen together, and a phone needs no scrolling sideways."""
    sizes = page.page.evaluate(SIZES)
    assert sizes["beside"]
    assert sizes["height"] <= 700
    page.page.set_viewport_size({"width": 375, "height": 700})
    page.page.wait_for_function(f"() => ({SIZES})().over <= 0")


def press(page, slider):
    page.handle(slider).focus()
    page.page.keyboard.press("ArrowRight")


def complaints(page):
    return [text for text in page.complaints if not any(url in text for url in NOT_OURS)]


def test_in_jupyterlab_a_slider_moves_the_figure_and_the_words(chromium, jupyterlab):
    with browser.opened(chromium) as page:
        page.page.goto(f"{jupyterlab}/lab/tree/ShiftLab.ipynb?token=t&reset")
        browser.run_all(page.page)
        use(page, LABS["ShiftLab"])  # what another lab does of its own, Voilà shows
        page.shot("jupyterlab_ShiftLab")
        assert complaints(page) == []
        browser.command(page.page, "docmanager:save")
        page.page.reload()
        page.status("Done")  # the kernel lives, and so does the lab
        page.page.wait_for_function(DRAWN)
        page.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
        page.page.reload()
        page.page.get_by_text("As it was left.").first.wait_for()
        assert page.page.locator(".ssae-lab").count() == 0


@pytest.mark.parametrize("lab", LABS)
def test_voila_serves_the_lab_as_a_page_without_serious_barriers(chromium, voila, lab):
    with browser.opened(chromium) as page:
        page.page.goto(f"{voila}/voila/render/{lab}.ipynb")
        drawn = use(page, LABS[lab])
        assert drawn >= (DRAWINGS if lab in LIVE else 1)
        if lab in LIVE:
            moves_while_dragged(page, LABS[lab])
        page.shot(f"voila_{lab}")
        assert complaints(page) == []
        assert page.barriers() == []
        fits(page)


def test_clearing_the_output_stops_the_computation(chromium, jupyterlab, folder):
    notebook = page_of("ShiftLab")
    notebook.cells[0].source = ENDLESS
    nbformat.write(notebook, folder / "endless.ipynb")
    (folder / "beats").touch()

    def beats(page):
        page.page.wait_for_timeout(2000)
        return len((folder / "beats").read_text())

    with browser.opened(chromium) as page:
        page.page.goto(f"{jupyterlab}/lab/tree/endless.ipynb?token=t&reset")
        browser.run_all(page.page)
        page.status("Computing…")
        assert 0 < beats(page) < beats(page)
        browser.command(page.page, "notebook:clear-all-cell-outputs")
        assert beats(page) == beats(page)
