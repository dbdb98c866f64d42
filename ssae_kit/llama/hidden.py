"""Hidden states of texts at one or several layers."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ssae_kit.llama.intervene import own_thread, refuse_inside
from ssae_kit.llama.load import Llama, Part

TOKENS_PER_BATCH = 2048
"""Tokens that a model reads at once: what one thread's cache holds of a small model's layers."""


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass once the wanted layer has been computed."""


@torch.no_grad()
def hidden_states(
    llama: Llama,
    texts: Sequence[str],
    layer: int | Sequence[int],
    *,
    part: Part = "block",
    tokens_per_batch: int = TOKENS_PER_BATCH,
    progress: bool = False,
) -> Float[Tensor, "*layers texts d_model"]:
    """Return the hidden state at the last token of each text.

    Texts of similar length go together, padded on the right. Attention is causal, so a token
    never sees the padding behind it, and each text gets the state it would get alone. One pass
    gives all layers, and stops at the highest that is wanted.

    Args:
        llama: The model.
        texts: One or more texts, none empty.
        layer: 0 is the embedding, l the output of block l; a sequence asks for several at once.
        part: "block" for the residual stream after block l, "mlp" for what its MLP adds to it.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.
        progress: Show a progress bar.

    Returns:
        Float32 on the CPU, in the order of the texts; for a sequence of layers, stacked in front
        in the order of the layers.

    Raises:
        ValueError: if the layer or part does not exist, there is no text, one is empty or too long,
            or a state is not finite.
        RuntimeError: inside `intervene`, which needs the order of the texts; use `edit`.
    """
    layers = [layer] if isinstance(layer, int) else list(layer)
    if not layers:
        raise ValueError("at least one layer is required; got none.")
    for one in layers:
        llama.module(one, part)
    rows = token_rows(llama, texts)
    states = torch.empty(len(layers), len(rows), llama.d_model)
    with tqdm(total=len(rows), disable=not progress, unit="text") as bar:
        for batch in batches([len(row) for row in rows], tokens_per_batch):
            states[:, batch] = _last_states(llama, [rows[i] for i in batch], layers, part)
            bar.update(len(batch))
    _check_finite(llama, texts, layers, states)
    return states[0] if isinstance(layer, int) else states


def _check_finite(llama: Llama, texts: Sequence[str], layers: list[int], states: Tensor) -> None:
    bad = ~torch.isfinite(states).all(-1)
    if bad.any():
        layer, row = bad.nonzero()[0].tolist()
        raise ValueError(
            f"hidden states must be finite; layer {layers[layer]} of {llama.name} gave NaN or "
            f"infinity for {int(bad[layer].sum())} texts, first texts[{row}]: {texts[row][:60]!r}. "
            "The weights may be corrupt, or their dtype too narrow."
        )


def token_rows(llama: Llama, texts: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each text, special tokens included.

    Raises:
        ValueError: if there is no text, one string in place of a list, or a text that is empty or
            longer than the model can read.
    """
    if isinstance(texts, str) or not len(texts):
        raise ValueError(
            f"a list of one or more texts is required; got {texts!r:.60}. Put a single text in [...]."
        )
    longest = llama.model.config.max_position_embeddings
    rows = []
    for i, text in enumerate(texts):
        if not text.strip():
            raise ValueError(f"texts[{i}] is empty. Give every text at least one word.")
        ids: list[int] = llama.tokenizer(text)["input_ids"]
        if len(ids) > longest:
            raise ValueError(
                f"texts[{i}] has {len(ids)} tokens; {llama.name} reads at most {longest}. Shorten it."
            )
        rows.append(ids)
    return rows


def batches(lengths: list[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Group texts of similar length, longest first, so that memory runs out early or never."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, tokens_per_batch // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def _last_states(
    llama: Llama, rows: list[list[int]], layers: list[int], part: Part
) -> Float[Tensor, "layers rows d_model"]:
    last = torch.tensor([len(row) - 1 for row in rows])

    def at_last(hidden: Tensor) -> Tensor:
        return hidden[torch.arange(len(rows), device=hidden.device), last.to(hidden.device)]

    return torch.stack(outputs(llama, rows, layers, part, at_last))


def padded(rows: list[list[int]]) -> Tensor:
    """Token ids of several texts, padded on the right with id 0, `[rows, longest]`."""
    ids = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
    return ids


@torch.no_grad()
def outputs(
    llama: Llama,
    rows: list[list[int]],
    layers: list[int],
    part: Part,
    take: Callable[[Tensor], Tensor],
) -> list[Tensor]:
    """Run one batch up to the highest layer; return what `take` keeps of each layer's output.

    Passes of other threads stay as they are.

    Args:
        llama: The model.
        rows: Token ids of each text.
        layers: Layers wanted, in any order.
        part: Of which module.
        take: Picks from `[rows, longest, d_model]` what is worth keeping, on the model's device.

    Returns:
        Float32 on the CPU, in the order of the layers.

    Raises:
        RuntimeError: inside `intervene`.
    """
    refuse_inside(llama)
    kept: dict[int, Tensor] = {}

    def keep(layer: int, _module: Any, _inputs: Any, output: Any) -> None:
        kept[layer] = take(output[0] if isinstance(output, tuple) else output).float().cpu()
        if layer == max(layers):
            raise _Reached

    handles = [
        llama.module(layer, part).register_forward_hook(own_thread(partial(keep, layer)))
        for layer in set(layers)
    ]
    try:
        llama.model.model(padded(rows).to(llama.device), use_cache=False)
    except _Reached:
        pass
    finally:
        for handle in handles:
            handle.remove()
    return [kept[layer] for layer in layers]
