"""The words of the stories, from `lexicon.toml`: every slot of the grammar in both languages.

A slot is filled by an entry. Some slots let a concept choose among their lists of entries (a
sentiment adverb is drawn from the glad or the gloomy list); all slots inflect by the story's state.
The French is literary (passé simple), without capital letters, with elision done in `sentences`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ssae_kit.world.entities import read_table

Agreement = Literal["none", "person", "verb", "tense", "thing"]


@dataclass(frozen=True)
class Entry:
    """One word of the dictionary in all its forms."""

    english: tuple[str, ...]
    """One form, or one per cell of the slot's agreement."""
    french: tuple[str, ...]
    """The same in French; things carry masculine and feminine of their adjectives elsewhere."""
    is_feminine_thing: bool = False
    """Grammatical gender of a French thing or place; says nothing about the concept gender."""


@dataclass(frozen=True)
class Slot:
    """One place of a sentence template."""

    agreement: Agreement
    """How the forms are indexed: person 2·gender+number, verb 2·tense+number, tense, or none."""
    choices: tuple[tuple[Entry, ...], ...]
    """One list of entries, or one per value of the concept that chooses."""
    chooser: str | None = None
    """The concept whose value picks the list; None where there is one list only."""


def _entry(line: str) -> Entry:
    """Read ``english forms = french forms``; a French ``f:`` marks a feminine thing."""
    english, french = (tuple(side.split()) for side in line.split("="))
    if len(english) == 3:  # a verb's past, third person and plain form
        english = (english[0], *english)
    feminine = french[0].startswith("f:")
    return Entry(english, tuple(form.removeprefix("f:") for form in french), feminine)


def _slot(row: Mapping[str, Any]) -> Slot:
    lists = (text.strip().splitlines() for text in row["words"])
    choices = tuple(tuple(map(_entry, lines)) for lines in lists)
    return Slot(row.get("agreement", "none"), choices, row.get("chooser"))


_TABLE = read_table("lexicon")
SLOTS: dict[str, Slot] = {name: _slot(row) for name, row in _TABLE["slots"].items()}
TEMPLATES: tuple[tuple[str, ...], ...] = tuple(tuple(t.split()) for t in _TABLE["templates"])
"""Every template states each concept at least twice, in different words."""
CHARACTERS = SLOTS["noun"].choices[0]
FEEL = SLOTS["feel"].choices
LEAVE = SLOTS["leave"].choices[0]
