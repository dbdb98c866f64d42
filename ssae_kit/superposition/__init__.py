"""Superposition: a toy model that stores more features than it has dimensions, and its measures."""

from ssae_kit.superposition.geometry import (
    POLYTOPES,
    dimensionality,
    interference,
    neuron_alignment,
    random_rotation,
    represented,
    share_near,
)
from ssae_kit.superposition.model import Draw, ToyModel, train
from ssae_kit.superposition.phases import PHASES, candidate_losses, classify
from ssae_kit.superposition.recovery import exactly_active, fista, random_dictionary, recovered
