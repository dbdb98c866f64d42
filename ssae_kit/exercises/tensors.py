"""Small tensors that the exercises share."""

import torch
from torch import Tensor


def normal(seed: int, *size: int) -> Tensor:
    """Return standard normal numbers, the same for the same seed."""
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def unit(x: Tensor, dim: int = 0) -> Tensor:
    """Return columns (`dim` 0) or rows (`dim` 1) at length 1."""
    scaled: Tensor = x / x.norm(dim=dim, keepdim=True)
    return scaled
