"""The README's commands are the ones that CI runs, and its example works."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_both_commands_are_one_line_each():
    start, test = blocks("")
    assert start.count("\n") == test.count("\n") == 1
    assert "jupyter lab --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb" in start
    assert all("pip install -c .ci/constraints.txt -e" in one for one in (start, test))
    assert test.rstrip().endswith(".venv/bin/pytest -n 2")


def test_ci_runs_the_test_command_as_printed_and_at_most_installs_a_browser():
    _, test = blocks("")
    lines = (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands[-1] == test.rstrip()
    assert [c.split()[0] for c in commands[:-1]] == ["set", "cd", "command"]
    assert commands[-2].endswith("|| true")  # a machine without apt runs the other tests


def test_the_example_is_short_and_finds_every_concept(capsys):
    example, _ = blocks("python")
    assert example.count("\n") <= 10
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["vectors"].matching.per_concept.min() > 0.9
    assert capsys.readouterr().out.strip("[]'\" \n")


def test_every_notebook_and_every_room_is_listed():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"[{path.stem}](notebooks/{path.name})" in README
    for path in (ROOT / "ssae_kit").iterdir():
        if not path.name.startswith("_"):
            assert f"| `{path.stem}` |" in README
