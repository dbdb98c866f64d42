"""Many conditions, each on its own: on this machine's cores or on a cluster, with equal results."""

import hashlib
import inspect
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssae_kit.storage import at_home, load_tensors, save_tensors

Study = Callable[..., dict[str, Tensor]]
"""Tensors by name, from the keyword arguments of a condition."""


def sweep(
    study: Study, conditions: Iterable[Mapping[str, Any]], folder: str | Path | None = None
) -> list[dict[str, Tensor]]:
    """Call a study on every condition and return what it returned, in order.

    The calls go through joblib, so the caller says where they run, and this code does not change:

        with joblib.parallel_config(backend="loky", n_jobs=2): ...      # two processes here
        with joblib.parallel_config(backend="dask"): ...                # the current Dask cluster

    Dask runs a call again if its worker dies, so nothing is lost. Every condition must bring the
    seeds that its function needs. Each call gets one thread, because sums depend in their last
    digit on how many threads add them up. So results do not depend on where they were computed.
    If this process dies, its workers end within a second.

    Args:
        study: Called as `study(**condition)`; must be importable, to travel to other processes.
        conditions: Keyword arguments of each call; with a folder, only what JSON can hold.
        folder: Keeps every result from the moment it is there. Called again after a kill, the
            sweep computes only what is not there yet, or was of other code of this very function.
            Delete it when what the function calls changes.

    Raises:
        ValueError: if a kept result is damaged or of another call, which file to delete; with a
            folder, if the study has no name of its own (a lambda, a function inside another).
    """
    import joblib  # a fifth of a second that only a sweep needs

    calls = (
        joblib.delayed(_call)(study, condition, folder, os.getpid()) for condition in conditions
    )
    results: list[dict[str, Tensor]] = joblib.Parallel()(calls)
    return results


def _call(
    study: Study, condition: Mapping[str, Any], folder: str | Path | None, caller: int
) -> dict[str, Tensor]:
    if os.getppid() == caller:
        threading.Thread(target=_end_with, args=(caller,), daemon=True).start()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return study(**condition) if folder is None else _kept(study, condition, Path(folder))
    finally:
        torch.set_num_threads(before)


def _kept(study: Study, condition: Mapping[str, Any], folder: Path) -> dict[str, Tensor]:
    """What the study returned when it was first called on this condition."""
    path, name = place(study, condition, folder)
    if path.exists():
        kept, told = load_tensors(path)
        if told.get("call") == name:
            return kept
        raise ValueError(f"{path} is the result of another call. Delete it.")
    started = time.process_time()
    result = study(**condition)
    seconds = time.process_time() - started
    save_tensors(path, result, {"call": name, "cpu_seconds": seconds})
    return result


def place(study: Study, condition: Mapping[str, Any], folder: Path) -> tuple[Path, str]:
    """File in which a sweep keeps a result, and the call that the file names."""
    if "<" in getattr(study, "__qualname__", "<"):
        raise ValueError(
            f"a study whose results are kept must be a function with a name of its own; got {study!r}. "
            "Define it by `def` at the top of a module or notebook."
        )
    called = [f"{study.__module__}.{study.__qualname__}", inspect.getsource(study), condition]
    name = json.dumps(called, sort_keys=True)
    number = hashlib.sha256(name.encode()).hexdigest()[:16]
    return at_home(folder) / f"{number}.safetensors", name


def _end_with(parent: int) -> None:
    """End this worker once the process that called the sweep is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
