"""Numbered random streams: what a notebook draws, and the one number that draws all of it anew."""

import torch

APART = 1_000_003
"""Distance between two notebooks' worth of numbers, above any number that one of them uses."""


class Streams:
    """Random streams by number; data, initial weights and batches never share one.

    Args:
        stream: Moves every stream at once, at least 0. A claim must hold at 0, 1, 2, ... alike.

    Raises:
        ValueError: if `stream` is below 0.
    """

    def __init__(self, stream: int = 0) -> None:
        if stream < 0:
            raise ValueError(f"`stream` must be at least 0; got {stream}. Choose 0, 1, 2, ...")
        self._start = APART * stream

    def seed(self, number: int) -> int:
        """Return the seed of a stream, for what takes a number in place of a generator."""
        return self._start + number

    def __call__(self, number: int) -> torch.Generator:
        """Return a stream from its beginning."""
        return torch.Generator().manual_seed(self.seed(number))
