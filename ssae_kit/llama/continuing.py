"""Prompts that are read once and then continued, through a key-value cache."""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from ssae_kit.llama.hooks import inner
from ssae_kit.llama.load import Llama
from ssae_kit.llama.passes import Edits, at_last, check_logits_move, editing, edits_for
from ssae_kit.llama.rows import padded
from ssae_kit.llama.sites import drifted, require

CACHE_NAMES = ("cache", "past_key_values")
"""What transformers calls the argument: the first from 5.24 on, the second before."""


class Reader:
    """Reads prompts, then what follows each; gives the states that `unembed` makes logits of."""

    def __init__(self, llama: Llama, rows: Sequence[Sequence[int]]) -> None:
        self.llama = llama
        self.ids, self.last = padded(rows)
        self.cache = DynamicCache(config=llama.model.config)
        self.mask = (torch.arange(self.ids.shape[1]) <= self.last[:, None]).long()
        self.next = self.last[:, None] + 1

    def prompts(self) -> Float[Tensor, "texts d_model"]:
        """Read the prompts; return the state of each one's last token."""
        positions = torch.arange(self.ids.shape[1]).expand_as(self.ids)
        return at_last(self._read(self.ids, positions), self.last)

    def more(self, ids: Int[Tensor, "texts tokens"]) -> Float[Tensor, "texts tokens d_model"]:
        """Read the tokens that follow all that was read before; return their states."""
        positions = self.next + torch.arange(ids.shape[1])
        self.next = self.next + ids.shape[1]
        self.mask = torch.cat([self.mask, torch.ones_like(positions)], dim=1)
        return self._read(ids, positions)

    def _read(self, ids: Tensor, positions: Tensor) -> Tensor:
        device = self.llama.device
        out = inner(self.llama)(
            input_ids=ids.to(device),
            attention_mask=self.mask.to(device),
            position_ids=positions.to(device),
            use_cache=True,
            **{_cache_name(inner(self.llama)): self.cache},
        )
        if self.cache.get_seq_length() != self.mask.shape[1]:
            raise drifted("a key-value cache that a pass fills")
        states: Tensor = require(out, "last_hidden_state")
        return states


@contextmanager
def continuing(llama: Llama, rows: Sequence[Sequence[int]], edits: Edits) -> Iterator[Reader]:
    """Give a reader of these prompts in their order, with edits at every token it reads.

    An edit at "last" acts once, at the last token of the prompt.

    Raises:
        ValueError: if an edit does not fit the prompts.
        RuntimeError: if a vector that was added changed nothing.
    """
    own = edits_for(llama, edits, rows)
    check_logits_move(llama, rows, own)
    with editing(llama, own, torch.arange(len(rows))):
        yield Reader(llama, rows)


def _cache_name(model: Any) -> str:
    named = inspect.signature(model.forward).parameters
    for name in CACHE_NAMES:
        if name in named:
            return name
    raise drifted(f"an argument {' or '.join(CACHE_NAMES)} of {type(model).__name__}")
