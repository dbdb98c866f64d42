"""Giving dead latents a new start from the inputs that are reconstructed worst."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ssae_kit.autoencoders import SparseAutoencoder


@torch.no_grad()
def revive_dead_(
    autoencoder: SparseAutoencoder,
    inputs: Float[Tensor, "*run samples d_model"],
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
) -> None:
    """Point every dead latent at an input drawn with probability ~ (squared error)²; in place.

    Args:
        autoencoder: Its dead latents get new directions, a small encoder and no bias.
        inputs: Where the new directions come from.
        optimiser: Its running averages are forgotten for those latents.
        generator: Source of the draws.

    Source: Bricken et al. 2023, "Neuron resampling" (squared loss as the weight of an input).
    """
    dead = autoencoder.dead
    if not dead.any():
        return
    missed = inputs - autoencoder.decode(autoencoder.encode(inputs))
    squared = missed.float().square().sum(-1)
    # Relative to the worst, so that no square overflows; drawn where the generator lives.
    weight = (squared / squared.amax(-1, keepdim=True).clamp_min(1e-30)).square() + 1e-30
    weight = weight.to(generator.device)
    centred = (inputs / autoencoder.scale[:, None, None]).expand(autoencoder.n_runs, -1, -1)
    centred = centred - autoencoder.decoder_bias[:, None]
    draws = []
    for run, n_dead in enumerate(map(int, dead.sum(-1))):
        if n_dead:
            rows = torch.multinomial(weight[run], n_dead, replacement=True, generator=generator)
            draws.append(centred[run][rows.to(centred.device)])
    autoencoder.reseed_(dead, normalize(torch.cat(draws), dim=-1))
    for name, parameter in autoencoder.named_parameters():
        for average in optimiser.state.get(parameter, {}).values():
            if name != "decoder_bias" and average.shape == parameter.shape:
                per_latent = average.mT if name == "decoder" else average
                per_latent[dead] = 0.0
