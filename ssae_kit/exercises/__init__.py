"""Exercises of the course: checks, predictions, the student edition, grading."""

from ssae_kit.exercises.core import check, judge
from ssae_kit.exercises.predictions import Predictions

__all__ = ["Predictions", "check", "judge"]
