"""What a training is told, and what it tells back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks

Source = Tensor | np.ndarray | Callable[[int, torch.Generator], Tensor]
"""Training inputs: `[samples, d_model]` for all runs or `[run, samples, d_model]` with one set per
run, as a tensor or array in memory or mapped from a file (`torch.from_file`, `numpy.memmap`: only
the rows of a batch are read, unless they are float64 or integers, which are copied to float32); or
a function of batch size and generator that returns a batch, and draws from nothing but that
generator."""


def _require_shares(settings: Any, *names: str) -> None:
    """Raise a ValueError unless each of the settings is a share."""
    what = "a share of the steps, 0 to 1"
    for name in names:
        checks.require(name, getattr(settings, name), what, lambda share: 0 <= share <= 1)


def _require_amounts(settings: Any, name: str, what: str, holds: Callable[[Tensor], Any]) -> None:
    """Raise a ValueError unless a setting is one number or one per run, for which `holds` is true."""
    (amounts,) = checks.tensors(**{name: (getattr(settings, name), "*run")})
    if amounts.dim() > 1 or not holds(amounts).all():
        raise ValueError(
            f"`{name}` must be {what}, one number or one per run; got {amounts.tolist()}."
        )


def _is_above_0(value: float) -> bool:
    return 0 < value < torch.inf


@dataclass(frozen=True)
class Penalty:
    """Add `weight` times the sparsity term to the error.

    Raises:
        ValueError: if a setting is out of its range.
    """

    weight: float | Tensor = 0.0
    """Unitless, at least 0; a tensor `[run]` gives every run its own."""
    warmup: float = 0.0
    """Share of steps, at the start, over which the weight rises linearly from 0; at 0 it is there
    from the second step on."""

    def __post_init__(self) -> None:
        _require_amounts(self, "weight", "at least 0", lambda weight: weight >= 0)
        _require_shares(self, "warmup")

    def at(self, progress: float) -> Tensor:
        """Return the weight at a point of training, `progress` from 0 to 1."""
        weight = torch.as_tensor(self.weight, dtype=torch.float32)
        return weight * min(progress / max(self.warmup, 1e-9), 1.0)


@dataclass(frozen=True)
class Constraint:
    """Keep the sparsity term at or below `level`, by a Lagrange multiplier that learns too.

    Each step descends on `error + multiplier * (sparsity / level - 1)`, and then

        multiplier = max(0, multiplier + dual_learning_rate * (sparsity / level - 1))

    so the multiplier climbs while the constraint is violated, and falls to 0 where it is slack.

    Raises:
        ValueError: if a setting is out of its range.

    Source: Joshi et al. 2025 (arXiv 2502.12179), read in abstract and code, not in full; the update
    is that of Gallego-Posada et al. 2025 (cooper).
    """

    level: float | Tensor
    """Highest value of the architecture's sparsity term (of a `ShiftAutoencoder`: the mean absolute
    code, in units of the root mean square input length), above 0; a tensor `[run]` gives every run
    its own."""
    start: float = 3.0
    """Level during warm-up, as a multiple of `level`, at least 1."""
    warmup: float = 0.1
    """Share of steps at the start level, 0 to 1."""
    ramp: float = 0.3
    """Share of steps, after the warm-up, over which the level falls linearly to `level`; at 0 it
    falls at once, but for the first step, which is always at the start level."""
    dual_learning_rate: float = 0.1
    """Step size of the multiplier, which climbs by this times the relative violation."""

    def __post_init__(self) -> None:
        bound = "above 0 (`choose_level` finds one from the data)"
        _require_amounts(self, "level", bound, lambda level: level > 0)
        _require_shares(self, "warmup", "ramp")
        checks.require("start", self.start, "at least 1", lambda value: 1 <= value < torch.inf)
        checks.require("dual_learning_rate", self.dual_learning_rate, "above 0", _is_above_0)

    def at(self, progress: float) -> Tensor:
        """Return the level at a point of training, `progress` from 0 to 1."""
        tightened = min(max((progress - self.warmup) / max(self.ramp, 1e-9), 0.0), 1.0)
        level = torch.as_tensor(self.level, dtype=torch.float32)
        return level * (self.start + (1 - self.start) * tightened)


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast.

    Raises:
        ValueError: if a setting is out of its range.
    """

    steps: int = 800
    """Parameter updates."""
    batch_size: int = 256
    """Inputs per update and run, drawn with replacement."""
    learning_rate: float = 1e-2
    """Adam's step size, until it decays."""
    warmup: float = 0.0
    """Share of steps, at the start, over which the learning rate rises linearly from 0."""
    decay: float = 0.3
    """Share of steps, at the end, over which the learning rate falls linearly to 1%."""
    resample_every: int = 0
    """Steps between two resamplings of dead latents; 0 for never."""
    resample_until: float = 0.6
    """Share of steps after which no latent is resampled, so that all can settle."""
    record_every: int = 25
    """Steps between two entries of the history."""
    checkpoint_every: int = 500
    """Steps between two checkpoints, where a file for them is given; the last step has one too."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "record_every", "checkpoint_every"):
            checks.whole(name, getattr(self, name))
        checks.whole("resample_every", self.resample_every, 0)
        _require_shares(self, "warmup", "decay", "resample_until")
        checks.require("learning_rate", self.learning_rate, "above 0", _is_above_0)

    def rate_at(self, progress: float) -> float:
        """Return the learning rate at a point of training, `progress` from 0 to 1."""
        if progress < self.warmup:
            return self.learning_rate * (progress / self.warmup)
        falling = progress >= 1 - self.decay
        rate = 0.01 + 0.99 * (1 - progress) / max(self.decay, 1e-9) if falling else 1.0
        return self.learning_rate * rate


@dataclass(frozen=True, repr=False)
class History:
    """What happened during training, one row per recorded step; kept on the CPU."""

    step: list[int] = field(default_factory=list)
    """Updates made so far."""
    error: list[Tensor] = field(default_factory=list)
    """Reconstruction error of the batch, `[run]`, unitless."""
    sparsity: list[Tensor] = field(default_factory=list)
    """Sparsity term of the batch, `[run]`, unitless."""
    level: list[Tensor] = field(default_factory=list)
    """Level in force, `[run]`; the penalty's weight where there is no constraint."""
    multiplier: list[Tensor] = field(default_factory=list)
    """Lagrange multiplier, `[run]`; zero where there is no constraint."""
    dead: list[Tensor] = field(default_factory=list)
    """Share of latents that are dead, `[run]`, 0 to 1; zero for a model that counts none."""

    def __repr__(self) -> str:
        last = f", last at step {self.step[-1]}" if self.step else ""
        return f"History({len(self.step)} records{last})"

    def series(self, name: str) -> Float[Tensor, "records run"]:
        """Return one of the tensors above, stacked over records.

        Raises:
            ValueError: if there is no such tensor, or nothing was recorded yet.
        """
        if name not in SERIES or not self.step:
            raise ValueError(
                f"`name` must be one of {SERIES}, recorded at least once; got {name!r} after "
                f"{len(self.step)} records."
            )
        rows: list[Tensor] = getattr(self, name)
        return torch.stack(rows)

    def append(self, step: int, *values: Tensor) -> None:
        """Add a row: the step, and a value for each of `SERIES`."""
        self.step.append(step)
        for name, value in zip(SERIES, values, strict=True):
            getattr(self, name).append(value.detach().to("cpu", copy=True))


SERIES = ("error", "sparsity", "level", "multiplier", "dead")
