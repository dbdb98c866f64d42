"""How recovery and its cost grow with the number of concepts and dimensions."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.studies.recovery import score
from ssae_kit.synthetic import ShiftData, ShiftProblem, sample_shifts, stack, supports
from ssae_kit.training import Constraint, History, TrainingConfig, fit, seeded

SIZES = ((10, 64, 3), (50, 256, 3), (200, 1024, 4), (1000, 4096, 4))
"""Concepts, dimensions, most concepts that shift at once."""
RATE = 0.8
"""Learning rate at the start over the level at the end."""
TIGHTNESS = 0.93
"""Level at the end, as a multiple of that of the truth. A mean over many concepts hardly grows if two
of them are mixed; a level that is never met keeps pressing."""
CHUNK = 4000
"""Pairs that are held in all dimensions at a time."""


@dataclass(frozen=True)
class EvenFall(Constraint):
    """A constraint whose level falls by equal ratios, not by equal amounts.

    From ten or twenty times its end, equal amounts would halve it in the last few steps.
    """

    def at(self, progress: float) -> Tensor:
        """Return the level at a point of training, `progress` from 0 to 1."""
        fallen = min(max((progress - self.warmup) / self.ramp, 0.0), 1.0)
        multiple: float = self.start ** (1 - fallen)
        return torch.as_tensor(self.level) * multiple


def scale(
    n_concepts: int,
    d_model: int,
    most: int,
    *,
    seeds: Sequence[int] = (0,),
    steps: int = 2000,
    n_samples: int = 20_000,
    start: float | None = None,
    dual_rate: float | None = None,
    checkpoint: str | None = None,
) -> dict[str, Tensor]:
    """Train on the leading principal components of many worlds' pairs; score in all dimensions.

    As many components as concepts hold all of a shift that has no noise, so the components lose
    nothing, and an update costs concepts squared instead of concepts times dimensions. Pairs are
    drawn and projected in chunks.

    Every update of Adam moves every code, also one that should be 0, by about the learning rate. The
    mean of |code| cannot come down to a level below that, so the learning rate is a share of the
    level at the end, and falls most of the time.

    Args:
        n_concepts: Concepts, and latents.
        d_model: Dimensions, at least `n_concepts`.
        most: Most concepts that shift in one pair.
        seeds: One world and one run each; all runs train at once.
        steps: Parameter updates.
        n_samples: Pairs of each world to learn from.
        start: Level at the start, as a multiple of the level at the end; by default that of a code
            without any sparsity, so that the constraint does not bind before it falls.
        dual_rate: Step size of the multiplier; by default the smaller the more updates, or it would
            overshoot and crush the code.
        checkpoint: File from which a killed training goes on, with the same result; only its
            seconds are then counted from there. Removed at the end.

    Returns:
        Per-concept scores of each run on 2000 other pairs; its error; CPU seconds per run; and the
        highest multiplier that training recorded.
    """
    problem = ShiftProblem(supports.sizes(n_concepts, most), d_model)
    tests = [sample_shifts(problem, 2000, generator=seeded(seed)) for seed in seeds]
    started = time.process_time()
    drawn = [
        _projected(problem, t, n_samples, s + 10**6) for s, t in zip(seeds, tests, strict=True)
    ]
    axes, pairs = zip(*drawn, strict=True)
    level = TIGHTNESS * torch.stack([t.true_level() for t in tests])
    dense = (2 / (pi * n_concepts)) ** 0.5
    start = start or max(1.0, dense / float(level.min()))
    dual_rate = 40 / steps if dual_rate is None else dual_rate
    rule = EvenFall(level, start=start, warmup=0.02, ramp=0.6, dual_learning_rate=dual_rate)
    small, history = _trained(torch.stack(pairs), rule, steps, seeds[0], checkpoint)
    seconds = (time.process_time() - started) / len(seeds)
    recovery = score(lifted(small, torch.stack(axes)), stack(tests))
    return {
        "codes": recovery.codes.per_concept,
        "directions": recovery.directions.per_concept,
        "error": recovery.error,
        "cpu_seconds": torch.tensor(seconds),
        "multiplier": history.series("multiplier").amax(0),
    }


def _trained(
    pairs: Float[Tensor, "run pairs components"],
    sparsity: Constraint,
    steps: int,
    seed: int,
    checkpoint: str | None,
) -> tuple[ShiftAutoencoder, History]:
    n_runs, _, n_concepts = pairs.shape
    small = ShiftAutoencoder(n_runs, n_concepts, n_concepts, generator=seeded(seed + 2 * 10**6))
    rate = min(0.01, RATE * float(torch.as_tensor(sparsity.level).min()))
    history = fit(
        small,
        pairs,
        sparsity,
        TrainingConfig(steps=steps, learning_rate=rate, decay=0.8),
        generator=seeded(seed + 3 * 10**6),
        checkpoint=checkpoint,
    )
    if checkpoint is not None:
        Path(checkpoint).unlink(missing_ok=True)
    return small, history


def lifted(
    autoencoder: ShiftAutoencoder, axes: Float[Tensor, "run d_model components"]
) -> ShiftAutoencoder:
    """Return the autoencoder of shifts that does what one of their components does.

    Args:
        autoencoder: Trained on `shifts @ axes`.
        axes: Orthonormal columns, which keep decoder directions at unit norm.
    """
    n_runs, d_model, _ = axes.shape
    full = ShiftAutoencoder(n_runs, d_model, autoencoder.n_latents, generator=seeded(0))
    state = autoencoder.state_dict()  # the bias and the scale of the code stay as they are
    state["decoder"] = axes @ state["decoder"]
    state["decoder_bias"] = (axes @ state["decoder_bias"][:, :, None])[:, :, 0]
    state["encoder"] = state["encoder"] @ axes.mT
    full.load_state_dict(state)
    return full


def _projected(
    problem: ShiftProblem, world: ShiftData, n_samples: int, seed: int
) -> tuple[Tensor, Tensor]:
    """Draw pairs of a world; return axes of all they vary along, and the components there."""
    generator = seeded(seed)
    axes, chunks = torch.empty(0), []
    for start in range(0, n_samples, CHUNK):
        size = min(CHUNK, n_samples - start)
        drawn = sample_shifts(problem, size, generator=generator, directions=world.directions)
        if start == 0:
            axes = leading_axes(drawn.shifts, problem.design.n_concepts, generator=generator)
        chunks.append(drawn.shifts @ axes)
    return axes, torch.cat(chunks)


def leading_axes(
    shifts: Float[Tensor, "pairs d_model"], n_axes: int, *, generator: torch.Generator
) -> Float[Tensor, "d_model axes"]:
    """Return an orthonormal basis of the space in which shifts vary most.

    Two rounds of subspace iteration: exact where shifts vary in no more than `n_axes` dimensions.

    Source: Halko, Martinsson & Tropp 2011 (arXiv 0909.4061), algorithm 4.4.
    """
    axes = torch.randn(shifts.shape[1], n_axes, generator=generator)
    for _ in range(2):
        axes = torch.linalg.qr(shifts.mT @ (shifts @ axes)).Q
    return axes
