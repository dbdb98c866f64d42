"""Installed without -e, as in a hub's image, the kit finds its data from any folder."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
USE = """
from pathlib import Path
from ssae_kit import llama, pairs, storage, studies
assert Path(storage.DATA).parent == Path("installed/ssae_kit").resolve(), storage.DATA
assert llama.load().d_model == 128
assert len(pairs.dataset("LANG").source) > 10
assert studies.load_study("noise").conditions
"""


def run(*arguments, cwd):
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_wheel_holds_what_load_dataset_and_load_study_read(tmp_path):
    wheel = tmp_path / "wheel"
    run(
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        wheel,
        ROOT,
        cwd=tmp_path,
    )
    (made,) = wheel.glob("*.whl")
    assert made.stat().st_size < 10e6
    options = ("-q", "--no-deps", "--target", "installed")
    run("-m", "pip", "install", *options, made, cwd=tmp_path)
    start = "import sys; sys.path.insert(0, 'installed')"
    run("-P", "-c", start + USE, cwd=tmp_path)
