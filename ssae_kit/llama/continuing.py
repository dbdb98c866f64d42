"""Prompts that are read once and then continued, through a key-value cache."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from ssae_kit.llama.load import Llama
from ssae_kit.llama.passes import Edits, Reading, at_last, check_logits_move, editing, edits_for
from ssae_kit.llama.rows import Rows, padded
from ssae_kit.llama.sites import drifted, inner, require


class Reader:
    """Reads prompts, then what follows each; gives the states that `unembed` makes logits of."""

    prompts: Float[Tensor, "texts d_model"]
    """State of each prompt's last token."""

    def __init__(self, llama: Llama, rows: Rows, reading: Reading) -> None:
        self.llama, self.reading = llama, reading
        self.cache = DynamicCache(config=llama.model.config)
        ids, last = padded(rows)
        self.mask = torch.zeros(len(rows), 0, dtype=torch.int64)
        is_token = (torch.arange(ids.shape[1]) <= last[:, None]).long()
        self.prompts = at_last(self._read(ids, is_token), last)

    def more(self, ids: Int[Tensor, "texts tokens"]) -> Float[Tensor, "texts tokens d_model"]:
        """Read the tokens that follow all that was read before; return their states."""
        return self._read(ids, torch.ones_like(ids))

    def _read(self, ids: Tensor, is_token: Tensor) -> Tensor:
        # A prompt's padding lies between it and what follows, masked: positions leave it out.
        positions = self.mask.sum(1, keepdim=True) + torch.arange(ids.shape[1])
        self.mask, self.reading.positions = torch.cat([self.mask, is_token], dim=1), positions
        given = (tensor.to(self.llama.device) for tensor in (ids, self.mask, positions))
        # By its place: transformers 5.24 renamed the argument that takes the cache.
        out = inner(self.llama)(*given, self.cache, use_cache=True)
        if self.cache.get_seq_length() != self.mask.shape[1]:
            raise drifted("a key-value cache that a pass fills")
        states: Tensor = require(out, "last_hidden_state")
        return states


@contextmanager
def continuing(llama: Llama, rows: Rows, edits: Edits) -> Iterator[Reader]:
    """Give a reader of these prompts in their order, with edits at every token it reads.

    An edit at "last" acts once, at the last token of the prompt.

    Raises:
        ValueError: if an edit does not fit the prompts.
        RuntimeError: if a vector that was added changed nothing.
    """
    own = edits_for(llama, edits, rows)
    check_logits_move(llama, rows, own)
    with editing(llama, own, torch.arange(len(rows))) as reading:
        yield Reader(llama, rows, reading)
