"""The README's commands are the ones that CI runs, and its example works."""

import re
import runpy
from pathlib import Path

import pytest
import torch

from ssae_kit import llama, world

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [code for named, code in found if named == language]


def test_both_commands_are_one_line_each():
    start, test = blocks("")
    assert start.count("\n") == test.count("\n") == 1
    assert "jupyter lab --LabApp.default_url=/lab/tree/build/student/00_start_here.ipynb" in start
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
    _, example, _ = blocks("python")
    assert example.count("\n") <= 10
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    assert names["vectors"].matching.per_concept.min() > 0.9
    assert capsys.readouterr().out.strip("[]'\" \n")


def test_a_nudge_sent_elsewhere_is_the_kits_nudge(monkeypatch, tmp_path):
    nnsight = pytest.importorskip("nnsight")
    model = llama.load(device="cpu")
    prompt = world.prompts(3, torch.Generator().manual_seed(0))[0][0]
    # A push twice as long as a hidden state: far longer ones give one text in every layer.
    push = 15 * torch.randn(1, model.d_model, generator=torch.Generator().manual_seed(1))
    here = nnsight.TransformersModel(model.model, task="text-generation", tokenizer=model.tokenizer)
    monkeypatch.setattr(nnsight, "TransformersModel", lambda _name, task: here)
    far, *_ = blocks("python")
    script, told = tmp_path / "far.py", {}  # nnsight reads the source of what calls it
    script.write_text(far.replace("remote=True", "remote=False"), encoding="utf-8")
    for layer in (3, 4):
        nudge = type("Nudge", (dict,), {"layer": layer})(tense=push)
        names = {"prompt": prompt, "vectors": nudge}
        told[layer] = runpy.run_path(str(script), names)["tokens"][0].tolist()
    row, edits = model.tokenizer(prompt)["input_ids"], {3: llama.Add(push)}
    assert told[3][: len(row)] == row
    new = torch.tensor([told[3][len(row) :]])
    likely = llama.next_token_log_probs(model, [row], new, edits=edits).argmax(-1)
    assert torch.equal(likely, new)  # each token is the likeliest under the kit's own nudge
    assert told[3] != told[4]


def test_every_notebook_and_every_room_is_listed():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert f"[{path.stem}](notebooks/{path.name})" in README
    for path in (ROOT / "ssae_kit").iterdir():
        if not path.name.startswith("_"):
            assert f"| `{path.stem}` |" in README
