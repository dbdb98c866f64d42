"""Prompts and concept pairs: story beginnings with known values and a chosen support design."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from ssae_kit import checks
from ssae_kit.pairs import ConceptPairs
from ssae_kit.world.lexicon import CHARACTERS
from ssae_kit.world.sentences import draw_plan
from ssae_kit.world.state import CONCEPTS, VALUES, Draws, State, check_concept, draw_state
from ssae_kit.world.stories import Story


@dataclass(frozen=True)
class CoChange:
    """Two concepts that tend to change together."""

    first: str
    """A concept among those that may change."""
    second: str
    """Another one."""
    probability: float
    """Given that one of the two changes, how often both do, in 0..1."""
    same_sign: bool = True
    """Whether they then change in the same direction; else directions are free."""


def prompts(
    n: int, generator: torch.Generator, n_sentences: int = 2
) -> tuple[tuple[str, ...], Int64[Tensor, "prompts concepts"]]:
    """Story beginnings, each in one state throughout.

    Args:
        n: Number of prompts.
        generator: Source of every choice.
        n_sentences: Sentences per prompt, at least 1.

    Returns:
        The texts and the values of the binary concepts, columns as in `CONCEPTS`.

    Raises:
        ValueError: if a number is below 1.
    """
    checks.whole("n", n)
    checks.whole("n_sentences", n_sentences)
    texts, values = [], []
    for _ in range(n):
        draws = Draws(generator)
        state = draw_state(draws)
        texts.append(_write(draws, state, draws.index(len(CHARACTERS)), n_sentences).text)
        values.append(state.binary())
    return tuple(texts), torch.tensor(values, dtype=torch.int64)


def concept_pairs(
    n_pairs: int,
    generator: torch.Generator,
    *,
    max_changed: int = 3,
    concepts: tuple[str, ...] = CONCEPTS,
    co_change: CoChange | None = None,
    n_sentences: int = 2,
) -> ConceptPairs:
    """Pairs of story beginnings in which 1..`max_changed` concepts differ, word beside word.

    Both texts share templates, fillers and character.

    Args:
        n_pairs: Number of pairs.
        generator: Source of every choice.
        max_changed: Largest number of concepts that change in a pair; sizes are equally likely.
        concepts: The concepts that may change; the others vary between pairs, not within one.
            A concept of more values ("colour") takes one column per value, "colour=red" and so on.
        co_change: Two concepts that tend to change together; None lets all change independently.
            They are drawn apart from the others, so that up to two concepts more may change.
        n_sentences: Sentences per text.

    Returns:
        The pairs; their changes are 1 from a concept's value 0 to its value 1, and -1 back.

    Raises:
        ValueError: for a concept that does not exist, or sizes that cannot be met.
    """
    checks.whole("n_pairs", n_pairs)
    checks.whole("n_sentences", n_sentences)
    _check_design(max_changed, concepts, co_change)
    sources, targets, changes = [], [], []
    for _ in range(n_pairs):
        draws = Draws(generator)
        before, after = _draw_change(draws, max_changed, concepts, co_change)
        source = _write(draws, before, draws.index(len(CHARACTERS)), n_sentences)
        target = Story(tuple(replace(plan, state=after) for plan in source.sentences))
        sources.append(source.text)
        targets.append(target.text)
        changes.append(_change(before, after, concepts))
    return ConceptPairs(tuple(sources), tuple(targets), _columns(concepts), tuple(changes))


def _write(draws: Draws, state: State, character: int, n_sentences: int) -> Story:
    return Story(tuple(draw_plan(draws, state, character) for _ in range(n_sentences)))


def _draw_change(
    draws: Draws, max_changed: int, concepts: tuple[str, ...], co_change: CoChange | None
) -> tuple[State, State]:
    before = draw_state(draws)
    pool = list(concepts)
    changed = [pool.pop(draws.index(len(pool))) for _ in range(1 + draws.index(max_changed))]
    if co_change:
        before, changed = _couple(draws, before, changed, concepts, co_change)
    new = {}
    for concept in changed:
        n_values = len(VALUES[concept])
        new[concept] = (getattr(before, concept) + 1 + draws.index(n_values - 1)) % n_values
    return before, before.changed(**new)


def _couple(
    draws: Draws, before: State, changed: list[str], concepts: tuple[str, ...], rule: CoChange
) -> tuple[State, list[str]]:
    """Redraw which of the two coupled concepts change; about half of all pairs change neither."""
    rest = [c for c in changed if c not in (rule.first, rule.second)]
    if draws.happens(0.5):
        both = draws.happens(rule.probability)
        one = rule.first if draws.happens(0.5) else rule.second
        rest += [rule.first, rule.second] if both else [one]
    elif not rest:
        others = [c for c in concepts if c not in (rule.first, rule.second)]
        rest = [others[draws.index(len(others))]]
    if rule.same_sign:
        before = before.changed(**{rule.second: getattr(before, rule.first)})
    return before, rest


def _columns(concepts: tuple[str, ...]) -> tuple[str, ...]:
    columns = []
    for concept in concepts:
        names = VALUES[concept]
        columns += [concept] if len(names) == 2 else [f"{concept}={name}" for name in names]
    return tuple(columns)


def _change(before: State, after: State, concepts: tuple[str, ...]) -> tuple[int, ...]:
    change: list[int] = []
    for concept in concepts:
        old, new = getattr(before, concept), getattr(after, concept)
        n_values = len(VALUES[concept])
        one_hot = [int(new == value) - int(old == value) for value in range(n_values)]
        change += [new - old] if n_values == 2 else one_hot
    return tuple(change)


def _check_design(max_changed: int, concepts: tuple[str, ...], co_change: CoChange | None) -> None:
    checks.require_kind("concepts", concepts, tuple | list, '("tense", "size")')
    for concept in concepts:
        check_concept(concept)
    if not concepts or len(set(concepts)) != len(concepts):
        raise ValueError(f"`concepts` must name different concepts, at least one; got {concepts}.")
    checks.whole("max_changed", max_changed, 1, len(concepts), " (the number of concepts)")
    if co_change is None:
        return
    checks.require_kind("co_change", co_change, CoChange)
    pair = {co_change.first, co_change.second}
    among = len(pair) == 2 and pair <= set(concepts) and len(concepts) > 2
    binary = among and all(len(VALUES[concept]) == 2 for concept in pair)
    if not binary or not 0 <= co_change.probability <= 1:
        raise ValueError(
            "`co_change` must name two different binary concepts among `concepts`, which must hold a "
            f"third, and a probability in 0..1; got {co_change} among {concepts}."
        )
