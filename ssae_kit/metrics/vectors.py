"""What the scores share: unit vectors, and checks of what comes in."""

import torch
from torch import Tensor

ROUNDING = 1e-5
"""Share of a column's length up to which its variation counts as float32 rounding."""


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Scale to length 1 along `dim`; a zero vector stays zero."""
    scaled: Tensor = vectors / vectors.norm(dim=dim, keepdim=True).clamp_min(1e-30)
    return scaled


def centred_unit(samples: Tensor, dim: int) -> Tensor:
    """Remove the mean along `dim`, then scale to length 1; what is constant becomes zero."""
    centred = samples - samples.mean(dim, keepdim=True)
    # Subtracting a constant's own mean leaves rounding error, which must not count as variation.
    rounding = ROUNDING * samples.norm(dim=dim, keepdim=True)
    constant = centred.norm(dim=dim, keepdim=True) <= rounding
    return unit(centred.masked_fill(constant, 0.0), dim)


def check_rows(name: str, values: Tensor, other_name: str, other: Tensor) -> None:
    """Require the same two or more rows in both, all finite."""
    if values.shape[1] != other.shape[0] or other.shape[0] < 2:
        raise ValueError(
            f"`{name}` and `{other_name}` must hold the same 2 or more pairs; got "
            f"{values.shape[1]} and {other.shape[0]}. Score both on the same pairs or samples."
        )
    check_finite(name, values)
    check_finite(other_name, other)


def check_directions(name: str, found: Tensor, other_name: str, other: Tensor) -> None:
    """Require directions of one space, all finite."""
    if found.shape[-1] != other.shape[-1]:
        raise ValueError(
            f"`{name}` and `{other_name}` must live in the same space; got d_model "
            f"{found.shape[-1]} and {other.shape[-1]}. Take both from the same layer."
        )
    check_finite(name, found)
    check_finite(other_name, other)


def check_finite(name: str, values: Tensor) -> None:
    """Require finite values."""
    if not torch.isfinite(values).all():
        raise ValueError(f"`{name}` holds a value that is not finite. Look for where it diverged.")
