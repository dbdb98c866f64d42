"""The study of cities in the real Llama: its questions, its pairs, and its exchanges."""

import re

import pytest
import torch
from torch.testing import assert_close

from ssae_kit import causes, llama
from ssae_kit.llama.create import create_llama, create_tokenizer
from ssae_kit.studies import load_study, ravel
from ssae_kit.studies.catalogue import STUDIES
from ssae_kit.studies.ravel import ATTRIBUTES, CITIES, IS_NEW, QUESTIONS, RIGHT, VALUES

FROM = [0, 4, 9]
"""Cities of one word each."""


@pytest.fixture(scope="module")
def reader():
    """A Llama that knows the words of the questions and nothing else, with random weights."""
    told = [f"The city of {city} {text}" for city, *_ in CITIES for _, text in QUESTIONS]
    told += [value for _, value in VALUES]
    pattern = r"\w+|[^\w\s]"
    known = dict.fromkeys(word for text in told for word in re.findall(pattern, text.lower()))
    tokenizer = create_tokenizer(list(known), pattern)
    return llama.Llama("random", create_llama(len(tokenizer), 0).eval(), tokenizer)


@pytest.fixture(scope="module")
def asked(reader):
    return ravel.Asked(reader)


def test_every_country_holds_out_two_cities_and_keeps_others():
    for country in {values[0] for _, values, _ in CITIES}:
        own = [is_new for _, values, is_new in CITIES if values[0] == country]
        assert sum(own) == 2 < len(own)
    assert len({city for city, *_ in CITIES}) == len(CITIES)
    assert [ATTRIBUTES[a] for a, _ in QUESTIONS] == [n for n in ATTRIBUTES for _ in range(3)]


def expected(model, question, city, edits=None):
    """Log-probabilities of the values from the model's own logits."""
    pairs = zip(question.tolist(), city.tolist(), strict=True)
    rows = [f"The city of {CITIES[c][0]} {QUESTIONS[q][1]}" for q, c in pairs]
    done = llama.run(model, rows, edits=edits, logits=True)
    first = [model.tokenizer(v, add_special_tokens=False)["input_ids"][0] for _, v in VALUES]
    own = torch.tensor([[a == QUESTIONS[q][0] for a, _ in VALUES] for q in question])
    logits = done.logits[torch.arange(len(rows)), done.last][:, first]
    return logits.masked_fill(~own, -torch.inf).log_softmax(1)


def test_an_answer_is_the_likeliest_value_by_the_models_own_logits(asked, reader):
    question, city = torch.tensor([1, 7]), torch.tensor([3, 60])
    said = asked.answers(question, city)
    assert_close(said, expected(reader, question, city), rtol=1e-4, atol=1e-4)  # another order
    assert_close(asked.known()[1, 3], said[0].argmax() == RIGHT[0, 3])


def test_an_interchange_is_that_of_the_kits_one_door(asked, reader):
    base, source = torch.tensor(FROM), torch.tensor(FROM).roll(1)
    h, question = llama.hidden_states(reader, asked.begun, 2), torch.tensor([0, 4, 8])
    moved = causes.exchange(causes.whole(h.shape[1]), h[base], h[source])
    said = asked.exchanged(2, question, base, moved)
    swap = llama.Swap(h[source], at=asked.place[base])
    assert_close(said, expected(reader, question, base, {2: swap}), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(said, asked.answers(question, base))


def test_pairs_are_known_differ_and_keep_to_their_cities():
    known = (
        torch.rand(len(QUESTIONS), len(CITIES), generator=torch.Generator().manual_seed(0)) < 0.7
    )
    for is_new in (False, True):
        drawn = ravel.draw(known, is_new, range(2, 3), 50, torch.Generator().manual_seed(1))
        for a, (question, base, source) in enumerate(zip(*drawn, strict=True)):
            assert set(question.tolist()) == {3 * a + 2}
            assert known[question, base].all()
            assert known[question, source].all()
            assert (RIGHT[a, base] != RIGHT[a, source]).all()
            assert (IS_NEW[base] == is_new).all()


def test_only_the_target_follows_the_source():
    pairs = torch.tensor([0, 3]), torch.tensor([0, 0]), torch.tensor([60, 60])
    first = ravel.wanted(pairs, torch.tensor(0)).tolist()
    assert first == [RIGHT[0, 60].item(), RIGHT[1, 0].item()]


def test_the_study_runs_and_its_result_is_committed(reader, monkeypatch):
    for name, value in {"N_STEPS": 1, "BATCH": 2, "N_PAIRS": 3, "LAYERS": (2, 4)}.items():
        monkeypatch.setattr(ravel, name, value)
    monkeypatch.setattr(ravel.llama, "load", lambda name: reader)
    everything = torch.ones(len(QUESTIONS), len(CITIES), dtype=torch.bool)
    monkeypatch.setattr(ravel.Asked, "known", lambda _: everything)
    result = ravel.ravel(0)
    assert result["right at 2"].shape == (5, 2, 3, 3, 3)
    assert result["right at 4"].shape == (5, 2, 3, 3, 3)
    kept = load_study("ravel")
    assert kept.conditions == STUDIES["ravel"][1]
    shapes = {name: value.shape for name, value in kept.returned(0).items()}
    assert shapes["right at 20"] == (5, 2, 3, 3, 32)
    assert shapes["known"] == (len(QUESTIONS), len(CITIES))


def test_the_real_llama_tells_the_values_apart_by_their_first_token(smollm2):
    first = [
        smollm2.tokenizer(f" {v}", add_special_tokens=False)["input_ids"][0] for _, v in VALUES
    ]
    for a in range(3):
        own = [token for token, (b, _) in zip(first, VALUES, strict=True) if a == b]
        assert len(set(own)) == len(own)
