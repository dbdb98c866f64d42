"""Every notebook opens in Colab by a badge, and sets Colab up in its first cell."""

import json
import sys
from types import SimpleNamespace

import pytest

from ssae_kit.exercises.release import student_edition
from tests import badges

NOTEBOOKS = sorted((badges.ROOT / "notebooks").glob("*.ipynb"))
SMALL = {"cells": [{"cell_type": "markdown", "id": "07-001", "metadata": {}, "source": ["# Why?"]}]}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_its_badge_and_its_cell(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    advice = "run `python -m tests.badges`"
    assert badges.badged(notebook, path.name) == notebook, advice
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    assert first["id"] == f"{path.name.partition('_')[0]}-colab"


def test_badge_and_cell_are_set_once_and_follow_the_address(monkeypatch):
    once = badges.badged(SMALL, "07_why.ipynb")
    assert badges.badged(once, "07_why.ipynb") == once
    monkeypatch.setattr(badges, "ADDRESS", "https://github.com/someone/else")
    moved = badges.badged(once, "07_why.ipynb")
    title, cell = moved["cells"]
    assert f"{badges.COLAB}/github/someone/else/blob/main/notebooks/07_why" in title["source"][0]
    assert title["source"][1:] == ["\n", "# Why?"]
    assert "git+https://github.com/someone/else" in "".join(cell["source"])
    assert len(cell["source"]) <= 6


@pytest.mark.parametrize("on_colab", [True, False])
def test_the_cell_installs_beside_what_colab_brings_and_does_nothing_elsewhere(
    on_colab, monkeypatch
):
    done = []
    output = SimpleNamespace(enable_custom_widget_manager=lambda: done.append("widgets"))
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace(output=output))
    shell = SimpleNamespace(system=done.append)
    exec("".join(badges.setup("00")["source"]), {"get_ipython": lambda: shell})
    kept = "pip list --format=freeze > kept.txt"
    install = f"{kept} && pip install -q -c kept.txt git+{badges.ADDRESS}"
    assert done == ([install, "widgets"] if on_colab else [])


def test_the_student_edition_has_the_cell_but_no_badge_that_leads_to_the_solutions():
    nbformat = pytest.importorskip("nbformat")
    whole = {**badges.badged(SMALL, "07_why.ipynb"), "metadata": {}, "nbformat": 4}
    notebook = nbformat.reads(json.dumps(whole | {"nbformat_minor": 5}), 4)
    title, cell = student_edition(notebook, "07_why.ipynb", False).cells
    assert title.source == "# Why?"
    assert "google.colab" in cell.source
