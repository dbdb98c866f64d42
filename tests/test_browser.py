"""The labs in a real browser: JupyterLab and Voilà, by mouse and by keyboard; axe-core's findings."""

import nbformat
import pytest

from ssae_kit.labs import kernels
from ssae_kit.labs.__main__ import page as page_of
from tests import browser

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "never"),
]

ENDLESS = """import time

whole = labs.ShiftLab.compute

def note(beat):
    with open("beats", "a") as file:
        file.write(beat)

def compute(lab, settings, report):
    try:
        while True:
            report(0.5, None)
            note(".")
            time.sleep(0.1)
    finally:
        note("end")

labs.ShiftLab.compute = compute"""
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
DRAWINGS = 1
"""Drawings of a training that a browser must show at least. A machine with nothing else to do shows
six and more, a crowded one its end only (`Job.due`); how many is no question of a test."""
DRAWN = "() => JSON.stringify(document.querySelector('.js-plotly-plot').data.map((t) => [t.x, t.y, t.z]))"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with one small notebook per lab."""
    path = tmp_path_factory.mktemp("labs")
    for lab in LABS:
        nbformat.write(page_of(lab), path / f"{lab}.ipynb")
    (path / "beats").touch()
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


NOTEBOOK = "/lab/tree/ShiftLab.ipynb?token=t&reset"


@pytest.fixture(scope="module")
def notebook(chromium, jupyterlab):
    """One lab in JupyterLab, run and saved."""
    with browser.opened(chromium) as page:
        page.page.goto(jupyterlab + NOTEBOOK)
        browser.run_all(page.page)
        page.status("Done")
        browser.command(page.page, "docmanager:save")
        yield page


@pytest.fixture(scope="module")
def voila(folder):
    with (
        kernels.forked() as variables,
        browser.served(folder, "voila", "--no-browser", "--port={port}", **variables) as at,
    ):
        yield at


COUNT = """() => {
  window.drawn = 0;
  window.said = [];
  document.querySelector('.js-plotly-plot').on('plotly_afterplot', () => window.drawn++);
  const added = (records) => records.flatMap((one) => [...one.addedNodes].map((el) => el.textContent));
  const heard = new MutationObserver((records) => window.said.push(...added(records)));
  heard.observe(document.querySelector('.ssae-lab'), { childList: true, subtree: true });
}"""
"""Counts drawings and hears every status: a busy browser looks so seldom that it would miss one."""
COMPUTED = "() => window.said.some((text) => text.startsWith('Computing'))"
FOLLOWS = f"(before) => ({DRAWN})() !== before"
LATE = browser.WAIT // 100


def dragged(page, slider):
    page.drag(slider, 25)
    page.page.wait_for_function(COMPUTED)


def pressed(page, slider):
    press(page, slider)
    page.page.wait_for_function(COMPUTED)


def drawn_while_dragged(page, slider):
    """The figure is drawn, again and to its end, while the mouse still holds the slider."""
    with page.held(slider) as move:
        for step in range(LATE):  # a busy kernel may take several moves for one
            if step % 60 < 15:
                move(2 * (step % 60 + 1))
            page.page.wait_for_timeout(100)
            if step > 3 and page.page.evaluate("() => window.drawn > 1"):
                break
        assert page.page.evaluate("() => window.drawn > 1")
        page.status("Done")


def use(page, slider, drag=dragged):
    """Move a slider by mouse, then by keyboard; figure and words must follow each time.

    Returns how often the browser drew after the last change.
    """
    page.status("Done")
    page.page.evaluate(COUNT)
    assert page.page.locator(".ssae-words[aria-live=polite]").count() == 1
    for move in (drag, pressed):
        page.page.evaluate("() => { window.drawn = 0; window.said = []; }")
        drawn, words = page.page.evaluate(DRAWN), page.words()
        move(page, slider)
        page.status("Done")
        page.page.wait_for_function(FOLLOWS, arg=drawn)
        assert page.words() != words
    return page.page.evaluate("() => window.drawn")


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


COLOURS = """() => [...document.querySelectorAll('.ssae-lab *')].flatMap((el) => {
  const style = getComputedStyle(el), svg = el.closest('svg');
  if (!el.getClientRects().length || el.closest('[disabled], .widget-play, .heatmap-label')) return [];
  const behind = (up) => {
    const [r, g, b, a = 1] = getComputedStyle(up).backgroundColor.match(/[\\d.]+/g).map(Number);
    return a === 1 ? [r, g, b] : behind(up.parentElement).map((c, i) => (1 - a) * c + a * [r, g, b][i]);
  };
  const pair = (what, colour, on = el) =>
    [[what, colour.match(/[\\d.]+/g).slice(0, 3).map(Number), behind(on)]];
  if (el.matches('.noUi-handle')) return pair('handle', style.borderTopColor, el.closest('.widget-box'));
  if (el.placeholder) return pair(el.placeholder, getComputedStyle(el, '::placeholder').color);
  const own = [...el.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
  return own ? pair(el.textContent, svg ? style.fill : style.color) : [];
})"""
"""Of every text in the lab (but a heatmap's numbers): itself, its colour, and what is behind it."""
FILTER = "() => getComputedStyle(document.querySelector('.ssae-lab')).filter"


AROUND = """() => {
  let el = document.querySelector('.ssae-lab').parentElement;
  while (getComputedStyle(el).backgroundColor === 'rgba(0, 0, 0, 0)') el = el.parentElement;
  return getComputedStyle(el).backgroundColor;
}"""
"""What the lab lies on."""


def contrast(*colours):
    """WCAG's contrast of two colours as they are seen through the filter of the dark lab."""
    light = []
    for colour in colours:
        r, g, b = (
            0.9 - 0.8 * part / 255 for part in colour
        )  # invert(0.9), then hue-rotate(180deg)
        turned = (
            -0.574 * r + 1.43 * g + 0.144 * b,
            0.426 * r + 0.43 * g + 0.144 * b,
            0.426 * r + 1.43 * g - 0.856 * b,
        )
        parts = [min(max(part, 0.0), 1.0) for part in turned]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


def faint(page):
    """Texts of a dark lab that do not stand out, and what stands for them where none do."""
    assert page.page.evaluate(FILTER) == "invert(0.9) hue-rotate(180deg)"
    found = [
        (text[:40], round(contrast(*colours), 1)) for text, *colours in page.page.evaluate(COLOURS)
    ]
    assert len(found) > 30
    return [(text, ratio) for text, ratio in found if ratio < (3.0 if text == "handle" else 4.5)]


def press(page, slider):
    page.handle(slider).focus()
    page.page.keyboard.press("ArrowRight")


def complaints(page):
    return [text for text in page.complaints if not any(url in text for url in NOT_OURS)]


def test_in_jupyterlab_a_slider_moves_the_figure_and_the_words(notebook):
    use(notebook, LABS["ShiftLab"])  # what another lab does of its own, Voilà shows
    notebook.shot("jupyterlab_ShiftLab")
    assert complaints(notebook) == []


def test_in_a_page_loaded_again_the_lab_lives_on_until_its_output_is_cleared(notebook, folder):
    def wait_for_beats(fit):
        for _ in range(browser.WAIT // 50):
            if fit((folder / "beats").read_text()):
                return
            notebook.page.wait_for_timeout(50)
        raise AssertionError((folder / "beats").read_text())

    browser.command(notebook.page, "docmanager:save")
    notebook.page.reload()
    notebook.status("Done")
    notebook.page.wait_for_function(DRAWN)
    browser.execute(notebook.page, ENDLESS)
    press(notebook, LABS["ShiftLab"])
    notebook.status("Computing…")
    wait_for_beats(lambda beats: beats.endswith(".."))
    browser.command(notebook.page, "notebook:clear-all-cell-outputs")
    wait_for_beats(lambda beats: beats.endswith(".end"))


def test_without_its_kernel_the_page_shows_the_lab_as_it_was_left(chromium, jupyterlab, notebook):
    notebook.page.evaluate("() => window.jupyterapp.serviceManager.sessions.shutdownAll()")
    with browser.opened(chromium) as page:
        page.page.goto(jupyterlab + NOTEBOOK)
        page.page.get_by_text("As it was left.").first.wait_for()
        assert page.page.locator(".ssae-lab").count() == 0


LIT = "() => [...document.querySelectorAll('.ssae-lit')].map((el) => el.textContent)"


def lit(page, what):
    """Wait until something shines, by a selector."""
    page.page.locator(f"{what}.ssae-lit").first.wait_for(state="attached")


def numbers(page, reach, wanted):
    """Reach for something until the numbers at these rays shine; a late drawing ends a hover."""
    script = (
        "() => [...document.querySelectorAll('.textpoint.ssae-lit')].map((el) => el.textContent)"
    )
    for _ in range(20):
        page.page.mouse.move(5, 5)
        reach()
        page.page.wait_for_timeout(300)
        found = "".join(page.page.evaluate(script))
        if found == wanted:
            return
    raise AssertionError(f"{found!r} shone, not {wanted!r}")


def words_and_bars_shine_together(page):
    alt = page.page.locator(".js-plotly-plot").first.get_attribute("aria-label")
    for reach in ("hover", "focus"):  # the same by mouse and by keyboard
        word = page.page.locator(".ssae-word").first
        getattr(word, reach)()
        lit(page, ".bars g.point")
        assert set(page.page.evaluate(LIT)) == {"", word.text_content()}
        page.page.locator("mark[tabindex]").last.focus()
        lit(page, "mark")
        lit(page, ".bars g.point")
        page.page.locator("h2").hover()
        page.page.evaluate("() => document.activeElement.blur()")
        assert page.page.evaluate(LIT) == []
    tokens = page.page.evaluate("() => document.querySelector('.js-plotly-plot').data[1].y")
    said = page.page.locator(".ssae-word").all_text_contents()
    both = next(i for i, token in enumerate(tokens) if token in said)  # not all stand in the texts
    page.page.locator(".subplot.x2y2 .point").nth(both).hover(force=True)
    lit(page, ".ssae-word")
    page.shot("voila_linked")
    assert page.page.locator(".js-plotly-plot").first.get_attribute("aria-label") == alt


def a_ray_its_bar_and_its_overlaps_shine_together(page):
    bar = page.page.locator(".subplot.x3y3 .point").nth(3)
    numbers(page, lambda: bar.hover(force=True), "3")
    box = page.page.locator(".subplot.x2y2 .heatmaplayer").bounding_box()
    x, y = box["x"] + box["width"] / 10, box["y"] + box["height"] / 2
    numbers(page, lambda: page.page.mouse.move(x, y), "02")  # row 2, column 0


DARK = {
    "LatentLab": words_and_bars_shine_together,
    "SuperpositionLab": a_ray_its_bar_and_its_overlaps_shine_together,
}
"""Labs visited in Voilà's dark theme, and what shines there; the others get its light one, which
then follows the system into the dark. A visit costs a kernel: each lab gets one."""


@pytest.mark.parametrize("lab", LABS)
def test_voila_serves_the_lab_as_a_page_without_serious_barriers(chromium, voila, lab):
    with browser.opened(chromium) as page:
        theme = "?theme=dark" if lab in DARK else ""
        page.page.goto(f"{voila}/voila/render/{lab}.ipynb{theme}")
        page.status("Done")
        if lab in DARK:
            assert faint(page) == []
            DARK[lab](page)
        drawn = use(page, LABS[lab], drawn_while_dragged if lab in LIVE else dragged)
        assert drawn >= (DRAWINGS if lab in LIVE else 1)
        page.shot(f"voila_{lab}")
        assert complaints(page) == []
        assert page.barriers() == []
        page.page.emulate_media(color_scheme="dark")
        assert faint(page) == []
        assert page.page.evaluate(AROUND) == "rgb(33, 33, 33)"
        fits(page)
        page.page.emulate_media(color_scheme="light")
        page.page.wait_for_function(f"() => ({SIZES})().over <= 0")
