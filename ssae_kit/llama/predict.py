"""What a Llama expects: after prompts that are read once and continued, in texts, along directions."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache, LlamaModel

from ssae_kit import checks
from ssae_kit.llama.load import Llama
from ssae_kit.llama.logits import chunks_of_logits, log_probs, unembed
from ssae_kit.llama.passes import (
    Edits,
    Reading,
    at_last,
    check_logits_move,
    editing,
    edits_for,
    passes,
)
from ssae_kit.llama.rows import TOKENS_PER_BATCH, Rows, Texts, padded, token_rows
from ssae_kit.llama.sites import drifted, inner, require
from ssae_kit.upstream import require as require_part
from ssae_kit.upstream import require_parameters

require_part("transformers", DynamicCache, "get_seq_length")
require_parameters("transformers", DynamicCache, "config")
require_parameters(
    "transformers", LlamaModel.forward, "input_ids", "attention_mask", "position_ids"
)


class Reader:
    """Reads prompts, then what follows each; gives the states that `unembed` makes logits of."""

    prompts: Float[Tensor, "texts d_model"]
    """State of each prompt's last token."""

    def __init__(self, llama: Llama, rows: Rows, reading: Reading) -> None:
        self.llama, self.reading = llama, reading
        self.cache = DynamicCache(config=llama.model.config)
        ids, last = padded(rows)
        self.mask = torch.zeros(len(rows), 0, dtype=torch.int64)
        is_token = (torch.arange(ids.shape[1]) <= last[:, None]).long()
        self.prompts = at_last(self._read(ids, is_token), last)

    def more(self, ids: Int[Tensor, "texts tokens"]) -> Float[Tensor, "texts tokens d_model"]:
        """Read the tokens that follow all that was read before; return their states."""
        return self._read(ids, torch.ones_like(ids))

    def _read(self, ids: Tensor, is_token: Tensor) -> Tensor:
        # A prompt's padding lies between it and what follows, masked: positions leave it out.
        positions = self.mask.sum(1, keepdim=True) + torch.arange(ids.shape[1])
        self.mask, self.reading.positions = torch.cat([self.mask, is_token], dim=1), positions
        given = (tensor.to(self.llama.device) for tensor in (ids, self.mask, positions))
        # By its place: transformers 5.24 renamed the argument that takes the cache.
        out = inner(self.llama)(*given, self.cache, use_cache=True)
        if self.cache.get_seq_length() != self.mask.shape[1]:
            raise drifted("a key-value cache that a pass fills")
        states: Tensor = require(out, "last_hidden_state")
        return states


@contextmanager
def continuing(llama: Llama, rows: Rows, edits: Edits) -> Iterator[Reader]:
    """Give a reader of these prompts in their order, with edits at every token it reads.

    An edit at "last" acts once, at the last token of the prompt.

    Raises:
        ValueError: if an edit does not fit the prompts.
        RuntimeError: if a vector that was added changed nothing.
    """
    own = edits_for(llama, edits, rows)
    check_logits_move(llama, rows, own)
    with editing(llama, own, torch.arange(len(rows))) as reading:
        yield Reader(llama, rows, reading)


def next_token_log_probs(
    llama: Llama,
    prompts: Texts,
    continuation: Int[Tensor, "texts tokens"],
    *,
    edits: Edits = None,
) -> Float[Tensor, "texts tokens vocab"]:
    """Return the log-probabilities of every token at each place of a continuation.

    The continuation is given (teacher forcing): place t is predicted from the prompt and the
    tokens before t, whatever the model itself would have written. Edits act as in `generate`: at
    "last" once, while the prompt is read; at "all" also on every token that follows.

    Args:
        llama: The model.
        prompts: One per row, none empty; or their token ids.
        continuation: Token ids, padded on the right with any id; places behind a padding id are
            meaningless, and yours to leave out.
        edits: As in `run`.

    Returns:
        Natural logarithms, float32, on the model's device. Memory: 4 bytes times texts times
        tokens times vocabulary, some five times over while it is computed.

    Raises:
        ValueError: if there is no prompt, one is empty or too long, the numbers of prompts, rows
            and vectors differ, or a logit is not finite.
    """
    return log_probs(llama, next_token_states(llama, prompts, continuation, edits))


@torch.no_grad()
def next_token_states(
    llama: Llama, prompts: Texts, continuation: Int[Tensor, "texts tokens"], edits: Edits
) -> Float[Tensor, "texts tokens d_model"]:
    """Return the states that `log_probs` makes predictions of; small beside them."""
    rows = token_rows(llama, prompts)
    continuation = checks.indices("continuation", continuation, "texts tokens")
    most = llama.model.config.vocab_size - 1
    if not ((continuation >= 0) & (continuation <= most)).all():
        raise ValueError(f"`continuation` must hold token ids, 0 to {most}; some are not.")
    if len(prompts) != len(continuation):
        raise ValueError(
            f"one continuation per prompt is required ({len(prompts)}); got {len(continuation)}."
        )
    with continuing(llama, rows, edits) as reader:
        states = reader.prompts[:, None]
        if continuation.shape[1] > 1:
            states = torch.cat([states, reader.more(continuation[:, :-1].cpu())], dim=1)
    return states


@torch.no_grad()
def text_losses(
    llama: Llama, texts: Texts, *, edits: Edits = None, tokens_per_batch: int = TOKENS_PER_BATCH
) -> Float[Tensor, " texts"]:
    """Return the mean loss of each text's tokens, in nats per token; smaller is better.

    The begin token and the one after it are not counted: nothing, or only what begins every text,
    comes before them. With `edits`, it tells what these cost.

    Args:
        llama: The model.
        texts: One or more texts of at least three tokens, the begin token included, or their ids.
        edits: As in `run`.
        tokens_per_batch: Bound on the memory used: texts times the longest one's tokens.

    Raises:
        ValueError: if there is no text, one is empty, too short or too long, or a loss would not be
            finite.
        RuntimeError: if a vector that an edit adds changed nothing.
    """
    rows = token_rows(llama, texts)
    short = [i for i, row in enumerate(rows) if len(row) < 3]
    if short:
        raise ValueError(
            f"a text must have at least 3 tokens; texts[{short[0]}] has {len(rows[short[0]])}."
        )
    losses = torch.empty(len(rows))
    for done in passes(llama, rows, edits=edits, final=True, tokens_per_batch=tokens_per_batch):
        counts = done.is_token[:, 2:]
        assert done.final is not None
        before, ids = done.final[:, 1:-1][counts.to(done.final.device)], done.ids[:, 2:][counts]
        found = [
            F.cross_entropy(unembed(llama, some).float().cpu(), then, reduction="none")
            for some, then in chunks_of_logits(llama, before, ids)
        ]
        per_token = torch.zeros(counts.shape).masked_scatter_(counts, torch.cat(found))
        losses[done.chosen] = per_token.sum(1) / counts.sum(1)
    return losses


@torch.no_grad()
def direct_logits(
    llama: Llama, directions: Float[Tensor, "directions d_model"]
) -> Float[Tensor, "directions tokens"]:
    """Return how much each token's logit rises along directions of the last residual stream.

    The direct path only: the final norm's gain and the unembedding. What is written at an earlier
    layer also acts through the blocks in between, which this leaves out. The norm divides by the
    state's size, so the unit is arbitrary and only differences between tokens count.

    Args:
        llama: The model.
        directions: One or more, any length.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    (directions,) = checks.tensors(directions=(directions, "directions d_model"))
    gain = require(inner(llama), "norm").weight
    if directions.shape[1] != llama.d_model:
        raise ValueError(
            f"`directions` must be {llama.d_model} wide, as {llama.name} is; got "
            f"{directions.shape[1]}."
        )
    scaled = directions.to(gain) * gain
    head = require(llama.model, "lm_head").weight
    words = head[: len(llama.tokenizer)]  # the rows beyond stand for no token
    logits: Tensor = (scaled.to(words.device) @ words.T).float().cpu()
    return logits
