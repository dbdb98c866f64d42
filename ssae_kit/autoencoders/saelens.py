"""Exchange with SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

SAELens has no run axis and no scale, so one run is written, with the scale worked into its weights:

    f' = activation((x - b_dec) W_enc + b_enc),      x' = f' W_dec + b_dec

Reconstructions are the same on both sides; SAELens' codes are ours times `scale`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ssae_kit.autoencoders.jumprelu import JumpReluSAE
from ssae_kit.autoencoders.sparse import GatedSAE, ReluSAE, SparseAutoencoder, TiedSAE
from ssae_kit.autoencoders.topk import BatchTopKSAE, TopKSAE
from ssae_kit.storage import replacing, save_tensors

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
OWN_WEIGHTS = {
    "standard": {"b_enc"},
    "topk": {"b_enc"},
    "gated": {"b_gate", "b_mag", "r_mag"},
    "jumprelu": {"b_enc", "threshold"},
}
"""Architectures that the kit can read, and the weights that not all of them have."""


@torch.no_grad()
def save_saelens(autoencoder: SparseAutoencoder, folder: str | Path, *, run: int = 0) -> None:
    """Write one run so that `sae_lens.SAE.load_from_disk(folder)` reads it.

    A `TiedSAE` becomes a "standard" one. A `BatchTopKSAE` and a `MatryoshkaSAE` become a "jumprelu"
    with one threshold for all latents, which is what they are after training.

    Args:
        autoencoder: Any sparse autoencoder of the kit.
        folder: Made if missing.
        run: Which run to write.

    Raises:
        TypeError: if SAELens has no such architecture.
        OSError: if a file cannot be written; it then stays as it was.
    """
    one = autoencoder.select(run)
    architecture, extra_config, tensors = _to_saelens(one)
    config = {
        "architecture": architecture,
        "d_in": one.d_model,
        "d_sae": one.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {},
        **extra_config,
    }
    save_tensors(Path(folder) / WEIGHTS, tensors, {})
    with replacing(Path(folder) / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2), encoding="utf-8")


@torch.no_grad()
def load_saelens(folder: str | Path) -> SparseAutoencoder:
    """Read what SAELens' `save_model` or `save_inference_model` wrote, as one run.

    Decoder directions are brought to unit norm and their lengths worked into the encoder, which
    leaves reconstructions as they are.

    Args:
        folder: With `cfg.json` and `sae_weights.safetensors`.

    Returns:
        A `ReluSAE`, `TopKSAE`, `GatedSAE` or `JumpReluSAE` with scale 1.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if the files are damaged, or hold what the kit has no counterpart for.
    """
    config, tensors = _read(Path(folder))
    _check_supported(config, tensors)
    architecture, sizes = config["architecture"], (1, *reversed(tensors["W_dec"].shape))
    lengths = tensors["W_dec"].norm(dim=1).clamp_min(1e-8)
    encoder = (tensors["W_enc"] * lengths).T
    # Ours always subtracts the decoder bias before the encoder; theirs may not have.
    centred = config.get("apply_b_dec_to_input", True)
    shift = encoder @ tensors["b_dec"] * (0.0 if centred else 1.0)
    generator = torch.Generator()
    loaded: SparseAutoencoder
    if architecture == "topk":
        loaded = TopKSAE(*sizes, generator=generator, k=int(config["k"]))
    elif architecture == "gated":
        loaded = GatedSAE(*sizes, generator=generator)
        loaded.log_magnitude[0] = tensors["r_mag"]
        loaded.magnitude_bias[0] = tensors["b_mag"] * lengths + shift * tensors["r_mag"].exp()
    elif architecture == "jumprelu":
        loaded = JumpReluSAE(*sizes, generator=generator)
        loaded.log_threshold[0] = (tensors["threshold"] * lengths).clamp_min(1e-30).log()
    else:
        loaded = ReluSAE(*sizes, generator=generator)
    bias = tensors["b_gate" if architecture == "gated" else "b_enc"] * lengths
    loaded.encoder[0], loaded.encoder_bias[0] = encoder, bias + shift
    loaded.decoder[0] = (tensors["W_dec"] / lengths[:, None]).T
    loaded.decoder_bias[0] = tensors["b_dec"]
    return loaded


def _to_saelens(one: SparseAutoencoder) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Architecture, settings and weights of a single run, in SAELens' names and units."""
    scale = one.scale[0]
    encoder = one.decoder[0] if isinstance(one, TiedSAE) else one.encoder[0].T
    bias = one.encoder_bias[0] * scale
    weights = {"W_enc": encoder, "W_dec": one.decoder[0].T, "b_dec": one.decoder_bias[0] * scale}
    if isinstance(one, GatedSAE):
        own = {"r_mag": one.log_magnitude[0], "b_mag": one.magnitude_bias[0] * scale}
        return "gated", {}, weights | own | {"b_gate": bias}
    weights["b_enc"] = bias
    if isinstance(one, TopKSAE):
        return "topk", {"k": one.k, "rescale_acts_by_decoder_norm": False}, weights
    if isinstance(one, JumpReluSAE):
        return "jumprelu", {}, weights | {"threshold": one.log_threshold[0].exp() * scale}
    if isinstance(one, BatchTopKSAE):
        threshold = (one.threshold * scale).expand(one.n_latents)
        return "jumprelu", {}, weights | {"threshold": threshold}
    if isinstance(one, ReluSAE | TiedSAE):
        return "standard", {}, weights
    raise TypeError(
        f"SAELens knows no counterpart of a {type(one).__name__}; use `save` for the kit's own format."
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f"{folder} must hold {CONFIG} and {WEIGHTS}; {name} is missing."
            )
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        stored = load_file(folder / WEIGHTS)
    except (SafetensorError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{folder} does not hold a complete SAELens autoencoder ({error}). Fetch it anew."
        ) from error
    # Before anything is computed: norms in half precision would be off in the third digit.
    return config, {name: values.float() for name, values in stored.items()}


def _check_supported(config: dict[str, Any], tensors: dict[str, Tensor]) -> None:
    architecture = config.get("architecture")
    if architecture not in OWN_WEIGHTS:
        raise ValueError(
            f"the architecture must be one of {sorted(OWN_WEIGHTS)}; got {architecture!r}. "
            "(SAELens writes a trained BatchTopK or Matryoshka as jumprelu: save_inference_model.)"
        )
    missing = {"W_enc", "W_dec", "b_dec", *OWN_WEIGHTS[architecture]} - tensors.keys()
    missing |= {"k"} - config.keys() if architecture == "topk" else set()
    if missing:
        raise ValueError(
            f"the files do not hold a complete SAELens autoencoder: a {architecture} one lacks "
            f"{sorted(missing)}. Fetch it anew."
        )
    for name in ("normalize_activations", "reshape_activations"):
        if config.get(name, "none") != "none":
            raise ValueError(
                f'`{name}` must be "none"; got {config[name]!r}. Apply it to the inputs instead.'
            )
    lengths = tensors["W_dec"].norm(dim=1)
    unit = torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4)
    if architecture == "topk" and not (unit or config.get("rescale_acts_by_decoder_norm")):
        raise ValueError(
            "a topk autoencoder must have unit decoder directions, or rank codes by their length; "
            "this one does neither. Train it with `rescale_acts_by_decoder_norm=True`."
        )
