"""The path to Llama-3.1-8B, proven without its weights."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.llama import (
    Add,
    cache_hidden_states,
    generate,
    hidden_states,
    load,
    memory,
)
from ssae_kit.llama.memory import check_memory, count_weights
from ssae_kit.pairs import dataset
from ssae_kit.training import Constraint, TrainingConfig, fit

# config.json of meta-llama/Llama-3.1-8B, as published.
PUBLISHED = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 4096,
    "initializer_range": 0.02,
    "intermediate_size": 14336,
    "max_position_embeddings": 131072,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "pretraining_tp": 1,
    "rms_norm_eps": 1e-05,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.43.0.dev0",
    "use_cache": True,
    "vocab_size": 128256,
}
REDUCED = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 4,
}
SPLIT = (  # how Llama 3 cuts a text before it merges bytes
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_tokenizer(folder):
    """Tokenizer files with 128,000 byte-level tokens and 256 special ones; merges are made up."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    twos = [(a, b) for a in letters for b in letters]
    threes = [(a + b, c) for a, b in twos for c in letters[:1]]
    merges = [*twos, *threes][: 128_000 - len(letters)]
    vocabulary = {token: i for i, token in enumerate(letters)}
    vocabulary |= {a + b: i for i, (a, b) in enumerate(merges, len(letters))}
    core = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    special += [f"<|reserved_special_token_{i}|>" for i in range(254)]
    core.add_special_tokens(special)
    core.post_processor = processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 128_000)]
    )
    core.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "bos_token": "<|begin_of_text|>",
                "clean_up_tokenization_spaces": True,
                "eos_token": "<|end_of_text|>",
                "model_input_names": ["input_ids", "attention_mask"],
                "model_max_length": 131072,
                "tokenizer_class": "PreTrainedTokenizerFast",
            }
        )
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint in the published format with random weights and a reduced width."""
    path = tmp_path_factory.mktemp("Llama-3.1-8B")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(**(PUBLISHED | REDUCED | {"initializer_range": 0.2})))
    model.to(torch.bfloat16).save_pretrained(path, max_shard_size="10MB")
    (path / "config.json").write_text(json.dumps(PUBLISHED | REDUCED))
    write_tokenizer(path)
    return path


@pytest.fixture(scope="module")
def llama(folder):
    return load(folder, device="cpu")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_checkpoint_has_the_published_format(folder):
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    shards = set(index["weight_map"].values())
    assert len(shards) > 1
    assert all(name.startswith("model-0000") for name in shards)
    assert {w.dtype for w in load_file(folder / min(shards)).values()} == {torch.bfloat16}
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    assert len(tokenizer["model"]["vocab"]) == 128_000
    assert len(tokenizer["added_tokens"]) == 256


def test_it_loads_in_bfloat16_with_its_rope_scaling(llama):
    assert llama.model.dtype == torch.bfloat16
    rope = llama.model.config.rope_parameters
    assert (rope["rope_type"], rope["factor"], rope["rope_theta"]) == ("llama3", 8.0, 500000.0)
    assert llama.tokenizer.pad_token == "<|end_of_text|>"
    assert llama.tokenizer("the king")["input_ids"][0] == 128_000
    assert (
        llama.tokenizer.decode(llama.tokenizer("l’été, ça va?")["input_ids"][1:]) == "l’été, ça va?"
    )


def test_the_same_code_embeds_identifies_and_steers(llama, tmp_path):
    pairs = dataset("BINARY")
    texts = (pairs.source + pairs.target)[:512]
    cached = cache_hidden_states(llama, texts, [2, 4], tmp_path, texts_per_file=200)
    assert cached.provenance["dtype"] == "bfloat16"
    states = cached.load()[0]
    torch.testing.assert_close(states[:200], hidden_states(llama, texts[:200], 2))
    shifts = states[282:] - states[:230]
    autoencoder = ShiftAutoencoder(1, llama.d_model, 2, generator=seeded())
    config = TrainingConfig(steps=20, batch_size=64)
    fit(autoencoder, shifts, Constraint(0.4), config, generator=seeded())
    vectors = 20 * shifts.norm(dim=1).mean() * autoencoder.directions[0]
    prompts = ["the king saw", "the queen"]
    plain, steered = (
        generate(llama, prompts, max_new_tokens=4, generator=seeded(1), edits=edits)
        for edits in (None, {2: Add(vectors)})
    )
    assert plain != steered


def test_a_device_map_gives_the_same_states(folder, llama):
    pytest.importorskip("accelerate", reason="the extra `large` is not installed")
    spread = load(folder, device_map={"": "cpu"})
    texts = ["the king", "a book"]
    assert torch.equal(hidden_states(spread, texts, 3), hidden_states(llama, texts, 3))
    with pytest.raises(ValueError, match="`device` or `device_map`, not both"):
        load(folder, device="cpu", device_map="auto")


def test_a_device_map_without_its_library_names_the_extra(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[large\]'"):
        load(folder, device_map="auto")


def test_the_estimate_at_full_size_equals_the_published_size(monkeypatch):
    config = LlamaConfig(**PUBLISHED)
    assert count_weights(config) == 8_030_261_248  # the hub's "8.03B params"
    monkeypatch.setattr(memory, "free_bytes", lambda _device: GB)
    # The published index's total_size is 16,060,522,496 bytes; a tenth on top.
    with pytest.raises(MemoryError, match=r"needs about 17\.7 GB in bfloat16"):
        check_memory("m", config, None, "cpu")


def test_the_estimate_equals_what_is_loaded(llama):
    assert count_weights(llama.model.config) == sum(w.numel() for w in llama.model.parameters())


GB = 10**9


@pytest.mark.parametrize(
    ("free", "dtype", "fits", "does_not"),
    [
        (20, torch.float32, ["dtype=torch.bfloat16", "Llama-3.2-3B", "llama_tiny"], ["auto"]),
        (9, None, ["Llama-3.2-3B (7.0 GB)", "Llama-3.2-1B"], ["bfloat16;", "auto"]),
        (4, None, ["Llama-3.2-1B"], ["Llama-3.2-3B"]),
        (1, None, ["What would fit: the bundled model"], ["Llama-3.2"]),
    ],
)
def test_too_little_memory_says_what_would_fit(monkeypatch, free, dtype, fits, does_not):
    monkeypatch.setattr(memory, "free_bytes", lambda _device: free * GB)
    with pytest.raises(MemoryError, match=r"8\.03 billion.*needs about") as error:
        check_memory("meta-llama/Llama-3.1-8B", LlamaConfig(**PUBLISHED), dtype, "cpu")
    assert f"{free}.0 GB free" in str(error.value)
    advice = str(error.value).partition("What would fit")[1:]
    assert all(text in "".join(advice) for text in fits)
    assert not any(text in "".join(advice) for text in does_not)


def test_a_small_gpu_beside_a_large_memory_is_told_to_use_both(monkeypatch):
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=12 * GB))
    monkeypatch.setattr(memory, "torch", SimpleNamespace(**vars(torch)))
    card = SimpleNamespace(device_count=lambda: 1, mem_get_info=lambda _device: (12 * GB, 24 * GB))
    monkeypatch.setattr(memory.torch, "cuda", card)
    with pytest.raises(MemoryError, match=r"device_map='auto', all devices together \(24\.0 GB\)"):
        check_memory("m", LlamaConfig(**PUBLISHED), None, "cuda")
    check_memory("m", LlamaConfig(**PUBLISHED), None, "auto")


def test_memory_is_checked_before_the_weights_are_read(folder, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _device: 1000)
    with pytest.raises(MemoryError, match=r"needs about 0\.0 GB in bfloat16"):
        load(folder, device="cpu")


def test_the_free_memory_of_this_machine_is_known_or_not_but_never_wrong():
    free = memory.free_bytes("cpu")
    assert free is None or 10**6 < free < 10**14
    assert memory.free_bytes("mps") is None


def test_the_benchmark_in_full_size_runs_through_at_reduced_size_on_the_cpu(monkeypatch):
    from tests.benchmarks import full

    for name, n in {"N_TEXTS": 32, "N_SINGLE": 4, "N_WRITTEN": 4, "N_NEW": 4}.items():
        monkeypatch.setattr(full, name, n)
    found = full.run(PUBLISHED | REDUCED, "cpu")
    assert found["full.largest_difference_to_transformers"] < 0.01 * found["full.state_size"]
    assert found["full.difference_kit_to_singly"] < 0.05
    assert found["full.kl"][0] == 0 < found["full.kl"][1]
