"""Every way from shifts or states to directions, in one form: fit, then score, name or steer.

A fit returns a `Found`: rows of directions, and how it reads the codes of other shifts. Some are
told how many latents to look for (`ssae`, `pca`, ...), others which concept changed in every pair
(`difference_of_means`, `regression`, ...). `score` compares any of them with the truth.
"""

from ssae_kit.methods.bits import Read, read_bits
from ssae_kit.methods.found import (
    Found,
    Score,
    as_pairs,
    in_use,
    known,
    merge,
    of_autoencoder,
    score,
)
from ssae_kit.methods.labelled import (
    class_means,
    difference_of_means,
    explained,
    interactions,
    least_squares_probe,
    probe,
    random_directions,
    regression,
    require_two_values,
    rescaled,
    shuffled,
    value_means,
)
from ssae_kit.methods.unlabelled import (
    dictionary_learning,
    fast_ica,
    pca,
    sae,
    singular_vectors,
    ssae,
    ssae_seeds,
)
