"""Worlds for dictionary learning: sparse features, flat or in a hierarchy, along known directions."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.synthetic.features import check_density


@dataclass(frozen=True)
class FeatureWorld:
    """Features that are mostly zero, each writing along its own direction.

    A feature with a parent can be active only where the parent is; its density is then the
    probability given that the parent is active.

    Raises:
        ValueError: if a density or `weakest` is out of range, or a parent does not come before its
            child.
    """

    directions: Float[Tensor, "features d_model"]
    """Unit-norm direction of each feature."""
    density: Float[Tensor, " features"]
    """Probability that a feature is active, above 0 and at most 1."""
    parent: Int[Tensor, " features"]
    """Index of each feature's parent, which must come before it; -1 for none."""
    weakest: float = 0.5
    """Smallest value of an active feature, 0 to 1; the largest is 1. From 0 on, it would be left
    open whether a weak feature is there at all."""

    def __post_init__(self) -> None:
        check_density(self.density)
        checks.require("weakest", self.weakest, "in 0..1", lambda value: 0 <= value <= 1)
        late = (self.parent < -1) | (self.parent >= torch.arange(len(self.parent)))
        if late.any():
            child = int(late.nonzero()[0])
            raise ValueError(
                f"a parent must come before its child, or be -1 for none; feature {child} has "
                f"parent {int(self.parent[child])}. Reorder the features."
            )

    @classmethod
    def flat(
        cls, n_features: int, d_model: int, n_active: float, *, generator: torch.Generator
    ) -> "FeatureWorld":
        """Build a world of independent features along random directions.

        Args:
            n_features: Number of features; more than `d_model` puts them in superposition.
            d_model: Width of the activations.
            n_active: Mean number of features active at once, above 0 and at most `n_features`.
            generator: Source of the directions.

        Raises:
            ValueError: if `n_active` is out of range.
        """
        what = f"above 0 and at most the {n_features} features"
        checks.require("n_active", n_active, what, lambda n: 0 < n <= n_features)
        density = n_active / n_features
        return cls.hierarchy(
            n_features, 0, d_model, density=density, share=1.0, generator=generator
        )

    @classmethod
    def hierarchy(
        cls,
        n_parents: int,
        n_children: int,
        d_model: int,
        *,
        density: float,
        share: float,
        weakest: float = 0.5,
        generator: torch.Generator,
    ) -> "FeatureWorld":
        """Build a world of parents, each with children that are active only where it is.

        Args:
            n_parents: Number of parents; they come first.
            n_children: Children of each parent; they follow, parent by parent.
            d_model: Width of the activations.
            density: Probability that a parent is active, above 0 and at most 1.
            share: Probability of each child, given that its parent is active; same range.
            weakest: Smallest value of an active feature, 0 to 1.
            generator: Source of the directions.

        Raises:
            ValueError: if a number is out of range.
        """
        checks.require_generator(generator)
        n_features = n_parents * (1 + n_children)
        directions = torch.randn(n_features, d_model, generator=generator)
        parent = torch.arange(n_parents).repeat_interleave(n_children)
        given = torch.full((n_features,), float(share))
        given[:n_parents] = density
        parent = torch.cat([torch.full((n_parents,), -1), parent])
        return cls(directions / directions.norm(dim=1, keepdim=True), given, parent, weakest)

    def sample(
        self, n_samples: int, *, generator: torch.Generator
    ) -> Float[Tensor, "samples features"]:
        """Draw feature values: 0 where silent, else uniform between `weakest` and 1."""
        checks.require_generator(generator)
        n_samples, n_features = checks.whole("n_samples", n_samples), len(self.density)
        active = torch.rand(n_samples, n_features, generator=generator) < self.density
        for child in (self.parent >= 0).nonzero().flatten().tolist():
            active[:, child] &= active[:, int(self.parent[child])]
        uniform = torch.rand(n_samples, n_features, generator=generator)
        return active * (self.weakest + (1 - self.weakest) * uniform)

    def activations(
        self, features: Float[Tensor, "samples features"]
    ) -> Float[Tensor, "samples d_model"]:
        """Add up the directions of the active features: what a layer would hold."""
        given, axes = (features, "samples features"), "features d_model"
        features, directions = checks.tensors(features=given, directions=(self.directions, axes))
        return features @ directions


def gaussian_like(
    inputs: Float[Tensor, "samples d_model"], *, generator: torch.Generator
) -> Float[Tensor, "samples d_model"]:
    """Draw as many Gaussian samples with the same mean and covariance, and no features at all.

    Args:
        inputs: What to imitate.
        generator: Source of the samples.
    """
    (inputs,) = checks.tensors(inputs=(inputs, "samples d_model"))
    checks.require_generator(generator)
    mean = inputs.mean(0)
    _, sizes, axes = torch.linalg.svd(inputs - mean, full_matrices=False)
    noise = torch.randn(len(inputs), len(sizes), generator=generator)
    imitation: Tensor = mean + (noise * sizes) @ axes / len(inputs) ** 0.5
    return imitation
