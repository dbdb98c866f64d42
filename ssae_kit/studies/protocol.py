"""Does the protocol that uses no labels find the concepts of the bundled Llamas, on any stream?"""

import torch
from torch import Tensor

from ssae_kit import llama, methods, world
from ssae_kit.methods import Found
from ssae_kit.streams import Streams
from ssae_kit.training import TrainingConfig

SHIPPED = ("seed1", "seed2", "seed4")
"""The Llamas that come with the course."""
N_TRAIN, N_TEST, LAYER = 1000, 300, 3
CONFIG = TrainingConfig(steps=500, batch_size=128)


def protocol(model: str, stream: int) -> dict[str, Tensor]:
    """Choose level, restart and latents without labels; then score with labels.

    Args:
        model: A shipped seed of the bundled Llama.
        stream: Draws pairs, initial weights and batches anew.

    Returns:
        With twice as many latents as concepts, merged, of which only those in use count: `codes` and
        `directions` `[concepts]`, and the number `kept`. `codes_apart`, `kept_apart`: the same
        before merging. `codes_exact`: as many latents as concepts. `gain`: the most that a product
        of two concepts explains besides.
    """
    streams, n_concepts = Streams(stream), len(world.CONCEPTS)
    shifts, before, after = _read(model, streams)
    changes, known = (after - before).float(), shifts[:N_TRAIN]
    asked = shifts[N_TRAIN:], changes[N_TRAIN:]
    truth = (*asked, methods.regression(known, changes[:N_TRAIN]).directions)
    spare = methods.ssae(known, 2 * n_concepts, seed=streams.seed(1), config=CONFIG)
    exact = methods.ssae(known, n_concepts, seed=streams.seed(2), config=CONFIG)
    (apart, kept_apart), (merged, kept) = (
        _only_in_use(found, known) for found in (spare, methods.merge(spare, known))
    )
    score, gains = methods.score(merged, *truth), methods.interactions(shifts, before, after)
    return {
        "codes": score.codes.per_concept[0],
        "directions": score.directions.per_concept[0],
        "kept": torch.tensor(kept),
        "codes_apart": methods.score(apart, *truth).codes.per_concept[0],
        "kept_apart": torch.tensor(kept_apart),
        "codes_exact": methods.score(exact, *truth).codes.per_concept[0],
        "gain": gains.max(),
    }


def _read(model: str, streams: Streams) -> tuple[Tensor, Tensor, Tensor]:
    """Shifts of new pairs, and the values in their source and target texts."""
    pairs = world.concept_pairs(N_TRAIN + N_TEST, streams(0))
    reader = llama.load(f"llama_tiny/{model}")
    source, target = (
        llama.hidden_states(reader, texts, LAYER) for texts in (pairs.source, pairs.target)
    )
    values = [world.parse(text).sentences[-1].state.binary() for text in pairs.source]
    before = torch.tensor(values)
    return target - source, before, before + torch.tensor(pairs.changes)


def _only_in_use(found: Found, shifts: Tensor) -> tuple[Found, int]:
    """The same with latents to spare silent, and how many are in use."""
    kept = methods.in_use(found, shifts)
    mask = torch.zeros(len(found.directions)).index_fill(0, kept, 1.0)
    used = Found(found.directions * mask[:, None], lambda shifts: found.read(shifts) * mask)
    return used, len(kept)
