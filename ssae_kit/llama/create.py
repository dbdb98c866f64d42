"""Make an untrained Llama of Llama-3.1's architecture and a tokenizer whose text reads naturally."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ssae_kit import checks
from ssae_kit.llama.examine import check_fit
from ssae_kit.llama.load import Llama
from ssae_kit.storage import replacing

SPECIAL_TOKENS = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|unk|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
"""Llama 3's names; the first four are begin, end, padding and unknown word, ids 0 to 3."""

SPACES = {" ,": ",", " .": ".", " :": ":", "' ": "'"}
"""Spaces between tokens that a reader does not want."""


def create_tokenizer(words: Sequence[str], word_pattern: str) -> PreTrainedTokenizerFast:
    """A tokenizer with one token per word, which puts spaces back where a reader wants them.

    Commas, full stops and colons follow what stands before them without a space, and so does
    whatever comes after an apostrophe.

    Args:
        words: Different lower-case words and marks; ids follow their order.
        word_pattern: Regular expression of one word, as the words were cut.

    Raises:
        ValueError: if a word occurs twice.
    """
    vocabulary = {word: i for i, word in enumerate([*SPECIAL_TOKENS, *words])}
    if len(vocabulary) != len(SPECIAL_TOKENS) + len(words):
        raise ValueError("`words` must all differ, also from the special tokens. Remove doubles.")
    return PreTrainedTokenizerFast(
        tokenizer_object=_word_tokenizer(vocabulary, word_pattern),
        bos_token=SPECIAL_TOKENS[0],
        eos_token=SPECIAL_TOKENS[1],
        pad_token=SPECIAL_TOKENS[2],
        unk_token=SPECIAL_TOKENS[3],
        additional_special_tokens=list(SPECIAL_TOKENS[4:]),
        clean_up_tokenization_spaces=False,
        padding_side="left",
        model_max_length=256,
        model_input_names=["input_ids", "attention_mask"],
    )


def _word_tokenizer(vocabulary: dict[str, int], word_pattern: str) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL_TOKENS[3]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Replace("’", "'"), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+"), "removed"),
            pre_tokenizers.Split(Regex(word_pattern), "isolated"),
        ]
    )
    # WordPiece with a prefix that no word has joins all tokens by one space.
    joins: list[Any] = [decoders.WordPiece(prefix="\u0000", cleanup=False), decoders.Fuse()]
    closes = [decoders.Replace(before, after) for before, after in SPACES.items()]
    tokenizer.decoder = decoders.Sequence([*joins, *closes])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{SPECIAL_TOKENS[0]} $A", special_tokens=[(SPECIAL_TOKENS[0], 0)]
    )
    return tokenizer


def create_llama(n_tokens: int, seed: int) -> LlamaForCausalLM:
    """An untrained `LlamaForCausalLM`: 6 blocks of width 128, about 1.2 million parameters.

    Grouped-query attention, SwiGLU, RMSNorm, Llama 3.1's RoPE scaling, tied embeddings.

    Args:
        n_tokens: Rows of the vocabulary; rounded up to a multiple of 32.
        seed: Of the initial weights. The global generator is left as it was.
    """
    config = LlamaConfig(
        vocab_size=-(-n_tokens // 32) * 32,
        hidden_size=128,
        intermediate_size=320,
        num_hidden_layers=6,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        rms_norm_eps=1e-5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )
    return _drawn(config, seed)


def _drawn(config: LlamaConfig, seed: int) -> LlamaForCausalLM:
    """A Llama with weights from a seed; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return LlamaForCausalLM(config)


def untrained(llama: Llama, seed: int) -> Llama:
    """Return a Llama of the same shape and tokenizer with fresh weights, on its device in float32.

    The control for what training put there: tokens and architecture are the same.

    Args:
        llama: The model to copy the shape of.
        seed: Of the initial weights. The global generator is left as it was.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    model = _drawn(copy.deepcopy(llama.model.config), checks.whole("seed", seed, 0)).float()
    name = f"{llama.name}, untrained"
    return Llama(name, model.to(llama.device).eval().requires_grad_(False), llama.tokenizer)


def save_llama(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    notes: dict[str, str] | None = None,
) -> None:
    """Write a checkpoint in bfloat16 that plain transformers loads; the model is not changed.

    The folder appears whole or not at all.

    Args:
        model: The weights.
        tokenizer: What belongs to them.
        folder: Where to write; must not exist.
        notes: Texts to put beside the weights, by file name.

    Raises:
        FileExistsError: if the folder exists.
        ValueError: if the tokenizer has more tokens than the model has rows.
        OSError: if the disk is full; nothing is left behind.
    """
    check_new(folder)
    check_fit(tokenizer, model.config.vocab_size, str(folder))
    half = copy.deepcopy(model).to(torch.bfloat16)
    half.generation_config = GenerationConfig(
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
        do_sample=True,
        max_new_tokens=80,
        top_k=0,
    )
    with replacing(folder) as temporary:
        half.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        for name, text in (notes or {}).items():
            (temporary / name).write_text(text, "utf-8")
        (temporary / "model.safetensors").chmod(0o644)


def check_new(folder: Path) -> None:
    """Raise FileExistsError if there is something at the place that is to be written."""
    if folder.exists():
        raise FileExistsError(
            f"the folder to write, {folder}, must not exist yet; it does. "
            "Choose another `--out`, or move the old one away."
        )
