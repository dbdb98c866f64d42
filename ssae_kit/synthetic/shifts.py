"""Shifts with known concepts: what a language model's would be if we knew everything about it.

A pair differs in some concepts (its support). Concept k changes by `c_k`, and
moves the activation by `c_k` times the concept's direction `a_k`. The shift is the sum:

    x = c_1 a_1 + c_2 a_2 + ... + noise

The true changes and directions travel with the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.synthetic.supports import SupportDesign


@dataclass(frozen=True)
class Magnitudes:
    """How far a concept moves, given that it shifts. Mean square 1, unless discrete."""

    correlation: float = 0.0
    """Correlation between any two concepts that shift, 0 to 1; 1 ties them: all move alike."""
    free_signs: bool = False
    """Flip each concept's sign by a coin of its own; sizes stay correlated or tied."""
    values: tuple[float, ...] = ()
    """If given, each concept draws one of these, independently, in place of a Gaussian."""

    def __post_init__(self) -> None:
        checks.require("correlation", self.correlation, "in 0..1", lambda r: 0 <= r <= 1)
        checks.require_kind("values", self.values, tuple | list, "(-1.0, 1.0)")
        if self.values:
            checks.tensors(values=(self.values, "values"))
        if self.values and (0.0 in self.values or self.correlation):
            raise ValueError(
                "`values` must not hold 0 (a concept that shifts must move) and cannot be "
                f"combined with `correlation`; got {self.values} and {self.correlation}."
            )

    def sample(
        self, n_samples: int, n_concepts: int, *, generator: torch.Generator
    ) -> Float[Tensor, "samples concepts"]:
        """Draw a magnitude for every concept of every pair."""
        checks.require_generator(generator)
        n_concepts = checks.whole("n_concepts", n_concepts)
        size = (checks.whole("n_samples", n_samples), n_concepts)
        if self.values:
            drawn = torch.randint(len(self.values), size, generator=generator)
            magnitude = torch.tensor(self.values)[drawn]
        else:
            own = torch.randn(size, generator=generator)
            common = torch.randn(n_samples, 1, generator=generator)
            magnitude = self.correlation**0.5 * common + (1 - self.correlation) ** 0.5 * own
        if self.free_signs:
            magnitude = magnitude * (torch.randint(2, size, generator=generator) * 2.0 - 1)
        return magnitude


@dataclass(frozen=True)
class Mixing:
    """How concepts are laid out in the model's space: one direction per concept."""

    kind: str = "gaussian"
    """"gaussian": independent random unit directions. "orthogonal": at right angles."""
    condition: float = 1.0
    """Above 1: the ratio of the largest to the smallest singular value of the mixing, which then
    replaces `kind`. Directions still have a mean square length of 1."""

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "orthogonal"):
            raise ValueError(f"`kind` must be 'gaussian' or 'orthogonal'; got {self.kind!r}.")
        what = "finite and at least 1"
        checks.require("condition", self.condition, what, lambda c: 1 <= c < float("inf"))

    def sample(
        self, n_concepts: int, d_model: int, *, generator: torch.Generator
    ) -> Float[Tensor, "concepts d_model"]:
        """Draw the concept directions.

        Raises:
            ValueError: if there are too few dimensions.
        """
        checks.require_generator(generator)
        n_concepts = checks.whole("n_concepts", n_concepts)
        d_model = checks.whole("d_model", d_model)
        directions: Tensor = torch.randn(n_concepts, d_model, generator=generator)
        if self.condition == 1 and self.kind == "gaussian":
            return torch.nn.functional.normalize(directions)
        if d_model < n_concepts:
            raise ValueError(
                f"{n_concepts} concepts in {d_model} dimensions cannot be orthogonal or have a "
                "finite condition number. Use kind='gaussian' with condition=1."
            )
        left, _, right = torch.linalg.svd(directions, full_matrices=False)
        singular = torch.logspace(0, -1, n_concepts, base=self.condition)
        directions = left * (singular / singular.square().mean().sqrt()) @ right
        return directions


@dataclass(frozen=True)
class ShiftProblem:
    """Everything that defines a world of concept shifts, except its random directions."""

    design: SupportDesign
    """Which concepts shift together."""
    d_model: int = 64
    """Width of the space."""
    magnitudes: Magnitudes = field(default_factory=Magnitudes)
    """How far concepts move."""
    mixing: Mixing = field(default_factory=Mixing)
    """How concepts lie in the space."""
    noise: float = 0.0
    """Standard deviation of the noise in each dimension; concept directions have length 1."""
    bend: float = 0.0
    """Share of a tanh in the embedding, 0 to 1; above 0 a shift depends on where it starts. The
    tanh saturates at the sources' root mean square."""

    def __post_init__(self) -> None:
        checks.require_kind("design", self.design, SupportDesign)
        checks.require_kind("magnitudes", self.magnitudes, Magnitudes)
        checks.require_kind("mixing", self.mixing, Mixing)
        checks.whole("d_model", self.d_model)
        what = "finite and at least 0"
        checks.require("noise", self.noise, what, lambda noise: 0 <= noise < float("inf"))
        checks.require("bend", self.bend, "in 0..1", lambda bend: 0 <= bend <= 1)


class ShiftData(NamedTuple):
    """Pairs of one world, or of several stacked along a leading run axis, with their truth."""

    shifts: Float[Tensor, "*run samples d_model"]
    """Target minus source activations: all that a method may see."""
    sources: Float[Tensor, "*run samples d_model"]
    """Source activations; targets are `sources + shifts`."""
    changes: Float[Tensor, "*run samples concepts"]
    """True change of each concept; 0 outside the support."""
    directions: Float[Tensor, "*run concepts d_model"]
    """True direction of each concept, with its length."""

    @property
    def supports(self) -> Bool[Tensor, "*run samples concepts"]:
        """Which concepts shift."""
        return self.changes != 0

    def true_level(self, n_latents: int | None = None) -> Float[Tensor, "*run"]:
        """Mean absolute code of the true solution, in units of the root mean square shift length.

        Args:
            n_latents: Length of the code, over which the mean goes; by default one latent per
                concept.
        """
        n_concepts = self.directions.shape[-2]
        n_latents = n_concepts if n_latents is None else checks.whole("n_latents", n_latents)
        lengths = self.directions.norm(dim=-1)
        total: Tensor = (self.changes.abs().mean(-2) * lengths).sum(-1)
        scale = self.shifts.square().sum(-1).mean(-1).sqrt()
        return total / scale / n_latents


def sample_shifts(
    problem: ShiftProblem,
    n_samples: int,
    *,
    generator: torch.Generator,
    directions: Float[Tensor, "concepts d_model"] | None = None,
) -> ShiftData:
    """Draw pairs of a world.

    Args:
        problem: The world's laws.
        n_samples: Number of pairs, at least 1.
        generator: Source of everything random.
        directions: Concept directions of a world already drawn, to get more of its pairs; by
            default they are drawn first.

    Returns:
        The pairs with their truth.

    Raises:
        ValueError: if the directions have another shape or are not finite, `n_samples` is below
            1, or the mixing does not fit the sizes.
    """
    checks.require_kind("problem", problem, ShiftProblem)
    checks.require_generator(generator)
    shape = (problem.design.n_concepts, problem.d_model)
    if directions is None:
        directions = problem.mixing.sample(*shape, generator=generator)
    (directions,) = checks.tensors(directions=(directions, "concepts d_model"))
    directions = directions.float()
    if tuple(directions.shape) != shape:
        raise ValueError(
            f"`directions` must be of shape {list(shape)} (concepts, d_model); got "
            f"{list(directions.shape)}."
        )
    size = (n_samples, problem.design.n_concepts)
    support = problem.design.sample(n_samples, generator=generator)
    changes = support * problem.magnitudes.sample(*size, generator=generator)
    sources = torch.randn(size, generator=generator) @ directions
    shifts = changes @ directions
    if problem.bend:
        # Root mean square of the sources, by the laws they are drawn from: one function for all.
        spread = directions.square().sum(0).mean().sqrt()
        targets = _bent(sources + shifts, problem.bend, spread)
        sources = _bent(sources, problem.bend, spread)
        shifts = targets - sources
    if problem.noise:
        shifts = shifts + problem.noise * torch.randn(shifts.shape, generator=generator)
    return ShiftData(shifts, sources, changes, directions)


def stack(datasets: Sequence[ShiftData]) -> ShiftData:
    """Stack data sets of equal sizes along a new run axis, so that they train at once.

    Raises:
        ValueError: if there are none, or their sizes differ.
    """
    for data in datasets:
        checks.require_kind("datasets", data, ShiftData, "[sample_shifts(...), ...]")
    found = sorted({(tuple(d.shifts.shape), d.directions.shape[-2]) for d in datasets})
    if len(found) != 1:
        raise ValueError(
            "`datasets` must hold at least one data set, all with the same pairs, d_model and "
            f"concepts; got {found}."
        )
    return ShiftData(*map(torch.stack, zip(*datasets, strict=True)))


def _bent(activations: Tensor, bend: float, size: Tensor) -> Tensor:
    """Mix in a tanh that saturates at a size."""
    return (1 - bend) * activations + bend * size * torch.tanh(activations / size)
