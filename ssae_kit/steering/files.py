"""Steering vectors on disk: one safetensors file that says what it is for, and needs no kit to use."""

from dataclasses import asdict
from pathlib import Path

import torch

from ssae_kit import checks
from ssae_kit.llama import Llama, Site
from ssae_kit.metrics import Matching
from ssae_kit.steering.directions import Vectors
from ssae_kit.storage import digest, load_tensors, save_tensors

FORMAT = "ssae_kit.vectors/1"


def save_vectors(
    path: str | Path, vectors: Vectors, llama: Llama, *, strength: float = 1.0, card: str = ""
) -> None:
    """Write vectors to one safetensors file: tensor `directions`, and JSON that says what they are.

    Args:
        path: Where to write, whole or not at all.
        vectors: What `learn` found.
        llama: The model that they were found in; its name and a hash of the block go with them.
        strength: Multiple of the directions that is advised.
        card: How they were made, what they do and what they cost, in words.

    Raises:
        ValueError: if they are not as wide as the model, or the strength is not finite.
        OSError: if the file cannot be written.
    """
    checks.require_kind("vectors", vectors, Vectors, "learn(...)")
    checks.require_kind("llama", llama, Llama, "load()")
    checks.require("strength", strength, "one finite number", lambda s: abs(s) < float("inf"))
    if vectors.directions.shape[-1] != llama.d_model:
        raise ValueError(
            f"`vectors` must be {llama.d_model} wide, as {llama.name} is; got "
            f"{vectors.directions.shape[-1]}. Give the model that they were learnt in."
        )
    told = {
        "format": FORMAT,
        "model": llama.name,
        "block_sha256": _hash(llama, vectors.layer),
        "layer": vectors.layer,
        "concepts": list(vectors.concepts),
        "strength": float(strength),
        "card": str(card),
    }
    save_tensors(path, {"directions": vectors.directions, **asdict(vectors.matching)}, told)


def load_vectors(path: str | Path, llama: Llama, *, layer: int | None = None) -> Vectors:
    """Read what `save_vectors` wrote, for the same model; the type that it computes in may differ.

    Args:
        path: The file.
        llama: The model to steer.
        layer: Where you mean to steer, if it shall be checked.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is damaged or none of vectors, or they are another model's or layer's.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    tensors, told = load_tensors(path)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ValueError(f"{path} must hold vectors of `save_vectors` ({FORMAT}); it does not.")
    where = told["layer"]
    if layer is not None and layer != where:
        raise ValueError(
            f"the vectors in {path} are for layer {where}; got `layer` {layer}. Steer there, or "
            "learn vectors of your layer."
        )
    if where > llama.n_layers or _hash(llama, where) != told["block_sha256"]:
        raise ValueError(
            f"the vectors in {path} are for {told['model']}, layer {where}; {llama.name} has other "
            "weights there. Load that model, or learn vectors of yours."
        )
    directions = tensors.pop("directions")
    return Vectors(where, tuple(told["concepts"]), directions, Matching(**tensors))


def _hash(llama: Llama, layer: int) -> str:
    """SHA-256 of the weights that write to a layer, in bfloat16: the loaded type does not matter."""
    weights = Site(layer).module(llama).state_dict()
    return digest({name: weight.to(torch.bfloat16) for name, weight in weights.items()})
