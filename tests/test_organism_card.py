"""The card of the bundled Llama: tied to its weights, recomputed in part, honest about failures."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from ssae_kit.llama import DATA, load
from ssae_kit.llama.create import create_llama, create_tokenizer, save_llama
from ssae_kit.organism.card import checksum, load_in_float32, make_card, render
from ssae_kit.organism.corpus import vocabulary
from ssae_kit.organism.measure import (
    Measure,
    agreement_figure,
    choice_figures,
    draw_family,
    kept,
    obeyed,
    share,
    told_whole,
)
from ssae_kit.organism.steer import MANY_VALUED, judge, judge_values, probe_figures, stated
from ssae_kit.world import families, prompts
from ssae_kit.world.parse import counterfactual, read
from ssae_kit.world.sentences import MAX_SENTENCE_LENGTH
from ssae_kit.world.state import VALUES
from ssae_kit.world.text import WORD_PATTERN

FOLDER = DATA / "llama_tiny"


@pytest.fixture(scope="module")
def card():
    return json.loads((FOLDER / "card.json").read_text("utf-8"))


def shipped():
    return sorted(path.name for path in FOLDER.glob("seed*"))


def test_the_card_belongs_to_the_shipped_weights(card):
    assert shipped()
    for name in shipped():
        assert card["models"][name]["checksum"] == checksum(FOLDER / name), name


def test_the_readable_card_is_made_from_the_numbers(card):
    assert (FOLDER / "CARD.md").read_text("utf-8") == render(card)


def test_figures_recomputed_from_the_weights_agree_with_the_card(card):
    name = shipped()[0]
    llama = load(f"llama_tiny/{name}")
    told = {row["name"]: row for row in card["models"][name]["figures"]}
    for figure in [*probe_figures(llama), agreement_figure(llama)]:
        # The same documents and weights; another processor may round a near tie differently.
        assert abs(figure.value - told[figure.name]["value"]) <= 0.01, figure.name
        assert told[figure.name]["passed"] == (told[figure.name]["value"] >= figure.threshold)


def test_the_true_statement_of_a_known_fact_is_the_likeliest_of_its_relation(monkeypatch):
    monkeypatch.setattr(families, "FACTS", families.FACTS[-1:])
    monkeypatch.setattr(families, "hops", lambda _: ((0, 0),))
    facts, *_ = choice_figures(load())
    assert facts.n == 40
    assert facts.value >= 0.95
    monkeypatch.setattr(families, "FACTS", (replace(families.FACTS[0], answers=(0,) * 20),))
    wrong, *_ = choice_figures(load())
    assert wrong.value <= 0.5


def test_the_weights_are_small_and_need_no_code_of_ours():
    size = sum(path.stat().st_size for path in FOLDER.glob("seed*/*"))
    assert size <= 8 * 2**20
    for name in shipped():
        config = json.loads((FOLDER / name / "config.json").read_text("utf-8"))
        assert config["architectures"] == ["LlamaForCausalLM"]
        assert "auto_map" not in config


def test_an_interval_holds_its_value_and_narrows_with_more_data():
    few, many = share("x", [True, False] * 10), share("x", [True, False] * 1000)
    assert few.low < 0.5 < few.high
    assert many.high - many.low < few.high - few.low
    assert share("x", [True] * 5).high == pytest.approx(1.0)


def test_a_figure_passes_only_on_the_right_side_of_its_threshold():
    assert Measure("a", 0.9, 0.0, 1.0, 1, 0.85).passed
    assert not Measure("a", 0.8, 0.0, 1.0, 1, 0.85).passed
    assert Measure("a", 0.01, 0.0, 1.0, 1, 0.03, True).passed
    assert Measure("a", 0.01, 0.0, 1.0, 1).passed is None


def test_a_perfect_continuation_is_a_strict_flip_and_an_unchanged_one_is_not():
    texts, values = prompts(7, torch.Generator().manual_seed(0))
    concepts = ("language", "gender", "number", "tense", "sentiment", "formality", "size")
    flipped = [
        counterfactual(text, concept, 1 - int(values[i, i]))
        for i, (text, concept) in enumerate(zip(texts, concepts, strict=True))
    ]
    perfect, same = judge(texts, values, flipped), judge(texts, values, list(texts))
    assert all(one.is_strict for one in perfect)
    assert not any(one.is_strict for one in same)
    assert not any(any(one.others) for one in [*perfect, *same])
    assert all(all(one.keeps_character) for one in perfect)
    broken = judge(texts, values, [text.replace(".", " the.") for text in flipped])
    assert not any(one.is_strict for one in broken)


def test_a_last_sentence_counts_unless_it_was_cut_before_it_could_have_ended():
    texts, values = prompts(7, torch.Generator().manual_seed(0))
    sentence = texts[0].split(". ")[0]
    longest = " ".join([sentence.removesuffix("."), *["the"] * MAX_SENTENCE_LENGTH])
    assert len(told_whole(f"{texts[0]} {sentence.removesuffix('.')}")) == 2
    assert [s.is_well_formed for s in told_whole(f"{texts[0]} {longest}")] == [True, True, False]
    same = judge(texts, values, [f"{text} {longest}" for text in texts])
    assert not any(all(one.is_well_formed) for one in same)


@pytest.mark.parametrize("concept", MANY_VALUED)
def test_a_text_with_the_wanted_value_counts_for_it_and_one_with_another_against(concept):
    texts, _ = prompts(6, torch.Generator().manual_seed(1))
    old = torch.tensor([stated(text, concept)[0] for text in texts])
    n_values = len(VALUES[concept])
    wanted, third = (old + 1) % n_values, (old + 2) % n_values
    for values, told in ((wanted, (1.0, 0.0)), (old, (0.0, 0.0)), (third, (0.0, 1.0))):
        moved = [
            counterfactual(text, concept, value)
            for text, value in zip(texts, values.tolist(), strict=True)
        ]
        figures = judge_values(concept, old, wanted, False, moved)
        assert tuple(figure.value for figure in figures) == told
        assert [figure.n for figure in figures] == [24, 24]  # two words a sentence


def test_sentences_that_follow_a_demand_are_judged_by_it_and_by_what_was_before():
    documents = [d for d in draw_family("control", 40, 0) if "." in d.prompt][:8]
    right = [[s.state for s in read(f"{d.answer}.").sentences] for d in documents]
    assert all(obeyed(documents, right))
    assert all(kept(documents, right))
    (asked, value), *_ = families.demands_of(documents[0])
    other = [state.changed(**{asked: 1 - value}) for state in right[0]]
    assert not any(obeyed(documents[:1], [other]))
    assert all(kept(documents[:1], [other]))
    moved = [state.changed(season=(state.season + 1) % 3) for state in right[0]]
    assert all(obeyed(documents[:1], [moved]))
    assert not any(kept(documents[:1], [moved]))
    assert not any(obeyed(documents[:1], [[None]]))


def test_a_tokenizer_of_another_world_is_refused(tmp_path):
    words = [word for word in vocabulary() if word != "paris"]
    save_llama(
        create_llama(len(words) + 8, 0), create_tokenizer(words, WORD_PATTERN), tmp_path / "model"
    )
    with pytest.raises(ValueError, match="paris"):
        load_in_float32(tmp_path / "model")


def test_a_card_without_seeds_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="train --seed 0"):
        make_card(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_checksum_sees_a_changed_weight(tmp_path):
    folder = tmp_path / "seed"
    shutil.copytree(FOLDER / shipped()[0], folder)
    before = checksum(folder)
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(data))
    assert checksum(folder) != before
