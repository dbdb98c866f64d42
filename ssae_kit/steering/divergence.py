"""How far steering moves the model's predictions where they say nothing about the target."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama import Llama
from ssae_kit.llama.logits import chunks_of_logits, log_probs
from ssae_kit.llama.predict import next_token_states
from ssae_kit.steering.push import Prompted
from ssae_kit.steering.score import require_known

Span = tuple[int, int]
"""First character of a word, and the one after its last."""


def spans_about(text: str, read: Callable[[str], Any], concepts: Collection[str]) -> list[Span]:
    """Return where the words stand that express one of the concepts.

    Args:
        text: Any text.
        read: A parser such as `ssae_kit.world.read`: its result has `words`, each with its `word`
            in lower case and its `values`, concept to value.
        concepts: The concepts of interest.

    Raises:
        ValueError: if the parser tells its `concepts`, and one is not among them.
    """
    checks.require_kind("text", text, str, "The queen sings.")
    reading = read(text)
    require_known(reading, concepts)
    lower, place, spans = text.lower(), 0, []
    for word in reading.words:
        start = lower.find(word.word, place)
        if start < 0:
            continue
        place = start + len(word.word)
        if any(concept in word.values for concept in concepts):
            spans.append((start, place))
    return spans


def off_target_kl(
    llama: Llama,
    prompts: Sequence[str],
    continuations: Sequence[str],
    spans: Sequence[Sequence[Span]],
    ways: Sequence[Prompted],
    *,
    batch_size: int = 32,
) -> Float[Tensor, "ways texts"]:
    """Return how far each way of steering moves predictions that are not about the target.

    The unsteered and the steered model read the same continuation. At every token that is no part
    of a word about the target, KL(unsteered || steered) compares what the two expect there.

    Args:
        llama: The model.
        prompts: The unsteered prompts.
        continuations: What the unsteered model wrote after each.
        spans: Words about the target in each continuation, as by `spans_about`.
        ways: Ways to steer the same texts.
        batch_size: Texts per pass. Whatever it is, logits take at most 2 GB at once.

    Returns:
        Mean over those tokens, in nats per token; 0 is no side effect. NaN if a text has none,
        as when the model ended its story at once.

    Raises:
        ValueError: if lengths differ.
    """
    if not len(prompts) == len(continuations) == len(spans):
        raise ValueError(
            "prompts, continuations and spans must be as many; got "
            f"{len(prompts)}, {len(continuations)} and {len(spans)}."
        )
    checks.require_kind("llama", llama, Llama, "load()")
    for i, text in enumerate(continuations):
        checks.require_kind(f"continuations[{i}]", text, str, "the king sleeps.")
    checks.whole("batch_size", batch_size)
    if not len(ways):
        raise ValueError("at least one way to steer is required; got none.")
    for way in ways:
        checks.require_kind("ways", way, Prompted, "[Prompted(prompts), ...]")
        if len(way.prompts) != len(prompts):
            raise ValueError(
                f"every way must steer the same {len(prompts)} texts; got one with "
                f"{len(way.prompts)} prompts."
            )
    parts = []
    for start in range(0, len(prompts), batch_size):
        stop = min(start + batch_size, len(prompts))
        ids, counts = _tokens_off_target(llama, continuations[start:stop], spans[start:stop])
        plain = next_token_states(llama, prompts[start:stop], ids, None)
        rows = [_mean_kl(llama, way.rows(start, stop), ids, plain, counts) for way in ways]
        parts.append(torch.stack(rows))
    return torch.cat(parts, dim=1)


def _mean_kl(llama: Llama, way: Prompted, ids: Tensor, plain: Tensor, counts: Tensor) -> Tensor:
    """KL from plain to steered predictions, mean over the places that count, per text."""
    steered = next_token_states(llama, way.prompts, ids, way.edits)
    where, found = counts.to(plain.device), [torch.empty(0)]
    # A piece at a time: logits are large where the vocabulary is.
    for some, moved in chunks_of_logits(llama, plain[where], steered[where]):
        expected = log_probs(llama, some)
        found.append((expected.exp() * (expected - log_probs(llama, moved))).sum(-1).cpu())
    kl = torch.full(counts.shape, float("nan")).masked_scatter_(counts, torch.cat(found))
    return kl.nanmean(1)


def _tokens_off_target(
    llama: Llama, continuations: Sequence[str], spans: Sequence[Sequence[Span]]
) -> tuple[Int[Tensor, "texts tokens"], Bool[Tensor, "texts tokens"]]:
    """Token ids, padded on the right, and which of them belong to no word about the target."""
    found = llama.tokenizer(
        [f" {text}" for text in continuations],
        add_special_tokens=False,
        return_offsets_mapping=True,
    )
    longest = max([1, *map(len, found["input_ids"])])
    ids = torch.zeros(len(continuations), longest, dtype=torch.int64)
    counts = torch.zeros(len(continuations), longest, dtype=torch.bool)
    for i, row in enumerate(found["input_ids"]):
        ids[i, : len(row)] = torch.tensor(row)
        for t, (start, stop) in enumerate(found["offset_mapping"][i]):
            # The space put in front shifts every character by one.
            about = any(a < stop - 1 and start - 1 < b for a, b in spans[i])
            counts[i, t] = not about and bool(continuations[i].strip())
    return ids, counts
