"""Autoencoders of other libraries: SAELens, both ways; dictionary_learning and sparsify, read.

A folder of SAELens holds `cfg.json` and `sae_weights.safetensors`. SAELens has no run axis and no
scale, so one run is written, with the scale worked into its weights:

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
from ssae_kit.autoencoders.foreign import (
    build,
    read,
    read_config,
    read_weights,
    require_sizes,
)
from ssae_kit.autoencoders.sparse import GatedSAE, JumpReluSAE, ReluSAE, SparseAutoencoder, TiedSAE
from ssae_kit.autoencoders.topk import BatchTopKSAE, TopKSAE
from ssae_kit.storage import at_home, replacing, save_tensors

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
CLASSES = {
    "AutoEncoder": ("standard", True),
    "AutoEncoderNew": ("standard", False),
    "GatedAutoEncoder": ("gated", True),
    "JumpReluAutoEncoder": ("jumprelu", False),
    "AutoEncoderTopK": ("topk", True),
    "BatchTopKSAE": ("jumprelu", True),  # what both are after training: one threshold for all
    "MatryoshkaBatchTopKSAE": ("jumprelu", True),
}
"""dictionary_learning's classes: our name of the architecture, and whether the input is centred."""
NAMES = {
    "encoder.weight": "W_enc",
    "decoder.weight": "W_dec",
    "encoder.bias": "b_enc",
    "bias": "b_dec",
    "decoder_bias": "b_dec",
    "decoder.bias": "b_dec",
    "gate_bias": "b_gate",
    "mag_bias": "b_mag",
}
"""Their weights' names → SAELens'."""
WHOLE = (
    "a dictionary of tensors, as `state_dict()` gives. To read a whole object would run its maker's "
    "code. If you trust them, convert it once: "
    'torch.save(torch.load("ae.pt", weights_only=False).state_dict(), "ae.pt").'
)


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
    folder = at_home(folder)
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
    told = [config.get("activation_fn_str"), config.get("activation_fn")]
    named = [name for name in told if name is not None] or ["relu"]
    if all(name == "topk" for name in named) and architecture in ("standard", "topk"):
        kwargs = config.get("activation_fn_kwargs")
        kwargs = kwargs if isinstance(kwargs, dict) else {}
        return "topk", kwargs.get("k", config.get("k"))
    if any(name != "relu" for name in named):
        raise ValueError(
            f'{folder}: `activation_fn` must be "relu" or "topk"; got {named} in an architecture '
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


def load_published(folder: str | Path) -> SparseAutoencoder:
    """Read a published autoencoder, as one run; which library wrote it is seen from its files.

    - SAELens: `cfg.json`, `sae_weights.safetensors`; see `load_saelens`.
    - dictionary_learning: `config.json`, `ae.pt`. Only tensors are read, no code is run.
    - sparsify: `cfg.json`, `sae.safetensors`.

    Args:
        folder: The folder of one autoencoder.

    Returns:
        A `ReluSAE`, `TopKSAE`, `GatedSAE` or `JumpReluSAE` with scale 1. Reconstructions are those
        of the library that wrote it; codes are theirs times the lengths of their directions.

    Raises:
        FileNotFoundError: if the folder holds the files of none of them.
        ValueError: if the files are damaged, or hold what the kit has no counterpart for.
    """
    folder = at_home(folder)
    readers = {
        WEIGHTS: load_saelens,
        "ae.pt": _dictionary_learning,
        "sae.safetensors": _sparsify,
    }
    for name, reader in readers.items():
        if (folder / name).is_file():
            return reader(folder)
    found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no such folder"
    raise FileNotFoundError(
        f"{folder} must hold one of {', '.join(readers)}; found: {found}. Give the folder of a "
        "single autoencoder."
    )


def _dictionary_learning(folder: Path) -> SparseAutoencoder:
    trainer = read_config(folder / "config.json").get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    name = str(trainer.get("dict_class"))
    if name not in CLASSES:
        raise ValueError(
            f"{folder}/config.json must name one of {', '.join(CLASSES)} as trainer's `dict_class`; "
            f"got {name!r}."
        )
    architecture, centred = CLASSES[name]
    stored = read(folder / "ae.pt", _tensors_only, WHOLE)
    k, threshold = stored.pop("k", None), stored.pop("threshold", None)
    stored.pop("group_sizes", None)
    tensors = _renamed(stored)
    if architecture == "jumprelu" and threshold is not None:
        if threshold.dim() == 0 and threshold < 0:
            raise ValueError(f"{folder}: `threshold` was never set; train it for longer.")
        bias = tensors.get("b_enc", threshold)
        tensors["threshold"] = threshold.expand_as(bias) if threshold.dim() == 0 else threshold
    return build(
        folder, architecture, tensors, trainer.get("k") if k is None else k.tolist(), centred
    )


def _tensors_only(path: Path) -> Any:
    stored = torch.load(path, map_location="cpu", weights_only=True)
    named = isinstance(stored, dict) and all(
        isinstance(name, str) and isinstance(values, Tensor) for name, values in stored.items()
    )
    return stored if named else [type(stored)]


def _renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under SAELens' names, with its axes: theirs are of `torch.nn.Linear`.

    What should be a matrix and is none is left for `build` to refuse.
    """
    linear = {n for n, values in stored.items() if n.endswith("coder.weight") and values.dim() == 2}
    return {NAMES.get(n, n): values.mT if n in linear else values for n, values in stored.items()}


def _sparsify(folder: Path) -> SparseAutoencoder:
    config = read_config(folder / "cfg.json")
    foreign = ("transcode", "skip_connection", "embed_skip", "gram_lookup", "signed")
    used = [name for name in foreign if config.get(name)]
    if used or config.get("activation", "topk") != "topk":
        raise ValueError(
            f"{folder} must hold a plain TopK autoencoder; its cfg.json says {used or ''} "
            f"activation={config.get('activation', 'topk')!r}. Load it with sparsify."
        )
    tensors = _renamed(read_weights(folder / "sae.safetensors"))
    require_sizes(folder, tensors, config.get("num_latents") or None, config.get("d_in"))
    return build(folder, "topk", tensors, config.get("k", 32))  # 32 is their default
