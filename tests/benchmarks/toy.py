"""The phase diagram of the toy model: one batched run against one model at a time.

Both train the same models on the same batches (every pattern of active features) with Adam, on one
thread, in CPU seconds. "One at a time" is measured on 20 models, spread over the diagram, and
extrapolated to all of them, in two ways: with the kit's own loop on a single run, and with a plain
PyTorch loop as in the toy-models notebook, cut to what it needs. The faster of the two is the
opponent. Every update costs the same, so only 50 are timed, for everyone alike, and
multiplied up to the 700 of the course's notebook, whose number of samples is used as well. Nothing
was tuned for either.
"""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch

from ssae_kit.superposition import ToyModel, train
from ssae_kit.synthetic.features import pattern_features, pattern_weights

CELLS, SEEDS, STEPS, TIMED, REPEATS, ALONE = 32, 5, 700, 50, 3, 20
DRAWS = {2: 12, 3: 8}
"""Samples of each pattern, by number of features."""


def run() -> dict:
    """Measure both diagrams, each way in a process of its own for its peak memory."""
    seconds, megabytes, ratio, worst = {}, {}, {}, {}
    for n_features in DRAWS:
        name = f"{n_features} features in {n_features - 1}"
        found = {way: measure(way, n_features) for way in WAYS}
        seconds[name] = {way: result["cpu_s"] for way, result in found.items()}
        megabytes[name] = {way: result["peak_megabytes"] for way, result in found.items()}
        spent = dict(seconds[name])
        batched = spent.pop("batched")
        ratio[name] = min(s["median"] for s in spent.values()) / batched["median"]
        worst[name] = min(s["min"] for s in spent.values()) / batched["max"]
    return {
        "toy.phase_diagram_cpu_s": seconds,
        "toy.phase_diagram_ratio": ratio,
        "toy.phase_diagram_ratio_worst_case": worst,
        "toy.peak_megabytes": megabytes,
        "toy.models": CELLS * CELLS * SEEDS,
        "toy.updates": {"timed": TIMED, "stands for": STEPS},
        "toy.repeats": REPEATS,
    }


def measure(way: str, n_features: int) -> dict:
    """Run one way in a fresh process, `REPEATS` times."""
    command = [sys.executable, "-m", "tests.benchmarks.toy", way, str(n_features)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@cache
def problem(n_features: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return density and importance of every model, `[models, features]`."""
    axes = torch.logspace(-1, 1, CELLS), torch.logspace(-2, 0, CELLS)
    extra, density = (
        x.flatten().repeat_interleave(SEEDS) for x in torch.meshgrid(*axes, indexing="ij")
    )
    importance = torch.ones(len(extra), n_features)
    importance[:, -1] = extra
    return density[:, None].expand(-1, n_features).contiguous(), importance


def batched(n_features: int, models: slice = slice(None)) -> None:
    """Train models in one run of the kit's loop."""
    density, importance = (x[models] for x in problem(n_features))
    draws = DRAWS[n_features]
    generator = torch.Generator().manual_seed(0)
    model = ToyModel(
        len(density), n_features, n_features - 1, importance=importance, generator=generator
    )
    weights = pattern_weights(density, draws)
    train(
        model,
        lambda g: (pattern_features(n_features, draws, generator=g), weights),
        steps=TIMED,
        learning_rate=0.02,
        generator=generator,
    )


def spread_out() -> list[int]:
    """Return the models that stand for all: evenly spaced over the diagram."""
    return torch.linspace(0, CELLS * CELLS * SEEDS - 1, ALONE).long().tolist()


def alone(n_features: int) -> None:
    """Train single models with the kit's loop, one after the other."""
    for i in spread_out():
        batched(n_features, slice(i, i + 1))


def plain(n_features: int) -> None:
    """Train single models with a plain loop, one after the other."""
    for i in spread_out():
        density, importance = (x[i : i + 1] for x in problem(n_features))
        plain_loop(n_features, density, importance[0])


def plain_loop(n_features: int, density: torch.Tensor, importance: torch.Tensor) -> None:
    """Train one model without a run axis."""
    draws = DRAWS[n_features]
    generator = torch.Generator().manual_seed(0)
    weights = pattern_weights(density, draws)[0]
    w = torch.randn(n_features, n_features - 1, generator=generator).requires_grad_()
    b = torch.zeros(n_features, requires_grad=True)
    optimiser = torch.optim.Adam([w, b], lr=0.02, fused=True)
    for step in range(TIMED):
        optimiser.param_groups[0]["lr"] = 0.02 * min(1.0, 2 * (1 - step / TIMED))
        x = pattern_features(n_features, draws, generator=generator)
        out = torch.relu(x @ w @ w.T + b)
        loss = weights @ ((out - x).square() @ importance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


WAYS: dict[str, tuple[Callable[[int], None], float]] = {
    "batched": (batched, 1.0),
    "one_at_a_time_kit": (alone, CELLS * CELLS * SEEDS / ALONE),
    "one_at_a_time_plain": (plain, CELLS * CELLS * SEEDS / ALONE),
}
"""Function and the factor that extrapolates its time to all models."""


def main(way: str, n_features: int) -> None:
    """Print CPU seconds of every repeat, and the peak memory, as JSON."""
    torch.set_num_threads(1)
    function, factor = WAYS[way]
    batched(n_features, slice(1))  # the first optimiser of a process imports a good deal
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        function(n_features)
        seconds.append((time.process_time() - start) * factor * STEPS / TIMED)
    low, middle, high = sorted(seconds)
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
    spread = {"min": low, "median": middle, "max": high}
    print(json.dumps({"cpu_s": spread, "peak_megabytes": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
