"""Exercises of the course: checks, predictions, the student edition, grading."""

from ssae_kit.exercises.core import (
    MIME,
    NOTEBOOKS,
    Exercise,
    Verdict,
    check,
    exercises,
    judge,
    passes,
)
from ssae_kit.exercises.predictions import Predictions
from ssae_kit.exercises.values import Mistake

__all__ = [
    "MIME",
    "NOTEBOOKS",
    "Exercise",
    "Mistake",
    "Predictions",
    "Verdict",
    "check",
    "exercises",
    "judge",
    "passes",
]
