"""Sweeps give the same results wherever they run, and lose nothing when a worker dies."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import joblib
import pytest
import torch

from ssae_kit.storage import save_tensors
from ssae_kit.studies import __main__ as studies
from ssae_kit.studies import load_study
from ssae_kit.studies.phases import cell
from ssae_kit.studies.sweep import sweep
from ssae_kit.synthetic import ShiftProblem, supports
from ssae_kit.training import TrainingConfig

CONDITIONS = [{"most": most, "seed": seed} for most in (1, 2) for seed in range(3)]


def tiny(most, seed, marks=None):
    """A study of a moment; with a folder in `marks`, it leaves its process's id there."""
    if marks is not None:
        Path(marks, f"{most}-{seed}-{os.getpid()}").touch()
        time.sleep(0.5)
    problem = ShiftProblem(supports.sizes(3, most), 6)
    config = TrainingConfig(steps=20, batch_size=32)
    return cell(problem, seeds=[seed], n_samples=64, config=config)


def assert_same(first, second):
    assert len(first) == len(second) == len(CONDITIONS)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_study_after_a_kill_while_it_wrote_counts_its_own_results_only(tmp_path, monkeypatch):
    def collected(results):
        return {"n": torch.tensor(len(results))}

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(studies.STUDIES, "tiny", (tiny, CONDITIONS[:2]))
    monkeypatch.setattr(studies, "collect", collected)
    kept = Path(".cache/studies/tiny")
    sweep(tiny, CONDITIONS[:1], kept)
    save_tensors(kept / "older.safetensors", {}, {"cpu_seconds": 1e6})
    (kept / ".a.safetensors.1.part").write_bytes(b"half")
    studies._run("tiny", tmp_path)
    assert load_study("tiny", tmp_path).cpu_seconds < 100
    assert not kept.exists()


def test_a_study_says_that_another_command_ran_it_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(studies.STUDIES, "tiny", (tiny, CONDITIONS[:1]))
    monkeypatch.setattr(studies, "sweep", lambda *given: [])
    with pytest.raises(FileExistsError, match="another command ran this study too"):
        studies._run("tiny", tmp_path)


def test_threads_are_given_back():
    before = torch.get_num_threads()
    sweep(tiny, CONDITIONS[:1])
    assert torch.get_num_threads() == before


KILLED = """
import joblib
from tests.test_sweep import CONDITIONS, sweep, tiny
with joblib.parallel_config(backend="loky", n_jobs=2):
    sweep(tiny, [c | {"marks": MARKS} for c in CONDITIONS], KEPT)
"""


def alive(pid):
    """Whether a process runs; one that ended and was not collected by its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads processes as Linux does")
def test_a_killed_sweep_leaves_no_worker_and_goes_on_with_what_was_done(tmp_path):
    marks, kept = tmp_path / "marks", tmp_path / "kept"
    marks.mkdir()
    script = f"MARKS, KEPT = {str(marks)!r}, {str(kept)!r}\n{KILLED}"
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1])
    while not (done := list(kept.glob("*.safetensors"))):
        assert parent.poll() is None
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    workers = {int(path.name.rsplit("-", 1)[1]) for path in marks.iterdir()}
    started = len(list(marks.iterdir()))
    assert started < len(CONDITIONS)
    end = time.monotonic() + 10
    while any(map(alive, workers)):
        assert time.monotonic() < end, "a worker outlived the sweep"
        time.sleep(0.05)
    done = len(list(kept.glob("*.safetensors")))
    conditions = [condition | {"marks": str(marks)} for condition in CONDITIONS]
    results = sweep(tiny, conditions, kept)
    ran_again = len(list(marks.glob(f"*-{os.getpid()}")))
    assert ran_again == len(CONDITIONS) - done < len(CONDITIONS)
    assert_same(results, sweep(tiny, CONDITIONS))


def test_what_another_condition_or_study_left_is_not_taken_for_its_own(tmp_path):
    first = sweep(tiny, CONDITIONS[:1], tmp_path)[0]
    assert not torch.equal(sweep(tiny, CONDITIONS[1:2], tmp_path)[0]["SSAE"], first["SSAE"])
    assert sweep(other, CONDITIONS[:1], tmp_path) == [{}]


def other(most, seed):
    """Another study of the same conditions."""
    return {}


@pytest.mark.slow
def test_a_dask_cluster_gives_the_serial_results_though_a_worker_is_killed_half_way(tmp_path):
    distributed = pytest.importorskip("distributed")
    import dask

    # Workers fork from one process that has imported what they need, instead of each doing so.
    multiprocessing.set_forkserver_preload([__name__])
    serial = sweep(tiny, CONDITIONS)
    conditions = [condition | {"marks": str(tmp_path)} for condition in CONDITIONS]
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}),
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        killed = []
        done = threading.Event()
        killer = threading.Thread(target=lambda: killed.append(_kill_after_half(tmp_path, done)))
        killer.start()
        results = sweep(tiny, conditions)
        done.set()
        killer.join()
    assert killed[0] is not None
    assert_same(results, serial)
    started = [path.name.rsplit("-", 1)[0] for path in tmp_path.iterdir()]
    assert len(started) > len(set(started)) == len(CONDITIONS)  # what was lost ran again


def _kill_after_half(folder, done):
    """Kill the process that started the latest study, once half have started."""
    while not done.wait(0.05):
        marks = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        if len(marks) >= len(CONDITIONS) // 2:
            victim = int(marks[-1].name.rsplit("-", 1)[1])
            os.kill(victim, signal.SIGKILL)
            return victim
    return None


def test_what_a_function_left_before_it_was_changed_is_not_taken(tmp_path, monkeypatch):
    first = sweep(other, CONDITIONS[:1], tmp_path)
    monkeypatch.setattr("inspect.getsource", lambda study: "def other(most, seed): return {1: 2}")
    sweep(other, CONDITIONS[:1], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert first == [{}]


def test_a_kept_result_that_was_renamed_is_refused(tmp_path):
    sweep(tiny, CONDITIONS[:2], tmp_path)
    one, two = sorted(tmp_path.iterdir())
    one.replace(two)
    with pytest.raises(ValueError, match="is the result of another call"):
        sweep(tiny, CONDITIONS[:2], tmp_path)


def test_a_study_without_a_name_of_its_own_keeps_nothing(tmp_path):
    with pytest.raises(ValueError, match="a function with a name of its own"):
        sweep(lambda most, seed: {}, CONDITIONS[:1], tmp_path)


def test_results_are_kept_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    sweep(other, CONDITIONS[:1], "~/kept")
    path = tmp_path / "kept"
    (kept,) = path.iterdir()
    kept.write_bytes(b"")
    with pytest.raises(ValueError, match="is not a complete file"):
        sweep(other, CONDITIONS[:1], "~/kept")
