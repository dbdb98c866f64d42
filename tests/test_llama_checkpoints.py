"""A foreign checkpoint is looked at once, when it is loaded: what is wrong is said, the rest is put right."""

import json
import shutil
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssae_kit import llama
from ssae_kit.llama.rows import token_rows

BEGIN, END = "<|begin_of_text|>", "<|end_of_text|>"
FOLDER = llama.DATA / "llama_tiny" / "seed2"


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(FOLDER, tmp_path / "model")


def change(file, **facts):
    told = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(told | facts), "utf-8")


def special(*names):
    """A post-processor that puts these tokens around a text, which is "$"."""
    ids = {BEGIN: 0, END: 1, "<|unk|>": 3}
    return {
        "type": "TemplateProcessing",
        "single": [
            {"Sequence": {"id": "A", "type_id": 0}}
            if name == "$"
            else {"SpecialToken": {"id": name, "type_id": 0}}
            for name in names
        ],
        "pair": [],
        "special_tokens": {
            name: {"id": name, "ids": [i], "tokens": [name]} for name, i in ids.items()
        },
    }


def spoil(copy):
    weights = load_file(copy / "model.safetensors")
    weights["model.norm.weight"][0] = float("inf")
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})


def add_a_weight(copy):
    weights = load_file(copy / "model.safetensors") | {"adapter": torch.ones(2)}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})


REFUSED = {
    "a weight that has no place": (add_a_weight, "1 unexpected, first adapter"),
    "a config of fewer layers": (
        lambda copy: change(copy / "config.json", num_hidden_layers=2),
        "config.json is of another model: .* unexpected, first model.layers",
    ),
    "a config of another vocabulary": (
        lambda copy: change(copy / "config.json", vocab_size=9999),
        "do not belong together|mismatched",
    ),
    "settings that contradict each other": (
        lambda copy: change(copy / "config.json", num_attention_heads=7),
        "(?s)cannot be read .*copy or download",
    ),
    "settings for writing that contradict each other": (
        lambda copy: change(
            copy / "generation_config.json", do_sample=False, num_return_sequences=3
        ),
        "cannot be read .*num_return_sequences.*settings are odd",
    ),
    "no settings": (lambda copy: (copy / "config.json").write_text("[]"), "cannot be read"),
    "a token behind the text": (
        lambda copy: change(copy / "tokenizer.json", post_processor=special(BEGIN, "$", END)),
        r"must end with the text; it appends \['<\|end_of_text\|>'\].*add_eos_token",
    ),
    "another token than the begin token in front": (
        lambda copy: change(copy / "tokenizer.json", post_processor=special("<|unk|>", "$")),
        r"at most a begin token in front.*<\|unk\|>.*bos_token",
    ),
    "no room for a text": (
        lambda copy: change(copy / "config.json", max_position_embeddings=1),
        r"max_position_embeddings.*at least 2.*got 1",
    ),
    "weights that are not finite": (
        spoil,
        r"must be finite; model\.norm\.weight holds NaN or infinity",
    ),
}
SET_ASIDE = {
    "no begin token in front": (
        lambda copy: change(copy / "tokenizer.json", post_processor=None),
        "puts 0 begin tokens in front; every text gets one",
    ),
    "two begin tokens in front": (
        lambda copy: change(copy / "tokenizer.json", post_processor=special(BEGIN, BEGIN, "$")),
        "puts 2 begin tokens in front; every text gets one",
    ),
    "no cache": (
        lambda copy: [
            change(copy / name, use_cache=False)
            for name in ("config.json", "generation_config.json")
        ],
        "not used here, {'use_cache': False}",
    ),
    "settings that change the sampling": (
        lambda copy: change(
            copy / "generation_config.json", temperature=0.6, num_beams=3, top_k=50
        ),
        "'num_beams': 3",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_checkpoint_that_would_be_wrong_in_silence_is_refused(copy, fault):
    spoil, words = REFUSED[fault]
    spoil(copy)
    with pytest.raises(ValueError, match=words):
        llama.load(copy, device="cpu")


@pytest.mark.parametrize("fault", SET_ASIDE)
def test_what_is_set_aside_is_said_and_changes_no_text_and_no_state(copy, fault):
    spoil, words = SET_ASIDE[fault]
    spoil(copy)
    with pytest.warns(UserWarning, match=words):
        odd = llama.load(copy, device="cpu", dtype=torch.float32)
    plain = llama.load(device="cpu")
    texts = ["the queen in red was sad.", f"{BEGIN}this lady wept."]
    assert token_rows(odd, texts) == token_rows(plain, texts)
    assert [row.count(0) for row in token_rows(odd, texts)] == [1, 1]
    assert odd.model.config.use_cache
    told = odd.model.generation_config.to_diff_dict()
    assert {told.pop(name, None) for name in ("transformers_version", "_from_model_config")}
    assert told == {"do_sample": True, "eos_token_id": 1, "pad_token_id": 2, "top_k": 0}
    write = [
        llama.generate(model, texts, max_new_tokens=6, generator=torch.Generator().manual_seed(0))
        for model in (odd, plain)
    ]
    assert write[0] == write[1]


@pytest.mark.parametrize("kind", ["LlamaTokenizer", "GPT2Tokenizer", "CodeLlamaTokenizer"])
def test_texts_become_the_tokens_of_tokenizer_json_whatever_class_its_config_names(copy, kind):
    change(copy / "tokenizer_config.json", tokenizer_class=kind)
    texts = ["the queen in red was sad.", "this lady wept."]
    odd, plain = llama.load(copy, device="cpu"), llama.load(device="cpu")
    assert token_rows(odd, texts) == token_rows(plain, texts)


def test_a_checkpoint_in_order_is_loaded_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llama.load("llama_tiny/seed1", device="cpu")


def test_a_tokenizer_without_padding_and_end_writes_the_same_texts(copy):
    facts = json.loads((copy / "tokenizer_config.json").read_text("utf-8"))
    kept = {k: v for k, v in facts.items() if k not in ("pad_token", "eos_token")}
    (copy / "tokenizer_config.json").write_text(json.dumps(kept), "utf-8")
    texts = ["the queen in red was sad.", "this lady wept."]
    odd, plain = (
        llama.generate(model, texts, max_new_tokens=40, generator=torch.Generator().manual_seed(0))
        for model in (llama.load(copy, device="cpu"), llama.load(device="cpu"))
    )
    assert odd == plain
