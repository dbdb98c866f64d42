"""Small tensors, and right answers, that the exercises of several notebooks share."""

from collections.abc import Callable
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn.functional import normalize

from ssae_kit.exercises.values import Mistake, kind


def normal(seed: int, *size: int) -> Tensor:
    """Return standard normal numbers, the same for the same seed."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


CUT_OFF = (
    "the number is right, but part of it cannot be trained: a `detach`, a NumPy array or a new tensor "
    "cuts it off from what it was computed from."
)


def unit(x: Tensor, dim: int = 0) -> Tensor:
    """Return columns (`dim` 0) or rows (`dim` 1) at length 1."""
    return normalize(x, dim=dim)


def norms(x: Tensor, dim: int = 0) -> Tensor:
    """Return lengths of columns (`dim` 0) or rows (`dim` 1)."""
    found: Tensor = x.norm(dim=dim)
    return found


def centred(x: Tensor) -> Tensor:
    """Data without its mean."""
    return x - x.mean(0)


def with_gradient(
    missing: str, right: Callable[..., Tensor], answer: Callable[..., Any], *case: Any
) -> Any:
    """Try an answer whose second argument needs a gradient; `Mistake` if it gets none, or not all."""
    first, second, *rest = case
    second = second.clone().requires_grad_()
    value = answer(first, second, *rest)
    if value is not None and not getattr(value, "requires_grad", False):
        raise Mistake(f"{missing} Got {kind(value)}.")
    wanted = right(first, second, *rest)
    if isinstance(value, Tensor) and value.numel() == 1 and torch.allclose(value, wanted):
        told, due = (
            torch.autograd.grad(one.sum(), second, allow_unused=True, materialize_grads=True)[0]
            for one in (value, wanted)
        )
        if not torch.allclose(told, due, rtol=1e-4, atol=1e-5):
            raise Mistake(CUT_OFF)
    return value


def correlations(codes: Tensor, concepts: Tensor) -> Tensor:
    """Correlation of every latent with every concept."""
    return unit(centred(codes)).T @ unit(centred(concepts))


def matched(scores: Tensor, by: Tensor | None = None) -> Tensor:
    """Mean score of what is matched one-to-one, by these scores or others."""
    return scores[linear_sum_assignment(scores if by is None else by, maximize=True)].mean()


def mean_shifts(shifts: Tensor, changes: Tensor) -> Tensor:
    """Mean shift of the pairs in which a concept changes, signed by its change."""
    return changes.T @ shifts / changes.abs().sum(0)[:, None]


def alone(shifts: Tensor, changes: Tensor) -> Tensor:
    """Class means over the pairs in which one concept changes."""
    kept = changes.abs().sum(1) == 1
    return mean_shifts(shifts[kept], changes[kept])
