"""The student edition, and predictions without a browser."""

import base64
import subprocess
import sys

import nbformat
import numpy as np
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from ssae_kit.exercises import Predictions
from ssae_kit.exercises.__main__ import main
from ssae_kit.exercises.release import read, release, tasks


def answer(key, source, solution=True):
    points = {} if solution else {"points": 1}
    flags = {"solution": solution, "grade": not solution, "locked": not solution}
    about = {"grade_id": key, "schema_version": 3, "task": False, **flags, **points}
    metadata = {"nbgrader": about, **({"jupyter": {"source_hidden": True}} if solution else {})}
    return new_code_cell(source, id=key, metadata=metadata)


SHIFT = """def shift(source, target):
    \"\"\"Return target minus source.\"\"\"
    ### BEGIN SOLUTION
    return [t - s for s, t in zip(source, target)]
    ### END SOLUTION"""
COSINE = """def cosine(first, second):
    ### BEGIN SOLUTION
    dot = sum(a * b for a, b in zip(first, second))
    return dot / (math.hypot(*first) * math.hypot(*second))
    ### END SOLUTION"""
BADGE = "[![Open in Colab](badge.svg)](the_notebook_with_solutions)\n\n"
CHECK = """exercises.check("00.{0}", {0})
### BEGIN HIDDEN TESTS
assert exercises.check("00.{0}", {0}) is {0}
### END HIDDEN TESTS"""


def small_course(folder):
    """A course of one notebook with two exercises that need no torch."""
    setup = new_code_cell("import math\n\nfrom ssae_kit import exercises", id="setup")
    cells = [new_markdown_cell(f"{BADGE}See [the card](../data/CARD.md).", id="text"), setup]
    for name, source in (("shift", SHIFT), ("cosine", COSINE)):
        cells.append(answer(f"00-{name}", source))
        cells.append(answer(f"00-{name}-check", CHECK.format(name), solution=False))
    setup.outputs = [nbformat.v4.new_output("stream", text="secret")]
    folder.mkdir(parents=True, exist_ok=True)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), folder / "00_small.ipynb")
    return folder


def test_the_student_edition_has_stubs_and_neither_solutions_nor_outputs(tmp_path):
    source = small_course(tmp_path / "notebooks")
    (written,) = release(source, tmp_path / "build" / "student")
    cells = {cell.id: cell for cell in read(written).cells}
    stub = (
        '    """Return target minus source."""\n    # YOUR CODE HERE\n    raise NotImplementedError'
    )
    assert cells["00-shift"].source == f"def shift(source, target):\n{stub}"
    assert cells["00-shift-check"].source == 'exercises.check("00.shift", shift)'
    assert "jupyter" not in cells["00-shift"].metadata  # unfolded: here one writes
    assert cells["00-shift"].metadata.nbgrader.grade_id == "00-shift"
    assert cells["setup"].outputs == []
    assert cells["text"].source == "See [the card](../../data/CARD.md)."
    assert "zip" not in written.read_text()
    assert "secret" not in written.read_text()


def test_solutions_can_be_kept_folded_below_their_checks(tmp_path):
    source = small_course(tmp_path / "notebooks")
    (written,) = release(source, tmp_path / "student", with_solutions=True)
    cells = read(written).cells
    place = [cell.id for cell in cells].index("00-shift-check") + 1
    assert cells[place].cell_type == "markdown"
    assert cells[place].source.startswith("<details><summary>Solution</summary>")
    assert "    return [t - s for s, t in zip(source, target)]\n" in cells[place].source
    assert "BEGIN" not in cells[place].source


def test_a_notebook_that_somebody_works_in_can_be_kept(tmp_path):
    source = small_course(tmp_path / "notebooks")
    (mine,) = release(source, tmp_path / "student", keep=True)
    mine.write_text("mine")
    assert release(source, tmp_path / "student", keep=True) == []
    assert mine.read_text() == "mine"
    release(source, tmp_path / "student")
    assert mine.read_text() != "mine"


def test_a_solution_stands_below_its_own_check_wherever_that_is(tmp_path):
    source = small_course(tmp_path / "notebooks")
    notebook = read(source / "00_small.ipynb")
    shift, check = (
        next(c for c in notebook.cells if c.id == f"00-shift{s}") for s in ("", "-check")
    )
    lonely = answer("00-lonely-check", "1", solution=False)  # a check without an answer
    notebook.cells = [lonely, *(c for c in notebook.cells if c is not check), check]
    nbformat.write(notebook, source / "00_small.ipynb")
    (written,) = release(source, tmp_path / "student", with_solutions=True)
    ids = [cell.id for cell in read(written).cells]
    assert ids[-2:] == ["00-shift-check", f"{shift.id}-solution"]
    assert ids[ids.index("00-cosine-check") + 1] == "00-cosine-solution"


@pytest.mark.parametrize("broken", ["    ### END SOLUTION", "### END HIDDEN TESTS"])
def test_a_solution_without_its_end_is_never_released(tmp_path, broken):
    source = small_course(tmp_path / "notebooks")
    path = source / "00_small.ipynb"
    notebook = read(path)
    for cell in notebook.cells:
        cell.source = cell.source.replace(broken, "")
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match=r"00_small.ipynb, cell 00-\w+.*needs its '### END"):
        release(source, tmp_path / "student")
    assert not list((tmp_path / "student").glob("*.ipynb"))


def test_the_notebooks_are_never_overwritten_by_their_student_edition(tmp_path):
    source = small_course(tmp_path / "notebooks")
    with pytest.raises(ValueError, match="another folder"):
        release(source, tmp_path / "notebooks" / ".." / "notebooks")
    with pytest.raises(ValueError, match="found none"):
        release(tmp_path / "empty", tmp_path / "student")


def test_an_answer_without_a_check_is_reported(tmp_path):
    notebook = read(small_course(tmp_path / "notebooks") / "00_small.ipynb")
    notebook.cells = [cell for cell in notebook.cells if cell.id != "00-cosine-check"]
    with pytest.raises(ValueError, match="00-cosine-check"):
        tasks(notebook)


def test_the_command_says_what_it_did(tmp_path):
    small_course(tmp_path / "notebooks")
    command = [sys.executable, "-m", "ssae_kit.exercises", "release"]
    done = subprocess.run(
        [*command, "notebooks", "build/student"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "1 notebooks written to build/student\n")
    done = subprocess.run([*command, "nowhere", "x"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "found none" in done.stderr


def test_the_command_keeps_notebooks_and_adds_solutions_where_asked(tmp_path, monkeypatch, capsys):
    small_course(tmp_path / "notebooks")
    monkeypatch.chdir(tmp_path)

    def command(*options):
        main(["release", "notebooks", "mine", *options])
        return capsys.readouterr().out, (tmp_path / "mine" / "00_small.ipynb").read_text()

    told, stubs = command()
    assert "<summary>Solution" not in stubs
    assert command("--with-solutions", "--keep") == ("0 notebooks written to mine\n", stubs)
    told, solved = command("--with-solutions")
    assert told == "1 notebooks written to mine\n"
    assert "<summary>Solution" in solved


def test_a_prediction_left_at_its_start_is_none_and_the_notebook_goes_on(displayed_all):
    guesses = Predictions()
    guesses.number("kept", "Features stored?", 0, 20, "features")
    guesses.order("methods", "Which is best?", ["PCA", "SAE"])
    guesses.outcome("kept", 15)
    guesses.outcome("methods", ["SAE", "PCA"])
    guesses.calibration()
    said = [str(getattr(item, "data", "")) for item in displayed_all]
    assert any("You made no prediction. Outcome (Features stored?): 15" in text for text in said)
    assert said[-1] == "*You made no predictions in this notebook.*"
    assert guesses.made() == {}


def test_predictions_are_drawn_with_their_outcomes_and_counted(displayed_all):
    guesses = Predictions()
    for name, low, high in (("a", 10, 14), ("b", 0.5, 2), ("c", 15, 20)):
        guesses.number(name, "How many?", 0, 20, "features")
        guesses.asked[name].widgets[0].value = (low, high)
    guesses.order("methods", "Which is best?", ["PCA", "SAE"])
    for menu, choice in zip(guesses.asked["methods"].widgets, ["SAE", "PCA"], strict=True):
        menu.value = choice
    for name, value in (("a", 12), ("b", 7), ("c", 15), ("methods", ["SAE", "PCA"])):
        guesses.outcome(name, value)
        assert all(widget.disabled for widget in guesses.asked[name].widgets)
    guesses.asked["b"].widgets[0].value = (0, 20)  # too late
    assert guesses.made()["b"] == "How many? 0.5 to 2"
    assert guesses.made()["methods"] == "Which is best? SAE, PCA"
    guesses.calibration()
    text = displayed_all[-1].data
    assert "Orders predicted exactly: 1 of 1." in text
    assert "within your ranges: 2 of 3" in text
    assert "should hold 2.4" in text
    figures = [
        item for item in displayed_all if isinstance(item, dict) and "plotly" in str(item)[:60]
    ]
    assert len(figures) == 5


def numbers(values):
    """Values of a figure, as plotly 5 or plotly 6 writes them."""
    if isinstance(values, dict):
        return list(np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]))
    return list(values)


def test_a_sketch_is_drawn_with_its_outcome_and_its_distance_told(displayed_all):
    guesses = Predictions()
    guesses.sketch("floor", "How high?", [2, 10, 100], 0, 1)
    guesses.sketch("left", "How high?", ["a", "b"], 0, 1)
    for slider, height in zip(guesses.asked["floor"].widgets, (0.8, 0.6, 0.4), strict=True):
        slider.value = height
    guesses.outcome("floor", torch.tensor([0.9, 0.6, 0.2]))
    guesses.outcome("left", [0.5, 0.5])
    guesses.calibration()
    assert "lay 0.1 away" in displayed_all[-1].data
    said = [str(getattr(item, "data", "")) for item in displayed_all]
    assert any("You made no prediction. Outcome (How high?): a: 0.5, b: 0.5" in s for s in said)
    (figure,) = [x for x in displayed_all if isinstance(x, dict) and "plotly" in str(x)[:60]]
    drawn, came = figure["application/vnd.plotly.v1+json"]["data"]
    assert numbers(drawn["y"]) == pytest.approx([0.8, 0.6, 0.4])
    assert numbers(came["y"]) == pytest.approx([0.9, 0.6, 0.2])


def test_a_prediction_says_what_it_needs():
    guesses = Predictions()
    with pytest.raises(ValueError, match="`low` must be below `high`"):
        guesses.number("kept", "How many?", 3, 3)
    with pytest.raises(ValueError, match="all different"):
        guesses.order("methods", "Which?", ["PCA", "PCA"])
    with pytest.raises(ValueError, match=r"must be one of \[\]; got 'kept'"):
        guesses.outcome("kept", 3)
    with pytest.raises(ValueError, match="`places` must be two or more"):
        guesses.sketch("kept", "How many?", [2], 0, 1)
    guesses.sketch("floor", "How high?", [2, 10], 0, 1)
    with pytest.raises(ValueError, match="one value for each of"):
        guesses.outcome("floor", [0.5])
    guesses.order("methods", "Which?", ["PCA", "ICA"])
    with pytest.raises(ValueError, match=r"asked for, \['PCA', 'ICA'\]; got \['PCA'\]"):
        guesses.outcome("methods", ["PCA"])


@pytest.fixture
def displayed_all(monkeypatch):
    """What is shown, plain objects included."""
    outputs = []
    monkeypatch.setattr("IPython.display.display", lambda item, raw=False: outputs.append(item))
    return outputs
