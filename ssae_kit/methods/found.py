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


def in_use(found: Found, shifts: Shifts) -> Int[Tensor, " kept"]:
    """Return the latents that are not to spare, those that write most first. Uses no labels.

    A latent writes the mean size of its code times the length of its direction. Kept are those
    before the steepest drop; what writes below a hundredth of the largest counts as that.

    Args:
        found: Of a fit with latents to spare, at least 2 in all.
        shifts: Those it was fitted to will do.

    Raises:
        ValueError: if there is one latent only, or none writes anything.
    """
    checks.require_kind("found", found, Found, "methods.ssae(shifts, 14)")
    size = found.codes(shifts).abs().mean(0) * found.directions.norm(dim=1)
    if len(size) < 2 or not size.any():
        raise ValueError(
            f"at least 2 latents are required, of which one writes; got sizes {size.tolist()}. Fit "
            "with latents to spare."
        )
    size, latent = size.clamp_min(0.01 * float(size.max())).sort(descending=True, stable=True)
    n_used = int((size[:-1] / size[1:]).argmax()) + 1
    kept: Tensor = latent[:n_used]
    return kept


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
