"""Autoencoders that others published: checked, then built as ours, whatever file they came from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders.sparse import GatedSAE, JumpReluSAE, ReluSAE, SparseAutoencoder
from ssae_kit.autoencoders.topk import TopKSAE

ARCHITECTURES: dict[str, tuple[Any, set[str]]] = {
    "standard": (ReluSAE, {"b_enc"}),
    "topk": (TopKSAE, {"b_enc"}),
    "gated": (GatedSAE, {"b_gate", "b_mag", "r_mag"}),
    "jumprelu": (JumpReluSAE, {"b_enc", "threshold"}),
}
"""What the kit can read: its class, and the weights beside W_enc, W_dec and b_dec."""
LENGTH_ERROR = 1e-2
"""Largest error of a direction's length that rounding to bfloat16 explains."""


@torch.no_grad()
def build(
    folder: Path,
    architecture: str,
    tensors: dict[str, Tensor],
    k: Any = None,
    centred: bool = True,
    by_length: bool = False,
) -> SparseAutoencoder:
    """Return an autoencoder in SAELens' names and layout as one of ours, of one run with scale 1.

        f = activation((x - b_dec) W_enc + b_enc),      x' = f W_dec + b_dec

    with one latent per column of W_enc and per row of W_dec. Decoder directions are brought to unit
    norm and their lengths worked into the encoder, which leaves reconstructions as they are.

    Args:
        folder: Where it came from.
        architecture: A key of `ARCHITECTURES`.
        tensors: Weights by name.
        k: Latents that may fire, for "topk".
        centred: Whether b_dec is subtracted before the encoder; ours always does.
        by_length: Whether "topk" ranks codes times the lengths of their directions.

    Raises:
        ValueError: if a weight is missing, unknown, of another size or not finite, or `k` is no
            number of latents.
        TypeError: if a weight is not dense and real.
    """
    _check(folder, architecture, tensors, k)
    # Before anything is computed: norms in half precision would be off in the third digit.
    t = {name: values.float() for name, values in tensors.items()}
    lengths = t["W_dec"].norm(dim=1).clamp_min(1e-8)  # [latents]
    if architecture == "topk" and not by_length:
        if ((lengths - 1).abs() > LENGTH_ERROR).any():
            raise ValueError(
                f"{folder}: a topk autoencoder must have unit decoder directions, or rank codes by "
                "their length (SAELens' `rescale_acts_by_decoder_norm=True`); this one does "
                "neither. Train it so."
            )
        lengths = torch.ones_like(lengths)  # rescaled by rounding errors, codes would rank anew
    sizes, extra = (1, *reversed(t["W_dec"].shape)), {"k": k} if architecture == "topk" else {}
    try:
        loaded = ARCHITECTURES[architecture][0](*sizes, generator=torch.Generator(), **extra)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{folder} holds settings that do not fit: {error}") from error
    loaded.encoder[0] = (t["W_enc"] * lengths).T
    shift = loaded.encoder[0] @ t["b_dec"] * (0.0 if centred else 1.0)
    if architecture == "gated":
        loaded.log_magnitude[0] = t["r_mag"]
        loaded.magnitude_bias[0] = t["b_mag"] * lengths + shift * t["r_mag"].exp()
    elif architecture == "jumprelu":
        loaded.log_threshold[0] = (t["threshold"] * lengths).clamp_min(1e-30).log()
    loaded.encoder_bias[0] = t.get("b_enc", t.get("b_gate")) * lengths + shift
    loaded.decoder[0] = (t["W_dec"] / lengths[:, None]).T
    loaded.decoder_bias[0] = t["b_dec"]
    return loaded  # type: ignore[no-any-return]


def _check(folder: Path, architecture: str, tensors: dict[str, Tensor], k: Any) -> None:
    if architecture not in ARCHITECTURES:
        raise ValueError(
            f"{folder}: the architecture must be one of {sorted(ARCHITECTURES)}; got "
            f"{architecture!r}. (SAELens writes a trained BatchTopK or Matryoshka as jumprelu: "
            "save_inference_model.)"
        )
    needed = {"W_enc", "W_dec", "b_dec", *ARCHITECTURES[architecture][1]}
    missing, unknown = needed - tensors.keys(), tensors.keys() - needed
    missing |= {"k"} if architecture == "topk" and k is None else set()
    if missing or unknown:
        raise ValueError(
            f"{folder} does not hold a complete autoencoder: a {architecture} one lacks "
            f"{sorted(missing)} and has no use for {sorted(unknown)}. Fetch it anew, or load it "
            "with the library that made it."
        )
    n_latents, d_model = (*tensors["W_dec"].shape, 0, 0)[:2]
    shapes = {"W_enc": [d_model, n_latents], "W_dec": [n_latents, d_model], "b_dec": [d_model]}
    for name, values in tensors.items():
        shape = shapes.get(name, [n_latents])
        if list(values.shape) != shape:
            raise ValueError(
                f"{folder}: `{name}` must be of shape {shape}, to fit a `W_dec` of "
                f"[latents, d_model] = {list(tensors['W_dec'].shape)}; got {list(values.shape)}. "
                "Transpose or reshape it."
            )
        checks.require_finite(
            name, checks.real(name, values).float(), f"{folder} is damaged; fetch it anew."
        )


def read(path: Path, parse: Callable[[Path], Any], what: str) -> dict[str, Any]:
    """Read a dictionary from a file, or say that it is missing, damaged or holds something else.

    Args:
        path: The file.
        parse: Reads it.
        what: What it must be, and what to do where it is not.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path.parent} is not complete: {path.name} is missing.")
    found: Any = None
    try:
        found = parse(path)
    except Exception as error:  # of a damaged file torch raises whatever it stumbles over
        found = error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must be {what} Got {type(found).__name__}: {found!s:.200}.")
    return found


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    what = "a JSON object in UTF-8; fetch it anew."
    return read(path, lambda path: json.loads(path.read_text(encoding="utf-8")), what)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file."""
    return read(path, load_file, "a complete autoencoder in safetensors; fetch it anew.")


def require_sizes(folder: Path, tensors: dict[str, Tensor], *sizes: Any) -> None:
    """Raise a ValueError if `W_dec` has other sizes [latents, d_model] than a configuration says."""
    shape = list(tensors["W_dec"].shape) if "W_dec" in tensors else list(sizes)
    if any(told not in (None, size) for told, size in zip(sizes, shape, strict=False)):
        raise ValueError(
            f"{folder}: `W_dec` must be [latents, d_model] = {list(sizes)}, as the configuration "
            f"says (`d_sae` or `num_latents`, and `d_in`); got {shape}. Fetch both files anew."
        )
