"""The real Llama with one concept erased: what a probe reads then, and what the next word says."""

import torch
from torch import Tensor

from ssae_kit import llama, methods, steering
from ssae_kit.methods.found import States
from ssae_kit.streams import Streams
from ssae_kit.studies.real import LAYER, MODEL, changes_of
from ssae_kit.world.natural import CONCEPTS, NEXT_WORD, natural_pairs

PLACES = (LAYER, 20, 24)
"""Layers, each erased by itself at the last token, where the next word is decided."""
N_TEXTS, N_ASKED = 320, 24
"""Half of the texts to fit the eraser to, a quarter to fit a probe to, a quarter to measure on; and
of those to measure on, how many are asked for their next word."""
ERASED = ("tense", "sentiment", "time")
"""The first two are claimed, on three streams: the text before moves their words most."""
RIDGE = 0.1
"""Share of its mean variance that is added to the covariance: texts are fewer than dimensions."""


def stated(concept: str, generator: torch.Generator) -> tuple[list[str], Tensor]:
    """Return texts that say a concept, each with the beginning of a next sentence, and its values.

    Values are 0 or 1, one per text.
    """
    pairs = natural_pairs(8 * N_TEXTS, generator)
    change = changes_of(pairs)[:, CONCEPTS.index(concept)]
    prompts, chosen = NEXT_WORD[concept][0], change.nonzero()[:N_TEXTS, 0].tolist()
    texts = [f"{pairs.source[r]} {prompts[i % len(prompts)]}" for i, r in enumerate(chosen)]
    return texts, (change[chosen] < 0).long()


def leace(states: States, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return vector, reader and mean of LEACE's eraser: see `llama.Erase`."""
    mean, spread = states.mean(0), states.mT.cov(correction=0)
    spread.diagonal().add_(RIDGE * spread.diagonal().mean())
    shared = (states - mean).mT @ (values - values.float().mean()) / len(states)
    reader = torch.linalg.solve(spread, shared)
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
    done, quarter = llama.run(model, texts, keep=PLACES), len(texts) // 4
    fit, known, new = (slice(i * quarter, j * quarter) for i, j in ((0, 2), (2, 3), (3, 4)))
    asked = texts[new][:N_ASKED], NEXT_WORD[concept][1]
    noise, read, moved, erased = torch.randn(model.d_model, generator=draw(391)), [], [], []
    for layer in PLACES:
        x = done.at_last(layer).detach().float().cpu()
        vector, reader, mean = leace(x[fit], values[fit])
        ways = (vector, reader), (vector, vector), (noise, noise)
        edits = [llama.Erase(v[None], (r / (r @ v))[None], mean[None]) for v, r in ways]
        left = [x, *(edit.change(x[:, None])[:, 0] for edit in edits[:2])]
        read.append([methods.read_bits(y[known], values[known], y[new], values[new]) for y in left])
        moved.append([(y - x).norm(dim=1).mean() / x.norm(dim=1).mean() for y in left[1:]])
        erased += [steering.word_odds(model, *asked, edits={layer: edits[i]})[0] for i in (0, 2)]
    found = {"read": torch.tensor(read), "moved": torch.tensor(moved)}
    found |= {"erased": torch.stack(erased).unflatten(0, (-1, 2))}
    return found | {"plain": steering.word_odds(model, *asked)[0], "values": values[new][:N_ASKED]}
