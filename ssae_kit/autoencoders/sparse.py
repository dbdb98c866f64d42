"""Sparse autoencoders whose codes a penalty makes sparse: ReLU, tied, gated and JumpReLU."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ssae_kit import checks
from ssae_kit.autoencoders.base import Autoencoder, LossTerms


class SparseAutoencoder(Autoencoder):
    """Base of the sparse autoencoders: non-negative codes f of inputs x, about a bias.

        z = W_e (x - b_d) + b_e,      f = activation(z),      x' = W_d f + b_d

    `scale` is the root mean square distance of the training inputs from their mean, and b_d starts
    at that mean. The error is therefore the share of variance left unexplained. A subclass with a
    `loss` of its own calls `_note_fired(codes)` there, or no latent will ever count as dead.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        d_model: Width of the inputs.
        n_latents: Length of the code.
        generator: Source of the initial directions; the encoder starts as their transpose.
        dead_after: Batches without firing after which a latent counts as dead, at least 1.

    Raises:
        ValueError: if a size or `dead_after` is below 1.
    """

    options: tuple[str, ...] = ("dead_after",)
    new_share = 0.2
    """Norm of a reseeded latent's encoder row over the mean norm of the others."""
    zero_at_first: tuple[str, ...] = ("idle", "encoder_bias")
    """Numbers per latent that start at 0."""
    idle: Tensor
    """Training batches since each latent fired, `[run, latents]`."""

    def __init__(
        self,
        n_runs: int,
        d_model: int,
        n_latents: int,
        *,
        generator: torch.Generator,
        dead_after: int = 200,
    ) -> None:
        super().__init__(n_runs, d_model, n_latents, generator=generator)
        self.dead_after = checks.whole("dead_after", dead_after, what=" batch")
        self.register_buffer("idle", torch.zeros(n_runs, n_latents, dtype=torch.long))

    @property
    def dead(self) -> Bool[Tensor, "run latents"]:
        """Latents that none of the last `dead_after` training batches made fire."""
        return self.idle >= self.dead_after

    @torch.no_grad()
    def calibrate_(self, inputs: Float[Tensor, "*run samples d_model"]) -> None:
        """Set `scale` and the decoder bias from the training inputs, in place.

        Raises:
            ValueError: if the inputs are of another shape or not finite, or do not vary.
        """
        mean, variance = self._moments(inputs)
        size = mean.square().sum(-1) + variance
        if not (variance > 1e-12 * size).all():
            raise ValueError(
                "the inputs must vary; every one is the same. Check how they were collected."
            )
        self.scale.copy_(variance.sqrt().expand(self.n_runs))
        centre = mean / variance.sqrt()[..., None]
        self.decoder_bias.copy_(centre.expand(self.n_runs, -1))

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return the unexplained share of variance and the mean sum of codes, per run."""
        scaled = self._scaled(inputs)
        codes = self._encode(scaled)
        self._note_fired(codes)
        return LossTerms(self._error(codes, scaled), codes.sum(-1).mean(-1))

    def _encode(self, scaled: Tensor) -> Tensor:
        return self._before(scaled).relu()

    def _before(self, scaled: Tensor) -> Tensor:
        """Encoder output before the activation."""
        weight = self.decoder if self.tied else self.encoder.mT
        return self._affine(scaled, weight, self.encoder_bias)

    def _affine(self, scaled: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # W (x - b_d) + b_e as one product: W x + (b_e - W b_d).
        centre = self.decoder_bias[:, None]
        return torch.baddbmm(torch.baddbmm(bias[:, None], centre, weight, alpha=-1), scaled, weight)

    def _error(self, codes: Tensor, scaled: Tensor) -> Tensor:
        return self._excess(codes, scaled).square().sum(-1).mean(-1)

    def _excess(self, codes: Tensor, scaled: Tensor) -> Tensor:
        """Reconstruction minus input, without holding both."""
        return torch.baddbmm(self.decoder_bias[:, None] - scaled, codes, self.decoder.mT)

    @torch.no_grad()
    def _note_fired(self, codes: Tensor) -> None:
        """Count batches since each latent fired; only while training, when gradients are on."""
        if codes.requires_grad:
            self.idle += 1
            self.idle.masked_fill_(codes.amax(1) > 0, 0)

    @torch.no_grad()
    def reseed_(
        self, chosen: Bool[Tensor, "run latents"], directions: Float[Tensor, "chosen d_model"]
    ) -> None:
        """Give chosen latents new directions and a small encoder, in place.

        Args:
            chosen: Latents to start anew.
            directions: Their new directions, unit norm, in the order of `chosen.nonzero()`.

        Source: Bricken et al. 2023, "Neuron resampling": encoder rows get 0.2 of the mean norm.
        """
        if not self.tied:
            rows = self._new_norm(chosen)[:, None].expand_as(chosen)[chosen]
            self.encoder[chosen] = directions * rows[:, None]
        self.decoder.mT[chosen] = directions
        for name in self.zero_at_first:
            getattr(self, name)[chosen] = 0

    def _new_norm(self, chosen: Tensor) -> Tensor:
        """Norm of new encoder rows `[run]`: a share of the mean of those that stay, if any do."""
        stay = ~chosen | chosen.all(-1, keepdim=True)
        norms = self.encoder.norm(dim=-1) * stay
        share: Tensor = self.new_share * norms.sum(-1) / stay.sum(-1)
        return share.clamp_min(1e-3)


class ReluSAE(SparseAutoencoder):
    """The ReLU autoencoder with an L1 penalty: f = relu(z). Sparsity: the mean sum of codes.

    Arguments as in `SparseAutoencoder`.

    Source: Bricken et al. 2023, "Towards Monosemanticity".
    """


class TiedSAE(SparseAutoencoder):
    """The tied ReLU autoencoder: the encoder is the transpose of the unit-norm decoder.

    Arguments as in `SparseAutoencoder`. The paper has no decoder bias; ours keeps it, so that every
    architecture sees centred inputs.

    Source: Cunningham et al. 2023 (arXiv 2309.08600), section 2.
    """

    tied = True


class GatedSAE(SparseAutoencoder):
    """The gated autoencoder: one affine map says which latents fire, a rescaled one how strongly.

        gate = W_e (x - b_d) + b_e,    size = exp(r) * W_e (x - b_d) + b_m,    f = [gate > 0] relu(size)

    The penalty falls on relu(gate) only, so it does not shrink the codes. The gate has no gradient
    through the step; a second reconstruction, from relu(gate) with the decoder held fixed, trains
    it. Sparsity: the mean sum of relu(gate). Arguments as in `SparseAutoencoder`.

    Source: Rajamanoharan et al. 2024 (arXiv 2404.16014), section 3.
    """

    zero_at_first = ("idle", "encoder_bias", "log_magnitude", "magnitude_bias")

    def __init__(self, *sizes: int, **usual: Any) -> None:
        super().__init__(*sizes, **usual)
        self.log_magnitude = nn.Parameter(torch.zeros(self.n_runs, self.n_latents))
        self.magnitude_bias = nn.Parameter(torch.zeros(self.n_runs, self.n_latents))

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error, mean sum of gates, and the gates' own reconstruction error, per run."""
        scaled = self._scaled(inputs)
        gate = self._before(scaled)
        codes = self._gated(gate)
        self._note_fired(codes)
        opened = gate.relu()
        fixed_bias, fixed = self.decoder_bias.detach(), self.decoder.detach()
        by_gate = torch.baddbmm(fixed_bias[:, None], opened, fixed.mT)
        auxiliary = (by_gate - scaled).square().sum(-1).mean(-1)
        return LossTerms(self._error(codes, scaled), opened.sum(-1).mean(-1), auxiliary)

    def _encode(self, scaled: Tensor) -> Tensor:
        return self._gated(self._before(scaled))

    def _gated(self, gate: Tensor) -> Tensor:
        shared = gate - self.encoder_bias[:, None]
        size = shared * self.log_magnitude.exp()[:, None] + self.magnitude_bias[:, None]
        return size.relu() * (gate > 0)


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

    options: tuple[str, ...] = ("dead_after", "bandwidth", "first_threshold")
    new_share = 1.0

    def __init__(
        self, *sizes: int, bandwidth: float = 0.1, first_threshold: float = 0.1, **usual: Any
    ) -> None:
        super().__init__(*sizes, **usual)
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
