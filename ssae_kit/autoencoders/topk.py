"""Sparse autoencoders whose codes are sparse by construction: TopK, BatchTopK and Matryoshka."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders.base import LossTerms
from ssae_kit.autoencoders.sparse import SparseAutoencoder

FEW = 8
"""Up to this k, finding the k-th largest by k passes is faster than sorting."""


class TopKSAE(SparseAutoencoder):
    """The TopK autoencoder: of relu(z), the k largest stay and the rest become 0.

    Arguments as in `SparseAutoencoder`, and two more. There is nothing to penalise: train it with
    `Penalty()`.

    Args:
        k: Latents that may fire per input, 1 to `n_latents`.
        revival: Weight of the auxiliary loss, at least 0: the `2 k` strongest *dead* latents
            reconstruct what the living ones missed, so that they learn and come back.

    Raises:
        ValueError: if `k` or `revival` is out of range.

    Source: Gao et al. 2024 (arXiv 2406.04093), sections 2.3 and A.2 (there d_model / 2 dead
        latents and weight 1/32).
    """

    options: tuple[str, ...] = ("dead_after", "k", "revival")

    def __init__(self, *sizes: int, k: int, revival: float = 1 / 32, **usual: Any) -> None:
        super().__init__(*sizes, **usual)
        what = "at least 0 and finite"
        checks.require("revival", revival, what, lambda value: 0 <= value < float("inf"))
        self.k = checks.whole("k", k, 1, self.n_latents, " (the number of latents)")
        self.revival = revival

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error, mean sum of codes and the dead latents' own error, per run."""
        scaled = self._scaled(inputs)
        codes = self._encode(scaled)
        self._note_fired(codes)
        excess = self._excess(codes, scaled)
        error = excess.square().sum(-1).mean(-1)
        auxiliary = self._revival(scaled, excess.detach()) if codes.requires_grad else 0.0
        return LossTerms(error, codes.sum(-1).mean(-1), auxiliary)

    def _encode(self, scaled: Tensor) -> Tensor:
        before = self._before(scaled).relu()
        kept = before >= _kth_largest(before, self.k)
        return before * kept.to(before.dtype)  # faster than by a boolean

    def _revival(self, scaled: Tensor, excess: Tensor) -> Tensor | float:
        """Weighted error of the dead latents' attempt at what the living ones missed, per run."""
        if not self.revival or int(self.idle.max()) < self.dead_after:
            return 0.0
        dead = self.dead
        most = int(dead.sum(-1).max())
        # Of every run those idle for longest, as many as the run with most dead latents has dead.
        own = torch.arange(self.n_runs, device=dead.device)[:, None]
        chosen = self.idle.topk(most).indices  # [run, most]; `own` and it pick rows of each run
        weight, bias = self.encoder[own, chosen].mT, self.encoder_bias[own, chosen]
        before = self._affine(scaled, weight, bias).relu() * dead[own, chosen][:, None]
        codes = before * (before >= _kth_largest(before, min(2 * self.k, most)))
        # What the living missed is input minus reconstruction, so minus `excess`.
        left = torch.baddbmm(excess, codes, self.decoder.mT[own, chosen])
        total = excess.square().sum((-2, -1)).clamp_min(1e-12)
        return self.revival * left.square().sum((-2, -1)) / total * dead.any(-1)


@torch.no_grad()
def _kth_largest(codes: Tensor, k: int) -> Tensor:
    """Return the k-th largest of each row, `[..., 1]`; codes are at least 0.

    Where codes tie, which floating-point numbers hardly ever do, more than k are as large.
    """
    if k > FEW:
        return codes.topk(k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    largest, smaller = codes.amax(-1, keepdim=True), torch.empty_like(codes)
    for _ in range(k - 1):
        # 0 or 1 in floating point: comparing and multiplying booleans takes three times as long.
        torch.lt(codes, largest, out=smaller)
        largest = smaller.mul_(codes).amax(-1, keepdim=True)
    return largest


class BatchTopKSAE(SparseAutoencoder):
    """The BatchTopK autoencoder: k latents fire per input *on average over the batch*.

    In training, of all relu(z) in a batch the `k * batch` largest stay. Afterwards inputs must not
    depend on their neighbours: a latent fires above `threshold`, the running mean of the smallest
    code that stayed. Train it with `Penalty()`. Other arguments as in `SparseAutoencoder`.

    Args:
        k: Mean number of latents that fire per input, 1 to `n_latents`.

    Raises:
        ValueError: if `k` is out of range.

    Source: Bussmann et al. 2024 (arXiv 2412.06410), section 3.
    """

    options: tuple[str, ...] = ("dead_after", "k")
    threshold: Tensor
    """Codes above it fire after training, `[run]`."""

    def __init__(self, *sizes: int, k: int, **usual: Any) -> None:
        super().__init__(*sizes, **usual)
        self.k = checks.whole("k", k, 1, self.n_latents, " (the number of latents)")
        self.register_buffer("threshold", torch.zeros(self.n_runs))

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error and mean sum of codes, per run."""
        scaled = self._scaled(inputs)
        codes = self._batch_codes(scaled)
        return LossTerms(self._error(codes, scaled), codes.sum(-1).mean(-1))

    def _encode(self, scaled: Tensor) -> Tensor:
        return self._above(self._before(scaled).relu())

    def _batch_codes(self, scaled: Tensor) -> Tensor:
        """Codes by the batch's own cut while training, by the threshold afterwards."""
        before = self._before(scaled).relu()
        codes = self._largest(before) if before.requires_grad else self._above(before)
        self._note_fired(codes)
        return codes

    def _above(self, before: Tensor) -> Tensor:
        return before * (before > self.threshold[:, None, None])

    def _largest(self, before: Tensor) -> Tensor:
        """Keep the `k * batch` largest of each run, and move the threshold towards the smallest."""
        kept = before.detach().flatten(1).topk(self.k * before.shape[1], dim=1).values
        cut = kept[:, -1].clamp_min(1e-9)
        fresh = self.threshold == 0
        self.threshold.lerp_(cut, 0.01)
        self.threshold.copy_(torch.where(fresh, cut, self.threshold))
        return before * (before >= cut[:, None, None])


class MatryoshkaSAE(BatchTopKSAE):
    """The Matryoshka autoencoder: each prefix of the dictionary must reconstruct on its own.

    The first few latents must be useful without the rest, so they learn general concepts, and
    later latents cannot take a general concept's special cases away from it. The error is that of
    the whole dictionary; the prefixes' errors are the auxiliary term. Otherwise a `BatchTopKSAE`.

    Args:
        prefixes: Lengths of the shorter prefixes, ascending, each below `n_latents`.

    Raises:
        ValueError: if the prefixes are not ascending, or out of range.

    Source: Bussmann et al. 2025 (arXiv 2503.17547), section 3.
    """

    options: tuple[str, ...] = ("dead_after", "k", "prefixes")

    def __init__(self, *sizes: int, prefixes: Sequence[int], **usual: Any) -> None:
        super().__init__(*sizes, **usual)
        prefixes = [checks.whole("prefixes", prefix) for prefix in prefixes]
        ends = [0, *prefixes, self.n_latents]
        if not prefixes or any(a >= b for a, b in pairwise(ends)):
            raise ValueError(
                "`prefixes` must be ascending lengths between 1 and "
                f"{self.n_latents - 1}; got {prefixes}."
            )
        self.prefixes = prefixes

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error, mean sum of codes, and the summed errors of the prefixes, per run."""
        scaled = self._scaled(inputs)
        codes = self._batch_codes(scaled)
        ends = [0, *self.prefixes, self.n_latents]
        missed = scaled - self.decoder_bias[:, None]
        errors = []
        for start, end in pairwise(ends):
            part = codes[..., start:end], self.decoder.mT[:, start:end]
            missed = torch.baddbmm(missed, *part, alpha=-1)
            errors.append(missed.square().sum(-1).mean(-1))
        return LossTerms(errors[-1], codes.sum(-1).mean(-1), torch.stack(errors[:-1]).sum(0))
