"""Many conditions, each on its own: on this machine's cores or on a cluster, with equal results."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import torch

Result = TypeVar("Result")


def sweep(study: Callable[..., Result], conditions: Iterable[Mapping[str, Any]]) -> list[Result]:
    """Call a function on every condition and return what it returned, in order.

    The calls go through joblib, so the caller says where they run, and this code does not change:

        with joblib.parallel_config(backend="loky", n_jobs=2): ...      # two processes here
        with joblib.parallel_config(backend="dask"): ...                # the current Dask cluster

    Dask runs a call again if its worker dies, so nothing is lost. Every condition must bring the
    seeds that its function needs. Each call gets one thread, because sums depend in their last
    digit on how many threads add them up. So results do not depend on where they were computed.

    Args:
        study: Called as `study(**condition)`; must be importable, to travel to other processes.
        conditions: Keyword arguments of each call.
    """
    import joblib  # a fifth of a second that only a sweep needs

    calls = (joblib.delayed(_on_one_thread)(study, condition) for condition in conditions)
    results: list[Result] = joblib.Parallel()(calls)
    return results


def _on_one_thread(study: Callable[..., Result], condition: Mapping[str, Any]) -> Result:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return study(**condition)
    finally:
        torch.set_num_threads(before)
