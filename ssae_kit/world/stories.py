"""Stories: documents whose state switches now and then and then stays.

A story follows one character. At each boundary every concept switches with probability
`SWITCH`, and stays switched; after each sentence the story ends with probability `END`. Stories
are cut, without an end, after `MAX_SENTENCES` sentences.
"""

import itertools
import math
from dataclasses import dataclass

import torch

from ssae_kit import checks
from ssae_kit.world.lexicon import CHARACTERS
from ssae_kit.world.sentences import Plan, draw_plan, log_probability_of_wording, realise
from ssae_kit.world.state import VALUES, Draws, State, draw_state
from ssae_kit.world.text import join_words

SWITCH = 0.05
"""Probability per concept and sentence boundary."""
END = 0.1
"""Probability per sentence that the story ends with it."""
MAX_SENTENCES = 7
"""Sentences after which a story is cut."""


@dataclass(frozen=True)
class Story:
    """A story as planned: one plan per sentence."""

    sentences: tuple[Plan, ...]
    """At least one; all about the same character."""

    @property
    def words(self) -> tuple[str, ...]:
        """Words and marks in order."""
        return tuple(word for plan in self.sentences for word in realise(plan))

    @property
    def text(self) -> str:
        """The story as one would write it."""
        return join_words(self.words)

    @property
    def is_cut(self) -> bool:
        """Whether it stops for want of room instead of ending."""
        return len(self.sentences) >= MAX_SENTENCES


def sample_story(
    generator: torch.Generator | Draws,
    *,
    n_sentences: int | None = None,
    state: State | None = None,
    character: int | None = None,
) -> Story:
    """Draw a story.

    Args:
        generator: Source of every choice, or a stream of draws that goes on with it.
        n_sentences: Number of sentences; None lets the story end by itself.
        state: State of the first sentence; None draws it uniformly.
        character: 0..11, who it is about; None draws it uniformly.

    Raises:
        ValueError: if `n_sentences` is below 1, or the character does not exist.
    """
    if n_sentences is not None:
        checks.whole("n_sentences", n_sentences)
    if character is not None:
        most = len(CHARACTERS) - 1
        checks.whole("character", character, 0, most, " (`lexicon.CHARACTERS`)")
    if state is not None:
        checks.require_kind("state", state, State)
    draws = generator if isinstance(generator, Draws) else Draws(generator)
    state = state or draw_state(draws)
    character = draws.index(len(CHARACTERS)) if character is None else character
    plans = [draw_plan(draws, state, character)]
    while _goes_on(draws, len(plans), n_sentences):
        state = _switched(draws, state)
        plans.append(draw_plan(draws, state, character))
    return Story(tuple(plans))


def _goes_on(draws: Draws, n_written: int, n_sentences: int | None) -> bool:
    if n_sentences is not None:
        return n_written < n_sentences
    return n_written < MAX_SENTENCES and not draws.happens(END)


def _switched(draws: Draws, state: State) -> State:
    new = {}
    for concept, names in VALUES.items():
        if draws.happens(SWITCH):
            old = getattr(state, concept)
            new[concept] = (old + 1 + draws.index(len(names) - 1)) % len(names)
    return state.changed(**new) if new else state


def log_probability_of_story(story: Story) -> float:
    """Log-probability (nats) of a story under `sample_story` with its default arguments."""
    checks.require_kind("story", story, Story, "sample_story(generator)")
    plans = story.sentences
    total = -sum(math.log(len(names)) for names in VALUES.values()) - math.log(len(CHARACTERS))
    total += sum(log_probability_of_wording(plan.template) for plan in plans)
    total += sum(_log_transition(a.state, b.state) for a, b in itertools.pairwise(plans))
    total += (len(plans) - 1) * math.log(1 - END)
    return total if story.is_cut else total + math.log(END)


def _log_transition(before: State, after: State) -> float:
    total = 0.0
    for concept, names in VALUES.items():
        if getattr(before, concept) == getattr(after, concept):
            total += math.log(1 - SWITCH)
        else:
            total += math.log(SWITCH / (len(names) - 1))
    return total
