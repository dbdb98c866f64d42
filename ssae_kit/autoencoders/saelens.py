"""Exchange with SAELens: a folder with `cfg.json` and `sae_weights.safetensors`.

SAELens has no run axis and no scale, so one run is written, with the scale worked into its weights:

    f' = activation((x - b_dec) W_enc + b_enc),      x' = f' W_dec + b_dec

Reconstructions are the same on both sides; SAELens' codes are ours times `scale`.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders.foreign import build, read_config, read_weights, require_sizes
from ssae_kit.autoencoders.sparse import GatedSAE, JumpReluSAE, ReluSAE, SparseAutoencoder, TiedSAE
from ssae_kit.autoencoders.topk import BatchTopKSAE, TopKSAE
from ssae_kit.storage import replacing, save_tensors

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"


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
    checks.require_kind("autoencoder", autoencoder, SparseAutoencoder, "ReluSAE(...)")
    one = autoencoder.select(run)
    architecture, extra_config, tensors = _to_saelens(one)
    settings = {"architecture": architecture, "apply_b_dec_to_input": True, **extra_config}
    config = {
        "d_in": one.d_model,
        "d_sae": one.n_latents,
        "dtype": "float32",
        "device": "cpu",
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {},
        **settings,
    }
    # The weights know their settings: a kill between the two files leaves older ones beside them.
    save_tensors(Path(folder) / WEIGHTS, tensors, settings)
    with replacing(Path(folder) / CONFIG) as temporary:
        temporary.write_text(json.dumps(config, indent=2), encoding="utf-8")


def load_saelens(folder: str | Path) -> SparseAutoencoder:
    """Read what SAELens' `save_model` or `save_inference_model` wrote, versions 3 to 6, as one run.

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
    folder = Path(folder).expanduser()
    config, tensors = read_config(folder / CONFIG), read_weights(folder / WEIGHTS)
    for name in ("normalize_activations", "reshape_activations"):
        if config.get(name) not in (None, "none"):
            raise ValueError(
                f'`{name}` must be "none"; got {config[name]!r}. Apply it to the inputs instead.'
            )
    architecture, k = _activation(folder, config)
    require_sizes(folder, tensors, config.get("d_sae"), config.get("d_in"))
    centred = _switch(folder, config, "apply_b_dec_to_input", True)
    by_length = _switch(folder, config, "rescale_acts_by_decoder_norm", False)
    autoencoder = build(folder, architecture, tensors, k, centred, by_length)
    _require_one_save(folder, config)
    return autoencoder


def _require_one_save(folder: Path, config: dict[str, Any]) -> None:
    """Raise a ValueError if the weights are ours and were saved with other settings than these."""
    with safe_open(folder / WEIGHTS, framework="pt") as file:
        settings = json.loads((file.metadata() or {}).get("json", "{}"))
    if other := {name: value for name, value in settings.items() if config.get(name) != value}:
        raise ValueError(
            f"{folder}: {CONFIG} and {WEIGHTS} must be of one save; the weights were saved with "
            f"{other}, {CONFIG} says { ({name: config.get(name) for name in other}) }. The saving was "
            "interrupted, or the file was edited: save it again."
        )


def _switch(folder: Path, config: dict[str, Any], name: str, default: bool) -> bool:
    value = config.get(name, default)
    if not isinstance(value, bool):
        raise ValueError(f"{folder}: `{name}` must be true or false; got {value!r}. Correct it.")
    return value


def _activation(folder: Path, config: dict[str, Any]) -> tuple[str, Any]:
    """Architecture and k. Versions 3 to 5 say "standard" of a TopK, and name the activation."""
    architecture = config.get("architecture", "standard")
    named = config.get("activation_fn_str", config.get("activation_fn")) or "relu"
    if named == "topk" and architecture in ("standard", "topk"):
        kwargs = config.get("activation_fn_kwargs")
        kwargs = kwargs if isinstance(kwargs, dict) else {}
        return "topk", kwargs.get("k", config.get("k"))
    if named != "relu":
        raise ValueError(
            f'{folder}: `activation_fn` must be "relu" or "topk"; got {named!r} in an architecture '
            f"{architecture!r}. The kit has no counterpart."
        )
    return str(architecture), config.get("k")


def _to_saelens(one: SparseAutoencoder) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    """Architecture, settings and weights of a single run, in SAELens' names and units."""
    one = one.float()  # in half precision the scale would cost digits; `one` is a copy
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
