"""The JumpReLU autoencoder: sparse by a penalty on how many latents fire."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssae_kit import checks
from ssae_kit.autoencoders.base import LossTerms
from ssae_kit.autoencoders.sparse import SparseAutoencoder


class JumpReluSAE(SparseAutoencoder):
    """The JumpReLU autoencoder: each latent learns the threshold below which it stays silent.

        f = z if z > t else 0,      t = exp(log_threshold)

    Sparsity: the mean number of latents that fire. Neither it nor the jump has a useful gradient
    with respect to t, so both use the paper's pseudo-derivative: a window of width `bandwidth`
    about t. Other arguments as in `SparseAutoencoder`.

    Args:
        bandwidth: Width of that window, above 0, in units of `scale`. The paper uses 0.001 and
            millions of steps; short trainings need a wider one.
        first_threshold: Where thresholds start, above 0, same unit.

    Raises:
        ValueError: if one of the two is not above 0 and finite.

    Source: Rajamanoharan et al. 2024 (arXiv 2407.14435), sections 3 and 4.
    """

    options = ("dead_after", "bandwidth", "first_threshold")
    new_share = 1.0

    def __init__(
        self,
        *sizes: int,
        generator: torch.Generator,
        dead_after: int = 200,
        bandwidth: float = 0.1,
        first_threshold: float = 0.1,
    ) -> None:
        super().__init__(*sizes, generator=generator, dead_after=dead_after)
        for name, value in {"bandwidth": bandwidth, "first_threshold": first_threshold}.items():
            checks.require(name, value, "above 0 and finite", lambda x: 0 < x < float("inf"))
        self.bandwidth, self.first_threshold = bandwidth, first_threshold
        start = torch.full((self.n_runs, self.n_latents), first_threshold).log()
        self.log_threshold = nn.Parameter(start)

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error and mean number of latents that fire, per run."""
        scaled = self._scaled(inputs)
        before = self._before(scaled).relu()
        threshold = self.log_threshold.exp()[:, None].expand_as(before)
        fires: Tensor = _Step.apply(before, threshold, self.bandwidth)
        codes = before * fires
        self._note_fired(codes)
        return LossTerms(self._error(codes, scaled), fires.sum(-1).mean(-1))

    def _encode(self, scaled: Tensor) -> Tensor:
        before = self._before(scaled).relu()
        return before * (before > self.log_threshold.exp()[:, None])

    @torch.no_grad()
    def reseed_(
        self, chosen: Bool[Tensor, "run latents"], directions: Float[Tensor, "chosen d_model"]
    ) -> None:
        """Give chosen latents new directions, an encoder of usual size and a low threshold.

        A small encoder, which the other architectures get, would leave the codes below the
        threshold or just above it, where the penalty pushes hardest: the latent would die again.
        """
        low = (0.05 * self._new_norm(chosen)).clamp_max(self.first_threshold)  # [run]
        super().reseed_(chosen, directions)
        self.log_threshold.copy_(torch.where(chosen, low.log()[:, None], self.log_threshold))


class _Step(torch.autograd.Function):
    """1 where z > t, else 0. Backward: minus a window of unit area about t for t, nothing for z.

    JumpReLU is z times this, so the product rule gives the paper's z H'(z - t) for the threshold,
    which it writes with t in place of z: inside a narrow window they agree.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(z, threshold)
        ctx.bandwidth = bandwidth
        return (z > threshold).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        z, threshold = ctx.saved_tensors
        window = ((z - threshold).abs() < ctx.bandwidth / 2).to(z.dtype) / ctx.bandwidth
        return None, -window * gradients[0], None
