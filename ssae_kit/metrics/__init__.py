"""Scores of recovery, and the floor beneath each.

Two scores share the name MCC, mean correlation coefficient. `mcc_codes` correlates codes with
known concepts: the identifiability literature's score. `mcc_directions` compares decoder
directions with known concept directions by cosine: SAELens' "MCC". A solution can do well on one
and badly on the other, so report both, per concept, beside `rotation_floor`.
"""

from ssae_kit.metrics.codes import (
    Firing,
    Handovers,
    dead_share,
    firing,
    handovers,
    l0,
    label_mcc,
    loss_recovered,
    unexplained_variance,
)
from ssae_kit.metrics.matching import (
    Matching,
    mcc_codes,
    mcc_directions,
    mcc_seeds,
    mmcs,
    rotation_floor,
    uniqueness,
)
