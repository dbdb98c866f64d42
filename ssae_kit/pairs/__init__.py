"""Concept pairs: two texts that differ in some concepts, from files, word lists or data sets."""

from ssae_kit.pairs.core import ConceptPairs
from ssae_kit.pairs.files import load_pairs, save_pairs
from ssae_kit.pairs.hub import bias_in_bios, bios_pairs, truth_pairs, truthful_qa
from ssae_kit.pairs.sets import DATASETS, category_pairs, dataset

__all__ = [
    "DATASETS",
    "ConceptPairs",
    "bias_in_bios",
    "bios_pairs",
    "category_pairs",
    "dataset",
    "load_pairs",
    "save_pairs",
    "truth_pairs",
    "truthful_qa",
]
