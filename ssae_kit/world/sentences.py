"""One sentence of a story: from a plan to words, and back."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import product

from ssae_kit.world.lexicon import CHARACTERS, SLOTS, TEMPLATES, Entry, Slot
from ssae_kit.world.state import VALUES, Draws, State
from ssae_kit.world.text import elide

MAX_SENTENCE_LENGTH = max(map(len, TEMPLATES))
"""Words and marks of the longest sentence."""


@dataclass(frozen=True)
class Plan:
    """All that decides a sentence; `realise` turns it into words, `recognise` finds it again."""

    state: State
    """The concept values that every word agrees with."""
    character: int
    """Index into `lexicon.CHARACTERS`: who the story is about."""
    template: int
    """Index into `lexicon.TEMPLATES`."""
    fillers: tuple[int, ...]
    """Which entry fills each slot of the template; 0 where there is no choice."""


def n_fillers(slot: Slot) -> int:
    """How many entries can fill a slot once the state is known; the same for every value."""
    return len(slot.choices[0])


def entry_for(slot: Slot, state: State, filler: int) -> Entry:
    """The dictionary entry that a filler index means under a state."""
    value = getattr(state, slot.chooser) if slot.chooser else 0
    return slot.choices[value][filler]


def inflect(entry: Entry, slot: Slot, state: State, thing_is_feminine: bool = False) -> str:
    """The form of an entry under a state, before elision."""
    forms = entry.french if state.language else entry.english
    if len(forms) == 1 or slot.agreement == "none":
        return forms[0]
    if slot.agreement == "person":
        return forms[2 * state.gender + state.number]
    if slot.agreement == "verb":
        return forms[2 * state.tense + state.number]
    return forms[state.tense if slot.agreement == "tense" else int(thing_is_feminine)]


def realise(plan: Plan) -> tuple[str, ...]:
    """The words of a planned sentence, agreeing and elided."""
    names, words, feminine = TEMPLATES[plan.template], [], False
    for name, filler in zip(reversed(names), reversed(plan.fillers), strict=True):
        slot = SLOTS[name]
        entry = entry_for(slot, plan.state, filler)
        if name in ("thing", "place"):  # what stands before it agrees with it
            feminine = entry.is_feminine_thing
        words.append(inflect(entry, slot, plan.state, feminine))
    return tuple(elide(words[::-1]))


def draw_plan(draws: Draws, state: State, character: int) -> Plan:
    """A sentence with template and fillers uniform."""
    template = draws.index(len(TEMPLATES))
    fillers = tuple(
        character if name == "noun" else draws.index(n) if (n := n_fillers(SLOTS[name])) > 1 else 0
        for name in TEMPLATES[template]
    )
    return Plan(state, character, template, fillers)


@cache
def log_probability_of_wording(template: int) -> float:
    """Log-probability (nats) of a template and its fillers, given state and character."""
    names = (name for name in TEMPLATES[template] if name != "noun")
    return -math.log(len(TEMPLATES)) - sum(math.log(n_fillers(SLOTS[name])) for name in names)


@cache
def all_states() -> tuple[State, ...]:
    """Every state of the world, 4,608 of them."""
    return tuple(State(*values) for values in product(*(range(len(v)) for v in VALUES.values())))


@cache
def _forms(name: str, state: State) -> frozenset[str]:
    """What can stand in a slot under a state, elided or not."""
    slot = SLOTS[name]
    forms = {
        inflect(entry_for(slot, state, filler), slot, state, feminine)
        for filler in range(n_fillers(slot))
        for feminine in (False, True)
    }
    french_singular = state.language == 1 and state.number == 0
    elided = {
        "the": ("l'", french_singular),
        "this": ("cet", french_singular and state.gender == 0),
        "a": ("an", state.language == 0),
    }
    form, is_there = elided.get(name, ("", False))
    return frozenset(forms | {form} if is_there else forms)


@cache
def _relevant(chooser: str | None) -> tuple[State, ...]:
    """Every state with the concepts that a slot does not look at set to 0."""
    looked_at = {"language", "gender", "number", "tense", chooser}
    kept = [concept for concept in VALUES if concept in looked_at]
    return tuple(State(**{c: getattr(state, c) for c in kept}) for state in all_states())


@cache
def admissible_states() -> dict[str, dict[str, int]]:
    """Slot → word → bit set of the states under which the word can fill the slot."""
    table: dict[str, dict[str, int]] = {name: {} for name in SLOTS}
    for name, words in table.items():
        for i, state in enumerate(_relevant(SLOTS[name].chooser)):
            for word in _forms(name, state):
                words[word] = words.get(word, 0) | 1 << i
    return table


@cache
def story_words() -> tuple[str, ...]:
    """Every word form and mark of the stories, sorted."""
    return tuple(sorted({word for words in admissible_states().values() for word in words}))


def _filler_of(name: str, word: str, state: State) -> int:
    """The first filler of a slot that reads so under a state; 0 for an elided word."""
    slot = SLOTS[name]
    for filler in range(n_fillers(slot)):
        entry = entry_for(slot, state, filler)
        if word in (inflect(entry, slot, state, False), inflect(entry, slot, state, True)):
            return filler
    return 0


def recognise(words: tuple[str, ...]) -> Plan | None:
    """The plan whose words these are, or None where no sentence of the grammar reads so."""
    table = admissible_states()
    for template, names in enumerate(TEMPLATES):
        if len(names) != len(words):
            continue
        possible = (1 << len(all_states())) - 1
        for name, word in zip(names, words, strict=True):
            possible &= table[name].get(word, 0)
        if possible:
            state = all_states()[possible.bit_length() - 1]
            plan = _complete(template, names, words, state)
            if realise(plan) == words:
                return plan
    return None


def _complete(template: int, names: tuple[str, ...], words: tuple[str, ...], state: State) -> Plan:
    fillers = tuple(_filler_of(n, w, state) for n, w in zip(names, words, strict=True))
    return Plan(state, fillers[names.index("noun")], template, fillers)


assert all(len(slot.choices[0]) == len(c) for slot in SLOTS.values() for c in slot.choices)
assert len(CHARACTERS) == n_fillers(SLOTS["noun"])
