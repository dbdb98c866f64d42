"""Installed without -e, as in a hub's image, the kit finds its data from any folder."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
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


def run(*arguments, cwd, **variables):
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | variables,  # as every notebook is run here
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the kit's wheel, and the kit installed from it in `installed`."""
    folder = tmp_path_factory.mktemp("place")
    pip = ("-m", "pip", "-q", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", ".", ROOT, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "installed")  # pip does no more for a pure wheel
    return folder


def test_a_wheel_is_small_and_holds_what_load_dataset_and_load_study_read(place):
    (wheel,) = place.glob("*.whl")
    assert wheel.stat().st_size < 20e6  # four Llamas, a dictionary, the notebooks
    start = "import sys; sys.path.insert(0, 'installed')"
    run("-P", "-c", start + USE, cwd=place)


@pytest.mark.slow
def test_the_first_notebook_runs_from_any_folder(place, tmp_path):
    shutil.copy(ROOT / "notebooks" / "00_start_here.ipynb", tmp_path)
    papermill = ("-P", "-m", "papermill", "--no-progress-bar", "--log-level=ERROR", "-k", "python3")
    installed = {"PYTHONPATH": str(place / "installed")}
    run(*papermill, "00_start_here.ipynb", "out.ipynb", cwd=tmp_path, **installed)
    cells = nbformat.read(tmp_path / "out.ipynb", 4).cells
    assert all(cell.execution_count for cell in cells if cell.cell_type == "code" and cell.source)
