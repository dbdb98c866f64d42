"""Steering: one direction per concept, and a score of what changed and what should not have.

A direction is a row of `[concepts, d_model]` in the units of the hidden state. Its length is one
typical shift of the concept: adding it once should turn the concept from value 0 to value 1,
subtracting it the other way.
"""

from ssae_kit.methods import difference_of_means, random_directions, rescaled, value_means
from ssae_kit.steering.choose import PushChoice, choose_push, word_odds
from ssae_kit.steering.directions import (
    Vectors,
    learn,
    load_vectors,
    principal_directions,
    save_vectors,
    shift_vectors,
)
from ssae_kit.steering.divergence import off_target_kl, spans_about
from ssae_kit.steering.push import (
    LatentClamp,
    Prompted,
    clamp_of,
    concepts_in_turn,
    stacked,
    steering_vectors,
)
from ssae_kit.steering.score import (
    Expressed,
    SteeringScore,
    mean_interval,
    rate_interval,
    read_concepts,
    score_steering,
)
