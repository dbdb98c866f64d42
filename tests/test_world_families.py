"""The families beside the stories: probabilities, splits, vocabulary, the tokenizer."""

import collections
import math

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
from ssae_kit.world import FACTS, TWO_HOP, families, questions
from ssae_kit.world.parse import read
from ssae_kit.world.state import Draws
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


@pytest.mark.parametrize("family", [f for f in MIXTURE if f not in ("story", "verdict")])
def test_held_out_documents_never_occur_in_training(family):
    trained = {d.text for d in draw(family, 1200)}
    held_out = {d.text for d in draw(family, 300, held_out=True)}
    assert not trained & held_out


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
    assert "anna works as an architect." in texts or "anna works as a architect." not in texts
    assert "la ville natale d'anna est située au pérou." in texts or any(
        "d'anna" in t for t in texts
    )
    assert not any(" de a" in t or " de o" in t or " le i" in t or "  " in t for t in texts)


def test_agreement_verbs_agree_with_the_first_noun_only():
    for d in draw("agreement", 300):
        assert (
            read(d.text).words[1].values.get("number") == read(d.answer).words[0].values["number"]
        )


def test_control_sentences_obey_their_prefix():
    for d in draw("control", 200):
        state = read(d.answer + ".").sentences[0].state
        for concept, sides in families.CONTROLS.items():
            for side in sides:
                for value, phrase in enumerate(side):
                    if phrase in d.prompt:
                        assert getattr(state, concept) == value


def test_a_third_giver_leaves_both_names_possible():
    documents = draw("indirect_object", 700)
    third = [d for d in documents if _giver(d) not in _met(d)]
    assert abs(len(third) / len(documents) - 0.2) < 4 * (0.16 / len(documents)) ** 0.5
    assert all(d.answer in _met(d) and d.answer != _giver(d) for d in documents)


def _names(document):
    from ssae_kit.world.entities import PEOPLE

    return [word for word in document.words if word in PEOPLE]


def _met(document):
    return _names(document)[:2]


def _giver(document):
    return _names(document)[2]


def test_family_shares_are_part_of_the_probability():
    document = draw("topic", 1)[0]
    share = MIXTURE["topic"] / sum(MIXTURE.values())
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


def test_a_question_names_its_entity_and_tells_every_value_by_one_word():
    for relation in (*FACTS, *TWO_HOP):
        for language in (0, 1):
            for subject, asked in enumerate(questions(relation, language, 2)):
                said = relation.sentence(subject, asked.answer, language, 2)
                text = f"{asked.prompt} {asked.candidates[asked.answer]}".replace("' ", "'")
                assert join_words(elide(split_words(" ".join(said)))).startswith(text)
                assert split_words(asked.prompt)[asked.place - 1] == relation.subjects[subject]
                assert len(set(asked.candidates)) == relation.n_values


def test_no_question_is_asked_where_one_word_does_not_tell_the_values_apart():
    country, language = FACTS[:2]
    assert questions(country, 1, 0) == ()  # "en france" but "au kenya"
    assert len(questions(country, 0, 0)) == len(questions(language, 1, 0)) == 20
    with pytest.raises(ValueError, match="template"):
        questions(country, 0, 5)
