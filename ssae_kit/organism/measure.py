"""Figures of a trained Llama: what it knows of the world, with intervals and thresholds."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

import torch

from ssae_kit.llama import Llama, generate, run
from ssae_kit.llama.passes import at_last
from ssae_kit.organism.corpus import BEGIN, MIXTURE, draw_document, log_probability, vocabulary
from ssae_kit.organism.loss import document_losses, n_predicted
from ssae_kit.steering import rate_interval
from ssae_kit.world import families
from ssae_kit.world.documents import Document, question_words
from ssae_kit.world.lexicon import SLOTS
from ssae_kit.world.parse import SentenceReading, parse, read
from ssae_kit.world.sentences import MAX_SENTENCE_LENGTH, inflect
from ssae_kit.world.state import VALUES, Draws, State
from ssae_kit.world.text import split_words

TEMPERATURE = 0.5
"""Of continuations; at 1, one concept in twenty switches by itself at every sentence."""


@dataclass(frozen=True)
class Measure:
    """One measured number of one model."""

    name: str
    """What was measured, for example "facts, unseen template"."""
    value: float
    """A share in 0..1 or nats per token."""
    low: float
    """Lower end of the 95% interval over documents or prompts."""
    high: float
    """Upper end."""
    n: int
    """Documents, prompts or words counted."""
    threshold: float | None = None
    """What it must reach; None where it is only reported."""
    smaller_is_better: bool = False
    """Whether the threshold is a ceiling."""

    @property
    def passed(self) -> bool | None:
        """Whether the value reaches the threshold; None without one."""
        if self.threshold is None:
            return None
        if self.smaller_is_better:
            return self.value <= self.threshold
        return self.value >= self.threshold


def share(name: str, hits: Iterable[bool], threshold: float | None = None) -> Measure:
    """A share of successes with its Wilson interval."""
    found = list(hits)
    value, low, high = rate_interval(torch.tensor(found or [False]))
    return Measure(name, value, low, high, len(found), threshold)


def word_index(llama: Llama) -> dict[str, int]:
    """Token id of every word of the corpus.

    Raises:
        ValueError: if the tokenizer does not know the corpus, so belongs to other weights.
    """
    index: dict[str, int] = llama.tokenizer.get_vocab()
    missing = [word for word in vocabulary() if word not in index]
    if missing:
        raise ValueError(
            f"the tokenizer of {llama.name} must know every word of the world; it lacks "
            f"{len(missing)}, first {missing[0]!r}. Bring the tokenizer of these weights, or "
            "train again: the world may have changed since."
        )
    return index


def draw_family(family: str, n: int, seed: int, held_out: bool = False) -> list[Document]:
    """Documents of one family from a seed of their own."""
    generator = torch.Generator().manual_seed(seed)
    return [draw_document(Draws(generator), family, held_out) for _ in range(n)]


def excess_figures(llama: Llama, n: int = 400) -> list[Measure]:
    """Loss above the entropy floor per family, on fresh documents of the training distribution."""
    index, figures = word_index(llama), []
    for number, family in enumerate(MIXTURE):
        documents = draw_family(family, n if family != "story" else n // 2, 10_000 + number)
        gaps = document_losses(llama.model, documents, index)
        gaps = gaps + torch.tensor([log_probability(d) for d in documents])
        tokens = torch.tensor([float(n_predicted(d)) for d in documents])
        value = float(gaps.sum() / tokens.sum())
        # Standard error of a ratio of sums, by linearisation.
        error = float((gaps - value * tokens).std() / tokens.mean() / len(documents) ** 0.5)
        limit = 0.01 if family == "story" else 0.03  # highest accepted, nats per token
        low, high = value - 1.96 * error, value + 1.96 * error
        name = f"loss above floor, {family}"
        figures.append(Measure(name, value, low, high, len(documents), limit, True))
    return figures


@torch.no_grad()
def _answered(
    llama: Llama, name: str, documents: list[Document], threshold: float | None = None
) -> Measure:
    """How often the most likely word is right at every place of the answer, given all before it."""
    index = word_index(llama)
    words = {i: word for word, i in index.items()}
    rows = [[BEGIN, *(index[word] for word in document.words)] for document in documents]
    logits = run(llama, rows, logits=True).logits
    assert logits is not None
    best = logits.argmax(-1).tolist()
    places = (range(document.n_prompt, len(document.words) - 1) for document in documents)
    given = [[words.get(row[i], "") for i in at] for row, at in zip(best, places, strict=True)]
    right = [a == split_words(d.answer) for a, d in zip(given, documents, strict=True)]
    return share(name, right, threshold)


def answer_figures(llama: Llama, n: int = 400) -> list[Measure]:
    """How often the most likely answer is right, on templates or combinations never trained."""
    figures = [
        _answered(llama, name, draw_family(family, n, 20_000, held_out=True), threshold)
        for name, family, threshold in (
            ("facts, unseen template", "facts", 0.95),
            ("two-hop, unseen template", "two_hop", 0.80),
            ("topic, unseen template", "topic", 0.95),
            ("indirect object, pairs that never met", "indirect_object", 0.95),
            ("verdict, with false statements never shown", "verdict", 0.95),
        )
    ]
    generator = torch.Generator().manual_seed(20_001)
    hops = [families.two_hop_untrained(Draws(generator), True) for _ in range(n)]
    figures.append(_answered(llama, "two-hop, answer never trained", hops))
    return [*figures, *choice_figures(llama), agreement_figure(llama, n)]


def choice_figures(llama: Llama) -> list[Measure]:
    """How often the true statement is the likeliest of those with any value of its relation.

    The most likely word of the whole vocabulary counts as an error where it is no value at all.
    """
    index, unseen = word_index(llama), (families.N_TEMPLATES,)
    people = [(r, s) for r in families.FACTS for s in range(len(r.subjects))]
    known, new = (
        [(families.TWO_HOP[r], s) for r, s in families.hops(trained)] for trained in (True, False)
    )
    figures = []
    for name, asked, templates in (
        ("facts, unseen template", people, unseen),
        ("two-hop, unseen template", known, unseen),
        ("two-hop, answer never trained", new, range(families.N_TEMPLATES)),
    ):
        said, answers = [], []
        for (relation, subject), language, template in product(asked, (0, 1), templates):
            answers.append((relation.answers[subject], relation.n_values))
            for value in range(relation.n_values):
                sentence = relation.sentence(subject, value, language, template)
                said.append(Document("", question_words(*sentence)[0], 0.0))
        losses = document_losses(llama.model, said, index).split([n for _, n in answers])
        right = [int(of.argmin()) == value for of, (value, _) in zip(losses, answers, strict=True)]
        figures.append(share(f"{name}, among the relation's values", right))
    return figures


@torch.no_grad()
def agreement_figure(llama: Llama, n: int = 400) -> Measure:
    """How often the most likely verb agrees with the subject across distractors.

    Only verbs compete: after one distractor, another preposition may follow just as well.
    """
    documents = draw_family("agreement", n, 20_002, held_out=True)
    index, numbers = word_index(llama), _verb_numbers()
    forms = list(numbers)
    columns = torch.tensor([index[form] for form in forms])
    rows = [[BEGIN, *(index[w] for w in d.words[: d.n_prompt])] for d in documents]
    done = run(llama, rows, logits=True)
    assert done.logits is not None
    best = at_last(done.logits, done.last)[:, columns].argmax(-1).tolist()
    right = [numbers[forms[i]] == numbers[d.answer] for i, d in zip(best, documents, strict=True)]
    return share("agreement, characters never put together", right, 0.97)


def _verb_numbers() -> dict[str, int]:
    """Form → number, for the present-tense verbs of the agreement family in both languages."""
    return {
        inflect(verb, SLOTS["leave"], State(language, number=number, tense=1)): number
        for verb in families.VERBS
        for language in (0, 1)
        for number in (0, 1)
    }


def demand_figures(llama: Llama, n: int = 300) -> list[Measure]:
    """How many sampled sentences obey demands joined as in training, never joined, within a story.

    Two sentences a text, at the temperature of the steered texts, and at 1 without a threshold. A
    sentence that is not of the grammar obeys nothing, nor does a text without any.
    """
    known = draw_family("control", 4 * n, 20_002)
    first, within = (
        [d for d in known if ("." in d.prompt) == is_in][:n] for is_in in (False, True)
    )
    figures, warm = [], []
    for name, documents, threshold in (
        ("demands obeyed", first, 0.95),
        ("demands obeyed, never joined", draw_family("control", n, 20_003, True), 0.9),
        ("demands obeyed, within a story", within, 0.95),
    ):
        written = _next_states(llama, documents, TEMPERATURE)
        figures.append(share(name, obeyed(documents, written), threshold))
        at_one = obeyed(documents, _next_states(llama, documents, 1.0))
        warm.append(share(f"{name}, temperature 1", at_one))
    rest = share("within a story, all that was not demanded kept", kept(within, written))
    return [*figures, rest, *warm]


def _next_states(
    llama: Llama, documents: list[Document], temperature: float
) -> list[list[State | None]]:
    """What the next two sentences of each document state, None where ungrammatical or missing."""
    texts = generate(
        llama,
        [document.prompt for document in documents],
        max_new_tokens=2 * MAX_SENTENCE_LENGTH,
        temperature=temperature,
        generator=torch.Generator().manual_seed(20_004),
    )
    return [[sentence.state for sentence in told_whole(text)] or [None] for text in texts]


def told_whole(text: str) -> tuple[SentenceReading, ...]:
    """The sentences of a text but for a last one that was cut before it could have ended.

    One that has as many words as the longest, and no full stop, is ungrammatical, not cut.
    """
    last = MAX_SENTENCE_LENGTH
    return tuple(s for s in read(text).sentences if s.is_complete or len(s.words) >= last)


def obeyed(documents: list[Document], written: list[list[State | None]]) -> list[bool]:
    """Per sentence, whether it says what its document asks for."""
    return [
        state is not None and all(getattr(state, c) == v for c, v in families.demands_of(document))
        for document, states in zip(documents, written, strict=True)
        for state in states
    ]


def kept(documents: list[Document], written: list[list[State | None]]) -> list[bool]:
    """Per sentence, whether it says all that was said before its document's demand, but for this."""
    told = [parse(d.prompt.rpartition(". ")[0] + ".").sentences[0].state for d in documents]
    demands = [{c for c, _ in families.demands_of(document)} for document in documents]
    return [
        state is not None
        and all(getattr(state, c) == getattr(before, c) for c in VALUES if c not in asked)
        for before, asked, states in zip(told, demands, written, strict=True)
        for state in states
    ]
