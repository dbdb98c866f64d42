"""Training: one loop for every autoencoder, and choices among runs that need no labels."""

from ssae_kit.training.choice import LevelSweep, best_run, choose_level
from ssae_kit.training.loop import (
    Constraint,
    History,
    Penalty,
    Source,
    Trainable,
    TrainingConfig,
    evaluate,
    fit,
)

__all__ = [
    "Constraint",
    "History",
    "LevelSweep",
    "Penalty",
    "Source",
    "Trainable",
    "TrainingConfig",
    "best_run",
    "choose_level",
    "evaluate",
    "fit",
]
