"""Autoencoders whose weights carry a leading run axis, so that many runs train at once.

An input has shape `[run, batch, d_model]`; `[batch, d_model]` gives every run the same batch.
Inputs are divided by one number per run, `scale`, the root mean square length of the training
inputs. Codes and losses are therefore unitless and comparable between data sets.
"""

from pathlib import Path
from typing import NamedTuple, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssae_kit.storage import load_tensors, save_tensors

FORMAT = "ssae_kit.autoencoder/1"


class LossTerms(NamedTuple):
    """What training trades off, one number per run, both unitless."""

    error: Float[Tensor, " run"]
    """Mean squared reconstruction error over the mean squared length of the inputs; 0 is best."""
    sparsity: Float[Tensor, " run"]
    """Mean absolute code over pairs and latents; smaller is sparser."""


class ShiftAutoencoder(nn.Module):
    """The Sparse Shift Autoencoder: an affine encoder and an affine decoder for shifts.

    With shift x, code r and unit-norm decoder directions w_1, w_2, ... (the columns of W_d):

        r = W_e x + b_e,      x' = W_d r + b_d

    The code is signed: a concept may change either way. Nothing in the network makes the code
    sparse; the constraint on its mean absolute value does (see `ssae_kit.training`). Without
    unit-norm directions that constraint would mean nothing: codes could shrink while directions
    grow. The authors' code adds a LayerNorm before and after the encoder. We leave both out,
    because they erase how large a shift is.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        d_model: Width of the inputs.
        n_latents: Length of the code.
        generator: Source of the initial directions.

    Raises:
        ValueError: if a size is below 1.

    Source: Joshi et al. 2025 (arXiv 2502.12179), section 3.
    """

    def __init__(
        self, n_runs: int, d_model: int, n_latents: int, *, generator: torch.Generator
    ) -> None:
        super().__init__()
        for name, size in {"n_runs": n_runs, "d_model": d_model, "n_latents": n_latents}.items():
            if size < 1:
                raise ValueError(f"`{name}` must be at least 1; got {size}.")
        directions = torch.randn(n_runs, d_model, n_latents, generator=generator)
        directions /= directions.norm(dim=1, keepdim=True)
        self.decoder = nn.Parameter(directions)
        self.encoder = nn.Parameter(directions.mT.contiguous())
        self.encoder_bias = nn.Parameter(torch.zeros(n_runs, n_latents))
        self.decoder_bias = nn.Parameter(torch.zeros(n_runs, d_model))
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(n_runs))

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return self.decoder.shape[0]

    @property
    def d_model(self) -> int:
        """Width of the inputs."""
        return self.decoder.shape[1]

    @property
    def n_latents(self) -> int:
        """Length of the code."""
        return self.decoder.shape[2]

    @property
    def directions(self) -> Float[Tensor, "run latents d_model"]:
        """Decoder directions, unit norm, one row per latent."""
        return self.decoder.detach().mT

    def encode(self, inputs: Float[Tensor, "*run batch d_model"]) -> Float[Tensor, "run batch k"]:
        """Return codes, in units of the root mean square input length."""
        return self._encode(inputs / self.scale[:, None, None])

    def decode(self, codes: Float[Tensor, "run batch k"]) -> Float[Tensor, "run batch d_model"]:
        """Return reconstructions, in the units of the inputs."""
        return self._decode(codes) * self.scale[:, None, None]

    def loss(self, inputs: Float[Tensor, "*run batch d_model"]) -> LossTerms:
        """Return error and sparsity of a batch, per run."""
        scaled = inputs / self.scale[:, None, None]
        codes = self._encode(scaled)
        error = (self._decode(codes) - scaled).square().sum(-1).mean(-1)
        return LossTerms(error, codes.abs().mean((-2, -1)))

    def _encode(self, scaled: Tensor) -> Tensor:
        scaled = scaled.expand(self.n_runs, -1, -1)
        return torch.baddbmm(self.encoder_bias[:, None], scaled, self.encoder.mT)

    def _decode(self, codes: Tensor) -> Tensor:
        return torch.baddbmm(self.decoder_bias[:, None], codes, self.decoder.mT)

    @torch.no_grad()
    def calibrate_(self, inputs: Float[Tensor, "*run samples d_model"]) -> None:
        """Set `scale` from the training inputs, in place.

        Raises:
            ValueError: if every input is zero.
        """
        scale = inputs.square().sum(-1).mean(-1).sqrt()
        if (scale == 0).any():
            raise ValueError("every input is zero: source and target do not differ.")
        self.scale.copy_(scale.expand(self.n_runs))

    @torch.no_grad()
    def project_gradients_(self) -> None:
        """Drop the part of the decoder's gradient that would only change a direction's length.

        The projection below would undo that part after the step, but the optimiser's running
        averages would still be steered by it.
        """
        gradient = self.decoder.grad
        if gradient is not None:
            gradient -= (gradient * self.decoder).sum(1, keepdim=True) * self.decoder

    @torch.no_grad()
    def project_(self) -> None:
        """Rescale every decoder direction to unit norm, in place."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp_min(1e-12))

    def select(self, run: int) -> Self:
        """Return a copy that holds one run only."""
        chosen = type(self)(1, self.d_model, self.n_latents, generator=torch.Generator())
        state = {name: value[run : run + 1] for name, value in self.state_dict().items()}
        chosen.load_state_dict(state)
        return chosen.to(self.decoder.device)

    def save(self, path: str | Path) -> None:
        """Write the weights to a safetensors file, atomically.

        Raises:
            OSError: if the file cannot be written; an older file stays as it was.
        """
        save_tensors(path, self.state_dict(), {"format": FORMAT, "class": type(self).__name__})


def load(path: str | Path) -> ShiftAutoencoder:
    """Read an autoencoder that `save` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, or not an autoencoder of this version.
    """
    tensors, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT or metadata.get("class") != "ShiftAutoencoder":
        raise ValueError(
            f"{path} must hold a ShiftAutoencoder in format {FORMAT!r}; it holds "
            f"{metadata.get('class')!r} in format {metadata.get('format')!r}. Save it anew."
        )
    decoder = tensors.get("decoder", torch.empty(0))
    if decoder.dim() != 3:
        raise ValueError(f"{path} has no decoder of shape [run, d_model, latents].")
    autoencoder = ShiftAutoencoder(*decoder.shape, generator=torch.Generator())
    try:
        autoencoder.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(f"{path} holds weights of other shapes: {error}") from error
    return autoencoder
