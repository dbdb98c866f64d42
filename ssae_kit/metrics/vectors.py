"""What the scores share: unit vectors, and what counts as constant."""

from typing import Any

from torch import Tensor

from ssae_kit import checks

ROUNDING = 1e-5
"""Share of a column's length up to which its variation counts as float32 rounding."""


def unit(vectors: Tensor, dim: int) -> Tensor:
    """Scale to length 1 along `dim`; a zero vector stays zero."""
    # First by the largest entry: the squares of very small or very large numbers leave float32.
    largest = vectors.abs().amax(dim, keepdim=True)
    scaled = vectors / largest.masked_fill(largest == 0, 1.0)
    # After that a vector is zero or at least 1 long.
    result: Tensor = scaled / scaled.norm(dim=dim, keepdim=True).clamp_min(1.0)
    return result


def centred_unit(samples: Tensor, dim: int) -> Tensor:
    """Remove the mean along `dim`, then scale to length 1; what is constant becomes zero."""
    largest = samples.abs().amax(dim, keepdim=True)
    samples = samples / largest.masked_fill(largest == 0, 1.0)
    centred = samples - samples.mean(dim, keepdim=True)
    # Subtracting a constant's own mean leaves rounding error, which must not count as variation.
    rounding = ROUNDING * samples.norm(dim=dim, keepdim=True)
    constant = centred.norm(dim=dim, keepdim=True) <= rounding
    return unit(centred.masked_fill(constant, 0.0), dim)


def paired(codes: Any, name: str, truth: Any) -> list[Tensor]:
    """Check codes `[run, rows, latents]` against the truth of the same rows, two at least."""
    found = checks.tensors(**{"codes": (codes, "run rows latents"), name: (truth, "rows concepts")})
    if len(found[1]) < 2:
        raise ValueError(f"`codes` and `{name}` must hold 2 or more rows; got {len(found[1])}.")
    return found


def cosines(directions: Any, name: str, reference: Any) -> Tensor:
    """Cosines `[run, latents, concepts]`; a zero direction has 0, a zero reference is refused."""
    found, known = checks.tensors(
        **{"directions": (directions, "run latents d_model"), name: (reference, "concepts d_model")}
    )
    if not known.any(-1).all():
        raise ValueError(
            f"`{name}` must hold directions; row {int((~known.any(-1)).nonzero()[0])} is zero, which "
            "points nowhere and cannot be found. Leave it out."
        )
    result: Tensor = unit(found, -1) @ unit(known, -1).mT
    return result.clamp(-1.0, 1.0)
