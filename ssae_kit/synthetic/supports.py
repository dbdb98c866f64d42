"""Which concepts shift together: support designs, and the condition that the theorem puts on them.

The support of a pair is the set of concepts that differ between its source and its target. A
design is a probability law over supports. Every design here is drawn the same way: a number of
distinct units is drawn, and the support is their union. With one concept per unit, any concepts
may meet; with two, those two always shift together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks


@dataclass(frozen=True)
class SupportDesign:
    """A law over supports. `sizes`, `blocks`, `nested` and `family` make one.

    Raises:
        ValueError: if there is no unit, a unit is empty, a concept is in no unit, a weight is not
            above 0, or `most` is out of range.
    """

    name: str
    """Says in words which supports occur; figures quote it."""
    units: Bool[Tensor, "units concepts"]
    """Which concepts belong to each unit."""
    weights: Float[Tensor, " units"]
    """Relative chance of each unit to be drawn, above 0."""
    most: int = 1
    """Units in one support, at most."""
    least: int = 1
    """Units in one support, at least; each number from here to `most` is equally likely."""

    def __post_init__(self) -> None:
        units, weights = checks.tensors(
            units=(self.units, "units concepts"), weights=(self.weights, "units")
        )
        n_units, empty = len(units), int((~units.any(1)).sum())
        object.__setattr__(self, "units", checks.mask("units", units))
        object.__setattr__(self, "weights", weights)
        if empty:
            raise ValueError(
                f"support design {self.name!r} must have members, each with at least one concept; "
                f"got {n_units} units, {empty} of them empty."
            )
        never = (~units.any(0)).nonzero().flatten().tolist()
        if never:
            raise ValueError(
                f"every concept must shift in some pair; in design {self.name!r} concepts {never} "
                "never do. Leave them out: what never shifts cannot be identified."
            )
        checks.require("weights", float(weights.min()), "above 0, each", lambda least: least > 0)
        checks.whole("most", self.most, 1, n_units, " (the number of units)")
        checks.whole("least", self.least, 1, self.most, " (`most`)")

    @property
    def n_concepts(self) -> int:
        """Number of concepts."""
        return self.units.shape[1]

    def sample(
        self, n_samples: int, *, generator: torch.Generator
    ) -> Bool[Tensor, "samples concepts"]:
        """Draw supports: which concepts shift in each of `n_samples` pairs."""
        n_samples = checks.whole("n_samples", n_samples)
        checks.require_generator(generator)
        n_units = self.units.shape[0]
        n_drawn = torch.randint(self.least, self.most + 1, (n_samples, 1), generator=generator)
        # The largest of log(weight) + Gumbel noise are a weighted draw without replacement.
        uniform = torch.rand(n_samples, n_units, generator=generator).clamp(1e-20, 1 - 1e-7)
        keys = self.weights.log() - (-uniform.log()).log()
        order = keys.topk(self.most, dim=1).indices
        used = torch.arange(self.most) < n_drawn
        drawn = torch.zeros(n_samples, n_units).scatter_(1, order, used.float())
        return drawn @ self.units.float() > 0


def sizes(n_concepts: int, most: int, least: int = 1) -> SupportDesign:
    """Any `least` to `most` concepts shift, each number equally likely. Diverse if least < all."""
    units = _each(n_concepts)
    name = f"any {least} to {most} of {n_concepts}"
    return SupportDesign(name, units, torch.ones(len(units)), most, least)


def blocks(n_concepts: int, block: int, most: int = 1) -> SupportDesign:
    """Concepts shift in fixed blocks of `block`; 1 to `most` blocks a pair. Not diverse.

    `block = n_concepts` makes every concept shift in every pair.
    """
    n_concepts, block = checks.whole("n_concepts", n_concepts), checks.whole("block", block)
    if n_concepts % block:
        raise ValueError(f"`block` must divide the {n_concepts} concepts; got {block}.")
    units = _each(n_concepts // block).repeat_interleave(block, dim=1)
    return SupportDesign(f"blocks of {block}", units, torch.ones(len(units)), most)


def together(n_concepts: int, group: Sequence[int], most: int) -> SupportDesign:
    """As `sizes`, but the concepts in `group` always shift together. Not diverse."""
    each = _each(n_concepts)
    grouped = each[[checks.whole("group", k, 0, n_concepts - 1) for k in group]].any(0)[None]
    units = torch.cat([each[~grouped[0]], grouped])
    return SupportDesign(f"{list(group)} always together", units, torch.ones(len(units)), most)


def nested(n_concepts: int, inner: int, outer: int, most: int) -> SupportDesign:
    """As `sizes`, but concept `inner` shifts only in pairs where `outer` does. Not diverse."""
    units = _each(n_concepts)
    last = n_concepts - 1
    units[checks.whole("inner", inner, 0, last), checks.whole("outer", outer, 0, last)] = True
    name = f"{inner} only with {outer}"
    return SupportDesign(name, units, torch.ones(n_concepts), most)


def grouped(n_concepts: int, group: int, joint_share: float) -> SupportDesign:
    """Concepts come in groups; in a pair, one concept of one group shifts, or all of the group.

    Args:
        n_concepts: Number of concepts.
        group: Concepts per group; must divide `n_concepts`.
        joint_share: Chance, between 0 and 1, that all of the group shift. The design is diverse
            for all of them.
    """
    checks.require("joint_share", joint_share, "between 0 and 1", lambda share: 0 < share < 1)
    whole = blocks(n_concepts, group).units
    units = torch.cat([whole, _each(n_concepts)])
    weights = torch.tensor([joint_share] * len(whole) + [(1 - joint_share) / group] * n_concepts)
    return SupportDesign(f"groups of {group}, all shift in {joint_share:.0%}", units, weights)


def family(subsets: Sequence[Sequence[int]]) -> SupportDesign:
    """Exactly these subsets of concepts, equally likely.

    Args:
        subsets: Concept indices of each support.
    """
    rows = [[checks.whole("subsets", k, 0) for k in subset] for subset in subsets]
    if not rows or not all(rows):
        raise ValueError(f"`subsets` must hold at least one support, and no empty one; got {rows}.")
    each = _each(max(map(max, rows)) + 1)
    units = torch.stack([each[row].any(0) for row in rows])
    return SupportDesign(f"{len(subsets)} given supports", units, torch.ones(len(subsets)))


def _each(n_concepts: int) -> Bool[Tensor, "units concepts"]:
    """A unit for each concept."""
    return torch.eye(checks.whole("n_concepts", n_concepts)).bool()


@dataclass(frozen=True)
class Diversity:
    """Whether a set of supports meets the theorem's diversity condition, concept by concept."""

    never_without: Bool[Tensor, "concepts concepts"]
    """True at [j, k] if concept j never shifts without concept k, j unlike k."""
    never_shift: Bool[Tensor, " concepts"]
    """True for concepts in no support at all."""

    @property
    def violators(self) -> Int[Tensor, " violators"]:
        """Concepts that the condition does not protect: they never shift without some other."""
        return (self.never_without.any(1) | self.never_shift).nonzero().flatten()

    @property
    def holds(self) -> bool:
        """Whether the condition holds for every concept."""
        return self.violators.numel() == 0

    def __str__(self) -> str:
        """Name each violator and the concepts it never shifts without."""
        if self.holds:
            return "Support diversity holds for every concept."
        lines = []
        for concept in self.violators.tolist():
            with_ = self.never_without[concept].nonzero().flatten().tolist()
            fate = "never shifts" if self.never_shift[concept] else f"never shifts without {with_}"
            lines.append(f"concept {concept} {fate}")
        return "Support diversity fails: " + "; ".join(lines) + "."


def check_diversity(
    supports: SupportDesign | Bool[Tensor, "samples concepts"], *, seed: int = 0
) -> Diversity:
    """Check the theorem's condition on supports, and name the concepts that violate it.

    The condition: for each concept k, the supports without k together cover every other concept.
    It says the same that no concept j always brings another concept k along: for each j and k,
    some support holds j without k.

    Args:
        supports: A design, or the supports of a data set (rows may repeat).
        seed: A design that combines units is checked on 20 000 of its supports, drawn with it.

    Returns:
        Who violates it, and with whom.

    Source: Joshi et al. 2025 (arXiv 2502.12179), after Lachapelle et al. 2022 (arXiv 2211.14666).
    """
    if isinstance(supports, SupportDesign):
        draw, design = checks.seeded(seed), supports
        supports = design.units if design.most == 1 else design.sample(20_000, generator=draw)
    (held,) = checks.tensors(supports=(supports, "samples concepts"))
    held = (held != 0).float()
    j_without_k = held.mT @ (1 - held)
    shifts = held.any(0)
    never_without = (j_without_k == 0) & shifts[:, None]
    return Diversity(never_without.fill_diagonal_(False), ~shifts)
