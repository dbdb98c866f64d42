"""The parser: which concept values a text expresses, word by word, and whether it is well-formed."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

from ssae_kit import checks
from ssae_kit.world.sentences import Plan, admissible_states, all_states, recognise, story_words
from ssae_kit.world.state import VALUES, State, value_index
from ssae_kit.world.stories import Story
from ssae_kit.world.text import join_words, split_words


@dataclass(frozen=True)
class WordReading:
    """One word and what it says by itself."""

    word: str
    """The word as split from the text, lower-case."""
    values: Mapping[str, int]
    """Concept → value index, for the concepts that this word alone fixes; often empty."""


@dataclass(frozen=True)
class SentenceReading:
    """One sentence, up to and with its full stop."""

    words: tuple[WordReading, ...]
    """Its words and marks."""
    plan: Plan | None
    """How the grammar derives it; None where it does not."""
    is_complete: bool
    """Whether it ends in a full stop."""

    @property
    def is_well_formed(self) -> bool:
        """Whether this is a sentence of the stories' grammar."""
        return self.plan is not None

    @property
    def state(self) -> State | None:
        """The concept values it states; None where it is not well-formed."""
        return self.plan.state if self.plan else None

    @property
    def character(self) -> int | None:
        """Who it is about; None where it is not well-formed."""
        return self.plan.character if self.plan else None


@dataclass(frozen=True)
class Reading:
    """What the parser made of a text."""

    sentences: tuple[SentenceReading, ...]
    """In order; a last one without full stop is kept and marked incomplete."""
    concepts: ClassVar[tuple[str, ...]] = tuple(VALUES)
    """All that the parser can read."""

    @property
    def words(self) -> tuple[WordReading, ...]:
        """All words in order."""
        return tuple(word for sentence in self.sentences for word in sentence.words)


@lru_cache(maxsize=2**12)  # not more: a text may hold any words
def word_values(word: str) -> Mapping[str, int]:
    """Concept → value index for every concept that a word fixes wherever it may stand.

    Shared by every reading of the word, so it cannot be changed.
    """
    possible = 0
    for words in admissible_states().values():
        possible |= words.get(word, 0)
    states = [state for i, state in enumerate(all_states()) if possible >> i & 1]
    found = {concept: {getattr(state, concept) for state in states} for concept in VALUES}
    values = {concept: only.pop() for concept, only in found.items() if len(only) == 1}
    return MappingProxyType(values)


def read(text: str) -> Reading:
    """Read any text; never raises on a string.

    Words unknown to the stories, unfinished and ungrammatical sentences are kept and marked.
    """
    checks.require_kind("text", text, str, "The queen sings.")
    sentences: list[SentenceReading] = []
    words: list[str] = []
    for word in [*split_words(text), ""]:
        words += [word] if word else []
        if words and word in (".", ""):
            sentences.append(_sentence(tuple(words)))
            words = []
    return Reading(tuple(sentences))


@lru_cache(maxsize=2**14)  # not more: a lab may read texts for days
def _sentence(words: tuple[str, ...]) -> SentenceReading:
    readings = tuple(WordReading(word, word_values(word)) for word in words)
    return SentenceReading(readings, recognise(words), words[-1] == ".")


def parse(text: str) -> Story:
    """Find the plan of a text that the grammar can write.

    Raises:
        ValueError: if a sentence is not of the grammar, or the character changes on the way.
    """
    reading = read(text)
    if not reading.sentences:
        raise ValueError("`text` must hold at least one sentence of a story; got an empty text.")
    for number, sentence in enumerate(reading.sentences, 1):
        if sentence.plan is None:
            raise ValueError(_complaint(number, sentence))
    plans = tuple(s.plan for s in reading.sentences if s.plan)
    if len({plan.character for plan in plans}) > 1:
        raise ValueError(
            "every sentence of `text` must be about the same character; "
            f"got characters {sorted({plan.character for plan in plans})}. "
            "Split the text where the character changes."
        )
    return Story(plans)


def _complaint(number: int, sentence: SentenceReading) -> str:
    words = [reading.word for reading in sentence.words]
    known = set(story_words())
    unknown = [word for word in words if word not in known]
    why = f" Unknown words: {', '.join(unknown[:5])}." if unknown else ""
    return (
        f"every sentence of `text` must be one of the stories' grammar; sentence {number}, "
        f"{join_words(words)!r}, is not.{why} `sample_story` and `prompts` write ones that are."
    )


def counterfactual(text: str, concept: str, value: str | int) -> str:
    """The same story with one concept set to another value, token-aligned with the original.

    Templates, fillers and character stay; every word that the concept inflects changes.

    Raises:
        ValueError: if the text is not of the grammar, or the concept or value does not exist.
    """
    index = value_index(concept, value)
    plans = [
        replace(plan, state=plan.state.changed(**{concept: index}))
        for plan in parse(text).sentences
    ]
    return Story(tuple(plans)).text
