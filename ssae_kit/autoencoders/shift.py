"""The Sparse Shift Autoencoder: an affine autoencoder of shifts."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

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
