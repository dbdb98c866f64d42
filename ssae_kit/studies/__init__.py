"""Experiments on data of known truth: the same code runs live in a notebook and at length."""

from ssae_kit.studies.phases import best_of, worlds
from ssae_kit.studies.recovery import Recovery, recover, score
from ssae_kit.studies.results import StudyResult, load_study
from ssae_kit.studies.sweep import sweep
