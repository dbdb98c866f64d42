import math
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from ssae_kit import world
from ssae_kit.autoencoders import ReluSAE
from ssae_kit.llama import load
from ssae_kit.pairs import ConceptPairs
from ssae_kit.steering import (
    Expressed,
    clamp_of,
    concepts_in_turn,
    directions,
    learn,
    mean_interval,
    rate_interval,
    read_concepts,
    score_steering,
    shift_vectors,
    spans_about,
    steering_vectors,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def clamped():
    """An autoencoder whose latents 2 and 0 read the two concepts of these states exactly."""
    sae = ReluSAE(1, 3, 3, generator=seeded())
    with torch.no_grad():
        sae.decoder.copy_(torch.eye(3)[None])
        sae.encoder.copy_(torch.eye(3)[None])
        sae.scale.fill_(2.0)
    values = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    states = torch.tensor([[1.0, -5.0, 2.0], [7.0, -5.0, 2.0], [1.0, -5.0, 6.0], [7.0, -5.0, 6.0]])
    return clamp_of(sae, states, values), states, values


def test_a_clamp_sets_the_best_latents_and_keeps_the_error():
    clamp, states, values = clamped()
    assert clamp.latent.tolist() == [2, 0]
    torch.testing.assert_close(clamp.levels, torch.tensor([[1.0, 3.0], [0.5, 3.5]]))
    steered = torch.tensor([[True, False]] * 4)
    pushed = states + clamp.vectors(states, values, steered, 1.0)
    # Latent 2 takes the other value's level; the second coordinate, below 0, was never reconstructed.
    torch.testing.assert_close(pushed, states[[2, 3, 0, 1]])
    off = states[:1] + torch.tensor([[0.0, 0.0, 0.4]])  # not at the typical level
    pushed = off + clamp.vectors(off, values[:1], steered[:1], 2.0)
    torch.testing.assert_close(pushed, torch.tensor([[1.0, -5.0, 10.0]]))  # 2 + 2 * (6 - 2)


def test_a_clamp_needs_one_run():
    with pytest.raises(ValueError, match="one run is required; got 2"):
        clamp_of(ReluSAE(2, 2, 4, generator=seeded()), torch.eye(2), torch.eye(2).long())


def test_a_value_that_is_neither_0_nor_1_is_refused():
    clamp, states, values = clamped()
    steered = torch.tensor([[True, False]] * 4)
    other = values + torch.tensor([1, 0])  # the first concept has values 1 and 2
    for call in (
        lambda: steering_vectors(torch.eye(2, 3), other, steered, 1.0),
        lambda: clamp.vectors(states, other, steered, 1.0),
        lambda: clamp_of(clamp.autoencoder, states, other),
    ):
        with pytest.raises(ValueError, match=r"values must be 0 or 1; got \[.*2.*`value_means`"):
            call()
    steering_vectors(torch.eye(2, 3), other, ~steered, 1.0)  # of a concept that is left alone


def test_every_set_of_concepts_takes_its_turn():
    assert concepts_in_turn(4, 3).int().argmax(1).tolist() == [0, 1, 2, 0]
    pairs = concepts_in_turn(3, 3, 2)
    assert pairs.sum(1).tolist() == [2, 2, 2]
    assert pairs.sum(0).tolist() == [2, 2, 2]
    with pytest.raises(ValueError, match=r"1\.\.3 .*got 4"):
        concepts_in_turn(2, 3, 4)


def test_steering_pushes_towards_the_other_value_and_adds_up():
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([[0, 1], [0, 1], [0, 1]])
    steered = torch.tensor([[True, False], [False, True], [True, True]])
    vectors = steering_vectors(directions, values, steered, 2.0)
    torch.testing.assert_close(vectors, torch.tensor([[2.0, 0.0], [0.0, -2.0], [2.0, -2.0]]))
    each = steering_vectors(directions, values, steered, torch.tensor([[0.0], [1.0], [3.0]]))
    torch.testing.assert_close(each, torch.tensor([[0.0, 0.0], [0.0, -1.0], [3.0, -3.0]]))


@dataclass
class Word:
    values: dict
    word: str = ""


@dataclass
class Sentence:
    words: list
    is_well_formed: bool
    is_complete: bool


@dataclass
class Reading:
    sentences: list

    @property
    def words(self):
        return [word for sentence in self.sentences for word in sentence.words]


def letters(text):
    """A toy parser: a/A say concept "a" is 0/1, b/B concept "b"; "?" is ill-formed; "." ends."""
    sentences = []
    for part in text.replace(".", ".|").split("|"):
        words = [Word({c.lower(): int(c.isupper())}, c.lower()) for c in part if c.lower() in "ab"]
        if part:
            sentences.append(Sentence(words, "?" not in part, part.endswith(".")))
    return Reading(sentences)


def test_reading_counts_words_of_complete_sentences_only():
    expressed = read_concepts(["aAb.B?.A", "", "BB.a.a."], letters, ["a", "b"], n_sentences=2)
    torch.testing.assert_close(
        expressed.share,
        torch.tensor([[0.5, 0.5], [math.nan, math.nan], [0.0, 1.0]]),
        equal_nan=True,
    )
    torch.testing.assert_close(
        expressed.onset,
        torch.tensor([[0.0, 0.0], [math.nan, math.nan], [0.0, 1.0]]),
        equal_nan=True,
    )
    torch.testing.assert_close(
        expressed.ill_formed, torch.tensor([0.5, math.nan, 0.0]), equal_nan=True
    )


@pytest.mark.parametrize(("texts", "n_sentences"), [([], 2), (["a."], 0), (["a."], -1)])
def test_reading_nothing_is_refused(texts, n_sentences):
    with pytest.raises(ValueError, match=r"at least (one text is required|1; got)"):
        read_concepts(texts, letters, ["a"], n_sentences=n_sentences)


@pytest.mark.parametrize(
    ("concept", "words"),
    [("tens", "language, .*; got 'tens'"), ("colour", "binary; .*'colour' is")],
)
def test_a_concept_that_the_parser_cannot_read_as_one_of_two_is_refused(concept, words):
    texts = ["the queen in white was sad."]
    with pytest.raises(ValueError, match=words):
        read_concepts(texts, world.read, ["tense", concept], n_sentences=1)


def test_a_span_about_a_concept_that_the_parser_does_not_know_is_refused():
    with pytest.raises(ValueError, match="Check the spelling"):
        spans_about("the queen was sad.", world.read, ["tens"])


def test_a_concept_that_no_text_expresses_is_said_to_be_undefined():
    with pytest.warns(UserWarning, match=r"no text expresses \['b'\].* undefined"):
        read_concepts(["A.", "a."], letters, ["a", "b"], n_sentences=1)


def expressed(share, ill_formed=(0.0, 0.0)):
    share = torch.tensor(share)
    return Expressed(share, share.round(), torch.tensor(ill_formed))


def test_scores_separate_the_target_from_the_rest():
    said = expressed([[1.0, 0.0, 0.5], [0.0, 1.0, math.nan]], (0.0, 0.5))
    values = torch.tensor([[0, 0, 0], [1, 1, 1]])
    score = score_steering(said, values, torch.tensor([[True, False, False]] * 2))
    assert score.target.tolist() == [1.0, 1.0]
    assert score.onset.tolist() == [1.0, 1.0]
    assert score.elsewhere.tolist() == [0.25, 0.0]
    assert score.strict.tolist() == [True, False]
    assert score.rows(torch.tensor([1])).strict.tolist() == [False]
    torch.testing.assert_close(score.per_concept[0], torch.tensor([1.0, 0.0, 0.5]))


def test_strict_asks_every_steered_concept_and_counts_silence_as_failure():
    said = expressed([[1.0, 0.5, 0.0], [1.0, math.nan, 0.0]])
    both = torch.tensor([[True, True, False]] * 2)
    score = score_steering(said, torch.zeros(2, 3, dtype=torch.int64), both)
    assert score.target.tolist() == [0.75, 1.0]
    assert score.strict.tolist() == [False, False]


def test_spans_hold_the_words_about_the_concepts_wherever_they_stand():
    assert spans_about("aAb.B", letters, {"b"}) == [(2, 3), (4, 5)]
    assert spans_about("aAb.B", letters, ()) == []


def test_the_interval_of_a_mean_is_its_standard_error_and_stays_above_zero():
    mean, low, high = mean_interval(torch.tensor([1.0, 3.0, math.nan]))
    assert (mean, low) == (2.0, pytest.approx(2.0 - 1.96))  # sd sqrt(2), over sqrt(2) texts
    assert high == pytest.approx(2.0 + 1.96)
    assert mean_interval(torch.tensor([0.0, 1.0]))[1] == 0.0


def test_where_no_text_says_anything_a_rate_is_undefined_and_stops_nobody():
    silent = torch.tensor([math.nan, math.nan])
    for interval in (rate_interval, mean_interval):
        assert all(math.isnan(value) for value in interval(silent))
    mean, low, high = mean_interval(torch.tensor([1.0, math.nan]))
    assert mean == 1.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_wilson_interval_of_8_in_10_matches_the_textbook_and_never_collapses():
    mean, low, high = rate_interval(torch.tensor([1.0] * 8 + [0.0] * 2))
    assert (round(mean, 3), round(low, 3), round(high, 3)) == (0.8, 0.490, 0.943)
    mean, low, high = rate_interval(torch.tensor([1.0, 1.0, math.nan]))
    assert mean == 1.0
    assert low < 0.5


def test_shift_vectors_are_target_minus_source(monkeypatch):
    def lengths(_llama, texts, layer):
        length = torch.tensor([[float(len(text))] for text in texts])
        return length if layer == 0 else torch.stack([length * one for one in layer])

    monkeypatch.setattr(directions, "hidden_states", lengths)
    monkeypatch.setattr(directions, "require_known", lambda *_: None)
    pairs = ConceptPairs(("a", "aa", "a"), ("aaa", "a", "a"))
    assert shift_vectors.__wrapped__(None, pairs, 0).flatten().tolist() == [2.0, -1.0, 0.0]
    several = shift_vectors.__wrapped__(None, pairs, (1, 3))
    assert several.flatten(1).tolist() == [[2.0, -1.0, 0.0], [6.0, -3.0, 0.0]]


def test_a_pair_with_an_unknown_word_is_refused_and_the_words_are_listed():
    pairs = ConceptPairs(("the queen", "the wuggle"), ("the zorbs", "the king"))
    with pytest.raises(ValueError, match=r"2 of these words.*'wuggle', 'zorbs'"):
        shift_vectors(load(), pairs, 3)


def test_pairs_whose_changes_are_not_known_cannot_be_named():
    with pytest.raises(ValueError, match=r"must bring their `changes`"):
        learn.__wrapped__(None, ConceptPairs(("a",), ("b",)), 1)


def test_vectors_are_found_by_the_name_of_their_concept(monkeypatch):
    changes = torch.tensor([[1, 0], [0, 1], [-1, 0], [0, -1]]).repeat(50, 1)
    truth = torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    monkeypatch.setattr(directions, "shift_vectors", lambda *_: changes.float() @ truth)
    texts = tuple("ab" * 100)
    pairs = ConceptPairs(texts, texts, ("tense", "size"), tuple(map(tuple, changes.tolist())))
    vectors = learn.__wrapped__(SimpleNamespace(device="cpu"), pairs, 1)
    assert vectors["size"].shape == (1, 3)
    assert torch.nn.functional.cosine_similarity(vectors["size"], truth[1:]) > 0.99
    with pytest.raises(KeyError, match=r"no concept 'colour'; there are tense, size"):
        vectors["colour"]


@pytest.mark.usefixtures("no_shape_checks")
def test_indices_in_place_of_masks_and_values_that_are_none_are_refused():
    nothing = torch.zeros(2, 2)
    said = Expressed(nothing, nothing, torch.zeros(2))
    with pytest.raises(ValueError, match="`steered` must be a mask"):
        score_steering(said, nothing, torch.tensor([[0, 2], [1, 0]]))
    with pytest.raises(ValueError, match="concept values must be 0 or 1"):
        score_steering(said, nothing - 2, nothing)
    with pytest.raises(ValueError, match="`steered` must be a mask"):
        steering_vectors(torch.eye(2), nothing, torch.tensor([[0, 2], [1, 0]]), 1.0)
