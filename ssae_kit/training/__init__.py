"""Training: one loop for every autoencoder, and choices among runs that need no labels."""

from ssae_kit.training.choice import LevelSweep, best_run, choose_level, require_level
from ssae_kit.training.inputs import huge
from ssae_kit.training.loop import evaluate, fit
from ssae_kit.training.revive import revive_dead_
from ssae_kit.training.settings import (
    Constraint,
    History,
    Penalty,
    Source,
    TrainingConfig,
)

__all__ = [
    "Constraint",
    "History",
    "LevelSweep",
    "Penalty",
    "Source",
    "TrainingConfig",
    "best_run",
    "choose_level",
    "evaluate",
    "fit",
    "huge",
    "require_level",
    "revive_dead_",
]
