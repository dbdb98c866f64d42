"""Autoencoders published as folders of SAELens, dictionary_learning or sparsify."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from ssae_kit.autoencoders.foreign import (
    Foreign,
    read_config,
    read_weights,
    require_files,
    require_sizes,
    turned,
)
from ssae_kit.autoencoders.saelens import WEIGHTS as SAELENS_WEIGHTS
from ssae_kit.autoencoders.saelens import load_saelens
from ssae_kit.autoencoders.sparse import SparseAutoencoder

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
CONVERSION = 'torch.save(torch.load("ae.pt", weights_only=False).state_dict(), "ae.pt")'


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
    folder = Path(folder).expanduser()
    readers = {
        SAELENS_WEIGHTS: load_saelens,
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
    require_files(folder, "config.json", "ae.pt")
    trainer = read_config(folder / "config.json").get("trainer")
    trainer = trainer if isinstance(trainer, dict) else {}
    name = trainer.get("dict_class")
    if name not in CLASSES:
        raise ValueError(
            f"{folder}/config.json must name one of {', '.join(CLASSES)} as trainer's `dict_class`; "
            f"got {name!r}."
        )
    architecture, centred = CLASSES[name]
    stored = _tensors_only(folder / "ae.pt")
    k, threshold = stored.pop("k", None), stored.pop("threshold", None)
    stored.pop("group_sizes", None)
    tensors = {
        NAMES.get(key, key): turned(values) if key.endswith("coder.weight") else values
        for key, values in stored.items()
    }
    if architecture == "jumprelu" and threshold is not None:
        if threshold.dim() == 0 and threshold < 0:
            raise ValueError(f"{folder}: `threshold` was never set; train it for longer.")
        bias = tensors.get("b_enc", threshold)
        tensors["threshold"] = threshold.expand_as(bias) if threshold.dim() == 0 else threshold
    limit = None if k is None else k.tolist()
    return Foreign(folder, architecture, tensors, limit or trainer.get("k"), centred).build()


def _tensors_only(path: Path) -> dict[str, Tensor]:
    """Read a state dictionary of tensors; anything else in the file is refused, and not run."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        raise ValueError(
            f"{path} must hold tensors only; it is damaged, or it holds a whole object, and to read "
            f"that would run its maker's code. If you trust them, convert it once: {CONVERSION}"
        ) from error
    named = isinstance(stored, dict) and all(
        isinstance(name, str) and isinstance(values, Tensor) for name, values in stored.items()
    )
    if not named:
        raise ValueError(f"{path} must hold a dictionary of tensors, as `state_dict()` gives.")
    return dict(stored)


def _sparsify(folder: Path) -> SparseAutoencoder:
    require_files(folder, "cfg.json", "sae.safetensors")
    config, stored = read_config(folder / "cfg.json"), read_weights(folder / "sae.safetensors")
    foreign = ("transcode", "skip_connection", "embed_skip", "gram_lookup", "signed")
    used = [name for name in foreign if config.get(name)]
    if used or config.get("activation", "topk") != "topk":
        raise ValueError(
            f"{folder} must hold a plain TopK autoencoder; its cfg.json says {used or ''} "
            f"activation={config.get('activation', 'topk')!r}. Load it with sparsify."
        )
    tensors = {
        NAMES.get(key, key): turned(values) if key == "encoder.weight" else values
        for key, values in stored.items()
    }
    require_sizes(folder, tensors, config.get("num_latents") or None, config.get("d_in"))
    return Foreign(folder, "topk", tensors, config.get("k", 32)).build()  # 32 is their default
