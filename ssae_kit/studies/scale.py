"""How recovery and its cost grow with the number of concepts and dimensions."""

import time

import torch
from torch import Tensor

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.studies.recovery import score
from ssae_kit.synthetic import ShiftProblem, sample_shifts, stream_shifts, supports
from ssae_kit.training import Constraint, TrainingConfig, fit

SIZES = ((10, 64, 3), (50, 256, 3), (200, 1024, 4), (1000, 4096, 20))
"""Concepts, dimensions, most concepts that shift at once."""


def scale(
    n_concepts: int, d_model: int, most: int, *, steps: int = 1500, seed: int = 0
) -> dict[str, Tensor]:
    """Train one run on a stream of pairs, never storing them, and score it on 2000 new pairs.

    The entries of a unit direction shrink with the root of the dimensions, and so does the step.

    Returns:
        Per-concept scores, error, CPU seconds, and the sizes.
    """
    problem = ShiftProblem(supports.sizes(n_concepts, most), d_model)
    known = sample_shifts(problem, 2000, generator=torch.Generator().manual_seed(seed))
    weights = torch.Generator().manual_seed(seed + 1)
    autoencoder = ShiftAutoencoder(1, d_model, n_concepts, generator=weights)
    started = time.process_time()
    fit(
        autoencoder,
        stream_shifts(problem, known.directions),
        Constraint(known.true_level()),
        TrainingConfig(steps=steps, learning_rate=0.08 / d_model**0.5),
        generator=torch.Generator().manual_seed(seed + 2),
    )
    seconds = time.process_time() - started
    recovery = score(autoencoder, known)
    return {
        "codes": recovery.codes.per_concept[0],
        "directions": recovery.directions.per_concept[0],
        "error": recovery.error,
        "cpu_seconds": torch.tensor(seconds),
        "sizes": torch.tensor([n_concepts, d_model, most, steps]),
    }
