"""From the last states of a pass to logits and probabilities, within a budget of memory."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.load import Llama
from ssae_kit.llama.sites import require

BUDGET = 2_000_000_000
"""Bytes that caches, hidden layers and logits of one pass may take: an 8B model in bfloat16 leaves
8 GB of a 24 GB card, and torch needs room to move."""

COPIES = 5
"""Float32 numbers alive per logit while probabilities are compared."""


def unembed(llama: Llama, final: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any vocab"]:
    """Return the logits of final states.

    Raises:
        ValueError: if one is not finite.
    """
    logits: Tensor = require(llama.model, "lm_head")(final)
    if not checks.is_finite(logits):
        raise ValueError(
            f"logits must be finite; {llama.name} gave NaN or infinity. Weights may be corrupt, an "
            "added vector too large, or their dtype too narrow."
        )
    return logits


@torch.no_grad()
def log_probs(llama: Llama, states: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any vocab"]:
    """Return the log-probabilities of the next token from the states before the logits."""
    return unembed(llama, states).float().log_softmax(-1)


def chunks_of_logits(llama: Llama, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors alike along their first axis, so that logits of each piece fit the budget."""
    size = max(1, BUDGET // (4 * COPIES * llama.model.config.vocab_size))
    yield from zip(*(tensor.split(size) for tensor in tensors), strict=True)
