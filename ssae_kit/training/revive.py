"""Giving dead latents a new start from the inputs that are reconstructed worst."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import SparseAutoencoder


@torch.no_grad()
def revive_dead_(
    autoencoder: SparseAutoencoder,
    inputs: Float[Tensor, "*run samples d_model"],
    optimiser: torch.optim.Optimizer | None = None,
    *,
    generator: torch.Generator,
) -> int:
    """Point every dead latent at an input drawn with probability ~ (squared error)²; in place.

    Args:
        autoencoder: Its dead latents get new directions, a small encoder and no bias.
        inputs: Where the new directions come from.
        optimiser: Its running averages are forgotten for those latents.
        generator: Source of the draws.

    Returns:
        Number of latents started anew, over all runs.

    Raises:
        TypeError: if the autoencoder is none with dead latents, or there is no generator.

    Source: Bricken et al. 2023, "Neuron resampling" (squared loss as the weight of an input).
    """
    checks.require_kind("autoencoder", autoencoder, SparseAutoencoder)
    checks.require_generator(generator)
    dead = autoencoder.dead
    if not dead.any():
        return 0
    missed = inputs - autoencoder.decode(autoencoder.encode(inputs))
    squared = missed.float().square().sum(-1)
    # Relative to the worst, so that no square overflows; drawn where the generator lives.
    weight = (squared / squared.amax(-1, keepdim=True).clamp_min(1e-30)).square() + 1e-30
    weight = weight.to(generator.device)
    centred = (inputs / autoencoder.scale[:, None, None]).expand(autoencoder.n_runs, -1, -1)
    centred = centred - autoencoder.decoder_bias[:, None]
    n_dead = dead.sum(-1)
    draws = []
    for run, n in enumerate(map(int, n_dead)):
        if n > 0:
            rows = torch.multinomial(weight[run], n, replacement=True, generator=generator)
            draws.append(centred[run][rows.to(centred.device)])
    directions = torch.cat(draws)
    directions = directions / directions.norm(dim=-1, keepdim=True).clamp_min(1e-12)
    autoencoder.reseed_(dead, directions)
    if optimiser is not None:
        _forget_(autoencoder, dead, optimiser)
    return int(n_dead.sum())


def _forget_(autoencoder: SparseAutoencoder, dead: Tensor, optimiser: Any) -> None:
    """Zero the optimiser's running averages of the given latents."""
    for name, parameter in autoencoder.named_parameters():
        for average in optimiser.state.get(parameter, {}).values():
            if name == "decoder_bias" or average.shape != parameter.shape:
                continue
            per_latent = average.mT if name == "decoder" else average
            per_latent[dead] = 0.0
