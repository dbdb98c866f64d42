"""Training: one loop for every autoencoder, and choices among runs that need no labels."""

from ssae_kit.checks import seeded
from ssae_kit.training.choice import LevelSweep, Restarts, best_run, choose_level, fit_restarts
from ssae_kit.training.inputs import huge
from ssae_kit.training.loop import evaluate, fit
from ssae_kit.training.settings import Constraint, History, Penalty, Source, TrainingConfig
