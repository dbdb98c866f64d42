"""One interchange test for every featurizer: what is put into a state, and what became of it."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor

from ssae_kit import checks
from ssae_kit.methods import Found


def whole(d_model: int) -> Found:
    """All of the state: every interchange succeeds with it, so it is the control, not a finding."""
    d_model = checks.whole("d_model", d_model)
    return Found(torch.eye(d_model), lambda states: states)


def exchange(
    found: Found,
    bases: Float[Tensor, "texts d_model"],
    sources: Float[Tensor, "texts d_model"],
    chosen: Bool[Tensor, "texts latents"] | None = None,
) -> Float[Tensor, "texts d_model"]:
    """Return what to add to each base so that its chosen latents take the source's values.

    What the featurizer cannot say of the base stays as it is: only a difference of codes is
    decoded. So one that reconstructs badly is not punished for that.

    Args:
        found: Any featurizer; for orthonormal directions this is the interchange of a subspace.
        bases: States of the texts that are continued.
        sources: States of others at the same site.
        chosen: Which latents to exchange in each text; None for all.

    Raises:
        ValueError: if shapes do not fit, or a number is not finite.

    Source: Geiger et al. 2024 (arXiv 2303.02536), with any featurizer: Huang et al. 2024
        (arXiv 2402.17700).
    """
    checks.require_kind("found", found, Found, "methods.difference_of_means(shifts, changes)")
    axes = "texts d_model"
    bases, sources = checks.tensors(bases=(bases, axes), sources=(sources, axes))
    n_latents, width = found.directions.shape
    if bases.shape[1] != width:
        raise ValueError(
            f"`bases` must be as wide as the directions, {width}; got {bases.shape[1]}. Read them "
            "at the layer that the featurizer was fitted to."
        )
    bases, sources = bases.to(found.directions), sources.to(found.directions)
    codes = found.read(sources) - found.read(bases)
    if chosen is not None:
        (mask,) = checks.tensors(chosen=(chosen, "texts latents"))
        if mask.shape != codes.shape:
            raise ValueError(
                f"`chosen` must have one entry per text and latent, {[len(bases), n_latents]}; got "
                f"{list(mask.shape)}."
            )
        codes = codes * checks.mask("chosen", mask).to(codes.device)
    vectors: Tensor = (codes @ found.directions).detach()
    return vectors


@dataclass(frozen=True)
class Interchanged:
    """What became of an interchange, per text. Report both, never one alone; 1 is best."""

    cause: Float[Tensor, " texts"]
    """Of the variables exchanged where base and source differ, the share that follows the source."""
    isolate: Float[Tensor, " texts"]
    """Of the other variables where they differ, the share that stays with the base."""

    @property
    def score(self) -> float:
        """Mean of both: 0.5 is what doing nothing gets, and what exchanging everything gets."""
        return float(self.cause.nanmean() + self.isolate.nanmean()) / 2


def followed(
    said: Real[Tensor, "texts variables"],
    bases: Real[Tensor, "texts variables"],
    sources: Real[Tensor, "texts variables"],
    exchanged: Bool[Tensor, "texts variables"],
) -> Interchanged:
    """Compare what was said after an interchange with the values of base and source.

    Args:
        said: Whole numbers, values that are right or wrong; or shares of words that say value 1 and
            not 0, NaN where a text says nothing.
        bases: Values of the texts that were continued.
        sources: Values of those that the states came from.
        exchanged: Which variables were to follow the source.

    Returns:
        Both shares per text; NaN where base and source do not differ, as nothing can be seen.

    Raises:
        ValueError: if the shapes differ, a share is none, or a value of base or source not finite.

    Source: Huang et al. 2024 (arXiv 2402.17700, RAVEL), per variable in place of per answer.
    """
    axes = "texts variables"
    checks.require_kind("said", said, Tensor, "torch.tensor([[0, 1]])")
    bases, sources, exchanged = checks.tensors(
        bases=(bases, axes), sources=(sources, axes), exchanged=(exchanged, axes)
    )
    if not said.shape == bases.shape == sources.shape == exchanged.shape:
        raise ValueError(
            "all four must have the same texts and variables; got "
            f"{[list(t.shape) for t in (said, bases, sources, exchanged)]}."
        )
    if not said.is_floating_point():
        right, stays = (said == sources).float(), (said == bases).float()
    elif ((said < 0) | (said > 1)).any():
        raise ValueError(f"shares in `said` must lie in 0..1; got {said.min()} to {said.max()}.")
    else:
        right, stays = 1 - (said - sources).abs(), 1 - (said - bases).abs()
    on, differ = checks.mask("exchanged", exchanged), bases != sources
    return Interchanged(_mean(right, on & differ), _mean(stays, ~on & differ))


def _mean(shares: Tensor, where: Tensor) -> Tensor:
    return shares.masked_fill(~where, float("nan")).nanmean(1)
