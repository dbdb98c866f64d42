"""Marked courses: nbgrader takes the same source unchanged. Runs where nbgrader is installed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ssae_kit.exercises.release import read, tasks

SOURCE = Path(__file__).resolve().parents[1] / "notebooks" / "00_start_here.ipynb"
PAGE = SOURCE.with_suffix(".html").name
POINTS = {"perfect": 2.0, "wrong": 1.0, "unsolved": 0.0}

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None,
    reason="nbgrader is not installed: pip install -e '.[teach]'",
)


def nbgrader(course, *arguments):
    command = [sys.executable, "-m", "nbgrader", *arguments, "--course", "ssae"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # for alembic
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": path}
    done = subprocess.run(
        command, cwd=course, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stderr[-3000:]


def submit(course, student):
    """Fill a released notebook in as this student would."""
    notebook = read(course / "release" / "start" / SOURCE.name)
    solved = tasks(read(SOURCE))
    for cell in notebook.cells:
        if cell.id in solved and student != "unsolved":
            cell.source = solved[cell.id].solution
        if cell.id == "00-shift" and student == "wrong":
            cell.source = cell.source.replace("after - before for", "before - after for")
    folder = course / "submitted" / student / "start"
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / SOURCE.name)


@pytest.mark.slow
def test_nbgrader_generates_and_autogrades_the_source_unchanged(tmp_path):
    (tmp_path / "source" / "start").mkdir(parents=True)
    shutil.copy(SOURCE, tmp_path / "source" / "start")
    nbgrader(tmp_path, "generate_assignment", "start", "--create")
    released = (tmp_path / "release" / "start" / SOURCE.name).read_text(encoding="utf-8")
    assert "SOLUTION" not in released
    assert "HIDDEN TESTS" not in released
    assert "NotImplementedError" in released
    for student in POINTS:
        submit(tmp_path, student)
    patient = ["--Execute.timeout=600", "--Execute.iopub_timeout=120"]  # on a busy machine
    nbgrader(tmp_path, "autograde", "start", "--create", *patient)
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        scores = {s: gradebook.find_submission("start", s).score for s in POINTS}
    assert scores == POINTS
    nbgrader(tmp_path, "generate_feedback", "start")
    told = {s: (tmp_path / "feedback" / s / "start" / PAGE).read_text("utf-8") for s in POINTS}
    assert "the target minus the source" in told["wrong"]
    assert "the sign is turned round" not in told["perfect"]
