"""Autoencoders published as folders of SAELens, dictionary_learning or sparsify."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssae_kit.autoencoders import saelens
from ssae_kit.autoencoders.foreign import (
    build,
    read,
    read_config,
    read_weights,
    require_sizes,
    turned,
)
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
WHOLE = (
    "a dictionary of tensors, as `state_dict()` gives. To read a whole object would run its maker's "
    "code. If you trust them, convert it once: "
    'torch.save(torch.load("ae.pt", weights_only=False).state_dict(), "ae.pt").'
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
    folder = Path(folder).expanduser()
    readers = {
        saelens.WEIGHTS: saelens.load_saelens,
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
    name = trainer.get("dict_class")
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
    limit = None if k is None else k.tolist()
    return build(folder, architecture, tensors, limit or trainer.get("k"), centred)


def _tensors_only(path: Path) -> Any:
    stored = torch.load(path, map_location="cpu", weights_only=True)
    named = isinstance(stored, dict) and all(
        isinstance(name, str) and isinstance(values, Tensor) for name, values in stored.items()
    )
    return stored if named else [type(stored)]


def _renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights under SAELens' names, with its axes: theirs are of `torch.nn.Linear`."""
    return {
        NAMES.get(name, name): turned(values) if name.endswith("coder.weight") else values
        for name, values in stored.items()
    }


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
