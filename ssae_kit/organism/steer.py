"""Whether the concepts of a Llama can be read and moved at a middle layer."""

from dataclasses import dataclass, replace
from itertools import chain

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit import methods
from ssae_kit.llama import Add, Llama, generate, hidden_states
from ssae_kit.organism.measure import TEMPERATURE, Measure, share, told_whole
from ssae_kit.steering import concepts_in_turn, shift_vectors, steering_vectors
from ssae_kit.world.parse import Reading, parse, word_values
from ssae_kit.world.prompts import concept_pairs, prompts
from ssae_kit.world.sentences import MAX_SENTENCE_LENGTH
from ssae_kit.world.state import CONCEPTS, VALUES
from ssae_kit.world.text import split_words

MIDDLE = 3
"""The layer of all these figures: the output of the third of six blocks."""
N_PAIRS = 3000
"""Concept pairs that the directions are computed from."""
STRENGTHS = (1.0, 1.5, 2.0, 3.0)
"""Multiples of the difference of means that are tried on development prompts."""
N_SENTENCES = 4
"""Sentences that a steered continuation is long."""
MANY_VALUED = tuple(concept for concept, names in VALUES.items() if len(names) > 2)
"""Concepts of three or four values, moved by class means."""
MANY_VALUED_STRENGTH = 1.5
"""Multiple of the difference between two class means; not tuned."""


@dataclass(frozen=True)
class Outcome:
    """What one continuation did."""

    concept: int
    """Column in `CONCEPTS` of the concept that was to be moved."""
    flips: list[bool]
    """Per word that expresses the target concept: whether it has the new value."""
    others: list[bool]
    """Per word and other concept it expresses: whether the value differs from the prompt's."""
    is_well_formed: list[bool]
    """Per sentence."""
    keeps_character: list[bool]
    """Per well-formed sentence: whether it is about the prompt's character."""

    @property
    def is_strict(self) -> bool:
        """Whether every expressing word flipped and every sentence is well-formed."""
        return bool(self.flips) and all(self.flips) and all(self.is_well_formed)


def probe_figures(llama: Llama) -> list[Measure]:
    """How well a least-squares probe reads each concept off the last full stop."""
    texts, values = prompts(2000, torch.Generator().manual_seed(30_000))
    states = hidden_states(llama, texts, MIDDLE)
    inputs = torch.cat([states, torch.ones(len(states), 1)], 1)
    n_train = 1500
    targets = 2.0 * values - 1
    weights = torch.linalg.lstsq(inputs[:n_train], targets[:n_train], driver="gelsd").solution
    right = (inputs[n_train:] @ weights > 0) == (targets[n_train:] > 0)
    return [
        share(f"probe at layer {MIDDLE}, {concept}", right[:, k].tolist(), 0.97)
        for k, concept in enumerate(CONCEPTS)
    ]


def learned_directions(llama: Llama) -> Float[Tensor, "concepts d_model"]:
    """Difference of means of every concept, from value 0 to value 1."""
    pairs = concept_pairs(N_PAIRS, torch.Generator().manual_seed(30_001))
    shifts = shift_vectors(llama, pairs, MIDDLE)
    return methods.difference_of_means(shifts, torch.tensor(pairs.changes)).directions


def continue_prompts(
    llama: Llama,
    texts: tuple[str, ...],
    ways: list[Float[Tensor, "prompts d_model"]],
    seed: int,
) -> list[list[str]]:
    """Four more sentences for each prompt and way, after one nudge at its last full stop.

    Every way draws the same random numbers; zeros leave the model as it is.
    """
    written = generate(
        llama,
        texts * len(ways),
        max_new_tokens=MAX_SENTENCE_LENGTH * N_SENTENCES,
        generator=torch.Generator().manual_seed(seed),
        edits={MIDDLE: Add(torch.cat(ways))},
        temperature=TEMPERATURE,
        n_ways=len(ways),
    )
    n = len(texts)
    return [written[start : start + n] for start in range(0, len(written), n)]


def judge(
    texts: tuple[str, ...], values: Int64[Tensor, "prompts concepts"], continuations: list[str]
) -> list[Outcome]:
    """Read what the continuations express."""
    targets = concepts_in_turn(len(values), len(CONCEPTS)).int().argmax(1).tolist()
    outcomes = []
    for target, text, row, continuation in zip(
        targets, texts, values.tolist(), continuations, strict=True
    ):
        reading, character = Reading(told_whole(continuation)), parse(text).sentences[0].character
        words, own = [word.values for word in reading.words], zip(CONCEPTS, row, strict=True)
        differs = {c: [said[c] != value for said in words if c in said] for c, value in own}
        flips, others = differs.pop(CONCEPTS[target]), [*chain(*differs.values())]
        is_well_formed = [s.is_well_formed for s in reading.sentences]
        kept = [s.character == character for s in reading.sentences if s.is_well_formed]
        outcomes.append(Outcome(target, flips, others, is_well_formed, kept))
    return outcomes


def choose_strength(llama: Llama, directions: Float[Tensor, "concepts d_model"]) -> float:
    """The strength with most strict flips on development prompts."""
    texts, values = prompts(105, torch.Generator().manual_seed(30_002))
    turn = concepts_in_turn(len(values), len(CONCEPTS))
    ways = [steering_vectors(directions, values, turn, strength) for strength in STRENGTHS]
    written = continue_prompts(llama, texts, ways, 30_003)
    scores = {
        strength: sum(outcome.is_strict for outcome in judge(texts, values, out))
        for strength, out in zip(STRENGTHS, written, strict=True)
    }
    return max(scores, key=lambda strength: (scores[strength], -strength))


def _pooled(outcomes: list[Outcome], name: str) -> list[bool]:
    return [*chain(*(getattr(outcome, name) for outcome in outcomes))]


def steering_figures(llama: Llama, n: int = 420) -> tuple[list[Measure], list[dict[str, str]]]:
    """Figures of steering every concept once, and samples.

    Samples are the first prompt of each concept, whatever came out.
    """
    directions = learned_directions(llama)
    strength = choose_strength(llama, directions)
    texts, values = prompts(n, torch.Generator().manual_seed(30_004))
    noise = methods.random_directions(directions, generator=torch.Generator().manual_seed(30_005))
    turn = concepts_in_turn(len(values), len(CONCEPTS))
    ways = [
        steering_vectors(rows, values, turn, strength)
        for rows in (torch.zeros_like(directions), directions, noise)
    ]
    plain, steered, random = continue_prompts(llama, texts, ways, 30_006)
    before, after, control = (judge(texts, values, out) for out in (plain, steered, random))
    figures = [
        share(f"strict flip, {concept}", [o.is_strict for o in after if o.concept == k], 0.85)
        for k, concept in enumerate(CONCEPTS)
    ]
    figures += _side_effects(before, after, control)
    figures.append(
        Measure("strength chosen on development prompts", strength, strength, strength, 105)
    )
    samples = [
        {"concept": c, "prompt": texts[k], "before": plain[k], "after": steered[k]}
        for k, c in enumerate(CONCEPTS)
    ]
    return figures, samples


def _side_effects(
    before: list[Outcome], after: list[Outcome], control: list[Outcome]
) -> list[Measure]:
    off_before, off_after = (share("", _pooled(every, "others")) for every in (before, after))
    half = (off_after.high - off_after.low + off_before.high - off_before.low) / 2
    rise = off_after.value - off_before.value
    ill = share("ill-formed sentences, steered", [not w for w in _pooled(after, "is_well_formed")])
    return [
        share("strict flip, all concepts", [outcome.is_strict for outcome in after]),
        share("words flipped, steered", _pooled(after, "flips")),
        share("words flipped, unsteered", _pooled(before, "flips")),
        share("words flipped, random direction of equal length", _pooled(control, "flips")),
        share("strict flip, random direction of equal length", [o.is_strict for o in control]),
        Measure(
            "off-target words, steered minus unsteered",
            rise,
            rise - half,
            rise + half,
            off_after.n,
            0.03,
            True,
        ),
        replace(ill, threshold=0.03, smaller_is_better=True),
        share(
            "ill-formed sentences, unsteered", [not w for w in _pooled(before, "is_well_formed")]
        ),
        share("character kept, steered", _pooled(after, "keeps_character")),
    ]


def stated(text: str, concept: str) -> list[int]:
    """The values of a concept that a text's words say, in order, whether it is well-formed or not."""
    found = (word_values(word) for word in split_words(text))
    return [values[concept] for values in found if concept in values]


def many_valued_figures(llama: Llama, n: int = 100) -> list[Measure]:
    """Figures of steering every concept of three or four values to a value other than the prompt's.

    One push at the last full stop, from the class mean of the old value to that of the wanted one.
    Words of both languages are counted together; n prompts per concept, the same for all.
    """
    learnt, _ = prompts(2000, torch.Generator().manual_seed(30_007))
    states = hidden_states(llama, learnt, MIDDLE)
    texts, _ = prompts(n, torch.Generator().manual_seed(30_008))
    noise = torch.Generator().manual_seed(30_009)
    asked, ways = [], []
    for concept in MANY_VALUED:
        values = torch.tensor([stated(text, concept)[0] for text in learnt])
        n_values = len(VALUES[concept])
        means = methods.value_means(states, values, n_values)
        old = torch.tensor([stated(text, concept)[0] for text in texts])
        wanted = (old + 1 + torch.arange(n) % (n_values - 1)) % n_values
        push = MANY_VALUED_STRENGTH * (means[wanted] - means[old])
        asked += [(concept, old, wanted, False), (concept, old, wanted, True)]
        ways += [push, methods.random_directions(push, generator=noise)]
    written = continue_prompts(llama, texts, ways, 30_010)
    pairs = zip(asked, written, strict=True)
    return [*chain(*(judge_values(*about, out) for about, out in pairs))]


def judge_values(
    concept: str,
    old: Int64[Tensor, " prompts"],
    wanted: Int64[Tensor, " prompts"],
    is_control: bool,
    continuations: list[str],
) -> list[Measure]:
    """Shares of a concept's words with the wanted value, and with neither it nor the old one."""
    hits, others = [], []
    for was, new, text in zip(old.tolist(), wanted.tolist(), continuations, strict=True):
        said = stated(text, concept)
        hits += [value == new for value in said]
        others += [value not in (was, new) for value in said]
    name = f"{concept}, random direction" if is_control else concept
    third = share(f"{name}: words with a third value", others, None if is_control else 0.1)
    return [
        share(f"{name}: words with the wanted value", hits, None if is_control else 0.6),
        replace(third, smaller_is_better=not is_control),
    ]
