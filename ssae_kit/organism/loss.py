"""The loss of a Llama on documents, token by token and against the entropy floor."""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ssae_kit.organism.corpus import Rows, encode
from ssae_kit.organism.gist import (
    SENTENCE_ENDS,
    TOLD,
    Stage,
    attention_masks,
    lower_blocks_see,
)
from ssae_kit.world.documents import Document

ROW_LENGTH = 204
"""Tokens per packed row, as many as the longest document has; where stories mislead, twice as many."""


def token_losses(
    model: Any,
    documents: list[Document],
    index: dict[str, int],
    is_masked: Bool[Tensor, " documents"] | None = None,
    stage: Stage = "open",
) -> tuple[Float[Tensor, " tokens"], Int64[Tensor, " tokens"]]:
    """Nats per predicted token, and the number of the document that each token belongs to.

    Args:
        model: A `LlamaForCausalLM`.
        documents: What it is to predict; packed into rows.
        index: Token id of every word.
        is_masked: Stories and demands read under the gist mask; None reads all with plain causal
            attention.
        stage: What these see, see `gist`.
    """
    if is_masked is None:
        is_masked = torch.zeros(len(documents), dtype=torch.bool)
    are_told = [document.family in TOLD for document in documents]
    length = ROW_LENGTH * (2 if stage == "misled" else 1)
    rows = Rows([encode(document, index) for document in documents], are_told, length)
    rows.to(model.device)
    ends = tuple(index[mark] for mark in SENTENCE_ENDS)
    lower, upper = attention_masks(rows, is_masked.to(model.device), ends, stage)
    with lower_blocks_see(model, _additive(lower)):
        hidden = model.model(
            input_ids=rows.ids, attention_mask=_additive(upper), position_ids=rows.positions
        ).last_hidden_state
    target, number = rows.ids[:, 1:], rows.document[:, 1:]
    is_predicted = (number >= 0) & (number == rows.document[:, :-1])
    n_given = torch.tensor([document.n_given for document in documents]).to(model.device)
    is_predicted &= rows.positions[:, 1:] > n_given[number.clamp(min=0)]
    logits = model.lm_head(hidden[:, :-1][is_predicted])
    return F.cross_entropy(logits, target[is_predicted], reduction="none"), number[is_predicted]


def _additive(mask: Tensor) -> Tensor:
    """Zero where a token may look, very negative elsewhere, with one axis for all heads."""
    return torch.where(mask, 0.0, -1e9)[:, None]


@torch.no_grad()
def document_losses(
    model: Any, documents: list[Document], index: dict[str, int]
) -> Float[Tensor, " documents"]:
    """Nats per document under plain causal attention, comparable with `log_probability`."""
    totals = []
    for start in range(0, len(documents), 200):
        block = documents[start : start + 200]
        losses, number = token_losses(model, block, index)
        totals.append(torch.zeros(len(block)).index_add(0, number.cpu(), losses.cpu()))
    return torch.cat(totals)


def n_predicted(document: Document) -> int:
    """Tokens of a document that a model predicts: what is not given and, if it is not cut, its end."""
    return len(document.words) - document.n_given + (not document.is_cut)
