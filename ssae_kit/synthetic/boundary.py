"""Where the true basis stops being the one with the lowest L1 norm.

The theorem asks for the sparsest code in the sense of L0, the number of active latents. Training
replaces L0 by L1, the sum of absolute codes, because L1 has gradients. L1 asks for more than L0:
the formulas here say how much more, for concepts at right angles.

The setting is `supports.grouped`: in a share p of the pairs a whole group of m concepts shifts,
otherwise one of the group shifts alone.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks


def tilt_boundary(group: int, correlation: float) -> float:
    """Joint share above which tilting the directions towards each other lowers L1.

    Tilt direction j by a small angle t towards direction k. The code of concept j becomes
    `c_j - t c_k`. Where both shift, its size falls by `t E[c_k sign(c_j)] = t r E|c|` on average
    (r is the correlation). Where k shifts alone, it rises from 0 to `t |c_k|`. With shares p of
    joint pairs and (1 - p) / m of pairs where k shifts alone, tilting pays once

        p r > (1 - p) / m,        so        p > 1 / (1 + m r).

    Args:
        group: Concepts in the group, m, at least 2.
        correlation: E[c_k sign(c_j)] / E|c| in joint pairs: 1 if tied with the same sign, 0 if
            signs are free, the correlation if Gaussian.

    Returns:
        The share, 0 to 1; at 1 tilting never pays.

    Raises:
        ValueError: if `group` is below 2 or `correlation` outside 0..1.
    """
    checks.whole("group", group, 2)
    checks.require("correlation", correlation, "in 0..1", lambda r: 0 <= r <= 1)
    return 1 / (1 + group * correlation)


def turn_boundary(correlation: float = 1.0) -> float:
    """Joint share above which the basis of two concepts turned by 45 degrees has the lower L1.

    Turned, a concept that shifts alone costs sqrt(2) |c|; two that shift together cost
    `(|c_1 + c_2| + |c_1 - c_2|) / sqrt(2) = sqrt(2) max(|c_1|, |c_2|)`, whatever their signs. With
    `u = E max / E|c|` the two bases cost the same when

        1 + p = sqrt(2) (1 - p) + sqrt(2) u p,    so    p = (sqrt(2) - 1) / (1 + sqrt(2) - sqrt(2) u).

    Concepts of equal size have u = 1 and a boundary of sqrt(2) - 1. Independent Gaussians have
    u = sqrt(2) and a boundary of 1: their joint pairs look the same from every angle.

    Args:
        correlation: Of the two Gaussian magnitudes before signs are flipped, 0 to 1.

    Returns:
        The share, 0.41 to 1; at 1 turning never pays.

    Raises:
        ValueError: if `correlation` is outside 0..1.
    """
    checks.require("correlation", correlation, "in 0..1", lambda r: 0 <= r <= 1)
    spread = (math.sqrt(1 + correlation) + math.sqrt(1 - correlation)) / math.sqrt(2)
    return (math.sqrt(2) - 1) / (1 + math.sqrt(2) - math.sqrt(2) * spread)


def mean_l1(
    changes: Float[Tensor, "samples concepts"], basis: Float[Tensor, "*bases concepts concepts"]
) -> Float[Tensor, "*bases"]:
    """Mean L1 norm of the codes that reproduce the concept shifts in other bases.

    Args:
        changes: True changes; concepts at right angles and of length 1.
        basis: One or more bases; the rows are the directions, of length 1.

    Returns:
        At least 0, in the units of the concept shifts; less is sparser.
    """
    changes, basis = checks.tensors(
        changes=(changes, "samples concepts"), basis=(basis, "*bases concepts concepts")
    )
    codes = changes @ torch.linalg.inv(basis)
    norm: Tensor = codes.abs().sum(-1).mean(-1)
    return norm


def two_directions(
    first: Float[Tensor, "*bases"], second: Float[Tensor, "*bases"]
) -> Float[Tensor, "*bases 2 2"]:
    """Unit directions in the plane of two concepts, by their angles in radians; rows.

    Angles 0 and pi / 2 are the concepts' own directions.
    """
    rows = [torch.stack([angle.cos(), angle.sin()], -1) for angle in (first, second)]
    return torch.stack(rows, -2)
