"""Are the choices that use no labels the right ones? Scored where the truth is known."""

import torch
from torch import Tensor

from ssae_kit.studies.phases import worlds
from ssae_kit.studies.recovery import score
from ssae_kit.synthetic import Magnitudes, Mixing, ShiftProblem, supports
from ssae_kit.training import TrainingConfig, choose_level, seeded

KINDS = {
    "six concepts, up to two shift": ShiftProblem(supports.sizes(6, 2), 16),
    "eight concepts, up to three shift": ShiftProblem(supports.sizes(8, 3), 16),
    "correlated magnitudes": ShiftProblem(supports.sizes(6, 2), 16, Magnitudes(0.8)),
    "noise": ShiftProblem(supports.sizes(6, 2), 16, noise=0.05),
    "directions at slanted angles": ShiftProblem(
        supports.sizes(6, 2), 16, mixing=Mixing(condition=3.0)
    ),
}
"""Laws of the worlds on which the choices are scored; all of them can be identified."""


def score_choices(kind: int, seed: int) -> dict[str, Tensor]:
    """Choose the level and the restart on one world without labels, and score every run.

    Args:
        kind: Index into `KINDS`.
        seed: Seed of world and training.

    Returns:
        `level` `[levels]` as multiples of the true one, the index `chosen`, and per level and
        restart the `error` and the `score`, the lower of code MCC and direction MCC.
    """
    problem = list(KINDS.values())[kind]
    ((train, test),) = worlds(problem, [1000 * kind + seed])
    n_concepts = problem.design.n_concepts
    swept = choose_level(
        train.shifts,
        n_concepts,
        generator=seeded(seed),
        n_levels=7,
        config=TrainingConfig(steps=400, batch_size=128),
    )
    recovery = score(swept.autoencoder, test)
    both = torch.minimum(recovery.codes.score, recovery.directions.score)
    return {
        "level": swept.levels / train.true_level(),
        "chosen": torch.tensor(swept.chosen),
        "error": swept.error,
        "score": both.view_as(swept.error),
    }
