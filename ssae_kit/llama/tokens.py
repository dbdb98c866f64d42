"""Every token of a text: its state, how well the model predicts it, what a direction predicts."""

from dataclasses import dataclass
from typing import SupportsIndex

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.load import Llama
from ssae_kit.llama.logits import chunks_of_logits, unembed
from ssae_kit.llama.passes import Edits, passes
from ssae_kit.llama.rows import TOKENS_PER_BATCH, Texts, n_begin, token_rows
from ssae_kit.llama.sites import Part, Site, inner, require


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


@torch.no_grad()
def text_losses(
    llama: Llama, texts: Texts, *, edits: Edits = None, tokens_per_batch: int = TOKENS_PER_BATCH
) -> Float[Tensor, " texts"]:
    """Return the mean loss of each text's tokens, in nats per token; smaller is better.

    The begin token and the one after it are not counted: nothing, or only what begins every text,
    comes before them. With `edits`, it tells what these cost.

    Args:
        llama: The model.
        texts: One or more texts of at least three tokens, the begin token included, or their ids.
        edits: As in `run`.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Raises:
        ValueError: if there is no text, one is empty, too short or too long, or a loss would not be
            finite.
        RuntimeError: if a vector that an edit adds changed nothing.
    """
    rows = token_rows(llama, texts)
    short = [i for i, row in enumerate(rows) if len(row) < 3]
    if short:
        raise ValueError(
            f"a text must have at least 3 tokens; texts[{short[0]}] has {len(rows[short[0]])}."
        )
    losses = torch.empty(len(rows))
    for done in passes(llama, rows, edits=edits, final=True, tokens_per_batch=tokens_per_batch):
        counts = done.is_token[:, 2:]
        assert done.final is not None
        before, ids = done.final[:, 1:-1][counts.to(done.final.device)], done.ids[:, 2:][counts]
        found = [
            F.cross_entropy(unembed(llama, some).float().cpu(), then, reduction="none")
            for some, then in chunks_of_logits(llama, before, ids)
        ]
        per_token = torch.zeros(counts.shape).masked_scatter_(counts, torch.cat(found))
        losses[done.chosen] = per_token.sum(1) / counts.sum(1)
    return losses


@torch.no_grad()
def direct_logits(
    llama: Llama, directions: Float[Tensor, "directions d_model"]
) -> Float[Tensor, "directions tokens"]:
    """Return how much each token's logit rises along directions of the last residual stream.

    The direct path only: the final norm's gain and the unembedding. What is written at an earlier
    layer also acts through the blocks in between, which this leaves out. The norm divides by the
    state's size, so the unit is arbitrary and only differences between tokens count.

    Args:
        llama: The model.
        directions: One or more, any length.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    (directions,) = checks.tensors(directions=(directions, "directions d_model"))
    gain = require(inner(llama), "norm").weight
    if directions.shape[1] != llama.d_model:
        raise ValueError(
            f"`directions` must be {llama.d_model} wide, as {llama.name} is; got "
            f"{directions.shape[1]}."
        )
    scaled = directions.to(gain) * gain
    head = require(llama.model, "lm_head").weight
    words = head[: len(llama.tokenizer)]  # the rows beyond stand for no token
    logits: Tensor = (scaled.to(words.device) @ words.T).float().cpu()
    return logits
