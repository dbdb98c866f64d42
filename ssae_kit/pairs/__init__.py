"""Concept pairs: two texts that differ in some concepts, from files, word lists or data sets."""

from ssae_kit.pairs.core import ConceptPairs
from ssae_kit.pairs.files import load_pairs, save_pairs
from ssae_kit.pairs.sets import DATASETS, category_pairs, dataset, truth_pairs, truthful_qa
