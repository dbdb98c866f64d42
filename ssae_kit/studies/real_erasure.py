"""The real Llama with one concept erased: what a probe reads then, and what the next word says."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ssae_kit import llama, methods, steering
from ssae_kit.streams import Streams
from ssae_kit.studies.real import LAYER, MODEL, changes_of
from ssae_kit.world.natural import CONCEPTS, NEXT_WORD, natural_pairs

PLACES = (LAYER, 20, 24)
"""Layers, each erased by itself at the last token, where the next word is decided."""
N_TEXTS = 320
"""Half of them to fit the eraser to, a quarter to fit a probe to, a quarter to measure on."""
N_ASKED = 24
"""Of those to measure on, how many are asked for their next word."""
RIDGE = 0.1
"""Share of its mean variance that is added to the covariance: texts are fewer than dimensions."""


def stated(concept: str, generator: torch.Generator) -> tuple[list[str], Int64[Tensor, " texts"]]:
    """Return texts that say a concept, each with the beginning of a next sentence, and its values."""
    pairs = natural_pairs(8 * N_TEXTS, generator)
    change = changes_of(pairs)[:, CONCEPTS.index(concept)]
    prompts, chosen = NEXT_WORD[concept][0], change.nonzero()[:N_TEXTS, 0].tolist()
    texts = [f"{pairs.source[r]} {prompts[i % len(prompts)]}" for i, r in enumerate(chosen)]
    return texts, (change[chosen] < 0).long()


def leace(
    states: Float[Tensor, "texts d_model"], values: Int64[Tensor, " texts"]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return vector, reader and mean of LEACE's eraser: see `llama.Erase`."""
    mean, labels = states.mean(0), values.float()
    away = states - mean
    shared = away.T @ (labels - labels.mean()) / len(states)
    covariance = away.T @ away / len(states)
    covariance += RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance))
    reader = torch.linalg.solve(covariance, shared)
    return shared, reader / (reader @ shared), mean


def erase_concept(concept: str, stream: int) -> dict[str, Tensor]:
    """Erase a concept in each layer, by LEACE and along a random direction.

    Returns:
        `read` `[layers, untouched/LEACE/projection, bits/accuracy]` on texts that neither eraser nor
        probe was fitted to; `moved` `[layers, LEACE/projection]`, length of the edit over the
        state's; log-odds of the next word, `plain` `[texts]` and `erased` `[layers, LEACE/random,
        texts]`; the `values` of these texts.
    """
    model, draw = llama.load(MODEL), Streams(stream)
    texts, values = stated(concept, draw(390))
    done = llama.run(model, texts, keep=PLACES)
    words = NEXT_WORD[concept][1]
    n, asked = len(texts), slice(3 * len(texts) // 4, 3 * len(texts) // 4 + N_ASKED)
    noise = torch.randn(model.d_model, generator=draw(391))
    read, moved, erased = [], [], []
    for layer in PLACES:
        x = done.at_last(layer).float().cpu()
        vector, reader, mean = leace(x[: n // 2], values[: n // 2])
        edits = [_eraser(vector, reader, mean), *(_eraser(u, u, mean) for u in (vector, noise))]
        ways = [x, *(edit.change(x[:, None])[:, 0] for edit in edits[:2])]
        read.append(torch.tensor([_read(way, values) for way in ways]))
        moved.append(torch.stack([(way - x).norm(dim=1).mean() for way in ways[1:]]))
        moved[-1] /= x.norm(dim=1).mean()
        made = ({layer: edits[i]} for i in (0, 2))
        odds = [steering.word_odds(model, texts[asked], words, edits=edit)[0] for edit in made]
        erased.append(torch.stack(odds))
    return {
        "read": torch.stack(read),
        "moved": torch.stack(moved),
        "plain": steering.word_odds(model, texts[asked], words)[0],
        "erased": torch.stack(erased),
        "values": values[asked],
    }


def _eraser(vector: Tensor, reader: Tensor, mean: Tensor) -> llama.Erase:
    """The edit of one concept; a direction that is its own reader is projected out."""
    return llama.Erase(vector[None], (reader / (reader @ vector))[None], mean[None])


def _read(states: Tensor, values: Tensor) -> tuple[float, float]:
    half, cut = len(states) // 2, 3 * len(states) // 4
    return methods.read_bits(states[half:cut], values[half:cut], states[cut:], values[cut:])
