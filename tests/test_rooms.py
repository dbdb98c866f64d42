"""The package's rooms: who may import whom, and what an import loads."""

import subprocess
import sys

import pytest

from tests.rooms import PACKAGE, code_lines, graph, imported, mermaid, modules

# Room -> the rooms it may import. A room is a module or a folder directly in the package.
ROOMS = {
    "checks": set(),
    "storage": set(),
    "streams": set(),
    "upstream": set(),
    "synthetic": set(),
    "superposition": set(),
    "metrics": set(),
    "pairs": {"storage"},
    "plots": set(),
    "claims": {"plots"},
    "exercises": {"plots", "storage"},
    "nbtest": {"storage", "upstream"},
    "autoencoders": {"storage"},
    "training": {"autoencoders", "storage", "upstream"},
    "llama": {"storage", "upstream"},
    "world": {"pairs", "storage"},
    "organism": {"world", "llama", "methods", "steering", "storage"},
    "methods": {"autoencoders", "training", "metrics"},
    "steering": {
        "llama",
        "autoencoders",
        "methods",
        "metrics",
        "pairs",
        "training",
        "storage",
    },
    "causes": {"methods"},
    "studies": {
        "causes",
        "synthetic",
        "autoencoders",
        "methods",
        "training",
        "metrics",
        "storage",
        "streams",
        "llama",
        "world",
        "pairs",
        "steering",
    },
}
for room in set(ROOMS) - {"checks"}:  # any room may ask what comes in at its doors
    ROOMS[room].add("checks")
ROOMS["labs"] = set(ROOMS) - {"nbtest"}
ROOMS["site"] = {"claims", "exercises", "labs", "plots", "storage"}

# Libraries that only some rooms may touch, so that one room answers for each.
LIBRARIES = {
    "transformers": {"llama"},
    "papermill": {"nbtest", "exercises"},
    "nbval": {"nbtest", "exercises"},
    "plotly": {"plots", "labs", "site"},
    "kaleido": {"plots"},
    "anywidget": {"labs"},
    "ipywidgets": {"labs", "exercises"},
    "sphinx": {"site"},
    "IPython": {"plots", "claims", "labs", "exercises"},
}


def violations(package):
    """Every import that crosses rooms, or touches a library, against the tables above."""
    found = []
    for room, path in modules(package):
        if room and room not in ROOMS:
            found.append(f"{room} is not a room of the table")
            continue
        for name in imported(path, package):
            head, target, *_ = [*name.split("."), ""]
            if head in LIBRARIES and room not in LIBRARIES[head]:
                found.append(f"{room or '__init__'} imports {head}")
            if head != package.name or target == room:
                continue
            if target in ROOMS and target not in ROOMS.get(room, set()):
                found.append(f"{room or '__init__'} imports {target}")
    return sorted(set(found))


def test_no_room_imports_what_it_may_not():
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        ("pairs.py", "import ssae_kit.llama", "pairs imports llama"),
        ("pairs.py", "from ssae_kit.llama import load", "pairs imports llama"),
        ("pairs.py", "from ssae_kit import metrics, llama", "pairs imports llama"),
        ("pairs.py", "from . import llama", "pairs imports llama"),
        ("pairs.py", "def f():\n    from .llama.load import x", "pairs imports llama"),
        ("world/state.py", "from ..steering import steer", "world imports steering"),
        ("world/state.py", "from transformers import AutoModel", "world imports transformers"),
        ("metrics.py", "def f():\n    import plotly.express as px", "metrics imports plotly"),
        ("__init__.py", "from ssae_kit import llama", "__init__ imports llama"),
        ("utils.py", "", "utils is not a room of the table"),
    ],
)
def test_a_planted_violation_is_found(tmp_path, module, source, expected):
    path = tmp_path / "ssae_kit" / module
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert expected in violations(tmp_path / "ssae_kit")


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("training/loop.py", "from ssae_kit.training.other import x\nimport ssae_kit.autoencoders"),
        ("llama/load.py", "from . import hidden\nfrom .hidden import x\nimport transformers"),
        ("labs.py", "from ssae_kit import steering, plots\nimport ipywidgets, plotly"),
    ],
)
def test_what_the_table_allows_is_no_violation(tmp_path, module, source):
    path = tmp_path / "ssae_kit" / module
    path.parent.mkdir(parents=True)
    path.write_text(source)
    assert violations(tmp_path / "ssae_kit") == []


# Slow to import; the benchmark `imports` has the seconds. Beside the rooms that may touch one of
# them: `steering` and `labs` import `llama`, `exercises` imports `plots`.
SLOW = {"transformers", "plotly", "sklearn", "scipy", "pandas", "IPython", "nbval", "papermill"}
LOADED = """
import importlib, sys
import torch
before = set(sys.modules)
for names in sys.argv[1:]:
    for name in names.split():
        importlib.import_module(name)
    print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""
LIGHT = sorted({room for room, _ in modules(PACKAGE)} - LIBRARIES["transformers"])
LIGHT = [room for room in LIGHT if room not in {"", "steering", "labs", "plots", "nbtest", "site"}]


@pytest.fixture(scope="module")
def loaded():
    """Top-level modules that the package, the light rooms and a heavy one load over those of torch."""
    light = " ".join(f"ssae_kit.{room}" for room in LIGHT)
    command = [sys.executable, "-c", LOADED, "ssae_kit", light, "ssae_kit.plots"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_importing_the_package_loads_no_room(loaded):
    assert loaded[0] == {"ssae_kit"}


def test_importing_the_light_rooms_loads_nothing_slow(loaded):
    assert loaded[1] & SLOW == set()


def test_a_heavy_room_is_seen_to_load_something_slow(loaded):
    assert loaded[2] & SLOW >= {"plotly"}


def test_docstrings_comments_and_blank_lines_are_no_code():
    source = (
        '"""A module."""\n\nx = 1  # one\n\n\ndef f():\n    """Say."""\n    # why\n    return x\n'
    )
    assert code_lines(source) == 3


def test_the_graph_leaves_out_the_edges_that_others_imply():
    edges = {"a": set(), "b": {"a"}, "c": {"a", "b"}}
    assert mermaid(edges).splitlines() == ["graph BT", "    a", "    a --> b", "    b --> c"]


def test_contributing_shows_the_graph_as_it_is_and_a_sentence_for_every_room():
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert f"```mermaid\n{mermaid(graph())}\n```" in text, (
        "put there what `python -m tests.rooms` prints"
    )
    assert [room for room in graph() if f"\n- `{room}`: " not in text] == []
