"""Trainings, sweeps and caches that are killed at random moments, go on, and end as if they never were.

Each work runs in a forked process that SIGKILL ends after a random share of the time that the whole
takes; the next one goes on from what lies on disk. Once it ends, its result is compared bit for bit
with that of an uninterrupted run. `python -m tests.benchmarks kills --kills 80` (Unix only).
"""

import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssae_kit import llama, world
from ssae_kit.autoencoders import ShiftAutoencoder, TopKSAE
from ssae_kit.storage import digest
from ssae_kit.studies.sweep import sweep
from ssae_kit.training import Constraint, Penalty, TrainingConfig, fit

N_KILLS = 8
Work = Callable[[Path], dict[str, Tensor]]


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _train(model: Any, sparsity: Penalty | Constraint, folder: Path, **settings: Any) -> Any:
    inputs = torch.randn(300, 12, generator=_seeded(1))
    config = TrainingConfig(steps=240, batch_size=64, checkpoint_every=5, **settings)
    path = folder / "run.safetensors"
    history = fit(model, inputs, sparsity, config, generator=_seeded(2), checkpoint=path)
    return model.state_dict() | {"recorded": history.series("error")}


def penalty(folder: Path) -> dict[str, Tensor]:
    """A training whose dead latents are resampled."""
    model = TopKSAE(2, 12, 24, generator=_seeded(3), k=3, dead_after=4)
    return _train(model, Penalty(), folder, resample_every=20, record_every=10)


def constraint(folder: Path) -> dict[str, Tensor]:
    """A training with a multiplier."""
    return _train(ShiftAutoencoder(3, 12, 6, generator=_seeded(3)), Constraint(0.2), folder)


def study(seed: int) -> dict[str, Tensor]:
    """One condition of a sweep."""
    model = ShiftAutoencoder(1, 12, 6, generator=_seeded(seed))
    inputs = torch.randn(100, 12, generator=_seeded(seed + 50))
    config = TrainingConfig(steps=20, batch_size=32)
    fit(model, inputs, Constraint(0.2), config, generator=_seeded(seed + 90))
    return model.state_dict()


def sweeping(folder: Path) -> dict[str, Tensor]:
    """A sweep that keeps its results."""
    found = sweep(study, [{"seed": seed} for seed in range(10)], folder)
    return {f"{i}.{name}": t for i, one in enumerate(found) for name, t in one.items()}


def caching(folder: Path) -> dict[str, Tensor]:
    """Hidden states kept on disk."""
    texts, _ = world.prompts(48, _seeded(4), 1)
    cached = llama.cache_hidden_states(MODEL[0], list(texts), [2], folder, texts_per_file=4)
    return {"states": cached.load()}


WORKS: dict[str, Work] = {w.__name__: w for w in (penalty, constraint, sweeping, caching)}
MODEL: list[llama.Llama] = []


def run(n_kills: int = N_KILLS, seed: int = 0) -> dict[str, Any]:
    """Kill `n_kills` processes, in turn of every work; count what came of it."""
    torch.set_num_threads(1)
    MODEL[:] = [llama.load()]
    draws, counts = random.Random(seed), {"kills": 0, "resumed": 0, "equal": 0, "left_files": 0}
    with tempfile.TemporaryDirectory() as place:
        whole = {name: _whole(work, Path(place) / name) for name, work in WORKS.items()}
        number = 0
        while counts["kills"] < n_kills:
            name = list(WORKS)[number % len(WORKS)]
            folder = Path(place) / f"{name}{number}"
            wanted = min(draws.randint(1, 4), n_kills - counts["kills"])
            killed = sum(
                _killed(WORKS[name], folder, draws.uniform(0, whole[name][1]))
                for _ in range(wanted)
            )
            counts["left_files"] += len(list(folder.rglob("*.part")))
            counts["equal"] += digest(WORKS[name](folder)) == whole[name][0]
            counts["kills"], counts["resumed"] = counts["kills"] + killed, counts["resumed"] + 1
            number += 1
    return {f"kills.{name}": count for name, count in counts.items()}


def _whole(work: Work, folder: Path) -> tuple[str, float]:
    """Digest of what an uninterrupted run gives, and the seconds that it takes."""
    start = time.monotonic()
    return digest(work(folder)), time.monotonic() - start


def _killed(work: Work, folder: Path, seconds: float) -> bool:
    """Run a work in a process of its own for so long; whether it had to be killed."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work(folder)
            status = 0
        finally:
            os._exit(status)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if ended not in (0, -signal.SIGKILL):
        raise RuntimeError(f"a process of {work.__name__} ended with {ended}, and was not killed")
    return ended < 0
