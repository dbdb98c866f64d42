"""Every token of a text: its state, how well the model predicts it, what a direction predicts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit.llama.hidden import TOKENS_PER_BATCH, batches, outputs, padded, token_rows
from ssae_kit.llama.intervene import refuse_inside
from ssae_kit.llama.load import Llama, Part


@dataclass(frozen=True)
class TokenStates:
    """States of all tokens of several texts but the first of each, text after text."""

    states: Float[Tensor, "tokens d_model"]
    """Float32 on the CPU."""
    ids: Int64[Tensor, " tokens"]
    """Token at each position."""
    text: Int64[Tensor, " tokens"]
    """Number of the text it belongs to, ascending."""


def token_states(
    llama: Llama,
    texts: Sequence[str],
    layer: int,
    *,
    part: Part = "block",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> TokenStates:
    """Return the hidden state at every token of each text but its first.

    The first token begins every text, so its state is always the same; in large Llamas it is also
    many times longer than any other, and would dominate whatever is fitted to the states.

    Args:
        llama: The model.
        texts: One or more texts, none empty.
        layer: 0 is the embedding, l the output of block l.
        part: "block" for the residual stream after block l, "mlp" for what its MLP adds to it.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Raises:
        ValueError: if the layer or part does not exist, there is no text, or one is empty or too
            long.
        RuntimeError: inside `intervene`, which needs the order of the texts; use `edit`.
    """
    rows = token_rows(llama, texts)
    kept: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch in batches([len(row) for row in rows], tokens_per_batch):
        (states,) = outputs(llama, [rows[i] for i in batch], [layer], part, lambda hidden: hidden)
        for state, i in zip(states, batch, strict=True):
            kept[i] = state[1 : len(rows[i])].clone()
    lengths = torch.tensor([len(row) - 1 for row in rows])
    ids = torch.tensor([token for row in rows for token in row[1:]])
    return TokenStates(torch.cat(kept), ids, torch.arange(len(rows)).repeat_interleave(lengths))


@torch.no_grad()
def text_losses(
    llama: Llama, texts: Sequence[str], *, tokens_per_batch: int = TOKENS_PER_BATCH
) -> Float[Tensor, " texts"]:
    """Return the mean loss of each text's tokens, in nats per token; smaller is better.

    The first two tokens are not counted: nothing, or only the token that begins every text, comes
    before them. Use it inside `edit` to learn what an edit costs.

    Args:
        llama: The model.
        texts: One or more texts of at least three tokens.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Raises:
        ValueError: if there is no text, or one is empty, too short or too long.
        RuntimeError: inside `intervene`, which needs the order of the texts; use `edit`.
    """
    refuse_inside(llama)
    rows = token_rows(llama, texts)
    short = [i for i, row in enumerate(rows) if len(row) < 3]
    if short:
        raise ValueError(
            f"a text must have at least 3 tokens; texts[{short[0]}] has {len(rows[short[0]])}."
        )
    losses = torch.empty(len(rows))
    for batch in batches([len(row) for row in rows], tokens_per_batch):
        ids = padded([rows[i] for i in batch]).to(llama.device)
        logits = llama.model(ids, use_cache=False).logits[:, 1:-1].float()
        per_token = F.cross_entropy(logits.mT, ids[:, 2:], reduction="none").cpu()
        for i, row in zip(batch, per_token, strict=True):
            losses[i] = row[: len(rows[i]) - 2].mean()
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
    inner = llama.model
    scaled = directions.to(inner.model.norm.weight) * inner.model.norm.weight
    words = inner.lm_head.weight[: len(llama.tokenizer)]  # the rows beyond stand for no token
    logits: Tensor = (scaled @ words.T).float().cpu()
    return logits
