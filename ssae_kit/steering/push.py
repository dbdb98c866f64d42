"""From directions, or the latents of a sparse autoencoder, to what is added to each text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, cycle, islice
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import Autoencoder
from ssae_kit.llama import Add, Edit
from ssae_kit.methods import as_pairs, require_two_values
from ssae_kit.metrics.vectors import centred_unit


@dataclass(frozen=True)
class Prompted:
    """A way to steer a batch of texts: by edits, by other prompts, or by both.

    Raises:
        ValueError: if an edit has neither one row for all prompts nor one for each.
    """

    prompts: Sequence[str]
    """One per text."""
    edits: Mapping[Any, Edit] = field(default_factory=dict)
    """As in `llama.run`: what to do at which layer, such as `{3: Add(vectors)}`."""

    def __post_init__(self) -> None:
        checks.require_kind("edits", self.edits, Mapping, "{3: Add(vectors)}")
        for place, edit in self.edits.items():
            checks.require_kind(f"edits[{place}]", edit, Edit, "Add(vectors)")
            edit.require_rows(len(self.prompts))

    def rows(self, start: int, stop: int) -> "Prompted":
        """Return the same for a slice of the texts."""
        own = slice(start, stop)
        return Prompted(self.prompts[own], {at: edit.rows(own) for at, edit in self.edits.items()})


def stacked(ways: Sequence[Prompted]) -> Prompted:
    """Return several ways to steer equally many texts as one batch, block after block.

    A way that adds nothing gets vectors of zeros.

    Raises:
        ValueError: if the ways differ in their number of texts, their layer, or where they add, or
            do anything else than to add.
    """
    for way in ways:
        checks.require_kind("ways", way, Prompted, "[Prompted(prompts), ...]")
    sizes = {len(way.prompts) for way in ways}
    edits = [pair for way in ways for pair in way.edits.items()]
    places = {(layer, str(edit.at)) for layer, edit in edits}
    if len(sizes) != 1 or len(places) > 1 or not all(isinstance(edit, Add) for _, edit in edits):
        raise ValueError(
            "ways to be stacked need equally many texts, and may add at one layer and one `at`; got "
            f"texts {sorted(sizes)}, layer and `at` {sorted(places)}. Stack the others by themselves."
        )
    prompts = [prompt for way in ways for prompt in way.prompts]
    if not edits:
        return Prompted(prompts)
    layer, first = edits[0]
    adds: list[Any] = [way.edits.get(layer, first) for way in ways]
    shares = [add.vectors * bool(way.edits) for add, way in zip(adds, ways, strict=True)]
    rows = torch.cat([share.expand(*sizes, -1) for share in shares])
    return Prompted(prompts, {layer: Add(rows, at=first.at)})


def concepts_in_turn(
    n_texts: int, n_concepts: int, n_together: int = 1
) -> Bool[Tensor, "texts concepts"]:
    """Return which concepts to steer in each text: every set of that size takes its turn.

    Args:
        n_texts: Number of texts.
        n_concepts: Number of concepts.
        n_together: Concepts steered at once in a text, 1 to `n_concepts`.

    Raises:
        ValueError: if `n_together` is out of range.
    """
    n_texts, n_concepts = checks.whole("n_texts", n_texts), checks.whole("n_concepts", n_concepts)
    what = " (the number of concepts)"
    n_together = checks.whole("n_together", n_together, 1, n_concepts, what)
    sets = islice(cycle(combinations(range(n_concepts), n_together)), n_texts)
    chosen = torch.tensor(list(sets), dtype=torch.int64).view(n_texts, n_together)
    return torch.zeros(n_texts, n_concepts, dtype=torch.bool).scatter(1, chosen, True)


def steering_vectors(
    directions: Float[Tensor, "concepts d_model"],
    values: Int[Tensor, "texts concepts"],
    steered: Bool[Tensor, "texts concepts"],
    strength: float | Float[Tensor, "texts 1"],
) -> Float[Tensor, "texts d_model"]:
    """Return the vector that turns each text's steered concepts to their other values.

    Args:
        directions: One per concept, from value 0 to value 1.
        values: Concept values of each text, 0 or 1.
        steered: Which concepts to turn in each text; the directions of several add up.
        strength: 1 adds one typical shift; 0 adds nothing. One number, or one per text.

    Raises:
        ValueError: if a value of a steered concept is neither 0 nor 1.
    """
    given = {"directions": (directions, "concepts d_model")}
    directions, values, on, strength = _turns(given, values, steered, strength)
    pushes: Tensor = strength * ((1 - 2 * values) * on @ directions)
    return pushes


def _turns(given: dict[str, tuple[Any, str]], values: Any, steered: Any, strength: Any) -> Any:
    """Check one more tensor, what is to be turned in each text, and how strongly."""
    axes = "texts concepts"
    first, values, on = checks.tensors(**given, values=(values, axes), steered=(steered, axes))
    on = checks.mask("steered", on)
    if on.any():  # nothing to turn is no mistake
        require_two_values(values[on])
    (strength,) = checks.tensors(strength=(strength, "*texts"))
    if tuple(strength.shape) not in ((), (1, 1), (len(values), 1)):
        raise ValueError(
            f"`strength` must be one number, or one per text, [{len(values)}, 1]; got "
            f"{list(strength.shape)}."
        )
    return first, values, on, strength.to(values)


@dataclass(frozen=True)
class LatentClamp:
    """One latent per concept, and where its code lies when the concept has either value."""

    autoencoder: Autoencoder
    """Trained on hidden states, not on shifts; a single run."""
    latent: Int[Tensor, " concepts"]
    """The latent that reads each concept best."""
    levels: Float[Tensor, "concepts 2"]
    """Mean code of that latent in texts with value 0 and with value 1."""
    correlation: Float[Tensor, " concepts"]
    """How well it reads: absolute correlation of its code with the value, 0 to 1."""

    @torch.no_grad()
    def vectors(
        self,
        states: Float[Tensor, "texts d_model"],
        values: Int[Tensor, "texts concepts"],
        steered: Bool[Tensor, "texts concepts"],
        strength: float | Float[Tensor, "texts 1"],
    ) -> Float[Tensor, "texts d_model"]:
        """Return what to add to these hidden states so that the latents take the levels wanted.

        The level wanted is that of the old value plus `strength` times the way to the level of
        the new one. Every other code, and the error of the reconstruction, stay as they are.

        Args:
            states: Hidden states that will be edited: those of the prompts, at the same layer.
            values: Concept values of each text, 0 or 1.
            steered: Which concepts to turn in each text.
            strength: 1 sets the typical code of the other value; 0 that of the present one. One
                number, or one per text.

        Raises:
            ValueError: if a value of a steered concept is neither 0 nor 1.
        """
        given = {"states": (states, "texts d_model")}
        turns = _turns(given, values, steered, strength)
        states, values, on, strength = (table.to(self.levels.device) for table in turns)
        codes = self.autoencoder.encode(states)[0][:, self.latent]
        low, high = self.levels.unbind(1)
        old = torch.where(values == 1, high, low)
        new = torch.where(values == 1, low, high)
        change = (old + strength * (new - old) - codes) * on
        vectors: Tensor = self.autoencoder.scale * (
            change @ self.autoencoder.directions[0, self.latent]
        )
        return vectors


@torch.no_grad()
def clamp_of(
    autoencoder: Autoencoder,
    states: Float[Tensor, "texts d_model"],
    values: Int[Tensor, "texts concepts"],
) -> LatentClamp:
    """Find for each two-valued concept the latent whose code correlates most with its value.

    Args:
        autoencoder: Trained on hidden states; a single run.
        states: Hidden states of labelled texts.
        values: Concept values of the same texts, 0 or 1.

    Raises:
        ValueError: if there is more than one run, a value is neither 0 nor 1, or a concept has the
            same value in every text.

    Source: Templeton et al. 2024, "Scaling Monosemanticity": clamp a latent, keep the error.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    autoencoder.require_one_run()
    given = as_pairs(states, values, ("states", "values"))
    states, ones = (table.to(autoencoder.decoder.device) for table in given)
    require_two_values(ones)
    if (ones.var(0) == 0).any():
        raise ValueError(
            "a latent can be named only by texts of both values; the concept(s) in column(s) "
            f"{(ones.var(0) == 0).nonzero().flatten().tolist()} have one only. Add texts."
        )
    codes = autoencoder.encode(states)[0]
    correlation = centred_unit(ones, 0).mT @ centred_unit(codes, 0)
    best, latent = correlation.abs().max(1)
    read = codes[:, latent]
    levels = [((read * on).sum(0) / on.sum(0)) for on in (1 - ones, ones)]
    return LatentClamp(autoencoder, latent, torch.stack(levels, dim=1), best)
