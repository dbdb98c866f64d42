"""Exercises of the course: checks, predictions, the student edition, grading."""

from ssae_kit.exercises.core import (
    MIME,
    NOTEBOOKS,
    Exercise,
    Mistake,
    Verdict,
    check,
    exercises,
    judge,
    passes,
)
from ssae_kit.exercises.predictions import Predictions

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
