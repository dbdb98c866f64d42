"""Which algorithm does a network run? Interchange, its score, and subspaces trained to pass it.

A featurizer is any `methods.Found`: it reads codes from a state and has a direction for each.
"""

from ssae_kit.causes.align import Subspaces, align
from ssae_kit.causes.interchange import Interchanged, exchange, followed, whole
