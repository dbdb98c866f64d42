"""What every method returns, and how all of them are compared with the truth."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import Autoencoder
from ssae_kit.metrics import Matching, mcc_codes, mcc_directions
from ssae_kit.metrics.vectors import unit
from ssae_kit.training.choice import TOLERANCE

Shifts = Float[Tensor, "pairs d_model"]
"""Target minus source activations."""
Changes = Real[Tensor, "pairs concepts"]
"""Known change of each concept in the same pairs: -1, 0 or 1."""
States = Float[Tensor, "texts d_model"]
"""Hidden states."""
Values = Real[Tensor, "texts concepts"]
"""Value of each concept in the same texts."""
Directions = Float[Tensor, "concepts d_model"]
"""One row per concept."""

NEAR = 0.3
"""Absolute cosine from which two latents count as one."""


@dataclass(frozen=True, eq=False)
class Found:
    """Directions that a method found, and how it reads the codes of other shifts."""

    directions: Float[Tensor, "latents d_model"]
    """One row per latent, as long as a shift is whose code there is 1."""
    read: Callable[[Tensor], Tensor] = field(repr=False)
    """Shifts `[pairs, d_model]` to codes `[pairs, latents]`; call `codes`, which checks."""

    @torch.no_grad()
    def codes(self, shifts: Shifts) -> Float[Tensor, "pairs latents"]:
        """Return the codes of shifts, best of other pairs than those it was fitted to.

        Raises:
            ValueError: if the shifts are of another width, or one is not finite.
        """
        shifts, width = as_floats("shifts", shifts), self.directions.shape[1]
        if shifts.shape[1] != width:
            raise ValueError(
                f"`shifts` must be as wide as the directions, {width}; got {shifts.shape[1]}. "
                "Read them at the layer that the method was fitted to."
            )
        return self.read(shifts.to(self.directions.device))

    def from_sources(self, sources: Float[Tensor, "pairs d_model"]) -> "Found":
        """Return the same, reading a shift as the difference of the codes of target and source.

        For a method that was fitted to states. It then reads shifts of these very pairs only.
        """
        own = as_floats("sources", sources).to(self.directions.device)
        return Found(self.directions, lambda shifts: self.read(own + shifts) - self.read(own))

    def named(self, shifts: Shifts, changes: Changes) -> tuple[Directions, Matching]:
        """Return one direction per concept, as long as a typical shift of it.

        Labels serve only to name: which latent belongs to which concept, which way is up, and how
        large its code is when the concept changes. Latents to spare stay nameless.

        Args:
            shifts: Target minus source activations.
            changes: Known change of each concept in the same pairs (-1, 0 or 1).

        Returns:
            The directions, and the matching of latents to concepts.

        Raises:
            ValueError: if there are fewer latents than concepts, or a concept never changes.

        Source: Joshi et al. 2025 (arXiv 2502.12179): steer by the decoded unit code.
        """
        shifts, changes = (t.to(self.directions.device) for t in as_pairs(shifts, changes))
        counts = times_changed(changes, signed=True)
        if len(self.directions) < changes.shape[1]:
            raise ValueError(
                f"at least {changes.shape[1]} latents (one per concept) are required; got "
                f"{len(self.directions)}. Fit with more latents, or drop concepts."
            )
        codes = self.codes(shifts)
        matching = mcc_codes(codes[None], changes)
        latent = matching.latent[0]
        typical = (changes * codes[:, latent]).sum(0) / counts
        return typical[:, None] * self.directions[latent], matching


@torch.no_grad()
def merge(found: Found, shifts: Shifts) -> Found:
    """Join latents whose directions are alike, up to the sign, into one. Uses no labels.

    Where the change of a concept depends on something else, latents to spare share it out (feature
    splitting). What they write has the concept's direction in common. So the two latents whose
    directions have the largest absolute cosine are joined, then the next two, down to a cosine of
    0.3, which is 73 degrees. Concepts whose directions are nearer than that are joined as well, and
    so are two that one latent writes at once, as they often change together.

    Args:
        found: Of a fit with latents to spare.
        shifts: Those it was fitted to will do.

    Returns:
        The latents that stay apart. Each direction has length 1 and is the mean of those that were
        joined, weighted by what they write: the mean size of the code times the length of the
        direction. Its code is all that they write along it. A latent that writes nothing stays, and
        its direction is zero.
    """
    written = _codes(found, shifts).abs().mean(0)[:, None] * found.directions
    joined = torch.eye(len(written)).to(written)
    while len(written) > 1:
        rows = unit(written, 1)
        cosines = (rows @ rows.mT).fill_diagonal_(0)
        i, j = divmod(int(cosines.abs().argmax()), len(cosines))
        if cosines[i, j].abs() < NEAR:
            break
        written[i] += cosines[i, j].sign() * written[j]
        joined[i] += joined[j]
        others = torch.arange(len(written), device=written.device) != j
        written, joined = written[others], joined[others]
    directions = unit(written, 1)
    weights = joined * (directions @ found.directions.mT)
    return Found(directions, lambda shifts: found.read(shifts) @ weights.mT)


@torch.no_grad()
def in_use(found: Found, shifts: Shifts) -> Int[Tensor, " kept"]:
    """Return the latents that are not to spare, those that explain most first. Uses no labels.

    A latent is to spare if the shifts are explained as well without it, up to the tolerance with
    which `training.choose_level` chooses a level: its silence raises the error by at most 0.03 of
    what all latents explain together. A concept that explains less is to spare as well, and so is
    one whose parts do. What a decoder's bias adds is left out.

    Args:
        found: Of a fit with latents to spare; best after `merge`.
        shifts: Those it was fitted to will do.

    Raises:
        ValueError: if no latent explains so much.
    """
    codes, shifts = _codes(found, shifts), as_floats("shifts", shifts).to(found.directions.device)
    rows = found.directions
    left = shifts - codes @ rows
    # |left + c d|^2 - |left|^2, summed over pairs: what silence costs, in squared length.
    cost = (codes * (2 * left @ rows.mT + codes * rows.square().sum(1))).sum(0)
    cost, latent = cost.sort(descending=True, stable=True)
    explained = shifts.square().sum() - left.square().sum()
    kept: Tensor = latent[(cost > TOLERANCE * explained) & (explained > 0)]
    if not len(kept):
        raise ValueError(
            f"at least one latent must explain {TOLERANCE} of what all explain together; of "
            f"{len(cost)} none does. Bring the shifts that it was fitted to, or fit longer; of very "
            "many concepts none explains so much."
        )
    return kept


def _codes(found: Found, shifts: Shifts) -> Float[Tensor, "pairs latents"]:
    checks.require_kind("found", found, Found, "methods.ssae(shifts, 14)")
    return found.codes(shifts)


class Score(NamedTuple):
    """How well each concept was found, one run per `Found`."""

    codes: Matching
    """Codes against the changes of the concepts: absolute correlations."""
    directions: Matching
    """Directions against those of the concepts: absolute cosines."""


def score(
    found: Found | Sequence[Found], shifts: Shifts, changes: Changes, directions: Directions
) -> Score:
    """Compare what a method found with the truth, concept by concept; 1 is best.

    Args:
        found: Of one fit, or of several seeds.
        shifts: Best of other pairs than the fit's, so that nothing is scored by heart.
        changes: True change of each concept in the same pairs.
        directions: Directions that count as true.

    Returns:
        `codes.score` and `directions.score` are the means over concepts, one number per fit.
    """
    every = [found] if isinstance(found, Found) else list(found)
    checks.require("found", len(every), "one fit or more", lambda n: n > 0)
    for one in every:
        checks.require_kind("found", one, Found, "difference_of_means(shifts, changes)")
    shifts, changes = as_pairs(shifts, changes)
    return Score(
        mcc_codes(torch.stack([one.codes(shifts) for one in every]), changes),
        mcc_directions(
            torch.stack([one.directions for one in every]),
            as_floats("directions", directions),
        ),
    )


def known(directions: Float[Tensor, "latents d_model"]) -> Found:
    """Directions that are given, read by least squares: shifts as sums of them."""
    rows = as_floats("directions", directions)
    inverse = torch.linalg.pinv(rows)
    return Found(rows, lambda shifts: shifts @ inverse)


def of_autoencoder(autoencoder: Autoencoder) -> Found:
    """What a trained autoencoder of one run found: decoder directions, read by its encoder.

    Raises:
        ValueError: if there is more than one run.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    autoencoder.require_one_run()
    return Found(
        autoencoder.scale * autoencoder.directions[0], lambda shifts: autoencoder.encode(shifts)[0]
    )


def as_floats(name: str, values: Any) -> Float[Tensor, "rows columns"]:
    """Return a table of numbers, an array or a tensor of any dtype, as finite float32.

    Raises:
        TypeError: if it holds anything but numbers.
        ValueError: if it is not two-dimensional, empty, or holds a number that is not finite.
    """
    (table,) = checks.tensors(**{name: (values, "rows columns")})
    return table.detach().float()


def as_pairs(
    inputs: Any, labels: Any, names: tuple[str, str] = ("shifts", "changes")
) -> tuple[Tensor, Tensor]:
    """Return two tables with a row for each pair (or text), on one device.

    Raises:
        TypeError: if one holds anything but numbers.
        ValueError: if one is not a table of finite numbers, or they differ in length.
    """
    given = {names[0]: (inputs, "rows columns"), names[1]: (labels, "rows labels")}
    first, second = (table.detach().float() for table in checks.tensors(**given))
    return first, second


def root_mean_square(name: str, table: Tensor) -> Tensor:
    """Return the size of a table's entries, or raise a ValueError if every one is zero."""
    size = table.square().mean().sqrt()
    if not size > 0:
        raise ValueError(f"`{name}` must not all be zero; they are. Check how they were collected.")
    return size


def times_changed(
    changes: Float[Tensor, "pairs concepts"], *, signed: bool = False
) -> Float[Tensor, " concepts"]:
    """Return in how many pairs each concept changes, or raise a ValueError if one never does."""
    if signed:  # or a mean would be as many times too long
        what = "-1, 0 or 1, as `changes.sign()` is"
        checks.require("changes", changes, what, lambda c: ((c == 0) | (c.abs() == 1)).all())
    count = (changes != 0).sum(0)
    if (count == 0).any():
        raise ValueError(
            "every concept must change in at least one pair; the concept(s) in column(s) "
            f"{(count == 0).nonzero().flatten().tolist()} never do. Add pairs or drop the column."
        )
    return count.to(changes.dtype)
