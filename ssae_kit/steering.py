"""Steering: one direction per concept, and a score of what changed and what should not have.

A direction is a row of `[concepts, d_model]` in the units of the hidden state. Its length is one
typical shift of the concept: adding it once should turn the concept from value 0 to value 1,
subtracting it the other way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.llama import Llama, hidden_states
from ssae_kit.metrics import Matching, mcc_codes
from ssae_kit.pairs import ConceptPairs


def shift_vectors(
    llama: Llama, pairs: ConceptPairs, layer: int, *, progress: bool = False
) -> Float[Tensor, "pairs d_model"]:
    """Return target minus source hidden state of each pair, at the last token of one layer."""
    texts = list(dict.fromkeys(pairs.source + pairs.target))
    states = hidden_states(llama, texts, layer, progress=progress)
    row = {text: i for i, text in enumerate(texts)}
    target = states[[row[text] for text in pairs.target]]
    return target - states[[row[text] for text in pairs.source]]


def difference_of_means(
    shifts: Float[Tensor, "pairs d_model"], changes: Float[Tensor, "pairs concepts"]
) -> Float[Tensor, "concepts d_model"]:
    """Return the mean shift of the pairs in which a concept changes, signed by its change.

    The supervised comparator: it is told which concept changed in every pair.

    Args:
        shifts: Target minus source activations.
        changes: Known change of each concept in the same pairs (-1, 0 or 1).

    Raises:
        ValueError: if a concept never changes.

    Source: Panickssery et al. 2023 (arXiv 2312.06681), contrastive activation addition.
    """
    return (changes.mT @ shifts) / _times_changed(changes)


def latent_directions(
    autoencoder: ShiftAutoencoder,
    shifts: Float[Tensor, "pairs d_model"],
    changes: Float[Tensor, "pairs concepts"],
) -> tuple[Float[Tensor, "concepts d_model"], Matching]:
    """Return one decoder direction per concept, as long as a typical shift.

    The autoencoder found the directions without labels. Labels serve only to name them: which
    latent belongs to which concept, which way is up, and how large its code is when the concept
    changes.

    Args:
        autoencoder: A single run.
        shifts: Target minus source activations.
        changes: Known change of each concept in the same pairs.

    Returns:
        The directions, and the matching of latents to concepts.

    Raises:
        ValueError: if there is more than one run, fewer latents than concepts, or a concept
            never changes.

    Source: Joshi et al. 2025 (arXiv 2502.12179): steer by the decoded unit code.
    """
    if autoencoder.n_runs != 1 or autoencoder.n_latents < changes.shape[1]:
        raise ValueError(
            f"one run with at least {changes.shape[1]} latents (one per concept) is required; got "
            f"{autoencoder.n_runs} runs of {autoencoder.n_latents}. Use `autoencoder.select(run)`."
        )
    with torch.no_grad():
        codes = autoencoder.encode(shifts)
    matching = mcc_codes(codes, changes)
    named = codes[0][:, matching.latent[0]]
    typical = (changes * named).sum(0) / _times_changed(changes)[:, 0]
    length: Tensor = typical * autoencoder.scale
    return length[:, None] * autoencoder.directions[0, matching.latent[0]], matching


def random_directions(
    directions: Float[Tensor, "concepts d_model"], *, generator: torch.Generator
) -> Float[Tensor, "concepts d_model"]:
    """Return random directions of the same lengths: what a push of that size does by itself."""
    random = torch.randn(directions.shape, generator=generator)
    lengths: Tensor = directions.norm(dim=1) / random.norm(dim=1)
    return random * lengths[:, None]


def steering_vectors(
    directions: Float[Tensor, "concepts d_model"],
    values: Int[Tensor, "texts concepts"],
    targets: Int[Tensor, " texts"],
    strength: float,
) -> Float[Tensor, "texts d_model"]:
    """Return the vector that turns each text's target concept to its other value.

    Args:
        directions: One per concept, from value 0 to value 1.
        values: Concept values of each text, 0 or 1.
        targets: Which concept to turn in each text.
        strength: 1 adds one typical shift; 0 adds nothing.
    """
    sign = 1 - 2 * values.gather(1, targets[:, None])
    return strength * sign * directions[targets]


@dataclass(frozen=True)
class Expressed:
    """What texts say about each concept, as read by a parser."""

    share: Float[Tensor, "texts concepts"]
    """Of the words that express a concept, the share that express value 1; NaN if there are none."""
    n_words: Float[Tensor, "texts concepts"]
    """Number of those words."""
    ill_formed: Float[Tensor, " texts"]
    """Share of sentences that are not well-formed; NaN if the text has none."""


def read_concepts(
    texts: Sequence[str],
    read: Callable[[str], Any],
    concepts: Sequence[str],
    *,
    n_sentences: int,
) -> Expressed:
    """Read the first complete sentences of each text.

    Args:
        texts: Continuations, any strings.
        read: A parser such as `ssae_kit.world.read`: its result has `sentences`, each of which knows
            its `words` (with `values`, concept to value), `is_well_formed` and `is_complete`.
        concepts: Binary concepts, in the order of the columns wanted.
        n_sentences: Sentences read; an unfinished one at the end is left out.
    """
    ones = torch.zeros(len(texts), len(concepts))
    n_words = torch.zeros(len(texts), len(concepts))
    ill_formed = torch.full((len(texts),), float("nan"))
    for i, text in enumerate(texts):
        complete = [s for s in read(text).sentences if s.is_complete][:n_sentences]
        if complete:
            ill_formed[i] = sum(not s.is_well_formed for s in complete) / len(complete)
        for word in (word for sentence in complete for word in sentence.words):
            for j, concept in enumerate(concepts):
                if concept in word.values:
                    n_words[i, j] += 1
                    ones[i, j] += word.values[concept]
    return Expressed(ones / n_words, n_words, ill_formed)


@dataclass(frozen=True)
class SteeringScore:
    """What steering did, per text. Report effect and side effects together, never one alone."""

    changed: Float[Tensor, "texts concepts"]
    """Share of a concept's words that express another value than the prompt's; NaN if none do."""
    targets: Int[Tensor, " texts"]
    """The concept that was to change."""
    ill_formed: Float[Tensor, " texts"]
    """Share of sentences that are not well-formed."""

    @property
    def target(self) -> Float[Tensor, " texts"]:
        """Share of the target concept's words that changed: the effect. 1 is best."""
        return self.changed.gather(1, self.targets[:, None])[:, 0]

    @property
    def elsewhere(self) -> Float[Tensor, " texts"]:
        """Mean share of changed words over the other concepts: the side effect. 0 is best."""
        others = self.changed.scatter(1, self.targets[:, None], float("nan"))
        return others.nanmean(1)

    @property
    def strict(self) -> Bool[Tensor, " texts"]:
        """Whether every word of the target changed and every sentence is well-formed."""
        return (self.target == 1) & (self.ill_formed == 0)


def score_steering(
    expressed: Expressed,
    values: Int[Tensor, "texts concepts"],
    targets: Int[Tensor, " texts"],
) -> SteeringScore:
    """Compare what continuations express with the values of their prompts.

    Args:
        expressed: What the continuations say.
        values: Concept values of the prompts, 0 or 1.
        targets: The concept that was to change in each.
    """
    changed = (expressed.share - values).abs()
    return SteeringScore(changed, targets, expressed.ill_formed)


def rate_interval(rates: Float[Tensor, " texts"] | Bool[Tensor, " texts"]) -> tuple[float, ...]:
    """Return the mean of per-text rates and its 95% interval: (mean, low, high), each 0 to 1.

    The interval is Wilson's, with the number of texts as sample size. For rates between 0 and 1
    it is wider than needed; for rates of exactly 0 or 1 it does not collapse. NaN rates are left
    out.

    Raises:
        ValueError: if no text has a rate.

    Source: Wilson 1927.
    """
    known = rates.float()[~rates.float().isnan()]
    n, z = len(known), 1.96
    if n == 0:
        raise ValueError("no text says anything about this concept, so there is no rate.")
    mean = float(known.mean())
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (mean * (1 - mean) / n + z * z / (4 * n * n)) ** 0.5
    return mean, max(0.0, centre - half), min(1.0, centre + half)


def _times_changed(changes: Tensor) -> Float[Tensor, "concepts 1"]:
    count = (changes != 0).sum(0)
    if (count == 0).any():
        raise ValueError(
            "every concept must change in at least one pair; the concept(s) in column(s) "
            f"{(count == 0).nonzero().flatten().tolist()} never do. Add pairs or drop the column."
        )
    return count[:, None].to(changes.dtype)
