"""Texts in, directions out: shifts of pairs in a Llama, one vector per concept, and its file.

A file of vectors is safetensors that says what it is for, and needs no kit to use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Real
from torch import Tensor

from ssae_kit import checks, methods
from ssae_kit.llama import Llama, Site, hidden_states
from ssae_kit.llama.rows import require_known
from ssae_kit.metrics import Matching
from ssae_kit.pairs import ConceptPairs
from ssae_kit.storage import digest, load_tensors, save_tensors
from ssae_kit.training import TrainingConfig

FORMAT = "ssae_kit.vectors/1"


@dataclass(frozen=True)
class Vectors:
    """One direction per concept at one layer of a Llama; `vectors["tense"]` is that of tense."""

    layer: int
    """Where to add them."""
    concepts: tuple[str, ...]
    """Their names."""
    directions: Float[Tensor, "concepts d_model"]
    """From value 0 to value 1 of each concept, as long as a typical shift."""
    matching: Matching
    """How well each was identified: `matching.per_concept[0]`, absolute correlations, 0 to 1."""

    def __getitem__(self, concept: str) -> Float[Tensor, "1 d_model"]:
        """Return the direction of a concept, as one row that can be added to a text.

        Raises:
            KeyError: if there is no such concept.
        """
        if concept not in self.concepts:
            raise KeyError(f"no concept {concept!r}; there are {', '.join(self.concepts)}.")
        k = self.concepts.index(concept)
        return self.directions[k : k + 1]


def learn(
    llama: Llama,
    pairs: ConceptPairs,
    layer: int,
    *,
    seed: int = 0,
    config: TrainingConfig | None = None,
) -> Vectors:
    """Find one direction per concept: shifts, a Sparse Shift Autoencoder, names from the changes.

    The level and the restart are chosen without labels. There are twice as many latents as
    concepts, so that fewer starts mix two of them; those to spare stay nameless. None are merged:
    where latents share one concept out, use `methods.ssae`, `methods.merge` and `Found.named`.

    Args:
        llama: The model.
        pairs: Pairs of texts with known changes, which only name what is found.
        layer: Layer at which to read, and later to steer.
        seed: Of the training.
        config: How long and how fast; 500 steps unless told.

    Raises:
        ValueError: if the changes are not known, a concept never changes, or there are fewer pairs
            than twice the concepts.
    """
    checks.require_kind("pairs", pairs, ConceptPairs)
    if not pairs.changes:
        raise ValueError(
            "pairs must bring their `changes`, or nothing can be named; they are not known. Use "
            "`shift_vectors` and `methods.ssae`."
        )
    shifts = shift_vectors(llama, pairs, layer).to(llama.device)  # a wide training needs the GPU
    if config is None:
        config = TrainingConfig(steps=500, batch_size=min(128, len(pairs)))
    found = methods.ssae(shifts, 2 * len(pairs.concepts), seed=seed, config=config)
    return Vectors(layer, pairs.concepts, *found.named(shifts, torch.tensor(pairs.changes)))


def shift_vectors(
    llama: Llama, pairs: ConceptPairs, layer: int | Sequence[int]
) -> Float[Tensor, "*layers pairs d_model"]:
    """Return target minus source hidden state of each pair, at the last token.

    A sequence of layers, all from one pass, gives their shifts stacked in its order.

    Raises:
        ValueError: if a text holds words that a closed vocabulary does not: they read as one token,
            so that a shift between them would be zero. Lists them.
    """
    checks.require_kind("pairs", pairs, ConceptPairs)
    texts = list(dict.fromkeys(pairs.source + pairs.target))
    require_known(llama, texts)
    states = hidden_states(llama, texts, layer)
    row = {text: i for i, text in enumerate(texts)}
    target = states[..., [row[text] for text in pairs.target], :]
    return target - states[..., [row[text] for text in pairs.source], :]


def principal_directions(
    shifts: Float[Tensor, "pairs d_model"], changes: Real[Tensor, "pairs concepts"]
) -> tuple[Float[Tensor, "concepts d_model"], Matching]:
    """Return as many singular vectors of the shifts as there are concepts, named by the labels."""
    shifts, changes = methods.as_pairs(shifts, changes)
    return methods.singular_vectors(shifts, changes.shape[1]).named(shifts, changes)


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
    save_tensors(path, {"directions": vectors.directions, **vectors.matching._asdict()}, told)


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
