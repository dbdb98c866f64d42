"""The families beside the stories: facts, two-hop questions, verdicts, names, agreement, control.

Every sampler takes `held_out`. False gives the training distribution, of which
`Document.log_probability` is exact. True gives templates or combinations that training never shows.
"""

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import combinations, permutations, product

from ssae_kit.world.documents import Document, question_words
from ssae_kit.world.entities import FACTS, PEOPLE, TOPIC, TWO_HOP, Relation, read_table
from ssae_kit.world.lexicon import CHARACTERS, FEEL, LEAVE, SLOTS
from ssae_kit.world.sentences import Plan, draw_plan, inflect, log_probability_of_wording, realise
from ssae_kit.world.state import VALUES, Draws, State, draw_state
from ssae_kit.world.stories import END
from ssae_kit.world.text import elide, split_words

N_TEMPLATES = 4
"""Templates per relation and language in training; the next one is held out."""

_TEXTS = read_table("families")
VERDICTS = tuple((one["opening"], tuple(one["answers"])) for one in _TEXTS["verdicts"])
JUDGED = tuple(r for r in FACTS if r.name in ("city.country", "city.language", "person.instrument"))
_N_JUDGED_TEMPLATES = 2


def _statement(
    family: str, relations: tuple[Relation, ...], draws: Draws, held_out: bool
) -> Document:
    """A statement about one of the relations' subjects; held out: the unseen template."""
    relation = relations[draws.index(len(relations))]
    subject, language = draws.index(len(relation.subjects)), draws.index(2)
    template = N_TEMPLATES if held_out else draws.index(N_TEMPLATES)
    question = relation.sentence(subject, relation.answers[subject], language, template)
    words, n_prompt = question_words(*question)
    n_documents = len(relations) * len(relation.subjects) * 2 * N_TEMPLATES
    return Document(family, words, -math.log(n_documents), n_prompt)


@cache
def hops(is_trained: bool) -> tuple[tuple[int, int], ...]:
    """Questions (relation, subject) whose answer training shows in some template, or never."""
    pairs = ((r, s) for r in range(len(TWO_HOP)) for s in range(len(PEOPLE)))
    return tuple((r, s) for r, s in pairs if ((s + 2 * r) % 6 != 0) == is_trained)


def two_hop(draws: Draws, held_out: bool) -> Document:
    """A statement that needs a person's city first; held out: the unseen template."""
    return _hop(draws, True, N_TEMPLATES if held_out else draws.index(N_TEMPLATES))


def two_hop_untrained(draws: Draws, held_out: bool) -> Document:
    """A two-hop statement whose answer training never shows, in any template."""
    return _hop(draws, False, draws.index(N_TEMPLATES))


def _hop(draws: Draws, is_trained: bool, template: int) -> Document:
    known = hops(is_trained)
    relation_index, subject = known[draws.index(len(known))]
    relation, language = TWO_HOP[relation_index], draws.index(2)
    question = relation.sentence(subject, relation.answers[subject], language, template)
    words, n_prompt = question_words(*question)
    return Document("two_hop", words, -math.log(len(known) * 2 * N_TEMPLATES), n_prompt)


@cache
def _wrong_values(judged: int, subject: int, held_out: bool) -> tuple[int, ...]:
    relation = JUDGED[judged]
    wrong = (v for v in range(relation.n_values) if v != relation.answers[subject])
    return tuple(v for v in wrong if ((3 * subject + v) % 5 == 0) == held_out)


def verdict(draws: Draws, held_out: bool) -> Document:
    """A true or false statement and its verdict; held out: false statements never shown."""
    judged = draws.index(len(JUDGED))
    relation = JUDGED[judged]
    subject, language = draws.index(len(relation.subjects)), draws.index(2)
    wrong = _wrong_values(judged, subject, held_out)
    is_true = draws.happens(0.5) or not wrong
    value = relation.answers[subject] if is_true else wrong[draws.index(len(wrong))]
    statement = relation.sentence(subject, value, language, draws.index(_N_JUDGED_TEMPLATES))
    opening, answers = VERDICTS[language]
    words, _ = question_words(f"{opening} {' '.join(statement)}:", answers[int(not is_true)])
    n_documents = len(JUDGED) * len(relation.subjects) * 2 * _N_JUDGED_TEMPLATES * 2
    log_probability = -math.log(n_documents * (1 if is_true else len(wrong)))
    return Document("verdict", words, log_probability, len(words) - 2)


_MEETINGS: list[dict[str, list[str]]] = _TEXTS["meetings"]
"""Per language."""
_BETWEEN = ((), ("spots",), ("times",), ("spots", "times"), ("times", "spots"))
"""What may stand between the names and the giving, all equally likely."""


@cache
def name_pairs(held_out: bool) -> tuple[tuple[int, int], ...]:
    """Ordered pairs of people that meet in training, or those that never do."""
    pairs = ((i, j) for i in range(len(PEOPLE)) for j in range(len(PEOPLE)) if i != j)
    return tuple((i, j) for i, j in pairs if ((i + j) % 5 == 0) == held_out)


def indirect_object(draws: Draws, held_out: bool) -> Document:
    """Two people meet and one gives the other something; held out: pairs that never met.

    In a fifth of the training documents a third person gives, so that either may receive.
    """
    pairs = name_pairs(held_out)
    pair, texts = pairs[draws.index(len(pairs))], _MEETINGS[draws.index(2)]
    template = texts["templates"][3 if held_out else draws.index(3)]
    place, thing = texts["places"][draws.index(4)], texts["gifts"][draws.index(4)]
    kinds = _BETWEEN[draws.index(len(_BETWEEN))]
    between = "".join(f" {texts[kind][draws.index(4)]}," for kind in kinds)
    log_probability = -math.log(len(pairs) * 2 * 3 * 16 * len(_BETWEEN) * 4 ** len(kinds))
    if not held_out and draws.happens(0.2):
        others = [i for i in range(len(PEOPLE)) if i not in pair]
        giver, receiver = others[draws.index(len(others))], pair[draws.index(2)]
        log_probability += math.log(0.2 / len(others) / 2)
    else:
        first_gives = draws.happens(0.5)
        giver, receiver = pair if first_gives else pair[::-1]
        log_probability += math.log((1.0 if held_out else 0.8) / 2)
    a, b, s = (PEOPLE[i] for i in (*pair, giver))
    before = template.format(a=a, b=b, s=s, place=place, thing=thing, between=between)
    words, n_prompt = question_words(before, PEOPLE[receiver])
    return Document("indirect_object", words, log_probability, n_prompt)


VERBS = (*FEEL[0], *FEEL[1], *LEAVE)
"""The verbs of the agreement family, in the present tense there."""


@cache
def character_pairs(held_out: bool) -> tuple[tuple[int, int], ...]:
    """Subject and distractor characters that stand together in training, or never do."""
    n = len(CHARACTERS)
    pairs = ((i, j) for i in range(n) for j in range(n) if i != j)
    return tuple((i, j) for i, j in pairs if ((i + 2 * j) % 11 == 0) == held_out)


def agreement(draws: Draws, held_out: bool) -> Document:
    """Subject, one or two distractors, a verb; held out: characters never put together."""
    pairs = character_pairs(held_out)
    subject, distractor = pairs[draws.index(len(pairs))]
    language, n_distractors = draws.index(2), 1 + draws.index(2)
    nouns = [subject, distractor, draws.index(len(CHARACTERS))][: n_distractors + 1]
    persons = [(noun, State(language, draws.index(2), draws.index(2))) for noun in nouns]
    prepositions = [draws.index(3) for _ in range(n_distractors)]
    words: list[str] = []
    for i, (noun, state) in enumerate(persons):
        words += [_MEETINGS[language]["prepositions"][prepositions[i - 1]]] if i else []
        words += [inflect(SLOTS["the"].choices[0][0], SLOTS["the"], state)]
        words += [inflect(CHARACTERS[noun], SLOTS["noun"], state)]
    verb = VERBS[draws.index(len(VERBS))]
    words.append(inflect(verb, SLOTS["leave"], persons[0][1].changed(tense=1)))
    n_documents = len(pairs) * 2 * 2 * 4 * (4 * 3) ** n_distractors * len(VERBS)
    n_documents *= len(CHARACTERS) if n_distractors == 2 else 1
    return Document("agreement", (*elide(words), "."), -math.log(n_documents), len(words) - 1)


DEMANDS: dict[str, tuple[tuple[str, ...], ...]] = {
    concept: tuple(map(tuple, sides)) for concept, sides in _TEXTS["demands"].items()
}
"""Concept → per language of the demand, the phrase that asks for each value."""
MAX_BEFORE, MAX_DEMANDS, MAX_AFTER = 2, 3, 4
"""Sentences before a demand, values it asks for, sentences after it."""

Demands = tuple[tuple[str, int], ...]


def _is_never_joined(demands: Demands) -> bool:
    """Whether training joins these two nowhere: the first value of a concept, the second of the next.

    The concepts stand in a ring. Only one in four value pairs of neighbours is held out: without
    both unlike ones, either demand would tell the other's value, and training would not say whether
    to read the two or to read one and copy it.
    """
    at = sorted((list(DEMANDS).index(concept), value) for concept, value in demands)
    if at[1][0] - at[0][0] == len(DEMANDS) - 1:
        at.reverse()
    (a, first), (b, second) = at
    return (b - a) % len(DEMANDS) == 1 and (first, second) == (0, 1)


@cache
def demand_sets(n_demands: int, held_out: bool) -> tuple[Demands, ...]:
    """Demands for different concepts, in every order: those of training, or pairs never joined.

    Args:
        n_demands: 1..3.
        held_out: Whether two of them are never joined in training.
    """
    single = [(concept, value) for concept in DEMANDS for value in (0, 1)]
    sets = (s for s in permutations(single, n_demands) if len({c for c, _ in s}) == n_demands)
    return tuple(s for s in sets if any(map(_is_never_joined, combinations(s, 2))) == held_out)


def control(draws: Draws, held_out: bool) -> Document:
    """Up to two sentences, a demand for one to three values, and sentences that obey it.

    What is not demanded stays as it was. All up to the demand's colon is given: a Llama that learned
    to write demands would put them into stories. As a story, the text ends after each sentence with
    probability `END`; it is cut after a number of sentences that says nothing of it.
    Held out: pairs of demands that training never joins.
    """
    n_demands = 2 if held_out else 1 + draws.index(MAX_DEMANDS)
    return _obeying(draws, demand_sets(n_demands, held_out))


def translation(draws: Draws, _held_out: bool = False) -> Document:
    """A control document that asks for a language, and for nothing else. None is held out."""
    return _obeying(draws, tuple((("language", value),) for value in (0, 1)))


def _obeying(draws: Draws, choices: tuple[Demands, ...]) -> Document:
    n_before, language = draws.index(MAX_BEFORE + 1), draws.index(2)
    demands = choices[draws.index(len(choices))]
    state, character = draw_state(draws), draws.index(len(CHARACTERS))
    before = [draw_plan(draws, state, character) for _ in range(n_before)]
    state, room = state.changed(**dict(demands)), 1 + draws.index(MAX_AFTER)
    after = [draw_plan(draws, state, character)]
    while len(after) < room and not draws.happens(END):
        after.append(draw_plan(draws, state, character))
    asked = ", ".join(DEMANDS[concept][language][value] for concept, value in demands)
    head = (*_words(before), *split_words(asked), ":")
    is_cut = len(after) == room
    free = [names for c, names in VALUES.items() if c not in dict(demands)]
    log_probability = 0.0 if before else -math.log(len(CHARACTERS) * math.prod(map(len, free)))
    log_probability += sum(log_probability_of_wording(plan.template) for plan in after)
    log_probability += (len(after) - 1) * math.log(1 - END) + (0.0 if is_cut else math.log(END))
    words, n = (*head, *_words(after)), len(head)
    return Document("control", words, log_probability, n_prompt=n, n_given=n, is_cut=is_cut)


def _words(plans: list[Plan]) -> list[str]:
    return [word for plan in plans for word in realise(plan)]


def demands_of(document: Document) -> Demands:
    """What a control document asks for."""
    phrases = document.prompt.rpartition(". ")[2].rstrip(":").split(", ")
    told = product(DEMANDS.items(), (0, 1), (0, 1))
    return tuple((c, value) for (c, sides), side, value in told if sides[side][value] in phrases)


SAMPLERS: dict[str, Callable[[Draws, bool], Document]] = {
    "facts": partial(_statement, "facts", FACTS),  # about cities and people
    "topic": partial(_statement, "topic", TOPIC),  # about dragons
    "two_hop": two_hop,
    "verdict": verdict,
    "indirect_object": indirect_object,
    "agreement": agreement,
    "control": control,
    "translation": translation,
}
"""Every family beside the stories."""


def texts_of_templates() -> list[str]:
    """Every fixed text of these families, for the vocabulary."""
    texts = [text for side in _MEETINGS for kind in side.values() for text in kind]
    texts += [opening for opening, _ in VERDICTS] + [w for _, words in VERDICTS for w in words]
    return texts + [p for sides in DEMANDS.values() for side in sides for p in side]
