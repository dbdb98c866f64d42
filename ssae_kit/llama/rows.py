"""From texts to token ids: begin tokens, padding and batches, in one place."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ssae_kit import checks
from ssae_kit.llama.load import Llama

TOKENS_PER_BATCH = 2048
"""Tokens that a model reads at once: what one thread's cache holds of a small model's layers."""

Rows = Sequence[Sequence[int]]
"""Token ids of each text, special tokens included."""

Texts = Sequence[str] | Rows
"""Texts, or their token ids."""


def token_rows(llama: Llama, texts: Texts) -> list[list[int]]:
    """Return the token ids of each text, with exactly one begin token if the tokenizer has one.

    A text that is written with the begin token, as from a chat template, gets no second one. Ids
    are taken as they are.

    Raises:
        ValueError: if there is no text, one string in place of a list, a text that is empty or
            longer than the model can read, or texts that differ only in words that a closed
            vocabulary does not hold.
        TypeError: if a text is neither a string nor a list of ids.

    Warns:
        UserWarning: of words that a closed vocabulary does not hold.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    if isinstance(texts, str) or not len(texts):
        raise ValueError(
            f"a list of one or more texts is required; got {texts!r:.60}. Put a single text in [...]."
        )
    longest = llama.model.config.max_position_embeddings
    rows = [
        _from_text(llama, text, i) if isinstance(text, str) else _from_ids(llama, text, i)
        for i, text in enumerate(texts)
    ]
    for i, row in enumerate(rows):
        if len(row) > longest:
            raise ValueError(
                f"texts[{i}] has {len(row)} tokens; {llama.name} reads at most {longest}. Shorten it."
            )
    _check_known(llama, texts, rows)
    return rows


def _from_text(llama: Llama, text: str, i: int) -> list[int]:
    if not text.strip():
        raise ValueError(f"texts[{i}] is empty. Give every text at least one word.")
    row: list[int] = llama.tokenizer(text)["input_ids"]
    begin = llama.tokenizer.bos_token_id
    if begin is None:
        return row
    n_written = next((n for n, token in enumerate(row) if token != begin), len(row))
    return [begin, *row[n_written:]]


def _from_ids(llama: Llama, ids: Sequence[Any], i: int) -> list[int]:
    try:
        row = [int(token) for token in ids]
    except (TypeError, ValueError):
        raise TypeError(
            f"texts[{i}] must be a string or a list of token ids; got {ids!r:.60}."
        ) from None
    if not row or not 0 <= min(row) <= max(row) < llama.model.config.vocab_size:
        raise ValueError(
            f"the token ids of texts[{i}] must be one or more in "
            f"0..{llama.model.config.vocab_size - 1}; got {row!r:.60}."
        )
    return row


def _check_known(llama: Llama, texts: Texts, rows: list[list[int]]) -> None:
    """All words that a closed vocabulary does not hold become one token: say so, refuse mix-ups."""
    unknown, first = llama.tokenizer.unk_token_id, dict[tuple[int, ...], str]()
    found = [
        (text, row)
        for text, row in zip(texts, rows, strict=True)
        if isinstance(text, str) and unknown in row[n_begin(llama, row) :]
    ]
    odd = [text for text, _ in found]
    if any(first.setdefault(tuple(row), text).split() != text.split() for text, row in found):
        require_known(llama, odd)
    if odd:
        warnings.warn(_told(llama, _unknown_words(llama, odd)), stacklevel=4)


def require_known(llama: Llama, texts: Sequence[str]) -> None:
    """Raise a ValueError that lists the words of texts which a closed vocabulary does not hold."""
    checks.require_kind("llama", llama, Llama, "load()")
    words = _unknown_words(llama, texts)
    if words:
        raise ValueError(
            f"{_told(llama, words)} Texts that differ in them would be equal: use words it knows."
        )


def _told(llama: Llama, words: Sequence[str]) -> str:
    return (
        f"{llama.name} has a closed vocabulary, in which {len(words)} of these words are not known: "
        f"{', '.join(map(repr, words)):.2000}. All of them read as the same token."
    )


def _unknown_words(llama: Llama, texts: Sequence[str]) -> list[str]:
    """Every word that becomes the unknown token, once."""
    unknown, words = llama.tokenizer.unk_token_id, dict[str, None]()
    for text in texts if unknown is not None else ():
        found = llama.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        for i, (a, b) in zip(found["input_ids"], found["offset_mapping"], strict=True):
            words |= {text[a:b].strip(): None} if i == unknown else {}
    return list(words)


def n_begin(llama: Llama, row: Sequence[int]) -> int:
    """Number of begin tokens in front of a text: 1, or 0 for a tokenizer without."""
    return int(row[0] == llama.tokenizer.bos_token_id)


def batches(lengths: list[int], tokens_per_batch: int) -> Iterator[list[int]]:
    """Group texts of similar length, longest first, so that memory runs out early or never."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    while order:
        size = max(1, tokens_per_batch // lengths[order[0]])
        yield order[:size]
        order = order[size:]


def padded(rows: Rows) -> tuple[Int64[Tensor, "texts tokens"], Tensor]:
    """Token ids of several texts, and the place of the last token of each.

    Padded on the right with id 0: attention is causal, so no token of a text sees the padding, and
    every token's column is its position in its text.
    """
    ids = pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return ids, torch.tensor([len(row) - 1 for row in rows])
