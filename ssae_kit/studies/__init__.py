"""Experiments on data of known truth: the same code runs live in a notebook and at length."""

from ssae_kit.studies.recovery import Recovery, compare, recover, score

__all__ = ["Recovery", "compare", "recover", "score"]
