"""Grading: twelve submissions, one of each kind of trouble, and what becomes of them."""

import csv
import subprocess
import sys
import time

import nbformat
import pytest

from ssae_kit.exercises.grade import Limits, answers, grade, imports, kill
from ssae_kit.exercises.release import read
from tests.test_exercises_release import COSINE, SHIFT, small_course

WRONG = "def shift(source, target):\n    return [s - t for s, t in zip(source, target)]"
FORGED = """
from IPython.display import display
display({"application/vnd.ssae-check+json":
         {"name": "00.shift", "passed": True, "points": 1}}, raw=True)"""
TAMPERED = """
import IPython.display
_display = IPython.display.display

def _lie(data, **options):
    for record in data.values():
        if isinstance(record, dict):
            record["passed"] = True
    _display(data, **options)

IPython.display.display = _lie"""
ANSWERS = {  # student: file, answer to 00.shift, answer to 00.cosine (None: the cell is deleted)
    "ann": ("00_small", SHIFT, COSINE),
    "ben": ("00_small", "def shift(a, b):\n    raise NotImplementedError", ""),
    "cai": ("00_small", WRONG, COSINE),
    "dia": ("00_small", SHIFT, COSINE + "\nimport os\nos._exit(1)"),
    "eli": ("00_small", "def shift(source, target):\n    while True:\n        pass", COSINE),
    "fay": ("00_small", None, COSINE),
    "gus": ("final version (2)", SHIFT, COSINE),
    "hui": ("00_small", WRONG + FORGED, COSINE),
    "ivy": ("00_small", WRONG + TAMPERED, WRONG.replace("shift", "cosine")),
    "jon": ("00_small", "def shift(source, target)\n    return target", COSINE),
    "kim": ("00_small", "def shift(source, target):\n    return bytearray(2**45)", COSINE),
    "lou": ("00_small", None, None),
}
EXPECTED = {  # student: points for shift and cosine, part of what is said
    "ann": ("1", "1", "passed."),
    "ben": ("0", "0", "not attempted yet"),
    "cai": ("0", "1", "turned round"),
    "dia": ("1", "0", "its kernel died"),
    "eli": ("0", "1", "ran too long and was interrupted"),
    "fay": ("0", "1", "the answer's cell is missing"),
    "gus": ("1", "1", "the file was renamed; its cells are those of 00_small"),
    "hui": ("0", "1", "FORGED: the answer 00.shift displays a verdict of its own"),
    "ivy": ("0", "0", "FORGED: a check was tampered with"),
    "jon": ("0", "1", "SyntaxError"),
    "kim": ("0", "1", "MemoryError"),
    "lou": ("", "", "no answer cell of this course was found"),
}


def submit(folder, source, student, name, shift, cosine):
    notebook = read(source / "00_small.ipynb")
    for key, answer in (("00-shift", shift), ("00-cosine", cosine)):
        (cell,) = [cell for cell in notebook.cells if cell.id == key]
        cell.source = answer or ""
        if answer is None:
            notebook.cells.remove(cell)
    for cell in notebook.cells:  # no check of a submission counts, nor any output
        cell.source = cell.source.replace("exercises.check", "print")
        if cell.cell_type == "code":
            lie = {"application/vnd.ssae-check+json": {"name": "00.shift", "passed": True}}
            cell.outputs = [nbformat.v4.new_output("display_data", lie)]
    (folder / student).mkdir(parents=True)
    nbformat.write(notebook, folder / student / f"{name}.ipynb")


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    source = small_course(folder / "notebooks")
    for student, (name, shift, cosine) in ANSWERS.items():
        submit(folder / "submissions", source, student, name, shift, cosine)
    limits = Limits(cell_seconds=6, seconds=120, memory_gib=4.0)
    grade(folder / "submissions", source, folder / "grades", limits)
    with (folder / "grades" / "grades.csv").open(newline="", encoding="utf-8") as file:
        table = {row["student"]: row for row in csv.DictReader(file)}
    reports = {s: (folder / "grades" / f"{s}.md").read_text("utf-8") for s in ANSWERS}
    return table, reports


@pytest.mark.parametrize("student", ANSWERS)
def test_each_of_twelve_submissions_gets_its_points_and_its_remark(graded, student):
    table, reports = graded
    shift, cosine, remark = EXPECTED[student]
    assert (table[student]["00.shift"], table[student]["00.cosine"]) == (shift, cosine)
    assert remark in reports[student]
    trouble = [s for s in ANSWERS if table[s]["trouble"]]
    assert trouble == ["dia", "gus", "hui", "ivy", "lou"]


def test_a_submission_that_cannot_be_interrupted_is_stopped_and_a_broken_file_named(tmp_path):
    source = small_course(tmp_path / "notebooks")
    stubborn = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"
    submit(tmp_path / "submissions", source, "max", "00_small", stubborn, COSINE)
    (tmp_path / "submissions" / "nia.ipynb").write_text("{")
    start = time.monotonic()
    first, second = grade(tmp_path / "submissions", source, tmp_path / "out", Limits(2, 8, 4.0))
    assert time.monotonic() - start < 60
    assert first.score == 0
    assert "ran longer than 8 s and was stopped" in first.trouble[0]
    assert second.student == "nia"
    assert "not a readable notebook" in second.trouble[0]


def test_a_process_that_has_ended_by_itself_need_not_be_killed():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kill(ended.pid)


def test_only_imports_that_are_not_the_kits_are_given_to_answers():
    cell = nbformat.v4.new_code_cell
    source = nbformat.v4.new_notebook(
        cells=[
            cell("import math\nimport torch\nfrom ssae_kit import exercises\nx = 1"),
            cell("from IPython.display import display\nimport numpy as np\nimport math"),
        ]
    )
    assert imports(source) == "import math\nimport torch\nimport numpy as np"


def test_copies_of_an_answer_cell_count_as_one_in_their_order(tmp_path):
    notebook = read(small_course(tmp_path) / "00_small.ipynb")
    copy = nbformat.from_dict({**notebook.cells[2], "id": "copy", "source": "shift = 1"})
    notebook.cells.append(copy)
    assert answers(notebook)["00-shift"] == f"{SHIFT}\nshift = 1"


def test_nothing_to_grade_is_said(tmp_path):
    source = small_course(tmp_path / "notebooks")
    with pytest.raises(ValueError, match="found none"):
        grade(tmp_path / "empty", source, tmp_path / "out")
    with pytest.raises(ValueError, match="must hold notebooks with exercises"):
        grade(source, tmp_path / "empty", tmp_path / "out")
