"""How much is computed at once, so that it fits beside the weights of a large Llama."""

from collections.abc import Iterator

from torch import Tensor

from ssae_kit.llama.load import Llama

BUDGET = 2_000_000_000
"""Bytes that caches, hidden layers and logits of one pass may take: an 8B model in bfloat16 leaves
8 GB of a 24 GB card, and torch needs room to move."""

COPIES = 5
"""Float32 numbers alive per logit while probabilities are compared."""


def chunks_of_logits(llama: Llama, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Cut tensors alike along their first axis, so that logits of each piece fit the budget."""
    size = max(1, BUDGET // (4 * COPIES * llama.model.config.vocab_size))
    yield from zip(*(tensor.split(size) for tensor in tensors), strict=True)


def texts_at_once(llama: Llama, n_prompt: int, n_new: int) -> int:
    """Number of texts whose prompt and continuation fit the budget together, at least 1."""
    config, size = llama.model.config, llama.model.dtype.itemsize
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    cache = 2 * config.num_hidden_layers * config.num_key_value_heads * width * (n_prompt + n_new)
    layer = n_prompt * (3 * config.intermediate_size + 4 * config.hidden_size)
    logits = 4 * COPIES * config.vocab_size
    return max(1, int(BUDGET // (size * (cache + layer) + logits)))
