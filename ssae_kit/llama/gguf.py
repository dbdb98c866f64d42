"""Read a Llama from a GGUF file, the format of llama.cpp: facts, weights and tokenizer.

Only what the course's real Llama needs: Q4_1, Q8_0 and float32 weights, and byte-level BPE.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block layouts in ggml-common.h.
"""

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

NUMBERS = dict(enumerate("BbHhIif?")) | {10: "Q", 11: "q", 12: "d"}
"""Kinds of number, in the letters of Python's `struct`."""

TEXT, LIST = 8, 9
"""The two other kinds of fact."""

SPECIAL = 3
"""Type of a token such as <|im_end|>, which text never becomes by itself."""

F32, Q4_1, Q8_0 = 0, 3, 8
"""Kinds of weights that are read."""

BLOCK_BYTES = {Q4_1: 20, Q8_0: 34}
"""Bytes of 32 quantised weights: a scale, for Q4_1 a minimum, and 4 or 8 bits each."""

NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
"""Hugging Face's name of each weight."""


@dataclass(frozen=True)
class Gguf:
    """A GGUF file: its facts, and where its weights are."""

    facts: dict[str, Any]
    """Key to value, such as `llama.block_count` to 30."""
    places: dict[str, tuple[list[int], int, int]]
    """Hugging Face's name of a weight to its shape, its kind and its first byte."""
    data: bytes
    """The whole file."""

    def weight(self, name: str) -> Float[Tensor, "..."]:
        """Return one weight in float32, as transformers arranges it."""
        shape, kind, start = self.places[name]
        n = int(np.prod(shape))
        if kind == F32:
            values = np.frombuffer(self.data, "<f4", n, start)
        else:
            n_bytes = n // 32 * BLOCK_BYTES[kind]
            raw = np.frombuffer(self.data, np.uint8, n_bytes, start)
            values = _dequantised(raw.reshape(-1, BLOCK_BYTES[kind]), kind)
        return torch.from_numpy(self._turned(values.reshape(shape), name).astype(np.float32))

    def _turned(self, values: Any, name: str) -> Any:
        """Undo the order of llama.cpp's rotary embedding: it has both halves of a head interleaved."""
        heads = {"q_proj": "head_count", "k_proj": "head_count_kv"}.get(name.split(".")[-2])
        if heads is None:
            return values
        pairs = values.reshape(self.facts[f"llama.attention.{heads}"], -1, 2, values.shape[1])
        return pairs.swapaxes(1, 2).reshape(values.shape)


def read_gguf(data: bytes) -> Gguf:
    """Read a file's facts and the places of its weights.

    Raises:
        ValueError: if it is no GGUF of version 3, or holds weights of another kind.
    """
    if data[:8] != b"GGUF\x03\0\0\0":
        raise ValueError(f"a GGUF file of version 3 is required; it begins with {data[:8]!r}.")
    reader = _Reader(data, 8)
    n_weights, n_facts = reader.number("Q"), reader.number("Q")
    facts = {reader.text(): reader.value(reader.number("I")) for _ in range(n_facts)}
    places = {}
    for _ in range(n_weights):
        name = _renamed(reader.text())
        shape = [reader.number("Q") for _ in range(reader.number("I"))][::-1]
        kind, start = reader.number("I"), reader.number("Q")
        if kind not in (F32, *BLOCK_BYTES):
            raise ValueError(f"weights must be Q4_1, Q8_0 or float32; {name} is of kind {kind}.")
        places[name] = (shape, kind, start)
    begin = -(-reader.at // 32) * 32
    places = {name: (shape, kind, begin + at) for name, (shape, kind, at) in places.items()}
    return Gguf(facts, places, data)


def _renamed(name: str) -> str:
    *block, part, _ = name.split(".")
    inside = f"model.layers.{block[1]}." if block else ""
    return f"{inside}{NAMES[part]}.weight"


def _dequantised(blocks: Any, kind: int) -> Any:
    """Values [blocks, 32] of quantised blocks [blocks, bytes]."""
    scale, minimum = (blocks[:, i : i + 2].copy().view("<f2").astype(np.float32) for i in (0, 2))
    if kind == Q8_0:
        return scale * blocks[:, 2:].view(np.int8)
    codes = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
    return scale * codes + minimum


@dataclass
class _Reader:
    data: bytes
    at: int

    def number(self, form: str) -> Any:
        (value,) = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return value

    def text(self) -> str:
        n = self.number("Q")
        self.at += n
        return self.data[self.at - n : self.at].decode()

    def value(self, kind: int) -> Any:
        if kind == TEXT:
            return self.text()
        if kind != LIST:
            return self.number(NUMBERS[kind])
        inner, n = self.number("I"), self.number("Q")
        return [self.value(inner) for _ in range(n)]


def tokenizer_of(facts: dict[str, Any], begin: str) -> Tokenizer:
    """Build the tokenizer: byte-level BPE that cuts digits apart, with one begin token in front."""
    words = facts["tokenizer.ggml.tokens"]
    ids = {word: i for i, word in enumerate(words)}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(ids, merges))
    # The published tokenizer's; transformers' own reading of a GGUF drops the digits.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, ids[begin])]
    )
    special = zip(words, facts["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(word, normalized=False) for word, kind in special if kind == SPECIAL]
    )
    return tokenizer
