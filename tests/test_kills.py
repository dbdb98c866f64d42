"""What is killed goes on: see `tests/benchmarks/kills.py`, which kills by the hundred."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks the processes that it kills")
def test_trainings_sweeps_and_caches_that_are_killed_end_bit_for_bit_as_if_they_never_were():
    command = [sys.executable, "-m", "tests.benchmarks", "kills", "--kills", "4", "--json"]
    root = Path(__file__).resolve().parents[1]
    run = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120, check=True)
    counts = json.loads(run.stdout[run.stdout.index("{\n") :])
    assert counts["kills.kills"] == 4
    assert counts["kills.equal"] == counts["kills.resumed"] >= 1
