"""Read a Llama from a GGUF file, the format of llama.cpp: facts, weights and tokenizer.

The file is read, and its weights are dequantised, by llama.cpp's own library; here they get the
names and the order of transformers, whose own reading keeps them packed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import torch
from jaxtyping import Float
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

HEADS = {"q_proj": "head_count", "k_proj": "head_count_kv"}
"""Weights whose rows llama.cpp has in another order, and the fact that counts their heads."""


@dataclass(frozen=True)
class Gguf:
    """A GGUF file."""

    facts: dict[str, Any]
    """Key to value, such as `llama.block_count` to 30."""
    weights: dict[str, Any]
    """Name of a weight to what the file holds of it, quantised."""

    def weight(self, name: str) -> Float[Tensor, "..."]:
        """Return one weight in float32, by Hugging Face's name and as transformers arranges it."""
        names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, self.facts["llama.block_count"])
        held = self.weights[str(names.get_name(name, try_suffixes=[".weight"]))]
        values = torch.tensor(gguf.dequantize(held.data, held.tensor_type))
        heads = HEADS.get(name.split(".")[-2])
        if heads is None:
            return values
        # llama.cpp's rotary embedding has both halves of a head interleaved.
        pairs: Tensor = values.unflatten(0, (self.facts[f"llama.attention.{heads}"], -1, 2))
        return pairs.transpose(1, 2).flatten(0, 2)


def read_gguf(path: Path) -> Gguf:
    """Read a file's facts, and where its weights are.

    Raises:
        ValueError: if it is no GGUF file.
    """
    reader = gguf.GGUFReader(path)
    facts = {key: field.contents() for key, field in reader.fields.items()}
    return Gguf(facts, {held.name: held for held in reader.tensors})


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
    # Of type CONTROL, such as <|im_end|>: text never becomes one by itself.
    tokenizer.add_special_tokens(
        [
            AddedToken(word, normalized=False)
            for word, kind in special
            if kind == gguf.TokenType.CONTROL
        ]
    )
    return tokenizer
