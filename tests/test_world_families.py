"""The families beside the stories: probabilities, splits, vocabulary, the tokenizer."""

import collections
import math
from itertools import combinations, pairwise, product

import pytest
import torch

from ssae_kit.llama.create import create_llama, create_tokenizer, save_llama
from ssae_kit.organism.corpus import (
    MIXTURE,
    draw_corpus,
    draw_document,
    log_probability,
    vocabulary,
)
from ssae_kit.organism.loss import ROW_LENGTH
from ssae_kit.world import FACTS, TWO_HOP, families, questions
from ssae_kit.world.documents import question_words
from ssae_kit.world.entities import TOPIC
from ssae_kit.world.lexicon import TEMPLATES
from ssae_kit.world.parse import read
from ssae_kit.world.sentences import log_probability_of_wording
from ssae_kit.world.state import Draws
from ssae_kit.world.stories import MAX_SENTENCES
from ssae_kit.world.text import WORD_PATTERN, elide, join_words, split_words


def draw(family, n, held_out=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [draw_document(Draws(generator), family, held_out) for _ in range(n)]


@pytest.mark.parametrize("family", ["facts", "topic", "two_hop"])
def test_the_floor_of_a_small_family_matches_a_monte_carlo_estimate(family):
    """Each distinct document's frequency is compared with its probability, all at once."""
    documents = draw(family, 2500)
    counts = collections.Counter(d.text for d in documents)
    probability = {d.text: math.exp(d.log_probability) for d in documents}
    n_distinct = round(1 / next(iter(probability.values())))
    # Uniform over n documents: Pearson's statistic has mean n-1 and variance about 2(n-1).
    expected = len(documents) / n_distinct
    statistic = sum((c - expected) ** 2 for c in counts.values()) / expected
    statistic += (n_distinct - len(counts)) * expected
    assert abs(statistic - (n_distinct - 1)) < 5 * math.sqrt(2 * n_distinct)


@pytest.mark.parametrize("family", ["verdict", "indirect_object", "agreement"])
def test_log_probabilities_average_to_the_entropy(family):
    """Two independent halves collide as often as the probabilities say, within 5 SE.

    Sum p(x) over draws x estimates the collision rate; comparing it with the observed rate of
    equal pairs tests the probabilities without knowing how many documents there are.
    """
    documents = [d for d in draw(family, 1500)]
    predicted = sum(math.exp(d.log_probability) for d in documents) / len(documents)
    counts = collections.Counter(d.text for d in documents)
    n = len(documents)
    pairs = n * (n - 1) / 2
    observed = sum(c * (c - 1) / 2 for c in counts.values())
    assert abs(observed - predicted * pairs) < 5 * math.sqrt(predicted * pairs) + 5


@pytest.mark.parametrize("family", [f for f in MIXTURE if f not in ("story", "verdict", "control")])
def test_held_out_documents_never_occur_in_training(family):
    trained = {d.text for d in draw(family, 1200)}
    held_out = {d.text for d in draw(family, 300, held_out=True)}
    assert not trained & held_out


def test_a_held_out_demand_is_a_pair_that_training_never_joins():
    trained = [set(families.demands_of(d)) for d in draw("control", 2000)]
    for d in draw("control", 300, held_out=True):
        demands = set(families.demands_of(d))
        assert len(demands) == 2
        assert not any(demands <= others for others in trained)


def test_held_out_false_statements_and_hops_never_occur_in_training():
    trained = {d.text for d in draw("verdict", 2000)}
    false = {d.text for d in draw("verdict", 400, True) if d.answer in ("false", "faux")}
    assert false
    assert not trained & false
    generator = torch.Generator().manual_seed(1)
    hops = [families.two_hop_untrained(Draws(generator), True) for _ in range(200)]
    assert not {d.text for d in draw("two_hop", 1500)} & {d.text for d in hops}


def test_held_out_combinations_are_of_known_words():
    known = set(vocabulary())
    for family in families.SAMPLERS:
        for held_out in (False, True):
            assert {w for d in draw(family, 150, held_out) for w in d.words} <= known


def test_statements_and_answers_read_naturally():
    texts = {d.text for d in draw("facts", 1000)} | {d.text for d in draw("two_hop", 800)}
    assert any("se trouve dans le pays nommé japon." in t for t in texts)
    assert any("d'anna" in t for t in texts)
    assert not any(" de a" in t or " de o" in t or " le i" in t or "  " in t for t in texts)


def test_agreement_verbs_agree_with_the_first_noun_only():
    for d in draw("agreement", 300):
        assert (
            read(d.text).words[1].values.get("number") == read(d.answer).words[0].values["number"]
        )


@pytest.mark.parametrize("held_out", [False, True])
def test_what_follows_a_demand_obeys_it_and_keeps_all_else(held_out):
    for d in draw("control", 100, held_out):
        before, _, _ = d.prompt.rpartition(". ")
        told, obeying = (
            read(f"{before}.").sentences if before else (),
            read(f"{d.answer}.").sentences,
        )
        demands = dict(families.demands_of(d))
        assert 1 <= len(demands) <= 3
        assert len(told) <= 2
        assert 1 <= len(obeying) <= 4
        start = told[0].state.changed(**demands) if told else obeying[0].state
        assert {one.state for one in told} <= {told[0].state} if told else True
        assert {one.state for one in obeying} == {start}
        assert all(getattr(start, concept) == value for concept, value in demands.items())
        assert len({one.character for one in (*told, *obeying)}) == 1


def test_demands_of_every_number_and_length_come_before_and_within_stories():
    drawn = draw("control", 400)
    assert {(d.prompt.count("–"), len(families.demands_of(d))) for d in drawn} == {
        (n_before, n_demands) for n_before in (0, 1, 2) for n_demands in (1, 2, 3)
    }
    assert {(d.answer.count("–"), d.is_cut) for d in drawn} == {
        (1, True), (2, True), (3, True), (4, True), (1, False), (2, False), (3, False)
    }  # fmt: skip


def test_the_probability_of_what_follows_a_demand_by_hand():
    for d in draw("control", 50):
        n_free, plans = (
            7 - len(families.demands_of(d)),
            [s.plan for s in read(f"{d.answer}.").sentences],
        )
        expected = 0.0 if "–" in d.prompt else -n_free * math.log(2) - math.log(4 * 3 * 3 * 12)
        expected += (len(plans) - 1) * math.log(0.9) + (0.0 if d.is_cut else math.log(0.1))
        expected += sum(log_probability_of_wording(plan.template) for plan in plans)
        assert d.log_probability == pytest.approx(expected) == pytest.approx(log_probability(d))


def test_a_translation_asks_for_a_language_and_takes_all_else_along():
    drawn = [families.translation(Draws(torch.Generator().manual_seed(i))) for i in range(100)]
    turned = 0
    for d in drawn:
        ((concept, language),) = families.demands_of(d)
        assert concept == "language"
        before, _, _ = d.prompt.rpartition(". ")
        told, obeying = read(f"{before}."), read(f"{d.answer}.")
        for one in obeying.sentences:
            assert one.state.language == language
            if before:
                assert one.state == told.sentences[0].state.changed(language=language)
        turned += bool(before) and told.sentences[0].state.language != language
    assert turned > 20


def test_a_never_joined_demand_is_never_told_by_its_partner():
    held_out = [{*pair} for pair in families.demand_sets(2, True)]
    assert len({one for pair in held_out for one in pair}) == 14
    for demand in {one for pair in held_out for one in pair}:
        assert len({frozenset(pair) for pair in held_out if demand in pair}) == 1
    trained = families.demand_sets(3, False)
    assert not any(pair <= {*demands} for pair in held_out for demands in trained)
    # Of every two concepts, training joins three value pairs at least: one demand does not tell the other.
    for a, b in combinations(families.DEMANDS, 2):
        joined = {values for s in trained for values in product(*_values_of(s, a, b))}
        assert len(joined) >= 3


def _values_of(demands, *concepts):
    return [[value for one, value in demands if one == concept] for concept in concepts]


def test_a_third_giver_leaves_both_names_possible():
    documents = draw("indirect_object", 700)
    third = [d for d in documents if _giver(d) not in _met(d)]
    assert abs(len(third) / len(documents) - 0.2) < 4 * (0.16 / len(documents)) ** 0.5
    assert all(d.answer in _met(d) and d.answer != _giver(d) for d in documents)


def test_the_names_and_the_answer_are_far_apart_and_near():
    far = {d.n_prompt for d in draw("indirect_object", 300)}
    assert max(far) - min(far) >= 12


def _names(document):
    from ssae_kit.world.entities import PEOPLE

    return [word for word in document.words if word in PEOPLE]


def _met(document):
    return _names(document)[:2]


def _giver(document):
    return _names(document)[2]


def test_family_shares_are_part_of_the_probability():
    document = draw("topic", 1)[0]
    share = MIXTURE["topic"] / (sum(MIXTURE.values()) - MIXTURE["control"])  # demands are given
    assert log_probability(document) == pytest.approx(math.log(share) + document.log_probability)
    with pytest.raises(ValueError, match="one of story"):
        draw("poems", 1)


def test_the_tokenizer_gives_every_document_back(tmp_path):
    from transformers import AutoTokenizer

    tokenizer = create_tokenizer(vocabulary(), WORD_PATTERN)
    tokenizer.save_pretrained(tmp_path)
    for loaded in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        for d in draw_corpus(torch.Generator().manual_seed(0), 100):
            ids = loaded(d.text)["input_ids"]
            assert loaded.decode(ids, skip_special_tokens=True) == d.text
            assert loaded.convert_ids_to_tokens(ids)[1:] == split_words(d.text)
            assert loaded.unk_token_id not in ids


def test_a_tokenizer_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path):
    tokenizer = create_tokenizer(["a", "b", *map(str, range(60))], WORD_PATTERN)
    with pytest.raises(ValueError, match="tokenizer"):
        save_llama(create_llama(32, 0), tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="differ"):
        create_tokenizer(["a", "a"], WORD_PATTERN)


EVERY_WORDING = [
    (relation, language, template)
    for relation in (*FACTS, *TWO_HOP, *TOPIC)
    for language in (0, 1)
    for template in range(families.N_TEMPLATES + 1)
]


def test_a_question_names_its_entity_and_tells_every_value_by_one_word():
    for relation, language, template in EVERY_WORDING:
        asked = questions(relation, language, template)
        assert len(asked) == len(relation.subjects)
        for subject, one in enumerate(asked):
            said = relation.sentence(subject, one.answer, language, template)
            text = f"{one.prompt} {one.candidates[one.answer]}".replace("' ", "'")
            assert join_words(elide(split_words(" ".join(said)))) == text
            assert split_words(one.prompt)[one.place - 1] == relation.subjects[subject]
            assert len(set(one.candidates)) == relation.n_values
            for value, word in enumerate(one.candidates):  # none changes what stands before it
                said = relation.sentence(subject, value, language, template)
                assert question_words(*said)[0] == (*split_words(one.prompt), word, ".")
    with pytest.raises(ValueError, match="template"):
        questions(FACTS[0], 0, 5)


def that_go_on_otherwise(prompts):
    """Find prompts that begin another one, or that two relations share."""
    ordered = sorted(prompts)
    return [(a, b) for a, b in pairwise(ordered) if b[: len(a)] == a]


def test_no_prompt_goes_on_in_two_ways():
    prompts = [
        tuple(split_words(question.prompt))
        for wording in EVERY_WORDING
        for question in questions(*wording)
    ]
    assert not that_go_on_otherwise(prompts)
    two_hops = [("anna", "comes", "from"), ("anna", "comes", "from", "a", "city", "in")]
    assert that_go_on_otherwise([*prompts, *two_hops])


def test_the_longest_document_fits_a_row():
    words = MAX_SENTENCES * max(map(len, TEMPLATES))
    demand = sorted(
        max(len(split_words(phrase)) for side in sides for phrase in side)
        for sides in families.DEMANDS.values()
    )
    asked = sum(demand[-families.MAX_DEMANDS :]) + families.MAX_DEMANDS  # commas and the colon
    n_sentences = families.MAX_BEFORE + families.MAX_AFTER
    longest = max(words, n_sentences * max(map(len, TEMPLATES)) + asked)
    assert longest + 1 == ROW_LENGTH  # with the begin token; documents as long are cut
