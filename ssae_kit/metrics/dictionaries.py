"""How close is a learned dictionary to a reference, latents unmatched?"""

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.metrics.vectors import check_directions, unit


def mmcs(
    directions: Float[Tensor, "run latents d_model"],
    reference: Float[Tensor, "concepts d_model"],
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
        ValueError: if the last axes differ or a value is not finite.

    Source: Sharkey, Braun & Millidge 2022 (there signed; ours counts both signs, as `mcc_*` do).
    """
    return _cosines(directions, reference).amax(1).mean(-1)


def uniqueness(
    directions: Float[Tensor, "run latents d_model"],
    reference: Float[Tensor, "concepts d_model"],
) -> Float[Tensor, " run"]:
    """Distinct nearest reference directions over latents; 1 means that no two latents share one.

    Args:
        directions: Learned directions, any length.
        reference: True directions, any length.

    Returns:
        Unitless, above 0 to 1; at most concepts / latents.

    Raises:
        ValueError: if the last axes differ or a value is not finite.

    Source: SAELens, `eval_sae_on_synthetic_data`.
    """
    nearest = _cosines(directions, reference).argmax(-1)
    distinct = torch.tensor([row.unique().numel() for row in nearest])
    return distinct / nearest.shape[-1]


def _cosines(directions: Tensor, reference: Tensor) -> Tensor:
    check_directions("directions", directions, "reference", reference)
    cosines: Tensor = (unit(directions, -1) @ unit(reference, -1).mT).abs()
    return cosines.clamp(max=1.0)
