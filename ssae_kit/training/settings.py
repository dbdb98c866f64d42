"""What a training is told, and what it tells back."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

Source = Tensor | Callable[[int, torch.Generator], Tensor]
"""Training inputs: a tensor `[samples, d_model]` for all runs or `[run, samples, d_model]` with one
set per run, in memory or mapped from a file (`torch.from_file`, or `torch.from_numpy` of a
`numpy.memmap`: only the rows of a batch are read); or a function of batch size and generator that
returns a batch, and draws from nothing but that generator."""


@runtime_checkable
class Terms(Protocol):
    """What a loss must hold, one number per run; `auxiliary`, where there is one, is added too."""

    @property
    def error(self) -> Tensor: ...  # noqa: D102
    @property
    def sparsity(self) -> Tensor: ...  # noqa: D102


@runtime_checkable
class Trainable(Protocol):
    """What the loop asks of a model; one with `dead` latents has them counted as well."""

    @property
    def n_runs(self) -> int: ...  # noqa: D102
    def loss(self, inputs: Tensor) -> Terms: ...  # noqa: D102
    def calibrate_(self, inputs: Tensor) -> None: ...  # noqa: D102
    def project_gradients_(self) -> None: ...  # noqa: D102
    def project_(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Penalty:
    """Add `weight` times the sparsity term to the error."""

    weight: float | Tensor = 0.0
    """Unitless, at least 0; a tensor `[run]` gives every run its own."""
    warmup: float = 0.0
    """Share of steps, at the start, over which the weight rises linearly from 0; at 0 it is there
    from the second step on."""

    def at(self, progress: float) -> Tensor:
        """Return the weight at a point of training, `progress` from 0 to 1."""
        return torch.as_tensor(self.weight) * min(progress / max(self.warmup, 1e-9), 1.0)


@dataclass(frozen=True)
class Constraint:
    """Keep the sparsity term at or below `level`, by a Lagrange multiplier that learns too.

    Source: Joshi et al. 2025 (arXiv 2502.12179), section 3; Gallego-Posada et al. 2025 (cooper).
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

    def at(self, progress: float) -> Tensor:
        """Return the level at a point of training, `progress` from 0 to 1."""
        tightened = min(max((progress - self.warmup) / max(self.ramp, 1e-9), 0.0), 1.0)
        return torch.as_tensor(self.level) * (self.start + (1 - self.start) * tightened)


@dataclass(frozen=True)
class TrainingConfig:
    """How long and how fast."""

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
    """Steps between two checkpoints, where a file for them is given."""

    def rate_at(self, progress: float) -> float:
        """Return the learning rate at a point of training, `progress` from 0 to 1."""
        if progress < self.warmup:
            return self.learning_rate * (progress / self.warmup)
        falling = progress >= 1 - self.decay
        rate = 0.01 + 0.99 * (1 - progress) / self.decay if falling else 1.0
        return self.learning_rate * rate


@dataclass(frozen=True, repr=False)
class History:
    """What happened during training, one row per recorded step."""

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
        """Return one of the tensors above, stacked over records."""
        rows: list[Tensor] = getattr(self, name)
        return torch.stack(rows)

    def append(self, step: int, *values: Tensor) -> None:
        """Add a row: the step, and a value for each of `SERIES`."""
        self.step.append(step)
        for name, value in zip(SERIES, values, strict=True):
            getattr(self, name).append(value.detach().clone())


SERIES = ("error", "sparsity", "level", "multiplier", "dead")


LEAST = {
    "steps": 1,
    "batch_size": 1,
    "record_every": 1,
    "checkpoint_every": 1,
    "resample_every": 0,
    "start": 1,
}
"""Settings that have a least value."""
SHARES = ("warmup", "ramp", "decay", "resample_until")
"""Settings that are shares of the steps, 0 to 1."""
RATES = ("learning_rate", "dual_learning_rate")
"""Settings above 0."""


def check(
    inputs: Source,
    sparsity: Penalty | Constraint,
    config: TrainingConfig,
    n_runs: int,
    d_model: int | None,
) -> None:
    """Raise a ValueError if a training so told could not work; `fit` says what is required."""
    _check_amount(sparsity, n_runs)
    for name, value in [*vars(sparsity).items(), *vars(config).items()]:
        if name in LEAST and not value >= LEAST[name]:
            raise ValueError(f"`{name}` must be at least {LEAST[name]}; got {value}.")
        if name in SHARES and not 0 <= value <= 1:
            raise ValueError(f"`{name}` must be a share of the steps, 0 to 1; got {value}.")
        if name in RATES and not value > 0:
            raise ValueError(f"`{name}` must be above 0; got {value}.")
    if isinstance(inputs, Tensor):
        _check_shape(inputs, d_model)
        _check_rows(inputs, config.batch_size, n_runs)


def _check_amount(sparsity: Penalty | Constraint, n_runs: int) -> None:
    name = "level" if isinstance(sparsity, Constraint) else "weight"
    amount = torch.as_tensor(getattr(sparsity, name))
    if tuple(amount.shape) not in ((), (1,), (n_runs,)):
        raise ValueError(
            f"`{name}` must be one number or one for each of the {n_runs} runs; got shape "
            f"{list(amount.shape)}."
        )
    smallest = float(amount.min())
    if name == "level" and not smallest > 0:
        raise ValueError(
            f"`level` must be above 0: it bounds the sparsity term; got {smallest}. "
            "`choose_level` finds one from the data."
        )
    if not smallest >= 0:
        raise ValueError(f"`weight` must be at least 0; got {smallest}.")


def _check_shape(inputs: Tensor, d_model: int | None) -> None:
    """Narrower floats are let pass: divided by the scale they become float32."""
    fits = inputs.dim() in (2, 3) and d_model in (None, inputs.shape[-1])
    if not fits or not inputs.is_floating_point() or inputs.dtype == torch.float64:
        raise ValueError(
            f"inputs must be [samples, d_model] or [run, samples, d_model], of width {d_model}, in "
            f"float32; got shape {list(inputs.shape)} in {str(inputs.dtype).removeprefix('torch.')}. "
            "Call `.float()`, or build the autoencoder for this width."
        )


def _check_rows(inputs: Tensor, batch_size: int, n_runs: int) -> None:
    if inputs.dim() == 3 and len(inputs) != n_runs:
        raise ValueError(
            f"inputs [run, samples, d_model] must bring one set for each of the {n_runs} runs; got "
            f"{len(inputs)} sets."
        )
    if batch_size > inputs.shape[-2]:
        raise ValueError(
            f"`batch_size` must not exceed the {inputs.shape[-2]} training inputs; got "
            f"{batch_size}. Lower it or bring more data."
        )
    # In chunks, so that a mapped file is never held as a whole.
    finite = torch.cat(
        [torch.isfinite(part).all(-1) for part in inputs.split(65536, dim=-2)], dim=-1
    )
    if not finite.all():
        row = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"every input must be finite; row {row[-1]} is the first of "
            f"{int((~finite).sum())} that are not. Find out where they come from."
        )
