"""A concept of your own: its direction, and the layer and strength that held-out texts speak for.

No parser is needed, only words that show the concept, and beginnings that one of them may follow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from ssae_kit import checks, methods
from ssae_kit.llama import Add, Llama, next_token_log_probs, text_losses
from ssae_kit.llama.passes import Edits
from ssae_kit.llama.rows import require_known
from ssae_kit.metrics import Matching
from ssae_kit.pairs import ConceptPairs
from ssae_kit.steering.directions import Vectors, shift_vectors

LEAST = 8
"""Pairs that a direction is learned from and judged on, at least; fewer say nothing."""

Words = tuple[Sequence[str], Sequence[str]]
"""Words that show value 0 of a concept, and value 1."""


def word_odds(
    llama: Llama, prompts: Sequence[str], words: Words, *, edits: Edits = None
) -> tuple[Float[Tensor, " texts"], Float[Tensor, "texts tokens"]]:
    """Return how much likelier the next word says value 1 than value 0, and what else is expected.

    Words count by their first token after a space; a token that begins words of both says nothing.

    Args:
        llama: The model.
        prompts: Beginnings of texts.
        words: Words of value 0, words of value 1.
        edits: As in `llama.run`.

    Returns:
        Log-odds in nats of all words of value 1 together against all of value 0; and the
        log-probabilities of every token that is none of these, given that it is none.

    Raises:
        ValueError: if a closed vocabulary does not hold a word, or a value has none of its own.
    """
    if isinstance(words, str) or len(words) != 2 or any(isinstance(side, str) for side in words):
        raise ValueError(f"`words` must be two lists, of value 0 and value 1; got {words!r:.60}.")
    require_known(llama, [word for side in words for word in side])
    read = [llama.tokenizer([f" {w}" for w in side], add_special_tokens=False) for side in words]
    first = [{ids[0] for ids in side["input_ids"]} for side in read]
    own = [list(first[v] - first[1 - v]) for v in (0, 1)]
    if not all(own):
        raise ValueError(
            f"each value needs a word that begins like none of the other; got {words}."
        )
    following = torch.zeros(len(prompts), 1, dtype=torch.int64)
    expected = next_token_log_probs(llama, prompts, following, edits=edits)[:, 0].cpu()
    low, high = (expected[:, ids].logsumexp(1) for ids in own)
    expected[:, [*first[0], *first[1]]] = -torch.inf
    return high - low, expected.log_softmax(1)


@dataclass(frozen=True)
class PushChoice:
    """What every push did, at every layer and strength, and which was chosen."""

    layers: tuple[int, ...]
    """Layers tried."""
    strengths: tuple[float, ...]
    """Strengths tried, in typical shifts."""
    effect: Float[Tensor, "layers strengths directions prompts"]
    """Half the change of the log-odds between a push forth and back, in nats. The first direction
    is the concept's, the others are random ones of its length."""
    kl: Float[Tensor, "layers strengths directions prompts"]
    """How far the push moves what is expected beside the concept's words, in nats."""
    loss: Float[Tensor, "layers strengths"]
    """Excess loss of held-out texts under the concept's push, in nats per token."""
    chosen: tuple[int, int]
    """Place of the layer and of the strength that were chosen, by the first half of the prompts."""
    vectors: Vectors
    """The direction at that layer, as long as a typical shift; `save_vectors` takes it."""

    @property
    def strength(self) -> float:
        """The strength that was chosen."""
        return self.strengths[self.chosen[1]]


def choose_push(
    llama: Llama,
    pairs: ConceptPairs,
    prompts: Sequence[str],
    words: Words,
    *,
    layers: Sequence[int],
    strengths: Sequence[float] = (0.5, 1.0, 2.0, 4.0),
    most_kl: float = 0.5,
    n_random: int = 4,
    seed: int = 0,
) -> PushChoice:
    """Learn one direction from pairs, and choose where and how strongly to add it.

    The direction is the mean shift at the last token. It is added at every token but the first.
    Every fourth pair is held out, to see what a push costs. The first half of the prompts chooses:
    the largest effect whose KL stays within bounds. Report the effect on the second half only.

    Args:
        llama: Any model.
        pairs: At least 8, with one concept; where its changes are not known, every target has
            value 1. Two lists of texts that are no pairs do as well: `ConceptPairs(list0, list1)`.
        prompts: At least 4 beginnings that a word of the concept may follow.
        words: Words of value 0, words of value 1, as for `word_odds`.
        layers: Layers to try.
        strengths: Strengths to try, in typical shifts.
        most_kl: Largest mean KL beside the concept's words, in nats.
        n_random: Random directions to compare with.
        seed: Of these.

    Raises:
        ValueError: if there are too few pairs or prompts, more than one concept, an empty choice,
            or no push stays within bounds.
    """
    pairs = _of_one_concept(pairs)
    checks.require("most_kl", most_kl, "above 0", lambda k: 0 < k < float("inf"))
    amounts = _amounts(prompts, layers, strengths)
    held_out = pairs.take(range(0, len(pairs), 4))
    shifts = shift_vectors(llama, pairs, list(layers)) * torch.tensor(pairs.changes)
    means = shifts[:, torch.arange(len(pairs)) % 4 > 0].mean(1)
    draw, n_random = checks.seeded(seed), checks.whole("n_random", n_random)
    rows = [means, *(methods.random_directions(means, generator=draw) for _ in range(n_random))]
    tried = [
        _try(llama, prompts, words, held_out, layer, amount * own)
        for layer, own in zip(layers, torch.stack(rows, 1), strict=True)
        for amount in amounts
    ]
    shape = len(layers), len(amounts)
    effect, kl, loss = (torch.stack(e).unflatten(0, shape) for e in zip(*tried, strict=True))
    chooses = (..., 0, slice(len(prompts) // 2))
    best = _best(effect[chooses].mean(-1), kl[chooses].mean(-1), most_kl)
    vectors = _vectors(int(layers[best[0]]), pairs.concepts, means[best[0]], shifts[best[0], ::4])
    return PushChoice(tuple(layers), tuple(amounts), effect, kl, loss, best, vectors)


def _amounts(
    prompts: Sequence[str], layers: Sequence[int], strengths: Sequence[float]
) -> list[float]:
    """Strengths, where there is something to choose and to judge by."""
    (amounts,) = checks.tensors(strengths=(strengths, "strengths"))
    if isinstance(prompts, str) or len(prompts) < 4 or not len(layers) or not len(amounts):
        raise ValueError(
            "at least 4 prompts (two choose, two judge), one layer and one strength are required; "
            f"got {len(prompts)}, {len(layers)} and {len(amounts)}."
        )
    return [float(amount) for amount in amounts]


def _of_one_concept(pairs: ConceptPairs) -> ConceptPairs:
    """Return the pairs in which the one concept changes."""
    checks.require_kind("pairs", pairs, ConceptPairs, 'load_pairs("my_pairs.csv")')
    if not pairs.changes:
        pairs = ConceptPairs(pairs.source, pairs.target, ("concept",), ((1,),) * len(pairs))
    changed = [i for i, change in enumerate(pairs.changes) if any(change)]
    if len(pairs.concepts) != 1 or len(changed) < LEAST:
        raise ValueError(
            f"one concept that changes in {LEAST} or more pairs is required; got "
            f"{', '.join(pairs.concepts)}, and changes in {len(changed)} pairs. Leave the columns of "
            "other concepts out, or add pairs."
        )
    return pairs.take(changed)


def _try(
    llama: Llama,
    prompts: Sequence[str],
    words: Words,
    held_out: ConceptPairs,
    layer: int,
    pushes: Float[Tensor, "directions d_model"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Effect and KL `[directions, prompts]` of pushes forth and back; excess loss of the first."""
    both = torch.cat([0 * pushes[:1], pushes, -pushes])
    edits = {layer: Add(both.repeat_interleave(len(prompts), 0), at=slice(1, None))}
    odds, rest = word_odds(llama, [*prompts] * len(both), words, edits=edits)
    forth, back = odds.view(len(both), -1)[1:].chunk(2)
    usual, *moved = rest.view(len(both), len(prompts), -1)
    # Words of the concept have probability 0 in both: 0 times (inf - inf), to be left out.
    kl = torch.stack([(usual.exp() * (usual - one)).nansum(1) for one in moved])
    texts = [*held_out.source, *held_out.target]
    signs = torch.tensor([0.0, 1.0, -1.0]).repeat_interleave(len(texts))[:, None]
    edit = Add(signs.to(pushes) * pushes[:1], at=slice(1, None))
    plain, *pushed = text_losses(llama, texts * 3, edits={layer: edit}).view(3, -1).mean(1)
    return (forth - back) / 2, torch.stack(kl.chunk(2)).mean(0), sum(pushed) / 2 - plain


def _vectors(layer: int, concepts: tuple[str, ...], mean: Tensor, shifts: Tensor) -> Vectors:
    """The direction of the one concept, and its mean cosine with the shifts of held-out pairs."""
    cosine = cosine_similarity(shifts, mean, dim=1).mean().clamp(0, 1).view(1, 1)
    matching = Matching(cosine, torch.zeros(1, 1).long(), torch.ones(1, 1))
    return Vectors(layer, concepts, mean[None], matching)


def _best(effect: Tensor, kl: Tensor, most_kl: float) -> tuple[int, int]:
    """Place of the largest effect whose KL stays within bounds."""
    within = kl <= most_kl
    if not within.any():
        raise ValueError(
            f"no push keeps its KL within `most_kl`, {most_kl:g} nats; the least is {kl.min():.2g}. "
            "Try weaker strengths or another layer."
        )
    layer, strength = divmod(int(effect.masked_fill(~within, -torch.inf).argmax()), kl.shape[1])
    return layer, strength
