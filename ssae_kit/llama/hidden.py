"""Hidden states of texts: at the last token, at one or several layers, or at every token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit.llama.load import Llama
from ssae_kit.llama.passes import Edits, passes
from ssae_kit.llama.rows import TOKENS_PER_BATCH, Texts, n_begin, token_rows
from ssae_kit.llama.sites import Part, Site


@torch.no_grad()
def hidden_states(
    llama: Llama,
    texts: Texts,
    layer: SupportsIndex | Sequence[SupportsIndex],
    *,
    part: Part = "block",
    edits: Edits = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Float[Tensor, "*layers texts d_model"]:
    """Return the hidden state at the last token of each text.

    Each text gets the state it would get alone. One pass gives all layers, and stops at the highest
    that is wanted.

    Args:
        llama: The model.
        texts: One or more texts, none empty, or the token ids of each.
        layer: 0 is the embedding, l the output of block l; a sequence asks for several at once.
        part: "block" for the residual stream after block l; "mlp" or "attention" for what that adds
            to it. For a single head, use `run`.
        edits: As in `run`.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Returns:
        Float32 on the CPU, in the order of the texts; for a sequence of layers, stacked in front
        in the order of the layers.

    Raises:
        ValueError: if the layer or part does not exist, there is no text, one is empty or too long,
            or a state is not finite.
        RuntimeError: if a vector that an edit adds changed nothing.
    """
    is_one = hasattr(layer, "__index__") and not getattr(layer, "shape", ())  # no array of several
    wanted: Any = [layer] if is_one else layer
    sites = [Site(one, part) for one in wanted]
    if not sites:
        raise ValueError("at least one layer is required; got none.")
    rows = token_rows(llama, texts)
    states = torch.empty(len(sites), len(rows), llama.d_model)
    options: dict[str, Any] = {"edits": edits, "tokens_per_batch": tokens_per_batch}
    for done in passes(llama, rows, keep=sites, at="last", **options):
        for kept, site in zip(states, sites, strict=True):
            kept[done.chosen] = done[site].float().cpu()
    return states[0] if is_one else states


@dataclass(frozen=True)
class TokenStates:
    """States of all tokens of several texts but the begin token of each, text after text."""

    states: Float[Tensor, "tokens d_model"]
    """Float32 on the CPU."""
    ids: Int64[Tensor, " tokens"]
    """Token at each position."""
    text: Int64[Tensor, " tokens"]
    """Number of the text it belongs to, ascending."""


@torch.no_grad()
def token_states(
    llama: Llama,
    texts: Texts,
    layer: SupportsIndex,
    *,
    part: Part = "block",
    edits: Edits = None,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> TokenStates:
    """Return the hidden state at every token of each text but its begin token.

    That token begins every text, so its state is always the same; in large Llamas it is also many
    times longer than any other, and would dominate whatever is fitted to the states.

    Args:
        llama: The model.
        texts: One or more texts, none empty, or the token ids of each.
        layer: 0 is the embedding, l the output of block l.
        part: "block" for the residual stream after block l; "mlp" or "attention" for what that adds
            to it.
        edits: As in `run`.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Raises:
        ValueError: if the layer or part does not exist, there is no text, one is empty or too
            long, or a state is not finite.
        RuntimeError: if a vector that an edit adds changed nothing.
    """
    site, rows = Site(layer, part), token_rows(llama, texts)
    own = [row[n_begin(llama, row) :] for row in rows]
    kept: list[Tensor] = [torch.empty(0)] * len(rows)
    for done in passes(llama, rows, keep=[site], edits=edits, tokens_per_batch=tokens_per_batch):
        for state, i in zip(done[site].float().cpu(), done.chosen.tolist(), strict=True):
            kept[i] = state[len(rows[i]) - len(own[i]) : len(rows[i])].clone()
    lengths = torch.tensor([len(row) for row in own])
    ids = torch.tensor([token for row in own for token in row], dtype=torch.int64)
    return TokenStates(torch.cat(kept), ids, torch.arange(len(rows)).repeat_interleave(lengths))
