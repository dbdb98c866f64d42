"""Sparse autoencoders whose codes are sparse by construction: TopK, BatchTopK and Matryoshka."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

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

    def __init__(
        self,
        *sizes: int,
        generator: torch.Generator,
        k: int,
        dead_after: int = 200,
        revival: float = 1 / 32,
    ) -> None:
        super().__init__(*sizes, generator=generator, dead_after=dead_after)
        _check_k(k, self.n_latents)
        if not revival >= 0:
            raise ValueError(f"`revival` must be at least 0; got {revival}.")
        self.k, self.revival = k, revival

    @property
    def settings(self) -> dict[str, Any]:
        """What the constructor needs beyond the sizes; JSON can hold it."""
        return super().settings | {"k": self.k, "revival": self.revival}

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error, mean sum of codes and the dead latents' own error, per run."""
        scaled = self._scaled(inputs)
        weights = self.encoder, self.encoder_bias, self.decoder, self.decoder_bias
        error, totals, excess = _TopK.apply(scaled, *weights, self.k)
        auxiliary: Tensor | float = 0.0
        if error.requires_grad:
            self._count_idle(totals > 0)
            auxiliary = self._revival(scaled, excess)
        return LossTerms(error, totals.sum(-1) / scaled.shape[1], auxiliary)

    def _encode(self, scaled: Tensor) -> Tensor:
        before = self._before(scaled).relu()
        values, latents = before.topk(self.k, dim=-1, sorted=False)
        return torch.zeros_like(before).scatter(-1, latents, values)

    def _revival(self, scaled: Tensor, excess: Tensor) -> Tensor | float:
        """Weighted error of the dead latents' attempt at what the living ones missed, per run."""
        if not self.revival or int(self.idle.max()) < self.dead_after:
            return 0.0
        dead = self.dead
        most = int(dead.sum(-1).max())
        # Of every run those idle for longest, as many as the run with most dead latents has dead.
        own, chosen = torch.arange(self.n_runs)[:, None], self.idle.topk(most).indices
        weight, bias = self.encoder[own, chosen].mT, self.encoder_bias[own, chosen]
        before = self._affine(scaled, weight, bias) * dead[own, chosen][:, None]
        codes = _keep_largest(before, min(2 * self.k, most))
        left = torch.baddbmm(excess, codes, self.decoder.mT[own, chosen])
        total = excess.square().sum((-2, -1)).clamp_min(1e-12)
        return self.revival * left.square().sum((-2, -1)) / total * dead.any(-1)


class _TopK(torch.autograd.Function):
    """Error per run, each latent's codes summed over the batch, and reconstruction minus input.

    The gradient is written by hand, which saves a tenth of a training step: codes are above 0 just
    where they may learn, so that no mask is kept, and few small tensors are made on the way. There
    is none for the inputs, and none of the last of the three.
    """

    @staticmethod
    def forward(
        ctx: Any,
        scaled: Tensor,
        encoder: Tensor,
        encoder_bias: Tensor,
        decoder: Tensor,
        decoder_bias: Tensor,
        k: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        centre = decoder_bias[:, None]
        bias = torch.baddbmm(encoder_bias[:, None], centre, encoder.mT, alpha=-1)
        codes = _keep_largest(torch.baddbmm(bias, scaled, encoder.mT), k)
        excess = torch.baddbmm(centre - scaled, codes, decoder.mT)
        ctx.save_for_backward(scaled, encoder, decoder, decoder_bias, codes, excess)
        ctx.mark_non_differentiable(excess)
        ctx.set_materialize_grads(False)
        return excess.square().sum((-2, -1)) / scaled.shape[1], codes.sum(1), excess

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        scaled, encoder, decoder, decoder_bias, codes, excess = ctx.saved_tensors
        of_error, of_totals, _ = gradients
        of_error = excess.new_zeros(len(excess)) if of_error is None else of_error
        of_excess = excess * (of_error * (2 / scaled.shape[1]))[:, None, None]
        of_codes = torch.bmm(of_excess, decoder)
        if of_totals is not None:
            of_codes += of_totals[:, None]
        of_before = of_codes.mul_(codes.sign())
        of_bias = of_before.sum(1)
        of_encoder = torch.bmm(of_before.mT, scaled)
        of_encoder.addcmul_(of_bias[..., None], decoder_bias[:, None], value=-1)
        of_centre = torch.baddbmm(of_excess.sum(1)[:, None], of_bias[:, None], encoder, alpha=-1)
        return None, of_encoder, of_bias, torch.bmm(of_excess.mT, codes), of_centre[:, 0], None


def _check_k(k: int, n_latents: int) -> None:
    if not 1 <= k <= n_latents:
        raise ValueError(
            f"`k` must lie in 1..{n_latents} (the number of latents); got {k}. "
            "Lower `k` or widen the autoencoder."
        )


def _keep_largest(values: Tensor, k: int) -> Tensor:
    """Set all but the k largest of each row to 0, and what is below 0 as well.

    Where values tie, which floating-point numbers hardly ever do, more than k may stay.
    """
    fixed = values.detach()
    cut = _kth_largest(fixed, k).clamp_min_(torch.finfo(values.dtype).tiny)
    return values * torch.ge(fixed, cut, out=torch.empty_like(fixed))


def _kth_largest(values: Tensor, k: int) -> Tensor:
    """Return the k-th largest of each row, if it is above 0; in k passes if they are few."""
    if k > FEW:
        return values.topk(k, dim=-1, sorted=False).values.amin(-1, keepdim=True)
    largest = values.amax(-1, keepdim=True)
    smaller = torch.empty_like(values)
    for _ in range(k - 1):
        # 0 or 1 in floating point: comparing and multiplying booleans takes three times as long.
        torch.lt(values, largest, out=smaller)
        largest = smaller.mul_(values).amax(-1, keepdim=True)
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

    def __init__(
        self, *sizes: int, generator: torch.Generator, k: int, dead_after: int = 200
    ) -> None:
        super().__init__(*sizes, generator=generator, dead_after=dead_after)
        _check_k(k, self.n_latents)
        self.k = k
        self.threshold: Tensor
        self.register_buffer("threshold", torch.zeros(self.n_runs))

    @property
    def settings(self) -> dict[str, Any]:
        """What the constructor needs beyond the sizes; JSON can hold it."""
        return super().settings | {"k": self.k}

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

    def __init__(
        self,
        *sizes: int,
        generator: torch.Generator,
        k: int,
        prefixes: Sequence[int],
        dead_after: int = 200,
    ) -> None:
        super().__init__(*sizes, generator=generator, k=k, dead_after=dead_after)
        ends = [0, *prefixes, self.n_latents]
        if not prefixes or any(a >= b for a, b in pairwise(ends)):
            raise ValueError(
                "`prefixes` must be ascending lengths between 1 and "
                f"{self.n_latents - 1}; got {list(prefixes)}."
            )
        self.prefixes = list(prefixes)

    @property
    def settings(self) -> dict[str, Any]:
        """What the constructor needs beyond the sizes; JSON can hold it."""
        return super().settings | {"prefixes": self.prefixes}

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
