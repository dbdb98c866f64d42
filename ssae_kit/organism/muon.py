"""Muon in float32, all matrices of one shape at once.

The same update as `torch.optim.Muon`, which works matrix by matrix in bfloat16; that is several
times slower on a CPU without bfloat16 units.
"""

from collections.abc import Callable, Iterable

import torch
from jaxtyping import Float
from torch import Tensor

_A, _B, _C = 3.4445, -4.775, 2.0315
"""Coefficients of the quintic Newton-Schulz iteration (Jordan et al. 2024, the Muon post)."""
MOMENTUM = 0.95
"""Share of the old momentum kept per step."""
DECAY = 0.05
"""Decoupled weight decay, times the learning rate."""


def orthogonalised(
    updates: Float[Tensor, "matrices rows columns"],
) -> Float[Tensor, "matrices rows columns"]:
    """Bring all singular values near 1, keeping the singular vectors."""
    is_tall = updates.shape[1] > updates.shape[2]
    x: Tensor = updates.transpose(1, 2) if is_tall else updates
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.transpose(1, 2)
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x.transpose(1, 2) if is_tall else x


class BatchedMuon(torch.optim.Optimizer):
    """Momentum, orthogonalised; for hidden matrices only."""

    def __init__(self, weights: Iterable[Tensor], learning_rate: float) -> None:
        """Take matrices.

        Args:
            weights: Two-dimensional parameters.
            learning_rate: In the scale of AdamW: updates are rescaled to AdamW's usual size.
        """
        super().__init__(list(weights), {"lr": learning_rate})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Change the weights in place by their gradients."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape.setdefault(weight.shape, []).append(weight)
            for weights in by_shape.values():
                self._move(weights, group["lr"])

    def _move(self, weights: list[Tensor], rate: float) -> None:
        directions = []
        for weight in weights:
            state = self.state[weight]
            buffer = state.setdefault("momentum", torch.zeros_like(weight))
            gradient: Tensor = weight.grad  # type: ignore[assignment]
            buffer.lerp_(gradient, 1 - MOMENTUM)
            directions.append(gradient.lerp(buffer, MOMENTUM))
        moves = orthogonalised(torch.stack(directions))
        scale = rate * 0.2 * max(weights[0].shape) ** 0.5
        for weight, move in zip(weights, moves, strict=True):
            weight.mul_(1 - rate * DECAY).add_(move, alpha=-scale)
