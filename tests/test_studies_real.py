"""The study of the real Llama: where states are read, what a push changes, what a file holds."""

import re
import sys

import pytest
import torch

from ssae_kit import llama
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.llama.create import create_llama, create_tokenizer
from ssae_kit.pairs import dataset
from ssae_kit.studies import __main__ as command
from ssae_kit.studies import load_study, real, real_erasure, real_league, real_sets, real_steering
from ssae_kit.studies.catalogue import REAL, STUDIES, collect
from ssae_kit.studies.results import file_of
from ssae_kit.world import natural

TEXT = "Hey guys, the man cleaned a big lamp at night, and it was ugly."


def test_a_result_that_one_condition_lacks_is_kept_for_the_others():
    one, other = torch.ones(2), torch.zeros(2)
    found = collect([{"a": one, "b": one}, {"a": other}])
    assert found["a"].shape == (2, 2)
    torch.testing.assert_close(found["b.0"], one)
    assert set(found) == {"a", "b.0"}


def test_texts_come_back_from_bytes_as_they_were():
    texts = ["déjà vu", "", "a\nb"]
    assert real_steering.as_texts(real_steering.as_bytes(texts)) == texts


def test_streams_draw_other_pairs_and_a_ridge_probe_reads_what_is_there():
    first, second = (real.real_pairs("one wording", stream)["train"] for stream in (0, 1))
    assert first.source != second.source
    changes = real.changes_of(first)
    noise = torch.randn(len(changes), 20, generator=torch.Generator().manual_seed(0))
    shifts = changes @ torch.randn(8, 20, generator=torch.Generator().manual_seed(1)) + 0.1 * noise
    codes = real.ridge(shifts[:600], changes[:600]).codes(shifts[600:])
    assert torch.corrcoef(torch.stack([codes[:, 0], changes[600:, 0]]))[0, 1] > 0.95
    assert torch.corrcoef(torch.stack([codes[:, 0], changes[600:, 1]]))[0, 1] < 0.5


@pytest.mark.parametrize("name", REAL)
def test_the_committed_results_are_those_of_the_conditions(name):
    result = load_study(name)
    assert result.conditions == REAL[name][1]
    assert result.command == "python -m ssae_kit.studies real"
    assert all(torch.isfinite(t.float()).any() for t in result.tensors.values())
    assert file_of(name).stat().st_size < 8e6


def reader():
    """A Llama that knows the words of the study and nothing else, with random weights."""
    told = [*natural.PROMPTS, *dataset("GENDER").source, *dataset("GENDER").target, real.SUFFIX]
    for prompts, words in natural.NEXT_WORD.values():
        told += [*prompts, *words[0], *words[1], "The word:"]
    told += dataset("TRUTH").target
    told += [text for side in real_league.texts_with("gender", 0) for text in side]
    pairs = real.real_pairs("one wording", 0).values()
    told += [text for own in pairs for text in own.source + own.target]
    pattern = r"\w+|[^\w\s]"
    known = dict.fromkeys(word for text in told for word in re.findall(pattern, text.lower()))
    tokenizer = create_tokenizer(list(known), pattern)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    return llama.Llama("random", create_llama(len(tokenizer), 0).eval(), tokenizer)


def smallest(monkeypatch):
    """Let every part of the study run on one condition, on few pairs, for few steps."""
    monkeypatch.setitem(real.LAYERS, "one wording", (0, 1, 3, 5))
    sizes = {"train": 80, "test": 40, "template": 40, "words": 40}
    monkeypatch.setitem(real.SIZES, "one wording", sizes)
    monkeypatch.setattr(real_sets, "N_SET", 60)
    for module in (real, real_sets):
        config = real.training.TrainingConfig(steps=3, batch_size=16)
        monkeypatch.setattr(module, "CONFIG", config)
    for module in (real, real_sets, real_steering, real_league):
        monkeypatch.setattr(module, "LAYER", 3)
    few = natural.PROMPTS[:3]
    for name, value in (
        ("N_RANDOM", 2),
        ("PROMPTS", few),
        ("NEW_TOKENS", 2),
        ("TRIED", (1, 3)),
        ("LATER", 4),
    ):
        monkeypatch.setattr(real_steering, name, value)
        monkeypatch.setattr(real_league, name, value, raising=False)
    for name, value in (("PLACES", (1, 3, 5)), ("N_TEXTS", 64), ("N_ASKED", 4)):
        monkeypatch.setattr(real_erasure, name, value)
    model = reader()
    monkeypatch.setattr(llama, "load", lambda name: model)
    for name in REAL:
        study, (condition, *_) = STUDIES[name]
        condition = condition | ({"name": "GENDER"} if name == "real_sets" else {})
        condition |= {"layer": {"real_sites": 3}.get(name, 4)} if "layer" in condition else {}
        monkeypatch.setitem(STUDIES, name, (study, [condition]))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_command_makes_all_files_of_the_study(tmp_path, monkeypatch):
    smallest(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["", "real", "--folder", str(tmp_path)])
    command.main()
    for name in REAL:
        made, committed = (load_study(name, *folder).returned(0) for folder in ((tmp_path,), ()))
        assert {k: v.ndim for k, v in made.items()} == {k: v.ndim for k, v in committed.items()}
    assert not list((tmp_path / ".cache/studies").iterdir())  # nothing is left behind


def test_texts_that_state_a_concept_come_with_its_value_and_an_open_next_sentence(monkeypatch):
    monkeypatch.setattr(real_erasure, "N_TEXTS", 40)
    texts, values = real_erasure.stated("size", torch.Generator().manual_seed(0))
    assert 0.2 < values.float().mean() < 0.8
    for text, value in zip(texts, values.tolist(), strict=True):
        assert ("small" in text, "big" in text) == (value == 0, value == 1)
        assert text.endswith(natural.NEXT_WORD["size"][0])


def test_fewer_texts_than_dimensions_are_erased_too_and_other_states_hardly_move():
    draw = torch.Generator().manual_seed(0)
    values = torch.arange(40) % 2
    states = torch.randn(40, 60, generator=draw)
    states[:, 0] = 9 * states[:, 0] + 3 * values  # the loudest direction, and another that is quiet
    states[:, 1] = 0.1 * states[:, 1] + values
    edit = llama.Erase(*(row[None] for row in real_erasure.leace(states, values)), at="all")
    left = edit.change(states[:, None])[:, 0]
    assert (left[values == 1].mean(0) - left[values == 0].mean(0)).abs().max() < 1e-4
    unit = states[values == 1].mean(0) - states[values == 0].mean(0)
    unit = unit / unit.norm()
    projected = (states - states.mean(0)) @ unit
    assert (left - states).norm(dim=1).mean() < 0.7 * projected.abs().mean()


@pytest.mark.parametrize("way", ["fine-tuning", "LoRA", "LoReFT"])
def test_tuning_makes_its_texts_likelier_and_leaves_the_model_itself_alone(way, monkeypatch):
    monkeypatch.setattr(real_league, "LAYER", 3)
    model = reader()
    texts = real_league.texts_with("gender", 0)[1][:16]
    before = llama.text_losses(model, texts)
    own, change, n_weights, _ = real_league.tune(way, model, texts * 4, 0)
    edits = {3: llama.Apply(change, at=real_league.EDITED)} if change else None
    assert llama.text_losses(own, texts, edits=edits).mean() < before.mean()
    torch.testing.assert_close(llama.text_losses(model, texts), before)
    whole = model.model.num_parameters()
    assert n_weights == whole if way == "fine-tuning" else 0 < n_weights < whole / 10


def test_a_clamped_latent_is_the_one_that_tells_the_texts_and_moves_a_state_as_far_as_a_push(
    monkeypatch,
):
    model, low_high = reader(), real_league.texts_with("gender", 0)
    sae = TopKSAE(1, model.d_model, 64, k=64, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(real_league, "LAYER", 3)
    monkeypatch.setattr(real_league, "shipped", lambda: sae)
    low, high = (side[:12] for side in low_high)
    states = llama.hidden_states(model, high[:2], 3)[None]
    moved = (real_league.clamp_latent(model, high, low)(states) - states)[0]
    codes = [
        torch.stack([sae.encode(llama.token_states(model, [t], 3).states)[0].mean(0) for t in side])
        for side in (high, low)
    ]
    gap = (codes[0].mean(0) - codes[1].mean(0)) / torch.cat(codes).std(0)
    line = torch.nn.functional.cosine_similarity(moved[:1], sae.directions[0])
    latent = int(line.abs().argmax())
    assert latent == int(gap.argmax())
    held = moved @ sae.directions[0, latent] + sae.scale * sae.encode(states[0])[0][:, latent]
    long = real_league.STRENGTH * real_steering.token_size(model, 3)
    torch.testing.assert_close(held, torch.full((2,), long), rtol=1e-4, atol=1e-4)  # float32


def test_texts_of_two_values_are_as_many_and_say_the_values():
    low, high = real_league.texts_with("gender", 0)
    k = natural.CONCEPTS.index("gender")
    male, female = (natural.word_counts(side)[:, k].sum(0) for side in (low, high))
    assert male[0] > female[0]
    assert female[1] > male[1]
    assert len(low) == len(high) == real_league.N_TEXTS


def test_states_are_read_at_the_full_stop_after_the_text_and_as_a_mean(smollm2):
    states = real.read_texts(smollm2, [TEXT, TEXT[:10] + "."], [0, 2])
    done = llama.run(smollm2, [TEXT + real.SUFFIX], keep=[2])
    n = len(llama.run(smollm2, [TEXT], keep=[2]).ids[0])
    torch.testing.assert_close(states[0, 1, 0], done[2][0, 1:n].mean(0))
    torch.testing.assert_close(states[1, 1, 0], done[2][0, n - 1])
    torch.testing.assert_close(states[2, 1, 0], done[2][0, -1])


def test_the_embedding_of_a_full_stop_is_that_of_any_full_stop(smollm2):
    states = real.read_texts(smollm2, [TEXT, "It was good."], [0])
    torch.testing.assert_close(states[1, 0, 0], states[1, 0, 1])


def test_a_push_that_is_zero_moves_no_odds_and_words_in_the_prompt_move_them(smollm2, monkeypatch):
    zero = torch.zeros(2, smollm2.d_model)
    odds = real_steering.log_odds(smollm2, "gender", zero)
    torch.testing.assert_close(odds[0], odds[1])
    prompts, words = natural.NEXT_WORD["gender"]
    hers = ("My mother said that", *prompts[1:])
    monkeypatch.setitem(natural.NEXT_WORD, "gender", (hers, words))
    assert real_steering.log_odds(smollm2, "gender", zero)[0, 0] > odds[0, 0] + 1


def test_texts_of_a_zero_push_are_the_unsteered_ones_and_a_long_push_changes_them(
    smollm2, monkeypatch
):
    prompts = ("The movie was", "My friend told me that")
    monkeypatch.setattr(real_steering, "NEW_TOKENS", 4)
    far = 300 * torch.nn.functional.normalize(torch.ones(1, smollm2.d_model))
    texts = real_steering.write_on(smollm2, torch.cat([0 * far, 0 * far, far]), 0, prompts)
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
