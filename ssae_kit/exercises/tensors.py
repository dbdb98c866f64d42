"""What checks of tensor functions share."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ssae_kit.exercises.core import Mistake, expect, shape


def seeded(seed: int) -> torch.Generator:
    """Return a random stream of its own."""
    return torch.Generator().manual_seed(seed)


def call(answer: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the learner's function on copies; `Mistake` if it changes a tensor it was given."""
    copies = [a.clone() if isinstance(a, Tensor) else a for a in arguments]
    value = answer(*copies, **named)
    for position, (copy, argument) in enumerate(zip(copies, arguments, strict=True), 1):
        if isinstance(argument, Tensor) and not torch.equal(copy.detach(), argument.detach()):
            raise Mistake(
                f"your function changed its argument {position} in place. Compute a new tensor."
            )
    return value


def tensor(value: Any, size: tuple[int, ...], axes: str) -> Tensor:
    """Return the value as a float tensor of this size; `Mistake` says what came instead.

    Args:
        value: What the learner's function returned.
        size: Shape that is needed.
        axes: Names of its axes, such as ``"[batch, latents]"``.
    """
    expect(value is not None, "your function returned None. Is a `return` missing?")
    wanted = f"a tensor {axes} of shape {list(size)}"
    expect(isinstance(value, Tensor), f"your function must return {wanted}; got {shape(value)}.")
    expect(value.shape == size, f"your function must return {wanted}; got {shape(value)}.")
    found: Tensor = value.detach().double()
    expect(found.isfinite().all(), "your result holds values that are not finite.")
    return found


def same(found: Tensor, wanted: Tensor, tolerance: float = 1e-4) -> bool:
    """Whether two tensors agree everywhere; float32 in a different order errs by 1e-6."""
    return torch.allclose(found.double(), wanted.double(), rtol=tolerance, atol=tolerance)


def diagnose(
    found: Tensor, wanted: Tensor, usual: dict[str, Tensor | None], otherwise: str
) -> None:
    """Raise `Mistake` unless `found` is right; name the usual mistake that gives this result.

    Args:
        found: What the learner's function returned.
        wanted: What is right.
        usual: What is likely wrong, and the result that it would give.
        otherwise: What to say if none of them fits.
    """
    if same(found, wanted):
        return
    for message, wrong in usual.items():
        if wrong is not None and wrong.shape == found.shape and same(found, wrong):
            raise Mistake(message)
    raise Mistake(otherwise)
