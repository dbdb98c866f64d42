"""Reading sparse features back by optimisation: sparse coding with a known dictionary."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks


def random_dictionary(
    n_runs: int, d_hidden: int, n_features: int, *, generator: torch.Generator
) -> Float[Tensor, "run features d_hidden"]:
    """Draw unit directions, uniformly, one row per feature.

    Raises:
        ValueError: if a size is below 1.
    """
    for name, size in ("n_runs", n_runs), ("d_hidden", d_hidden), ("n_features", n_features):
        checks.whole(name, size)
    checks.require_generator(generator)
    directions = torch.randn(n_runs, d_hidden, n_features, generator=generator).mT
    return torch.nn.functional.normalize(directions, dim=-1)


def exactly_active(
    n_active: Int[Tensor, " run"], n_samples: int, n_features: int, *, generator: torch.Generator
) -> Float[Tensor, "run samples features"]:
    """Draw samples in which exactly `n_active` features are active, each from 0.5 to 1.5.

    Values keep away from zero, so that whether a feature was recovered is a clear question.

    Raises:
        ValueError: if a run asks for fewer than 0 or more than `n_features`.
    """
    checks.require_generator(generator)
    n_samples = checks.whole("n_samples", n_samples)
    n_features = checks.whole("n_features", n_features)
    n_active = checks.indices("n_active", n_active, "run")
    what = f"in 0..{n_features} (the number of features)"
    checks.require("n_active", n_active, what, lambda n: ((n >= 0) & (n <= n_features)).all())
    shape = (len(n_active), n_samples, n_features)
    rank = torch.rand(shape, generator=generator).argsort(-1).argsort(-1)
    values = 0.5 + torch.rand(shape, generator=generator)
    return torch.where(rank < n_active[:, None, None].to(rank.device), values, 0.0)


@torch.no_grad()
def fista(
    dictionary: Float[Tensor, "run features d_hidden"],
    hidden: Float[Tensor, "run samples d_hidden"],
    penalty: float = 0.01,
    n_steps: int = 300,
) -> Float[Tensor, "run samples features"]:
    """Find the sparse code whose decoding is closest: least squares plus an L1 penalty.

    Minimises |h - a D|²/2 + penalty · |a|₁ over a, by gradient steps that shrink the code
    towards zero, each taken from a point extrapolated along the last move (that is what makes it
    fast). It knows the dictionary; a sparse autoencoder has to learn one.

    Args:
        dictionary: Directions, one row per feature.
        hidden: What is to be explained.
        penalty: At least 0, in the units of `hidden`; larger is sparser and more shrunken.
        n_steps: Iterations, at least 1.

    Returns:
        Codes, signed, in the units of `hidden` for unit directions.

    Raises:
        ValueError: if `penalty` or `n_steps` is out of range, an axis is missing, a value is not
            finite or a dictionary vanishes.

    Source: Beck & Teboulle 2009, A fast iterative shrinkage-thresholding algorithm.
    """
    checks.require("penalty", penalty, "finite and at least 0", lambda x: 0 <= x < float("inf"))
    penalty = float(penalty)
    checks.whole("n_steps", n_steps)
    dictionary, hidden = checks.tensors(
        dictionary=(dictionary, "run features d_hidden"), hidden=(hidden, "run samples d_hidden")
    )
    size = torch.linalg.matrix_norm(dictionary, ord=2).square()
    what = "above 0 and finite, squared, in every run"
    checks.require("size of dictionary", size, what, lambda x: (x * (1 / x)).isfinite().all())
    step = (1 / size)[:, None, None]
    code = point = hidden.new_zeros(*hidden.shape[:2], dictionary.shape[1])
    momentum = 1.0
    for _ in range(n_steps):
        error = point @ dictionary - hidden
        moved = point - step * (error @ dictionary.mT)
        shrunk = moved.sign() * (moved.abs() - step * penalty).clamp_min(0)
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        point = shrunk + (momentum - 1) / following * (shrunk - code)
        code, momentum = shrunk, following
    return code


def recovered(
    codes: Float[Tensor, "run samples features"], features: Float[Tensor, "run samples features"]
) -> Float[Tensor, " run"]:
    """Share of samples read back whole: error below a tenth of the sample's length; 1 is best.

    A sample without any active feature counts as read back if its code is all zero.
    """
    axes = "run samples features"
    codes, features = checks.tensors(codes=(codes, axes), features=(features, axes))
    error, length = (codes - features).norm(dim=-1), features.norm(dim=-1)
    return torch.le(error, 0.1 * length).float().mean(-1)
