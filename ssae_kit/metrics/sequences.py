"""Latents along a text: which one follows which?"""

from dataclasses import dataclass

from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks


@dataclass(frozen=True)
class Handovers:
    """For each latent: the token it promotes, and the latent that fires on that token."""

    successor: Int[Tensor, " latents"]
    """The latent with the highest mean code on the promoted token; -1 if no code is above 0
    there, or the token never occurs."""
    said: Float[Tensor, " latents"]
    """Share of the latent's firings after which the promoted token comes, 0 to 1."""
    follows: Float[Tensor, " latents"]
    """Share of the latent's firings right after which the successor fires, 0 to 1."""
    by_chance: Float[Tensor, " latents"]
    """Share of all tokens on which the successor fires, 0 to 1."""


def handovers(
    codes: Float[Tensor, "tokens latents"],
    ids: Int[Tensor, " tokens"],
    text: Int[Tensor, " tokens"],
    promoted: Int[Tensor, " latents"],
) -> Handovers:
    """Follow the baton: latent, the token it promotes, the latent that fires on that token.

    Args:
        codes: At least 0; a latent fires where its code is not 0. One that never fires scores 0.
        ids: Token at each position.
        text: Number of the text it belongs to; nothing is handed over between texts.
        promoted: Token whose logit each latent raises most.

    Raises:
        ValueError: if the lengths differ, or a code is not finite or below 0.
        TypeError: if tokens are not given as whole numbers.

    Source: Bricken et al. 2023, "Towards Monosemanticity", finite state automata.
    """
    axes = {"ids": (ids, "tokens"), "text": (text, "tokens"), "promoted": (promoted, "latents")}
    codes, *_ = checks.tensors(codes=(codes, "tokens latents"), **axes)
    ids, text, promoted = (
        checks.indices(name, values, "n").to(codes.device) for name, (values, _) in axes.items()
    )
    if not (codes >= 0).all():
        raise ValueError("`codes` must be at least 0; some are below. Take their absolute values.")
    is_promoted = (ids[:, None] == promoted).to(codes.dtype)
    strongest = (is_promoted.mT @ codes).max(1)
    successor = strongest.indices.masked_fill(strongest.values <= 0, -1)
    fires = (codes != 0).to(codes.dtype)
    successor_fires = fires[:, successor.clamp_min(0)] * (successor >= 0)
    goes_on = (text[1:] == text[:-1]).to(codes.dtype)[:, None]
    before = fires[:-1] * goes_on
    n_fires = before.sum(0).clamp_min(1)
    said = (before * is_promoted[1:]).sum(0) / n_fires
    follows = (before * successor_fires[1:]).sum(0) / n_fires
    return Handovers(successor, said, follows, successor_fires.mean(0))
