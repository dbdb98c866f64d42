"""The package is formatted, linted and typed, and its shapes are checked while tests run."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jaxtyping import TypeCheckError

from ssae_kit.metrics import mcc_codes

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    "command", ["ruff format --check .", "ruff check .", "mypy"], ids=["format", "lint", "types"]
)
def test_the_code_is_clean(command):
    done = subprocess.run(
        [sys.executable, "-m", *command.split()], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


def test_annotated_shapes_are_enforced_in_tests():
    with pytest.raises(TypeCheckError):
        mcc_codes(torch.zeros(3), torch.zeros(3))
