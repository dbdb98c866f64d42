"""What is brought to a training, examined once, at the door."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import Autoencoder, SparseAutoencoder
from ssae_kit.training.settings import Constraint, Penalty, TrainingConfig

CHUNK = 65536
"""Inputs looked at together, so that a mapped file is never held as a whole."""
REAL = (torch.float32, torch.float16, torch.bfloat16)
"""Types taken as they are: divided by the scale they become float32."""


def as_inputs(given: Any, autoencoder: Autoencoder, least: int = 1) -> Tensor:
    """Inputs as a tensor that this autoencoder takes; integers and float64 become float32.

    Args:
        given: What was brought.
        autoencoder: What it is for.
        least: Size of a batch.

    Raises:
        TypeError: if the inputs are no tensor or array of numbers.
        ValueError: if their shape is another one, there are none, or one is not finite.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    inputs = checks.real("inputs", given)
    if inputs.dtype == torch.bool:
        raise TypeError(f"inputs must be numbers, or in `fit` a function; got {inputs.dtype}.")
    n_runs, width = autoencoder.n_runs, autoencoder.d_model
    fits = inputs.shape[-1:] == (width,) and inputs.shape[:-2] in ((), (n_runs,))
    if inputs.dim() < 2 or not inputs.numel() or not fits:
        raise ValueError(
            f"inputs must be [samples, {width}] for all runs, or [run, samples, {width}] with a set "
            f"for each of the {n_runs} runs; got shape {list(inputs.shape)}. Bring inputs of this "
            "width, or build the autoencoder for theirs."
        )
    if inputs.shape[-2] < least:
        raise ValueError(
            f"`batch_size` must not exceed the {inputs.shape[-2]} training inputs; got {least}. "
            "Lower it or bring more data."
        )
    inputs = inputs.detach() if inputs.dtype in REAL else inputs.detach().float()
    wrong = ~torch.isfinite(_lengths(inputs))
    if wrong.any():
        row = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"inputs must be finite, with squares that are; row {row[-1]} is the first of "
            f"{int(wrong.sum())} that are not. Find out where they come from."
        )
    return inputs


def _lengths(inputs: Tensor) -> Float[Tensor, "*run samples"]:
    parts = inputs.split(CHUNK, dim=-2)
    return torch.cat([part.float().square().sum(-1).sqrt() for part in parts], dim=-1)


def huge(inputs: Float[Tensor, "*run samples d_model"]) -> Bool[Tensor, "*run samples"]:
    """Say which inputs are huge: few, far longer than the rest, and more than half of the error.

    Language models have such states, at the first token above all ("attention sinks"). An
    autoencoder that is trained on them learns them and little else. Leave them out by
    `inputs[~huge(inputs)]`.

    Args:
        inputs: States or shifts.

    Returns:
        True for inputs 20 times as long as the median, if together they hold more than half of
        all squared lengths; otherwise False for all.

    Raises:
        TypeError: if the inputs are no numbers.
        ValueError: if an axis is missing, there are none, or one is not finite.

    Source: Sun et al. 2024 (arXiv 2402.17762), "massive activations".
    """
    (inputs,) = checks.tensors(inputs=(inputs, "*run samples d_model"))
    lengths = _lengths(inputs)
    usual = lengths.where(lengths > 0, torch.nan).nanmedian(-1, keepdim=True).values
    long = lengths > 20 * usual
    share = (lengths * long / lengths.amax(-1, keepdim=True)).square().sum(-1)
    whole = (lengths / lengths.amax(-1, keepdim=True)).square().sum(-1)
    return long & (share > 0.5 * whole)[..., None]


def check(autoencoder: Any, sparsity: Any, config: Any, generator: Any) -> None:
    """Raise an error, in words, if a training so told could not work."""
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    checks.require_kind(
        "sparsity", sparsity, Penalty | Constraint, "Penalty(0.1) or Constraint(0.1)"
    )
    checks.require_kind("config", config, TrainingConfig, "TrainingConfig(steps=800)")
    checks.require_generator(generator)
    if not torch.is_grad_enabled():
        raise ValueError(
            "training needs a gradient; it is switched off here. Call `fit` outside of "
            "`torch.no_grad()`, or `torch.set_grad_enabled(True)` first."
        )
    if config.resample_every and not isinstance(autoencoder, SparseAutoencoder):
        raise ValueError(
            f"`resample_every` must be 0: a {type(autoencoder).__name__} has no dead latents "
            f"to resample; got {config.resample_every}."
        )
    name = "level" if isinstance(sparsity, Constraint) else "weight"
    n_amounts = torch.as_tensor(getattr(sparsity, name)).numel()
    if n_amounts not in (1, autoencoder.n_runs):
        raise ValueError(
            f"`{name}` must be one number or one for each of the {autoencoder.n_runs} runs; got "
            f"{n_amounts}."
        )
    _check_weights(autoencoder)


def _check_weights(autoencoder: Autoencoder) -> None:
    if autoencoder.decoder.dtype != torch.float32:
        raise ValueError(
            f"the autoencoder must be in float32; its weights are {autoencoder.decoder.dtype}. Call "
            "`.float()` on it; `torch.set_default_dtype` decides what new ones are in."
        )
    for name, weights in autoencoder.named_parameters():
        checks.require_finite(
            name, weights, "It is one of the autoencoder's weights: make it anew."
        )
