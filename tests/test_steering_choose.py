"""A concept of one's own: what a push does to the next word, and the choice of layer and strength."""

import pytest
import torch

from ssae_kit import llama
from ssae_kit.pairs import ConceptPairs, load_pairs
from ssae_kit.steering import choose_push, load_vectors, save_vectors, word_odds
from ssae_kit.steering.choose import _best
from ssae_kit.storage import DATA

PROMPTS = [f"– this {who} in ruby and silk" for who in ("lady", "guy", "lass", "nobleman")]
WORDS = (["bought", "found"], ["buys", "finds"])


@pytest.fixture(scope="module")
def model():
    return llama.load()


@pytest.fixture(scope="module")
def pairs():
    return load_pairs(DATA / "pairs" / "tense.csv")


@pytest.fixture(scope="module")
def choice(model, pairs):
    own = pairs.take(range(24))
    return choose_push(model, own, PROMPTS, WORDS, layers=[2, 3], strengths=[0.25, 1.0], n_random=2)


def test_odds_are_those_of_the_words_first_tokens_and_the_rest_is_a_distribution(model):
    odds, rest = word_odds(model, PROMPTS, WORDS)
    told = llama.next_token_log_probs(model, PROMPTS, torch.zeros(4, 1).long())[:, 0].cpu()
    past, present = (
        [model.tokenizer(f" {w}", add_special_tokens=False)["input_ids"][0] for w in side]
        for side in WORDS
    )
    by_hand = told[:, present].exp().sum(1).log() - told[:, past].exp().sum(1).log()
    torch.testing.assert_close(odds, by_hand, rtol=1e-4, atol=1e-4)  # sums in another order
    assert (rest[:, past + present] == -torch.inf).all()
    torch.testing.assert_close(rest.exp().sum(1), torch.ones(4))


def test_a_demand_in_the_prompt_moves_the_odds_its_way(model):
    past, present = (
        word_odds(model, [f"in the {tense}: {text}" for text in PROMPTS], WORDS)[0].mean()
        for tense in ("past", "present")
    )
    assert present > past + 2


def test_the_direction_of_the_pairs_turns_words_farther_than_random_ones(choice):
    layer, strength = choice.chosen
    effect = choice.effect[layer, strength, :, 2:].mean(1)
    assert effect[0] > effect[1:].abs().max()
    assert choice.kl[layer, strength, 0, :2].mean() <= 0.5
    assert choice.vectors.layer == choice.layers[layer]
    assert choice.vectors.matching.per_concept > 0.9


def test_a_longer_push_costs_more(choice):
    assert choice.loss[:, 1].mean() > choice.loss[:, 0].mean()
    assert (choice.kl[:, 1].mean((1, 2)) > choice.kl[:, 0].mean((1, 2))).all()


def test_what_was_chosen_can_be_saved_and_read_back(choice, model, tmp_path):
    save_vectors(tmp_path / "v.safetensors", choice.vectors, model, strength=choice.strength)
    again = load_vectors(tmp_path / "v.safetensors", model)
    torch.testing.assert_close(again["tense"], choice.vectors["tense"])


def test_the_largest_effect_within_bounds_is_chosen():
    effect = torch.tensor([[1.0, 3.0], [2.0, 9.0]])
    kl = torch.tensor([[0.1, 0.6], [0.4, 2.0]])
    assert _best(effect, kl, 0.5) == (1, 0)
    with pytest.raises(ValueError, match="no push keeps its KL"):
        _best(effect, kl, 0.05)


def test_two_lists_whose_changes_are_not_known_are_values_0_and_1(model, pairs):
    sides = [
        (s, t)[:: c[0]] for s, t, c in zip(pairs.source, pairs.target, pairs.changes, strict=True)
    ][:12]
    past, present = zip(*sides, strict=True)
    options = {"layers": [2], "strengths": [0.5], "n_random": 1}
    lists = choose_push(model, ConceptPairs(past, present), PROMPTS, WORDS, **options)
    assert lists.vectors.concepts == ("concept",)
    assert lists.effect[0, 0, 0].mean() > 0
    known = choose_push(model, pairs.take(range(12)), PROMPTS, WORDS, **options)
    torch.testing.assert_close(
        lists.vectors.directions, known.vectors.directions, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"pairs": 7}, "8 or more pairs"),
        ({"pairs": "two"}, "Leave the columns"),
        ({"pairs": "file.csv"}, "load_pairs"),
        ({"prompts": PROMPTS[:3]}, "at least 4 prompts"),
        ({"prompts": PROMPTS[0]}, "at least 4 prompts"),
        ({"words": ["bought", "buys"]}, "two lists"),
        ({"words": (["bought"], ["bought"])}, "begins like none"),
        ({"words": (["bought"], ["bazooka"])}, "bazooka"),
        ({"layers": []}, "one layer"),
        ({"strengths": [float("nan")]}, "finite"),
        ({"most_kl": 0.0}, "above 0"),
    ],
)
def test_what_says_nothing_is_refused_in_words(no_shape_checks, model, pairs, change, told):
    own = {
        7: pairs.take(range(7)),
        "two": ConceptPairs(pairs.source, pairs.target, ("a", "b"), ((1, 0),) * len(pairs)),
    }
    call = {"pairs": pairs.take(range(8)), "prompts": PROMPTS, "words": WORDS, "layers": [2]}
    call |= change
    call["pairs"] = own.get(change.get("pairs"), call["pairs"])
    with pytest.raises((ValueError, TypeError), match=told):
        choose_push(model, call.pop("pairs"), call.pop("prompts"), call.pop("words"), **call)
