"""Recall: five questions for each notebook, asked again at growing intervals on the days they are due."""

import json
from datetime import date, timedelta
from pathlib import Path

import ipywidgets
import nbformat
import pytest

from ssae_kit.exercises import recall as recalled
from ssae_kit.exercises import review
from ssae_kit.exercises.reviews import DAYS, QUESTIONS, note, questions

ROOT = Path(__file__).resolve().parents[1]
MONDAY = date(2030, 1, 7)
ASKED = sorted(path.stem for path in QUESTIONS.glob("*.md"))


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setattr("ssae_kit.exercises.reviews.STATE", tmp_path / "kept" / "review.json")
    return tmp_path / "kept" / "review.json"


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, as text."""
    found = []

    def display(item, **how):
        found.append(str(getattr(item, "data", item)))

    monkeypatch.setattr("IPython.display.display", display)
    return found


@pytest.mark.parametrize("notebook", ASKED)
def test_a_notebook_has_five_questions_each_with_an_answer(notebook):
    asked = questions(notebook)
    assert len(asked) == 5
    for question, answer in asked:
        assert question.endswith(("?", ".")), question
        assert len(answer) > 20, question
        assert "\n" not in answer, question


@pytest.mark.parametrize("path", sorted(ROOT.glob("notebooks/0[0-7]*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_ends_with_its_questions(path):
    code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.id for cell in code if "exercises.recall(" in cell.source] == [code[-1].id]
    assert code[-1].source == f'exercises.recall("{path.stem.partition("_")[0]}")'


def test_an_unknown_notebook_is_named(home):
    with pytest.raises(ValueError, match=r"must be one of \['00', '01'.*got '77'"):
        recalled("77")


def test_intervals_grow_while_answers_are_known_and_begin_anew_when_they_are_not(home):
    day, step, waited = MONDAY, -1, []
    for known in (5, 4, 5, 5, 5, 5, 2, 5):
        due = note("03", step, known, day)
        waited.append((due - day).days)
        step, written = json.loads(home.read_text())["03"]
        assert written == due.isoformat()
        day = due
    assert waited == [*DAYS, DAYS[-1], DAYS[0], DAYS[1]]


def test_only_what_is_due_is_asked(home, shown):
    note("01", -1, 5, MONDAY)
    note("02", 0, 5, MONDAY)  # in three days
    review(MONDAY)
    assert shown == [
        "*Nothing is due before 2030-01-08.* A notebook counts once you have answered its questions."
    ]
    shown.clear()
    review(MONDAY + timedelta(1))
    assert shown[0] == "### Notebook 01"
    assert questions("01")[0][0] in shown[1]
    assert "<details><summary>Answer</summary>" in shown[1]
    assert not any("Notebook 02" in text for text in shown)


def test_without_a_press_nothing_is_kept_and_two_presses_are_one_review(home, shown, monkeypatch):
    made = []

    class Buttons(ipywidgets.ToggleButtons):
        def __init__(self, **about):
            super().__init__(**about)
            made.append(self)

    monkeypatch.setattr("ipywidgets.ToggleButtons", Buttons)
    recalled("03", MONDAY)
    assert not home.exists()
    review(MONDAY)
    assert "No notebook is finished so far." in shown[-1]
    for known in (2, 5):
        made[0].value = known
    assert json.loads(home.read_text())["03"] == [0, (MONDAY + timedelta(DAYS[0])).isoformat()]
    review(MONDAY + timedelta(DAYS[0]))
    made[1].value = 5
    due = MONDAY + timedelta(DAYS[0] + DAYS[1])
    assert json.loads(home.read_text())["03"] == [1, due.isoformat()]


def test_a_file_that_is_no_state_says_what_to_do(home):
    home.parent.mkdir()
    home.write_text('{"03": "soon"}')
    with pytest.raises(ValueError, match="Delete it to begin anew"):
        review(MONDAY)
