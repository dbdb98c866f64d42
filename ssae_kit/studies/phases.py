"""One cell of a phase diagram: several worlds of the same laws, several restarts each."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ssae_kit import checks, methods
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.studies.recovery import Recovery, recover, score
from ssae_kit.synthetic import (
    Magnitudes,
    Mixing,
    ShiftData,
    ShiftProblem,
    sample_shifts,
    stack,
    supports,
)
from ssae_kit.training import Restarts, TrainingConfig, evaluate, seeded

QUICK = TrainingConfig(steps=500, batch_size=128)
"""Enough for worlds of up to a dozen concepts in 16 dimensions."""


def worlds(
    problem: ShiftProblem, seeds: Sequence[int], *, n_samples: int = 3000, n_test: int = 2000
) -> list[tuple[ShiftData, ShiftData]]:
    """Draw a world per seed: pairs to train on, and other pairs of the same world to score on."""
    drawn = []
    for seed in seeds:
        train = sample_shifts(problem, n_samples, generator=seeded(seed))
        other = seeded(seed + 10_000_000)
        test = sample_shifts(problem, n_test, generator=other, directions=train.directions)
        drawn.append((train, test))
    return drawn


def best_of(
    drawn: Sequence[tuple[ShiftData, ShiftData]],
    *,
    seed: int,
    n_restarts: int = 3,
    level: float | Sequence[float] = 1.0,
    n_latents: int | None = None,
    constrained: bool = True,
    kind: type[Autoencoder] = ShiftAutoencoder,
    config: TrainingConfig | None = None,
) -> tuple[Recovery, Tensor]:
    """Train on all worlds at once, with restarts; keep each world's run of lowest error.

    Args:
        drawn: Worlds of equal sizes.
        seed: Seed of the training.
        n_restarts: Runs per world.
        level: Sparsity level as a multiple of the true one, for all worlds or one per world.
        n_latents: Length of the code; by default one latent per concept.
        constrained: If false, nothing asks for sparse codes.
        kind: Class of the autoencoder.
        config: How long and how fast.

    Returns:
        The scores of all runs `[world * restart]`, and which run each world keeps. Choosing uses
        no truth.
    """
    checks.whole("n_restarts", n_restarts)
    checks.require_kind("drawn", drawn, tuple | list, "worlds(problem, seeds)")
    train, test = (stack([pair[i] for pair in drawn for _ in range(n_restarts)]) for i in (0, 1))
    (multiple,) = checks.tensors(level=(level, "*worlds"))
    if multiple.numel() not in (1, len(drawn)):
        raise ValueError(
            f"`level` must be one number or one per world ({len(drawn)}); got {multiple.numel()}."
        )
    multiple = multiple.flatten().expand(len(drawn)).repeat_interleave(n_restarts)
    n_latents = train.directions.shape[-2] if n_latents is None else n_latents
    n_runs, _, d_model = train.shifts.shape
    model, _ = recover(
        train,
        seed=seed,
        level=train.true_level(n_latents) * multiple,
        constrained=constrained,
        config=QUICK if config is None else config,
        autoencoder=kind(n_runs, d_model, n_latents, generator=seeded(seed)),
    )
    error = evaluate(model, train.shifts).error.cpu()
    return score(model, test), Restarts(model, error.view(-1, n_restarts)).best_runs


METHODS: dict[str, Callable[[ShiftData, int], methods.Found]] = {
    "PCA": lambda data, k: methods.pca(data.shifts, min(k, data.shifts.shape[-1])),
    "FastICA": lambda data, k: methods.fast_ica(data.shifts, min(k, data.shifts.shape[-1])),
    "dictionary": lambda data, k: methods.dictionary_learning(data.shifts, k),
    "SAE on endpoints": lambda data, k: methods.sae(
        torch.cat([data.sources, data.sources + data.shifts]), 2 * k
    ),
}
"""What the SSAE is compared with, called with a world's training pairs and number of concepts."""


def compared(name: str, train: ShiftData, test: ShiftData) -> methods.Score:
    """Fit one of `METHODS` to the training pairs and score it on the test pairs."""
    found = METHODS[name](train, train.directions.shape[0])
    if name == "SAE on endpoints":  # the one that was fitted to states
        found = found.from_sources(test.sources)
    return methods.score(found, test.shifts, test.changes, test.directions)


def cell(
    problem: ShiftProblem,
    *,
    seeds: Sequence[int],
    others: Sequence[str] = (),
    n_samples: int = 3000,
    **options: Any,
) -> dict[str, Tensor]:
    """Score the SSAE and other methods on worlds of the same laws.

    Returns:
        Per method `[seeds, 2]`: code MCC and direction MCC; for "SSAE" of the kept restart.
    """
    drawn = worlds(problem, seeds, n_samples=n_samples)
    recovery, kept = best_of(drawn, seed=seeds[0], **options)
    both = torch.stack([recovery.codes.score, recovery.directions.score], 1)
    found = {"SSAE": both[kept], "SSAE, every restart": both}
    for name in others:
        scores = [compared(name, *pair) for pair in drawn]
        found[name] = torch.stack([torch.cat([m.score for m in pair]) for pair in scores])
    return found


def size_cell(most: int, n_concepts: int, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Exactly `most` of the concepts shift in every pair, in 16 dimensions."""
    problem = ShiftProblem(supports.sizes(n_concepts, most, least=most), 16)
    return cell(problem, seeds=seeds, others=("PCA", "FastICA"))


def noise_cell(noise: float, n_samples: int, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Six concepts, one or two shift; noise per dimension, and few or many pairs."""
    problem = ShiftProblem(supports.sizes(6, 2), 16, noise=noise)
    return cell(problem, seeds=seeds, others=("PCA", "FastICA"), n_samples=n_samples)


def coshift_cell(
    joint_share: float, correlation: float, free_signs: bool, seeds: Sequence[int]
) -> dict[str, Tensor]:
    """Six concepts at right angles, in pairs that shift whole in a share of the pairs.

    The level is 0.9 of the true one: a little too tight, so that of several bases that could
    reconstruct the shifts the one with the lowest L1 wins.
    """
    problem = _couples(joint_share, Magnitudes(correlation, free_signs))
    return cell(problem, seeds=seeds, others=("PCA", "FastICA"), level=0.9)


def lead_cell(correlation: float, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Every method where partners shift with any signs, both in three pairs of ten."""
    problem = _couples(0.3, Magnitudes(correlation, free_signs=True))
    return cell(problem, seeds=seeds, others=list(METHODS), level=0.9)


def _couples(joint_share: float, magnitudes: Magnitudes) -> ShiftProblem:
    """Six concepts at right angles, in three couples."""
    return ShiftProblem(supports.grouped(6, 2, joint_share), 16, magnitudes, Mixing("orthogonal"))


def width_cell(level: float, n_latents: int, seeds: Sequence[int]) -> dict[str, Tensor]:
    """Eight concepts, one to three shift; level as a multiple of the true one, and width."""
    problem = ShiftProblem(supports.sizes(8, 3), 16)
    return cell(problem, seeds=seeds, level=level, n_latents=n_latents)


LAWS = {
    "independent magnitudes": ShiftProblem(supports.sizes(6, 2), 16),
    "correlated magnitudes": ShiftProblem(supports.sizes(6, 2), 16, Magnitudes(0.8)),
    "partners of one size, free signs": _couples(0.3, Magnitudes(1.0, free_signs=True)),
    "more concepts than dimensions": ShiftProblem(supports.sizes(8, 2), 6),
}
"""Worlds on which all methods meet."""


def method_cell(law: int, seeds: Sequence[int]) -> dict[str, Tensor]:
    """One of `LAWS` for every method."""
    return cell(list(LAWS.values())[law], seeds=seeds, others=list(METHODS))
