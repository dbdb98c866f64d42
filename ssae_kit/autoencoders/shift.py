"""The Sparse Shift Autoencoder: an affine autoencoder of shifts; and the authors' own, with norms."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from ssae_kit.autoencoders.base import Autoencoder, LossTerms


class ShiftAutoencoder(Autoencoder):
    """The Sparse Shift Autoencoder: an affine encoder and an affine decoder for shifts.

    With shift x, code r and unit-norm decoder directions w_1, w_2, ... (the columns of W_d):

        r = W_e x + b_e,      x' = W_d r + b_d

    The code is signed: a concept may change either way. Nothing in the network makes the code
    sparse; the constraint on its mean absolute value does (see `ssae_kit.training`). Without
    unit-norm directions that constraint would mean nothing: codes could shrink while directions
    grow. The authors' code adds a LayerNorm before and after the encoder. We leave both out,
    because they erase how large a shift is.

    `scale` is the root mean square length of the training shifts; the sparsity term is the mean
    absolute code over pairs and latents.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        d_model: Width of the inputs.
        n_latents: Length of the code.
        generator: Source of the initial directions.

    Raises:
        ValueError: if a size is below 1.

    Source: Joshi et al. 2025 (arXiv 2502.12179), read in abstract and code, not in full.
    """

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error and sparsity of a batch, per run."""
        scaled = self._scaled(inputs)
        codes = self._encode(scaled)
        error = nn.functional.mse_loss(self._decode(codes), scaled, reduction="none")
        return LossTerms(error.sum(-1).mean(-1), codes.abs().mean((-2, -1)))

    def _encode(self, scaled: Tensor) -> Tensor:
        return torch.baddbmm(self.encoder_bias[:, None], scaled, self.encoder.mT)


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

    def __init__(self, *sizes: int, **usual: Any) -> None:
        super().__init__(*sizes, **usual)
        self.input_gain = nn.Parameter(torch.ones_like(self.decoder_bias))
        self.input_shift = nn.Parameter(torch.zeros_like(self.decoder_bias))
        self.code_gain = nn.Parameter(torch.ones_like(self.encoder_bias))
        self.code_shift = nn.Parameter(torch.zeros_like(self.encoder_bias))

    def _encode(self, scaled: Tensor) -> Tensor:
        normed = layer_norm(scaled, (self.d_model,)) * self.input_gain[:, None]
        centred = normed + (self.input_shift - self.decoder_bias)[:, None]
        codes = layer_norm(super()._encode(centred), (self.n_latents,))
        return codes * self.code_gain[:, None] + self.code_shift[:, None]
