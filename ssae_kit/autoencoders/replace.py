"""What one autoencoder makes of a model's hidden states: its reconstruction, and one latent clamped.

Both take and return states of any leading shape, on any device, so that they fit a hook that edits
a layer of a Llama on a GPU.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders.base import Autoencoder


@torch.no_grad()
def reconstruct(
    autoencoder: Autoencoder, states: Float[Tensor, "*rows d_model"]
) -> Float[Tensor, "*rows d_model"]:
    """Return the states as one run rebuilds them.

    Raises:
        ValueError: if the autoencoder holds more than one run.
    """
    states, rows = _rows(autoencoder, states)
    rebuilt = autoencoder.decode(autoencoder.encode(rows))
    return rebuilt[0].view(states.shape).to(states.device)


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
    states, rows = _rows(autoencoder, states)
    latent = checks.whole("latent", latent, 0, autoencoder.n_latents - 1)
    checks.require("value", value, "one finite number", lambda code: abs(code) < float("inf"))
    codes = autoencoder.encode(rows)[0, :, latent]
    amount = (value - codes).view(states.shape[:-1])[..., None] * autoencoder.scale[0]
    chosen = torch.tensor(latent) if along is None else _latents(along, autoencoder, states)
    moved = amount * autoencoder.directions[0, chosen.to(codes.device)]
    return states + moved.to(states.device)


def _latents(along: Tensor, autoencoder: Autoencoder, states: Tensor) -> Tensor:
    """The latents as indices, one for each row or one for all."""
    found, free = checks.indices("along", along, "*any"), states.shape[:-1]
    n = autoencoder.n_latents
    what = f"latents 0..{n - 1} that broadcast against the rows, {list(free)}"
    checks.require("along", found, what, lambda i: i.expand(free).min() >= 0 and i.max() < n)
    return found


def _rows(autoencoder: Autoencoder, states: Tensor) -> tuple[Tensor, Tensor]:
    """The states as a tensor, and their rows as the autoencoder takes them."""
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    autoencoder.require_one_run()
    states = checks.real("states", states)  # whether they are finite, `encode` looks, once
    if not states.numel():
        raise ValueError(f"`states` must not be empty; got shape {list(states.shape)}.")
    return states, states.reshape(-1, *states.shape[-1:]).to(autoencoder.decoder)
