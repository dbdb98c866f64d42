"""The course as static pages: what is on them, where their links lead, and who can read them."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

from ssae_kit.exercises.core import NOTEBOOKS, exercise, exercises
from ssae_kit.plots import figure
from ssae_kit.plots.show import PLOTLY_MIME
from ssae_kit.site import broken, build, labs
from ssae_kit.site.build import relinked
from ssae_kit.site.notebooks import Page, page
from ssae_kit.site.notebooks import figure as draw
from ssae_kit.site.pages import messages, pitfalls, section
from tests import browser

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("furo", reason="needs the extra `site`")
    folder = tmp_path_factory.mktemp("site")
    build(ROOT, folder)
    return folder


def text(site, name):
    return unescape(re.sub(r"<[^>]+>", "", (site / f"{name}.html").read_text(encoding="utf-8")))


def test_every_link_leads_somewhere_every_picture_has_words_and_nothing_needs_the_network(site):
    assert broken(site) == []


def test_every_notebook_exercise_and_room_has_a_page(site):
    rooms = [path.stem for path in (ROOT / "ssae_kit").iterdir() if not path.name.startswith("_")]
    asked = [name for number in NOTEBOOKS for name in exercises(number)]
    pages = [*NAMES, *(f"api_{room}" for room in rooms), *(f"messages_{name}" for name in asked)]
    assert [name for name in pages if not (site / f"{name}.html").exists()] == []


def test_a_message_that_a_learner_sees_is_found_on_its_page_with_a_case_that_shows_it(site):
    told = text(site, "messages_04.dual")
    assert "It became negative: that would reward large codes. Stop it at zero." in told
    assert "you return -0.07; right is 0." in told


def test_an_exercise_and_a_link_lead_to_their_own_half_of_a_notebook_in_two_parts():
    halves = [Page("02_one", title="One"), Page("02b_two", title="Two")]
    assert "It stands in [Two](02b_two.md)." in messages(
        "02b.always", exercise("02b.always"), halves
    )
    assert "It stands in [One](02_one.md)." in messages("02.unit", exercise("02.unit"), halves)
    assert relinked("[x](../notebooks/02b_two.ipynb#y)") == "[x](02b_two.md#y)"


def test_the_words_of_the_first_notebook_are_the_glossary(site):
    assert 'id="term-shift"' in (site / "words.html").read_text(encoding="utf-8")


def test_claims_stand_with_their_verdicts_those_that_fail_too(site):
    told = text(site, "claims")
    assert "00.taste" in told
    assert "PASS" in told
    assert "FAIL" in told


def test_search_finds_a_word_of_a_notebook_and_a_function(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert "pentagon" in index
    assert "rotation_floor" in index


def test_a_solution_is_folded_and_its_stub_is_seen(site):
    told = (site / "00_start_here.html").read_text(encoding="utf-8")
    before, after = told.split("<summary>Solution</summary>", 1)
    assert "NotImplementedError" in before
    assert "NotImplementedError" not in after.split("</details>", 1)[0]


def notebook(folder, *cells):
    path = folder / "00_one.ipynb"
    head = {"cell_type": "markdown", "id": "a", "metadata": {}, "source": "# One"}
    whole = {"cells": [head, *cells], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    path.write_text(json.dumps(whole))
    return path


def code(source, *outputs, **metadata):
    made = {"cell_type": "code", "id": "b", "metadata": metadata, "source": source}
    return made | {"outputs": list(outputs), "execution_count": 1}


def shown(**data):
    return {"output_type": "display_data", "metadata": {}, "data": data}


def test_a_figure_whose_data_are_in_the_notebook_is_live(tmp_path):
    drawn = json.loads(figure("</script>").to_json())
    output = shown(**{PLOTLY_MIME: drawn, "image/png": "AAAA", "text/plain": "A curve."})
    made = page(notebook(tmp_path, code("x", output)), tmp_path)
    assert 'data-live="A curve."' in made.figures["b"]
    assert r"<\/script>" in made.figures["b"]
    assert (tmp_path / "b-0.png").exists()


def test_a_figure_that_is_only_a_picture_stays_one(tmp_path):
    output = shown(**{"image/png": "AAAA", "text/plain": "A curve."})
    made = page(notebook(tmp_path, code("x", output)), tmp_path)
    assert 'alt="A curve."' in made.figures["b"]
    assert "data-live" not in made.figures["b"]


def test_words_of_a_figure_are_no_html_and_a_cell_for_colab_is_left_out(tmp_path):
    output = shown(**{"image/png": "AAAA", "text/plain": 'A <b> "curve".'})
    colab = code("pip install", tags=["colab"]) | {"id": "c"}
    made = page(notebook(tmp_path, colab, code("x", output)), tmp_path)
    assert 'alt="A &lt;b&gt; &quot;curve&quot;."' in made.figures["b"]
    assert "pip install" not in made.text


def test_what_the_notebook_folds_is_folded(tmp_path):
    folded = page(notebook(tmp_path, code("x = 1", jupyter={"source_hidden": True})), tmp_path)
    assert "<details>" in folded.text
    assert "<details>" not in page(notebook(tmp_path, code("x = 1")), tmp_path).text


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="two.html">x</a>', "no file at two.html"),
        ('<a href="#there">x</a>', "no place at #there"),
        ('<a href="one.html#there">x</a>', "no place at one.html#there"),
        ('<img src="data:," alt=" ">', "a picture without words"),
        ('<script src="https://cdn.example/x.js"></script>', "which needs the network"),
        ("<h1>two</h1>", "2 headings of the first level"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, body, fault):
    (tmp_path / "one.html").write_text(f"<h1>one</h1>{body}")
    assert [fault in one for one in broken(tmp_path)] == [True]


def test_what_is_right_is_no_fault(tmp_path):
    body = '<h1>x</h1><a id="x" href="#x">x</a><a href="https://a.example/b">b</a><img src="one.html" alt="y">'
    (tmp_path / "one.html").write_text(body)
    assert broken(tmp_path) == []


def test_a_folder_that_holds_something_else_is_not_replaced(tmp_path):
    pytest.importorskip("furo")
    mine = tmp_path / "mine.txt"
    mine.write_text("kept")
    with pytest.raises(ValueError, match="holds other things"):
        build(ROOT, tmp_path)
    assert mine.read_text() == "kept"


def test_a_folder_without_notebooks_a_missing_heading_and_a_lost_figure_are_refused(tmp_path):
    pytest.importorskip("furo")
    with pytest.raises(ValueError, match="there must be notebooks"):
        build(tmp_path, tmp_path / "out")
    with pytest.raises(ValueError, match="needs a heading '## Start'"):
        section("# x", "Start")
    with pytest.raises(ValueError, match="which is in no notebook"):
        pitfalls([])


def test_every_choice_of_a_page_without_a_kernel_has_its_training():
    for name, grid in labs.GRIDS.items():
        stored = ROOT / "data" / "results" / f"page_{name}.json"
        held = json.loads(stored.read_text(encoding="utf-8"))
        n = 1
        for values in held["axes"].values():
            n *= len(values)
        assert list(held["axes"]) == list(grid)
        assert len(held["points"]) == n
        assert all(point["words"].startswith("After ") for point in held["points"].values())


@pytest.fixture(scope="module")
def visited(site):
    if browser.missing():
        pytest.skip(browser.missing())
    with browser.started() as chromium, browser.opened(chromium) as opened:
        yield opened, site


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["00_start_here", "lab_shift"])
def test_no_barriers_and_no_sideways_scrolling_on_a_phone(visited, name, theme):
    from axe_playwright_python.sync_playwright import Axe

    opened, site = visited
    opened.page.emulate_media(color_scheme=theme)
    opened.page.set_viewport_size({"width": 375, "height": 800})
    opened.page.goto((site / f"{name}.html").as_uri())
    found = Axe().run(opened.page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    root = "document.documentElement"
    assert opened.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")


@pytest.mark.browser
def test_a_page_without_a_kernel_shows_another_training_when_a_control_moves(visited):
    opened, site = visited
    opened.complaints.clear()  # axe-core asks a disk for style sheets, which the browser forbids
    opened.page.goto((site / "lab_shift.html").as_uri())
    opened.page.locator(".lab svg.main-svg").first.wait_for()
    before = opened.page.locator(".lab .words").text_content()
    opened.page.get_by_label("condition").select_option("all always shift")
    assert opened.page.locator(".lab .words").text_content() != before
    assert opened.complaints == []


@pytest.mark.browser
def test_a_live_figure_takes_the_place_of_its_picture(visited, tmp_path):
    opened, site = visited
    opened.complaints.clear()
    data = {PLOTLY_MIME: json.loads(figure("here").to_json()), "text/plain": "A curve."}
    script = f'<script src="{(site / "_static" / "site.js").as_uri()}"></script>'
    drawn = draw(data | {"image/png": "AAAA"}, "one.png", tmp_path)
    (site / "one.html").write_text(f"{script}{drawn.replace('_static/figures', str(tmp_path))}")
    opened.page.goto((site / "one.html").as_uri())
    assert opened.page.locator("svg .gtitle").text_content() == "here"
    assert opened.page.get_by_role("img", name="A curve.").count() == 1
    (site / "one.html").unlink()
