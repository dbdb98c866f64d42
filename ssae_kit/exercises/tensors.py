"""Small tensors, and right answers, that the exercises of several notebooks share."""

<<<<<<< HEAD
=======
from collections.abc import Callable
>>>>>>> w/small
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


def cut_off(value: Any, right: Tensor, source: Tensor) -> bool:
    """Whether a loss is right, and yet tells its source another gradient than the right one."""
    if not isinstance(value, Tensor) or value.numel() != 1 or not torch.allclose(value, right):
        return False
    (found,) = torch.autograd.grad(value.sum(), source, allow_unused=True, materialize_grads=True)
    (wanted,) = torch.autograd.grad(right, source)
    return not torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


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


def with_gradient(missing: str, answer: Callable[..., Any], *case: Any) -> Any:
    """Try an answer whose second argument needs a gradient; `Mistake` if it gets none."""
    first, second, *rest = case
    value = answer(first, second.clone().requires_grad_(), *rest)
    if value is not None and not getattr(value, "requires_grad", False):
        raise Mistake(f"{missing} Got {kind(value)}.")
    return value


def correlations(codes: Tensor, concepts: Tensor) -> Tensor:
    """Correlation of every latent with every concept."""
    return unit(centred(codes)).T @ unit(centred(concepts))


def matched(scores: Tensor, *, maximize: bool = True) -> Tensor:
    """Mean score of what is matched one-to-one."""
    return scores[linear_sum_assignment(scores, maximize=maximize)].mean()


def mean_shifts(shifts: Tensor, changes: Tensor) -> Tensor:
    """Mean shift of the pairs in which a concept changes, signed by its change."""
    return changes.T @ shifts / changes.abs().sum(0)[:, None]
