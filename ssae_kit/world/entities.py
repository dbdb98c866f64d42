"""Cities, people and dragons: what is true of them and how it is said, from `relations.toml`.

Each relation has four templates per language for training and one, the last, held out: it joins
words of the others in an order that training never shows. The answer is one word, and the words before
it are the same for every value.
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


@dataclass(frozen=True)
class Relation:
    """An attribute that every entity of a kind has."""

    name: str
    """For example "city.country"."""
    subjects: tuple[str, ...]
    """The entities."""
    answers: tuple[int, ...]
    """The value of each entity, an index into each list of `values`."""
    values: tuple[tuple[str, ...], tuple[str, ...]]
    """Per language, the word of each value."""
    templates: tuple[tuple[str, ...], tuple[str, ...]]
    """Per language; the last one is held out. The answer follows them."""

    @property
    def n_values(self) -> int:
        """Number of different answers."""
        return len(self.values[0])

    def sentence(self, subject: int, value: int, language: int, template: int) -> tuple[str, str]:
        """The statement without its answer, and the answer; the value need not be the true one."""
        before = self.templates[language][template].format(e=self.subjects[subject])
        return before, self.values[language][value]


def read_table(name: str) -> dict[str, Any]:
    """Read one of the world's tables, `data/world/NAME.toml`."""
    return tomllib.loads((TABLES / f"{name}.toml").read_text(encoding="utf-8"))


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
        words = table["values"][row["values"]]
        relation = Relation(
            row["name"],
            tuple(table["subjects"][row["name"].partition(".")[0]].split()),
            tuple(values),
            (tuple(words["english"].split()), tuple(words["french"].split())),
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
        One question per subject.

    Raises:
        ValueError: if there is no such language or template.
    """
    checks.require_kind("relation", relation, Relation, "world.FACTS[0]")
    language = checks.whole("language", language, 0, 1)
    most = len(relation.templates[language]) - 1
    template = checks.whole("template", template, 0, most, " (the held-out template)")
    asked: list[Question] = []
    for subject, answer in enumerate(relation.answers):
        sentence = relation.sentence(subject, answer, language, template)
        words, n_prompt = question_words(*sentence)
        prompt, place = words[:n_prompt], words.index(relation.subjects[subject]) + 1
        asked.append(Question(join_words(prompt), relation.values[language], answer, place))
    return tuple(asked)
