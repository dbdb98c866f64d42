"""Cities, people and dragons: what is true of them and how it is said, from `relations.toml`.

Each relation has four templates per language for training and one, the last, held out: it joins
words of the others in an order that training never shows.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssae_kit import checks
from ssae_kit.storage import DATA
from ssae_kit.world.documents import question_words
from ssae_kit.world.text import join_words

TABLES = DATA / "world"
"""The world's tables."""

Forms = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Relation:
    """An attribute that every entity of a kind has."""

    name: str
    """For example "city.country"."""
    subjects: tuple[str, ...]
    """The entities."""
    answers: tuple[int, ...]
    """The value of each entity, an index into each list of `forms`."""
    forms: tuple[Forms, Forms]
    """Per language, the phrases of the values under each name that a template may use."""
    templates: tuple[tuple[str, ...], tuple[str, ...]]
    """Per language; the last one is held out. They end with the answer."""

    @property
    def n_values(self) -> int:
        """Number of different answers."""
        return len(next(iter(self.forms[0].values())))

    def sentence(self, subject: int, value: int, language: int, template: int) -> tuple[str, str]:
        """The statement without its answer, and the answer; the value need not be the true one."""
        before, _, form = self.templates[language][template].rpartition("{")
        return (
            before.format(e=self.subjects[subject]).strip(),
            self.forms[language][form.rstrip("}")][value],
        )


def read_table(name: str) -> dict[str, Any]:
    """Read one of the world's tables, `data/world/NAME.toml`."""
    return tomllib.loads((TABLES / f"{name}.toml").read_text(encoding="utf-8"))


def _phrases(lists: Mapping[str, str]) -> Forms:
    """Split lists of phrases: parted by slashes, or by spaces where each is one word."""
    return {k: tuple(v.split("/") if "/" in v else v.split()) for k, v in lists.items()}


def _relations(table: Mapping[str, Any]) -> dict[str, tuple[Relation, ...]]:
    """Relations by family; a chain of names is followed from each subject to its value."""
    answers: dict[str, list[int]] = dict(table["links"])
    families: dict[str, tuple[Relation, ...]] = {}
    for row in table["relation"]:
        first, *chain = row["answers"]
        values = answers[first] if isinstance(first, str) else row["answers"]
        for name in chain if isinstance(first, str) else ():
            values = [answers[name][value] for value in values]
        answers[row["name"]] = values
        forms = table["values"][row["values"]]
        relation = Relation(
            row["name"],
            tuple(table["subjects"][row["name"].partition(".")[0]].split()),
            tuple(values),
            (_phrases(forms["english"]), _phrases(forms["french"])),
            (tuple(row["english"]), tuple(row["french"])),
        )
        families[row["family"]] = (*families.get(row["family"], ()), relation)
    return families


_TABLE = read_table("relations")
_FAMILIES = _relations(_TABLE)
PEOPLE = tuple(_TABLE["subjects"]["person"].split())
FACTS = _FAMILIES["facts"]
"""What is known of cities and people."""
TWO_HOP = _FAMILIES["two_hop"]
"""Questions that need a person's birthplace and then what is known of that city."""
TOPIC = _FAMILIES["topic"]
"""What is known of dragons: their words occur nowhere else, so that it can be forgotten."""


@dataclass(frozen=True)
class Question:
    """A prompt that one word answers."""

    prompt: str
    """All words before the one that tells the values apart."""
    candidates: tuple[str, ...]
    """That word for every value of the relation."""
    answer: int
    """Number of the true value."""
    place: int
    """Token of the entity; 0 is the begin token."""


def questions(relation: Relation, language: int, template: int) -> tuple[Question, ...]:
    """Ask a relation of each of its subjects.

    Args:
        relation: For example one of `FACTS`.
        language: 0 English, 1 French.
        template: Number of the wording; the last is held out from training.

    Returns:
        One question per subject. None at all where no single word tells the values apart after
        the same words, as in French where some countries follow "en" and others "au".

    Raises:
        ValueError: if there is no such language or template.
    """
    checks.require_kind("relation", relation, Relation, "world.FACTS[0]")
    language = checks.whole("language", language, 0, 1)
    most = len(relation.templates[language]) - 1
    template = checks.whole("template", template, 0, most, " (the held-out template)")
    asked: list[Question] = []
    for subject, answer in enumerate(relation.answers):
        said = [
            question_words(*relation.sentence(subject, value, language, template))[0]
            for value in range(relation.n_values)
        ]
        n_common = next(
            i for i, column in enumerate(zip(*said, strict=False)) if len({*column}) > 1
        )
        candidates = tuple(words[n_common] for words in said)
        if len({*candidates}) < relation.n_values:
            return ()
        prompt, place = said[0][:n_common], said[0].index(relation.subjects[subject]) + 1
        asked.append(Question(join_words(prompt), candidates, answer, place))
    return tuple(asked)
