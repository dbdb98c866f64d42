"""The training corpus: a mixture of families, its vocabulary, its packing into rows."""

import math
from functools import cache
from string import Formatter

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from ssae_kit.world import families
from ssae_kit.world.documents import Document
from ssae_kit.world.entities import FACTS, TOPIC, TWO_HOP
from ssae_kit.world.sentences import story_words
from ssae_kit.world.state import Draws
from ssae_kit.world.stories import log_probability_of_story, sample_story
from ssae_kit.world.text import split_words

BEGIN, END, PAD = 0, 1, 2
"""Token ids of `<|begin_of_text|>`, `<|end_of_text|>` and padding in the bundled tokenizer."""

MIXTURE: dict[str, float] = {
    "story": 0.10,
    "control": 0.25,
    "facts": 0.14,
    "topic": 0.04,
    "two_hop": 0.08,
    "verdict": 0.115,
    "indirect_object": 0.115,
    "agreement": 0.16,
}
"""Share of each family among the documents; stories and control are long: about four tokens in five."""
CARRYING_MIXTURE: dict[str, float] = {
    "story": 0.25,
    "translation": 0.25,
    "facts": 0.12,
    "topic": 0.04,
    "two_hop": 0.07,
    "verdict": 0.09,
    "indirect_object": 0.09,
    "agreement": 0.09,
}
"""The same while full stops learn to carry: of all demands, only those for a language."""


def draw_document(draws: Draws, family: str, held_out: bool = False) -> Document:
    """A document of one family; see `families` for what is held out.

    Stories have no held-out part: their number is so large that a fresh one is new.

    Raises:
        ValueError: if there is no such family.
    """
    if family == "story":
        story = sample_story(draws)
        log_probability = log_probability_of_story(story)
        return Document("story", story.words, log_probability, is_cut=story.is_cut)
    if family not in families.SAMPLERS:
        known = ", ".join(("story", *families.SAMPLERS))
        raise ValueError(f"`family` must be one of {known}; got {family!r}.")
    return families.SAMPLERS[family](draws, held_out)


def draw_corpus(
    generator: torch.Generator, n_documents: int, mixture: dict[str, float] = MIXTURE
) -> list[Document]:
    """Documents of a mixture of families, by their shares."""
    documents = []
    for _ in range(n_documents):
        draws = Draws(generator)
        documents.append(draw_document(draws, _draw_family(draws, mixture)))
    return documents


def _draw_family(draws: Draws, mixture: dict[str, float]) -> str:
    at = draws.uniform() * sum(mixture.values())
    for family, share in mixture.items():
        at -= share
        if at < 0:
            return family
    return next(iter(mixture))


def log_probability(document: Document) -> float:
    """Nats of a document under the corpus: its family's share and its words given the family.

    What a demand is followed by is written given the demand, and so the family.
    """
    if document.n_given:
        return document.log_probability
    written = sum(share for family, share in MIXTURE.items() if family != "control")
    return math.log(MIXTURE[document.family] / written) + document.log_probability


@cache
def vocabulary() -> tuple[str, ...]:
    """Every word and mark of the corpus, sorted."""
    words = set(story_words())
    for relation in (*FACTS, *TWO_HOP, *TOPIC):
        texts = [*relation.subjects]
        for values, templates in zip(relation.values, relation.templates, strict=True):
            texts += [*values, *map(_bare, templates)]
        words.update(word for text in texts for word in split_words(text))
    words.update(
        word for text in families.texts_of_templates() for word in split_words(_bare(text))
    )
    words.update(("l'", "d'", "qu'", "an", "a", "."))
    return tuple(sorted(words))


def _bare(template: str) -> str:
    """The fixed text of a template."""
    return " ".join(text for text, *_ in Formatter().parse(template))


def encode(document: Document, index: dict[str, int]) -> list[int]:
    """Token ids with the begin token and, unless the document is cut, the end token."""
    ids = [index[word] for word in document.words]
    return [BEGIN, *ids] if document.is_cut else [BEGIN, *ids, END]


class Rows:
    """Documents packed into rows, several to a row."""

    def __init__(self, documents: list[list[int]], are_told: list[bool], length: int) -> None:
        """Pack by first fit.

        Args:
            documents: Token ids; each at most `length`.
            are_told: Which of them tell a story, so that the gist mask may apply.
            length: Tokens per row.
        """
        filled: list[int] = []
        placed: list[tuple[int, int]] = []
        for ids in documents:
            row = next((r for r, n in enumerate(filled) if n + len(ids) <= length), len(filled))
            if row == len(filled):
                filled.append(0)
            placed.append((row, filled[row]))
            filled[row] += len(ids)
        width = max(filled)
        self.ids: Int64[Tensor, "rows tokens"] = torch.full((len(filled), width), PAD)
        self.positions: Int64[Tensor, "rows tokens"] = torch.zeros(len(filled), width).long()
        self.document: Int64[Tensor, "rows tokens"] = torch.full((len(filled), width), -1)
        # The story before one's own in the row; -2 is none. A chain, so that nothing comes back to
        # a story of its own words.
        self.other: Int64[Tensor, "rows tokens"] = torch.full((len(filled), width), -2)
        self.is_told: Bool[Tensor, "rows tokens"] = torch.zeros(len(filled), width).bool()
        latest: dict[int, int] = {}  # row → the story that stands last in it
        for number, (ids, (row, start)) in enumerate(zip(documents, placed, strict=True)):
            at = slice(start, start + len(ids))
            self.ids[row, at] = torch.tensor(ids)
            self.positions[row, at] = torch.arange(len(ids))
            self.document[row, at] = number
            self.is_told[row, at] = are_told[number]
            if are_told[number]:
                self.other[row, at] = latest.get(row, -2)
                latest[row] = number

    def to(self, device: torch.device) -> None:
        """Move all rows to a device."""
        for name, tensor in vars(self).items():
            setattr(self, name, tensor.to(device))
