"""How close is a learned dictionary to a reference, latents unmatched?"""

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.metrics.vectors import cosines


def mmcs(
    directions: Float[Tensor, "run latents d_model"], reference: Float[Tensor, "concepts d_model"]
) -> Float[Tensor, " run"]:
    """Mean over reference directions of the highest absolute cosine with any latent; 1 is best.

    Unlike `mcc_directions` it matches nothing: one latent may serve many reference directions, and
    a wider dictionary always scores at least as well. Its floor rises with the width: report it
    beside the score of a random dictionary.

    Args:
        directions: Learned directions, any length.
        reference: True directions, or those of another dictionary, any length.

    Returns:
        Unitless, 0 to 1.

    Raises:
        ValueError: if the last axes differ, one is missing, a value is not finite, or a reference
            direction is zero.

    Source: Sharkey, Braun & Millidge 2022 (there signed; ours counts both signs, as `mcc_*` do).
    """
    return cosines(directions, "reference", reference).abs().amax(1).mean(-1)


def uniqueness(
    directions: Float[Tensor, "run latents d_model"], reference: Float[Tensor, "concepts d_model"]
) -> Float[Tensor, " run"]:
    """Distinct nearest reference directions over latents; 1 means that no two latents share one.

    Args:
        directions: Learned directions, any length.
        reference: True directions, any length.

    Returns:
        Unitless, above 0 to 1; at most concepts / latents.

    Raises:
        ValueError: if the last axes differ, one is missing, a value is not finite, or a reference
            direction is zero.

    Source: SAELens, `eval_sae_on_synthetic_data`.
    """
    similarity = cosines(directions, "reference", reference).abs()
    nearest = similarity.argmax(-1, keepdim=True)
    # [run, concepts]: whether any latent points there. Counting `unique` values would wait for a GPU.
    taken = torch.zeros_like(similarity).scatter_(-1, nearest, 1.0).amax(1)
    return taken.sum(-1) / nearest.shape[1]
