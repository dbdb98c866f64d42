"""Texts in, directions out: the shifts of pairs in a Llama, and one vector per concept from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Real
from torch import Tensor

from ssae_kit import checks, methods
from ssae_kit.llama import Llama, hidden_states
from ssae_kit.llama.rows import require_known
from ssae_kit.metrics import Matching
from ssae_kit.pairs import ConceptPairs
from ssae_kit.training import TrainingConfig


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
    concepts, which makes all but every start find them; those to spare stay nameless.

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
