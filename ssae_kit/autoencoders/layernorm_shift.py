"""The shift autoencoder with the layer norms of its authors' code, to see what they do."""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from ssae_kit.autoencoders.shift import ShiftAutoencoder


class LayerNormShiftAutoencoder(ShiftAutoencoder):
    """A `ShiftAutoencoder` with a trainable layer norm on its input and another on its code.

        r = LN(W_e (LN(x) - b_d) + b_e),      x' = W_d r + b_d

    A layer norm subtracts the mean of a vector's entries and divides by their spread. So every
    code has the same mean and spread before the norm's own gain and shift: a shift twice as long
    gets the same code, and so does a pair where one concept changes as one where three do.
    The layout follows the authors' code; nothing of it is copied.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        d_model: Width of the inputs.
        n_latents: Length of the code.
        generator: Source of the initial directions.

    Raises:
        ValueError: if a size is below 1.

    Source: Joshi et al. 2025 (arXiv 2502.12179), code of 2025.
    """

    def __init__(
        self, n_runs: int, d_model: int, n_latents: int, *, generator: torch.Generator
    ) -> None:
        super().__init__(n_runs, d_model, n_latents, generator=generator)
        self.input_gain = nn.Parameter(torch.ones(n_runs, d_model))
        self.input_shift = nn.Parameter(torch.zeros(n_runs, d_model))
        self.code_gain = nn.Parameter(torch.ones(n_runs, n_latents))
        self.code_shift = nn.Parameter(torch.zeros(n_runs, n_latents))

    def _encode(self, scaled: Tensor) -> Tensor:
        normed = layer_norm(scaled, (self.d_model,)) * self.input_gain[:, None]
        centred = normed + (self.input_shift - self.decoder_bias)[:, None]
        codes = layer_norm(super()._encode(centred), (self.n_latents,))
        return codes * self.code_gain[:, None] + self.code_shift[:, None]
