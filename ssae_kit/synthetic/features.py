"""Sparse features: the known truth behind the toy models of superposition.

A feature is zero most of the time and otherwise uniform between 0 and 1. Its density is the
probability that it is not zero; the papers' sparsity S is one minus that.

Source: Elhage et al. 2022, Toy Models of Superposition.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks

Relation = Literal["independent", "together", "apart"]
PAIR = 2
"""Neighbouring features that a relation is about."""


def sample_features(
    density: Float[Tensor, "run features"],
    n_samples: int,
    *,
    relation: Relation = "independent",
    generator: torch.Generator,
) -> Float[Tensor, "run samples features"]:
    """Draw samples of sparse features, a fresh set for every run.

    Args:
        density: Probability that a feature is active, above 0 and at most 1.
        n_samples: Samples per run, at least 1.
        relation: How two neighbours (0 and 1, 2 and 3, ...) go together: each on its own, both at
            once ("together"), or never both ("apart"). The density of every feature is the same in
            all three; values are always independent.
        generator: Source of the samples.

    Returns:
        Values from 0 to 1.

    Raises:
        ValueError: if a density is out of range, differs within a pair, or is too high for
            features that never meet; if a feature has no neighbour; if `n_samples` is below 1.
    """
    check_density(density)
    n_samples = checks.whole("n_samples", n_samples)
    checks.require_generator(generator)
    n_runs, n_features = density.shape
    limits = density[:, None]
    shape = (n_runs, n_samples, n_features)
    if relation == "independent":
        # One draw serves twice: u < p says that the feature is active, and then u/p is uniform.
        return (1 - torch.rand(shape, generator=generator) / limits).clamp_min(0)
    _check_pairs(density, relation)
    gate = torch.rand(n_runs, n_samples, n_features // PAIR, generator=generator)
    # The first stretch of length p belongs to the first feature, the next to the second.
    turn = (gate / limits[..., ::PAIR]).floor().repeat_interleave(PAIR, -1)
    active = turn == (torch.arange(n_features) % PAIR if relation == "apart" else 0)
    return torch.where(active, torch.rand(shape, generator=generator), 0.0)


def pattern_features(
    n_features: int, n_draws: int, *, generator: torch.Generator
) -> Float[Tensor, "cases features"]:
    """Draw samples of every pattern of active features, equally often: few features only.

    Where features are rare, random samples are mostly zero and teach little. Two features have
    only four patterns (none, first, second, both). Listing them all and weighing each by its
    probability (`pattern_weights`) gives the same expected loss at any density, with less noise,
    and one set of samples then serves runs of every density. The pattern in which nothing is
    active comes once: all its samples are the same.

    Args:
        n_features: From 1 to 10; the number of patterns is 2 to that power.
        n_draws: Samples per pattern.
        generator: Source of the values.

    Returns:
        Values from 0 to 1, pattern after pattern.

    Raises:
        ValueError: if a number is out of range.
    """
    checks.require_generator(generator)
    patterns, draws = _patterns(n_features, n_draws)
    active = patterns.repeat_interleave(draws, 0)
    return active * torch.rand(active.shape, generator=generator)


def pattern_weights(
    density: Float[Tensor, "run features"], n_draws: int
) -> Float[Tensor, "run cases"]:
    """Probability of each sample of `pattern_features`; sums to 1 in every run.

    Raises:
        ValueError: if a density is out of range or there are more than 10 features.
    """
    check_density(density)
    patterns, draws = _patterns(density.shape[1], n_draws)
    share = torch.where(patterns > 0, density[:, None], 1 - density[:, None]).prod(-1)
    return (share / draws).repeat_interleave(draws, 1)


def _patterns(n_features: int, n_draws: int) -> tuple[Tensor, Tensor]:
    """Every pattern, `[patterns, features]`, and the samples of each, `[patterns]`."""
    what = " to list every pattern (`sample_features` takes more)"
    checks.whole("n_features", n_features, 1, 10, what)
    number = torch.arange(2**n_features)[:, None]
    patterns = (number >> torch.arange(n_features) & 1).float()
    return patterns, torch.where(patterns.any(1), checks.whole("n_draws", n_draws), 1)


def check_density(density: Tensor) -> None:
    """Raise a ValueError that names the first density that is no probability above 0."""
    wrong = ~((density > 0) & (density <= 1))
    if wrong.any():
        at = ", ".join(map(str, wrong.nonzero()[0].tolist()))
        raise ValueError(
            f"every density must be above 0 and at most 1; [{at}] has {float(density[wrong][0]):g}. "
            "Density is the share of samples in which the feature is active: 1 minus sparsity."
        )


def _check_pairs(density: Tensor, relation: Relation) -> None:
    """Raise a ValueError unless neighbours can be related so."""
    if relation not in ("together", "apart"):
        raise ValueError(
            f'`relation` must be "independent", "together" or "apart"; got {relation!r}.'
        )
    if density.shape[1] % PAIR:
        raise ValueError(f"features must come in pairs; got {density.shape[1]}. Add one.")
    if (density[:, ::PAIR] != density[:, 1::PAIR]).any():
        raise ValueError("features of one pair must share one density. Make them equal.")
    if relation == "apart" and (density > 1 / PAIR).any():
        raise ValueError(
            f"features that never meet need a density of at most 1/{PAIR}; got "
            f"{density.max().item():g}. Lower it."
        )
