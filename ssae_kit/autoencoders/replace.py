"""What one autoencoder makes of a model's hidden states: its reconstruction, and one latent clamped.

Both take and return states of any leading shape, so that they fit a hook that edits a layer.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit.autoencoders.base import Autoencoder


@torch.no_grad()
def reconstruct(
    autoencoder: Autoencoder, states: Float[Tensor, "*rows d_model"]
) -> Float[Tensor, "*rows d_model"]:
    """Return the states as one run rebuilds them.

    Raises:
        ValueError: if the autoencoder holds more than one run.
    """
    _check_one_run(autoencoder)
    codes = autoencoder.encode(states.reshape(-1, autoencoder.d_model).float())
    return autoencoder.decode(codes)[0].view(states.shape)


@torch.no_grad()
def clamp(
    autoencoder: Autoencoder,
    states: Float[Tensor, "*rows d_model"],
    latent: int,
    value: float,
    *,
    along: Int[Tensor, "*any"] | None = None,
) -> Float[Tensor, "*rows d_model"]:
    """Set one latent's code to a value and keep the rest of the state, the error term included.

    The state moves along the latent's direction by the difference of the new code and the old, so
    what the autoencoder cannot explain stays as it was.

    Args:
        autoencoder: A single run.
        states: Hidden states.
        latent: The latent to clamp.
        value: Its new code, in the units of `encode`.
        along: The control: move by the same amounts along the directions of these latents instead.
            Broadcast against the rows, so `[texts, 1]` gives every text a latent of its own.

    Raises:
        ValueError: if the autoencoder holds more than one run.

    Source: Templeton et al. 2024, "Scaling Monosemanticity", methodological details on steering.
    """
    _check_one_run(autoencoder)
    codes = autoencoder.encode(states.reshape(-1, autoencoder.d_model).float())[0, :, latent]
    amount = (value - codes).view(states.shape[:-1])[..., None] * autoencoder.scale[0]
    chosen = torch.tensor(latent) if along is None else along
    return states + amount * autoencoder.directions[0, chosen]


def _check_one_run(autoencoder: Autoencoder) -> None:
    if autoencoder.n_runs != 1:
        raise ValueError(
            f"one run is required; got {autoencoder.n_runs}. Use `autoencoder.select(run)`."
        )
