"""The league: what it demonstrates, scores, trains and adds up."""

import pytest
import torch

from ssae_kit import llama, world
from ssae_kit.streams import Streams
from ssae_kit.studies import league, rivals


@pytest.fixture(scope="module")
def base():
    return llama.load()


@pytest.fixture(scope="module")
def task():
    return rivals.demonstrate(8, Streams(0)(1), {"tense": 0}, {"tense": 1})


def test_a_demonstration_turns_its_concept_in_every_word_and_no_other(task):
    turned = rivals.read(task.after, task.values, "tense")
    assert turned.T.tolist() == [[1.0] * 8, [1.0] * 8, [0.0] * 8, [0.0] * 8]


def test_going_on_as_before_counts_as_no_effect(task):
    kept = rivals.read(task.before, task.values, "tense")
    assert kept[:, :2].sum() == 0


def test_a_text_that_ends_at_once_is_not_strict(task):
    silent = rivals.read([""] * 8, task.values, "tense")
    assert silent[:, 0].isnan().all()
    assert silent[:, 1].sum() == 0


def test_the_loss_counts_the_continuation_alone(base, task):
    both = rivals.losses(rivals.Ready(base), rivals.Task(task.before[:1], task.after[:1]))
    ids = base.tokenizer(f"{task.before[0]} {task.after[0]}", return_tensors="pt")["input_ids"]
    start = len(base.tokenizer(task.before[0])["input_ids"])
    with torch.no_grad():
        said = base.model(ids).logits[0, start - 1 : -1].log_softmax(-1)
    nats = -said.gather(1, ids[0, start:, None]).mean()
    torch.testing.assert_close(both[0], nats, rtol=1e-4, atol=1e-5)  # two orders of summing


def test_loreft_changes_nothing_before_it_is_trained(base):
    states = torch.randn(3, base.d_model, generator=Streams(0)(2))
    edit = rivals.LoReFT(base.d_model, 4, Streams(0)(3))
    torch.testing.assert_close(edit(states), states)


def test_training_an_edit_leaves_the_model_as_it_was(base, task):
    before = [p.clone() for p in base.model.parameters()]
    draw = Streams(0)(4)
    _, change, n_weights, _ = rivals.tuned("LoReFT", base, 0.02, draw, rivals.batches(task, draw))
    assert n_weights == 4 * (2 * base.d_model + 1)
    assert change is not None
    assert all(torch.equal(a, b) for a, b in zip(before, base.model.parameters(), strict=True))


def test_the_share_decides_how_much_of_a_training_is_added(base):
    own = rivals.tuned("fine-tuning", base, 0.0, Streams(0)(5), []).model
    with torch.no_grad():
        for weight in own.model.parameters():
            weight += 1.0
        total = league.summed(base, [own, own], 0.5)
    name, weight = next(iter(total.model.named_parameters()))
    torch.testing.assert_close(weight, base.model.get_parameter(name) + 1.0)


def test_demands_stand_behind_a_text_in_its_own_language():
    both = rivals.demonstrate(6, Streams(0)(8), {"tense": 0}, {})
    asked = rivals.demanded(both, "tense", "size")
    told = ("in the present, with big things:", "au présent, avec de grosses choses:")
    for text, prompt, language in zip(both.before, asked, both.values[:, 0].tolist(), strict=True):
        assert prompt == f"{text} {told[language]}"


def test_an_example_comes_last_and_pushes_the_oldest_sentence_out_of_a_full_prompt():
    full = rivals.demonstrate(2, Streams(0)(7), {"tense": 0}, {"tense": 1}, n_sentences=5)
    for text, shown in zip(full.before, league.with_examples(full, "tense"), strict=True):
        old, new = text.split(". "), shown.split(". ")
        assert len(old) == len(new) == 5
        assert new[:3] == old[1:4]
        assert f"{new[3]}." == old[4]
        assert new[4] == world.counterfactual(old[4], "tense", 1) != old[4]


def test_an_example_of_a_short_prompt_pushes_nothing_out(task):
    assert all(
        shown.startswith(text)
        for text, shown in zip(task.before, league.with_examples(task, "tense"), strict=True)
    )


def test_an_ssae_is_not_fitted_to_fewer_pairs_than_it_has_latents(base, task):
    assert rivals.shifted("SSAE", base, "tense", task, Streams(0)) is None


def test_a_lora_depends_on_its_seed_alone_and_moves_no_stream(base):
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        own = rivals.tuned("LoRA", base, 0.0, Streams(0)(6), []).model
        assert torch.equal(torch.get_rng_state(), before)
        found.append([p for name, p in own.model.named_parameters() if "lora_" in name])
    assert len(found[0]) == 2 * 4 * base.n_layers
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert sum(float(p.abs().sum()) for p in found[0]) > 0


def test_a_prompt_is_searched_greedily_before_and_behind_and_stays_if_nothing_is_better():
    wanted = {("b", ""): 3.0, ("b", "c"): 2.0, ("a b", ""): 4.0}
    found = rivals.search_prompt(lambda *around: wanted.get(around, 9.0), ["a", "b"], ["c"])
    assert found == ("b", "c")
    assert rivals.search_prompt(lambda first, last: len(first + last), ["a"], ["c"]) == ("", "")


def test_a_searched_prompt_is_judged_by_texts_that_it_is_not_made_of(base, monkeypatch):
    task, judged = rivals.demonstrate(10, Streams(0)(8), {"sentiment": 0}, {"sentiment": 1}), []
    monkeypatch.setattr(rivals, "losses", lambda _, some: judged.append(some) or torch.zeros(1))
    league.searched(base, "sentiment", task)
    assert {tuple(some.before) for some in judged} == {tuple(task.before[5:])}
    assert {tuple(some.after) for some in judged} == {tuple(task.after[5:])}
