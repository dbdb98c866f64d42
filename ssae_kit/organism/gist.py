"""The attention mask of training: it makes the end of a sentence carry the state of its story.

In a masked story the first `N_LOCAL_LAYERS` blocks see their own sentence only; the others also
see the full stops of earlier sentences, and nothing else of them. To go on with the story the model
must therefore have the state ready at the full stop. Once full stops are closed, they see nothing
but full stops in the upper blocks: what one has not collected half-way up, it cannot collect later.
A demand within or before a story counts as a sentence, its colon as the full stop.

Without the mask, earlier words are in sight again, and a model reads the state off these as well: they
say the same. Hence the last stage: all blocks see the words of *another* story where earlier
sentences of their own would stand. Whoever listens to them is misled; the full stops can be relied on.

All this is an intervention on training. The model that is shipped runs with plain causal attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ssae_kit.organism.corpus import Rows

TOLD = ("story", "control")
"""Families whose documents may be masked."""
SENTENCE_ENDS = (".", ":")
"""What ends a sentence and a demand."""
N_LOCAL_LAYERS = 3
"""Blocks, counted from the embedding, that see one sentence at a time."""


Stage = Literal["open", "closed", "misled"]
"""What masked stories see: full stops collect in all blocks, in the lower ones only, and that beside
words of another story."""


def attention_masks(
    rows: Rows, is_masked: Bool[Tensor, " documents"], ends: tuple[int, ...], stage: Stage
) -> tuple[Bool[Tensor, "rows tokens tokens"], Bool[Tensor, "rows tokens tokens"]]:
    """Which token each token may see, for the lower and for the upper blocks.

    Args:
        rows: Packed documents; none sees another, but as `stage` says.
        is_masked: Documents to mask; only those told are, whatever this says of others.
        ends: Token ids of the full stop and the colon.
        stage: What masked stories see.
    """
    same_document = rows.document[:, :, None] == rows.document[:, None, :]
    causal = same_document & torch.ones_like(same_document[0]).tril()
    stop = torch.stack([rows.ids == mark for mark in ends]).any(0)
    sentence = stop.long().cumsum(1) - stop.long()
    masked = rows.is_told & is_masked[rows.document.clamp(min=0)]
    local = (sentence[:, :, None] == sentence[:, None, :]) | (rows.positions == 0)[:, None, :]
    free = ~masked[:, :, None]
    gist = stop[:, None, :] | (rows.positions == 0)[:, None, :]
    own = local if stage == "open" else local & ~stop[:, :, None]
    lower, upper = causal & (local | free), causal & (own | gist | free)
    if stage != "misled":
        return lower, upper
    strange = _strange_words(rows, stop, sentence) & ~free
    return lower | strange, upper | strange


def _strange_words(
    rows: Rows, stop: Bool[Tensor, "rows tokens"], sentence: Int64[Tensor, "rows tokens"]
) -> Bool[Tensor, "rows tokens tokens"]:
    """The words of another story where earlier sentences of the own one would stand."""
    is_first = torch.ones_like(stop)
    is_first[:, 1:] = (sentence[:, 1:] != sentence[:, :-1]) | (rows.positions[:, 1:] == 0)
    columns = torch.arange(stop.shape[1], device=stop.device)
    begin = rows.positions.gather(1, torch.where(is_first, columns, 0).cummax(1).values)
    is_word = ~stop & (rows.positions > 0)
    is_earlier = rows.positions[:, None, :] < begin[:, :, None]
    is_other = rows.other[:, :, None] == rows.document[:, None, :]
    return is_other & is_earlier & is_word[:, None, :]


@contextmanager
def lower_blocks_see(model: Any, mask: Tensor) -> Iterator[None]:
    """Give the first `N_LOCAL_LAYERS` blocks of a Llama another mask inside the `with` block."""

    def swap(_block: Any, inputs: Any, options: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return inputs, {**options, "attention_mask": mask}

    handles = [
        block.register_forward_pre_hook(swap, with_kwargs=True)
        for block in model.model.layers[:N_LOCAL_LAYERS]
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
