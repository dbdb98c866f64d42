"""Exercises of the course: checks, predictions, recall, the student edition, grading."""

from ssae_kit.exercises.core import check, judge
from ssae_kit.exercises.predictions import Predictions
from ssae_kit.exercises.reviews import recall, review
