"""How a layer arranges its features: measures of its directions, one row per feature.

None of them changes when the layer is rotated, except `neuron_alignment`, which asks about the
axes themselves.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ssae_kit import checks

POLYTOPES = {
    "tetrahedron": 3 / 4,
    "triangle": 2 / 3,
    "digon": 1 / 2,
    "pentagon": 2 / 5,
    "square antiprism": 3 / 8,
}
"""Dimensionality of each feature of a regular arrangement: dimensions over features."""

REPRESENTED = 0.5
"""Length from which a direction counts as stored. Stored features come out near 1."""
NEAR = 0.02
"""Distance up to which a dimensionality counts as that of an arrangement."""


def represented(directions: Float[Tensor, "run k d"]) -> Bool[Tensor, "run k"]:
    """Whether each feature is stored: its direction is longer than `REPRESENTED`."""
    (directions,) = _checked(directions)
    return torch.gt(directions.norm(dim=-1), REPRESENTED)


def interference(directions: Float[Tensor, "run k d"]) -> Float[Tensor, "run k"]:
    """Overlap of all other features with a feature's own direction; 0 is none.

    Returns:
        Sum over j other than i of (unit direction i · direction j) squared, at least 0. Above 0
        means superposition. A feature of length 0 gets 0.

    Source: Elhage et al. 2022, section "Demonstrating superposition".
    """
    (directions,) = _checked(directions)
    return (_overlap(directions) - directions.square().sum(-1)).clamp_min(0)


def dimensionality(directions: Float[Tensor, "run k d"]) -> Float[Tensor, "run k"]:
    """Share of a dimension that each feature has to itself, 0 to 1.

    D_i = |W_i|² / sum over j of (unit W_i · W_j)². One for a feature that is alone on its axis,
    1/2 for each of an antipodal pair, 0 for a feature that is not stored. Where the directions are a
    tight arrangement the sum over features is the number of dimensions.

    Source: Elhage et al. 2022, section "Feature dimensionality".
    """
    (directions,) = _checked(directions)
    squared = directions.square().sum(-1)
    return squared / _overlap(directions).clamp_min(1e-12)


def share_near(values: Float[Tensor, "*any"], fractions: list[float]) -> float:
    """Share of values that lie within 0.02 of one of the fractions, 0 to 1.

    Raises:
        ValueError: if there are no values, or no fractions.
    """
    if isinstance(values, Tensor) and not values.numel():
        raise ValueError("at least one value is needed; got none. Is any feature represented?")
    values, near = checks.tensors(values=(values, "*any"), fractions=(fractions, "fractions"))
    distance = (values.reshape(-1, 1) - near).abs().min(-1).values
    return float((distance <= NEAR).float().mean())


def neuron_alignment(directions: Float[Tensor, "run k d"]) -> Float[Tensor, "run k"]:
    """Share of a feature's squared length that lies on its largest neuron; 1 is one neuron alone.

    Between 1/d and 1; 0 for a feature of length 0. Changes when the layer is rotated.
    """
    (directions,) = _checked(directions)
    squared = directions.square()
    return squared.max(-1).values / squared.sum(-1).clamp_min(1e-12)


def random_rotation(
    n_runs: int, size: int, *, generator: torch.Generator
) -> Float[Tensor, "run size size"]:
    """Draw orthogonal matrices, uniformly.

    Raises:
        ValueError: if a number is below 1.
    """
    n_runs, size = checks.whole("n_runs", n_runs), checks.whole("size", size)
    checks.require_generator(generator)
    factors = torch.linalg.qr(torch.randn(n_runs, size, size, generator=generator))
    signs = factors.R.diagonal(dim1=1, dim2=2).sign()
    rotation: Tensor = factors.Q * signs[:, None]  # without the signs QR is not uniform
    return rotation


def _checked(directions: Tensor) -> list[Tensor]:
    return checks.tensors(directions=(directions, "run features d"))


def _overlap(directions: Tensor) -> Tensor:
    """Sum over all j, i among them, of (unit direction i · direction j) squared."""
    unit = directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-6)
    overlap: Tensor = (unit @ directions.mT).square().sum(-1)  # over [run, k, k]
    return overlap
