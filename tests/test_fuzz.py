"""Wrong calls by the hundred end in words, or in a finite number: see `tests/fuzz.py`."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import fuzz


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """How every call ended, by what was called; run apart, without this process' check of types.

    Some calls give a text where a folder is asked for: they write it where they run.
    """
    root = str(Path(__file__).resolve().parents[1])
    run = subprocess.run(
        [sys.executable, "-m", "tests.fuzz"],
        cwd=tmp_path_factory.mktemp("fuzz"),
        env=os.environ | {"PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return json.loads(run.stdout[run.stdout.index("{\n") :])


def test_there_are_hundreds_of_wrong_calls(found):
    assert len(found) >= 500


def test_every_public_callable_is_called(found):
    assert [name for name, how in found.items() if how == fuzz.MISSING] == []


def test_no_wrong_call_ends_in_silence_in_a_hang_or_in_the_error_of_a_library(found):
    assert {name: how for name, how in found.items() if how != fuzz.WELL} == {}


def test_a_planted_nan_hang_and_error_of_a_library_are_seen(monkeypatch):
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)

    def hang():
        while True:
            pass

    assert fuzz.outcome(lambda: fuzz.torch.tensor([float("nan")])) == "NaN in silence"
    assert fuzz.outcome(lambda: {"a": [float("nan")]}) == "NaN in silence"
    assert fuzz.outcome(hang) == "hangs"
    assert "RuntimeError" in fuzz.outcome(lambda: fuzz.torch.ones(2) @ fuzz.torch.ones(3))
    assert "AttributeError" in fuzz.outcome(lambda: None.shape)
    assert fuzz.outcome(lambda: 1.0) == fuzz.WELL


def test_a_right_call_that_is_refused_is_seen():
    def refuse():
        raise TypeError("`rows` must be whole")

    assert fuzz.outcome(refuse) == fuzz.WELL
    assert fuzz.outcome(refuse, may_refuse=False) == "TypeError: `rows` must be whole"
