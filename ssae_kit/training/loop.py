"""One training loop for every autoencoder: all runs at once, under a penalty or a constraint."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cooper
import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ssae_kit.autoencoders import LossTerms
from ssae_kit.storage import load_tensors, save_tensors

Source = Tensor | Callable[[int, torch.Generator], Tensor]
"""Training inputs: `[samples, d_model]` for all runs, `[run, samples, d_model]` with one set per
run, or a function of batch size and generator that returns a batch."""


class Trainable(Protocol):
    """What the loop asks of an autoencoder."""

    @property
    def n_runs(self) -> int: ...  # noqa: D102
    def loss(self, inputs: Tensor) -> LossTerms: ...  # noqa: D102
    def calibrate_(self, inputs: Tensor) -> None: ...  # noqa: D102
    def project_gradients_(self) -> None: ...  # noqa: D102
    def project_(self) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Penalty:
    """Add `weight` times the sparsity term to the error."""

    weight: float | Tensor = 0.0
    """Unitless, at least 0; a tensor `[run]` gives every run its own."""


@dataclass(frozen=True)
class Constraint:
    """Keep the sparsity term at or below `level`, by a Lagrange multiplier that learns too.

    Source: Joshi et al. 2025 (arXiv 2502.12179), section 3; Gallego-Posada et al. 2025 (cooper).
    """

    level: float | Tensor
    """Highest mean absolute code, above 0, in units of the root mean square input length; a
    tensor `[run]` gives every run its own."""
    start: float = 3.0
    """Level during warm-up, as a multiple of `level`, at least 1."""
    warmup: float = 0.1
    """Share of steps at the start level, 0 to 1."""
    ramp: float = 0.3
    """Share of steps, after the warm-up, over which the level falls linearly to `level`."""
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
    decay: float = 0.3
    """Share of steps, at the end, over which the learning rate falls linearly to 1%."""
    record_every: int = 25
    """Steps between two entries of the history."""
    checkpoint_every: int = 500
    """Steps between two checkpoints, where a file for them is given."""


@dataclass(frozen=True)
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

    def series(self, name: str) -> Float[Tensor, "records run"]:
        """Return one of the tensors above, stacked over records."""
        rows: list[Tensor] = getattr(self, name)
        return torch.stack(rows)

    def append(self, step: int, *values: Tensor) -> None:
        """Add a row: step, error, sparsity, level, multiplier."""
        self.step.append(step)
        for name, value in zip(SERIES, values, strict=True):
            getattr(self, name).append(value.detach().clone())


SERIES = ("error", "sparsity", "level", "multiplier")


def fit(
    autoencoder: Trainable,
    inputs: Source,
    sparsity: Penalty | Constraint,
    config: TrainingConfig | None = None,
    *,
    generator: torch.Generator,
    progress: bool = False,
    on_record: Callable[[History], None] | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    """Train an autoencoder in place, all of its runs at once.

    Runs share nothing but the loop: each draws its own batches, and the sum of their losses
    gives every run the gradient it would have alone.

    Args:
        autoencoder: Trained in place.
        inputs: See `Source`. Must be finite.
        sparsity: Penalty or constraint.
        config: How long and how fast.
        generator: Source of the batches. Keep it apart from the one that made the data and the
            one that made the initial weights.
        progress: Show a progress bar.
        on_record: Called with the history after each entry; a live plot hangs here.
        checkpoint: File to save to now and then, and on interrupt. If it exists, training goes
            on from there, with the result that an uninterrupted run would have had.

    Returns:
        The history.

    Raises:
        ValueError: if an input is not finite (its row is named), the batch is larger than the
            data, a setting is out of range, or the checkpoint is of another training.
        FloatingPointError: if a run diverges; names the step and the runs.
    """
    config = config or TrainingConfig()
    _check(inputs, sparsity, config)
    loop = _Loop(autoencoder, inputs, sparsity, config, generator)
    if checkpoint is not None and Path(checkpoint).exists():
        loop.restore(checkpoint)
    steps = range(loop.done, config.steps)
    bar = tqdm(steps, disable=not progress, initial=loop.done, total=config.steps, unit="step")
    try:
        for step in bar:
            terms = loop.update(step)
            if loop.done % config.record_every == 0 or loop.done == config.steps:
                loop.record(terms)
                bar.set_postfix(error=f"{terms.error.mean().item():.4f}")
                if on_record is not None:
                    on_record(loop.history)
            if checkpoint is not None and loop.done % config.checkpoint_every == 0:
                loop.save(checkpoint)
    except KeyboardInterrupt:
        if checkpoint is not None:
            loop.save(checkpoint)
        raise
    return loop.history


class _Problem(cooper.ConstrainedMinimizationProblem):  # type: ignore[misc]
    """Minimise the summed error subject to one sparsity constraint per run."""

    def __init__(self, n_runs: int) -> None:
        super().__init__()
        self.multiplier = cooper.multipliers.DenseMultiplier(num_constraints=n_runs)
        self.constraint = cooper.Constraint(
            constraint_type=cooper.ConstraintType.INEQUALITY,
            formulation_type=cooper.formulations.Lagrangian,
            multiplier=self.multiplier,
        )

    def compute_cmp_state(self, terms: LossTerms, level: Tensor) -> cooper.CMPState:
        violation = cooper.ConstraintState(violation=terms.sparsity / level - 1)
        return cooper.CMPState(
            loss=(terms.error + terms.auxiliary).sum(),
            observed_constraints={self.constraint: violation},
        )


class _Loop:
    """The state of one training, so that it can stop and go on."""

    def __init__(
        self,
        autoencoder: Any,
        inputs: Source,
        sparsity: Penalty | Constraint,
        config: TrainingConfig,
        generator: torch.Generator,
    ) -> None:
        self.autoencoder, self.inputs, self.sparsity = autoencoder, inputs, sparsity
        self.config, self.generator = config, generator
        self.done, self.history = 0, History()
        autoencoder.calibrate_(self.inputs if isinstance(inputs, Tensor) else self.batch())
        self.primal = torch.optim.Adam(autoencoder.parameters(), lr=config.learning_rate)
        self.primal.register_step_pre_hook(lambda *_: autoencoder.project_gradients_())
        self.primal.register_step_post_hook(lambda *_: autoencoder.project_())
        self.problem = _Problem(autoencoder.n_runs)
        if isinstance(sparsity, Constraint):
            dual = torch.optim.SGD(
                self.problem.dual_parameters(), lr=sparsity.dual_learning_rate, maximize=True
            )
            self.cooper = cooper.optim.SimultaneousOptimizer(
                cmp=self.problem, primal_optimizers=self.primal, dual_optimizers=dual
            )

    def batch(self) -> Tensor:
        """Draw the next batch, `[run, batch, d_model]`."""
        size = self.config.batch_size
        if not isinstance(self.inputs, Tensor):
            return self.inputs(size, self.generator)
        n_runs, n_samples = self.autoencoder.n_runs, self.inputs.shape[-2]
        rows = torch.randint(n_samples, (n_runs, size), generator=self.generator)
        rows = rows.to(self.inputs.device)
        if self.inputs.dim() == 2:
            return self.inputs[rows]
        return self.inputs[torch.arange(n_runs, device=rows.device)[:, None], rows]

    def update(self, step: int) -> LossTerms:
        """Make one update; returns the batch's loss terms before it."""
        progress, decay = step / self.config.steps, self.config.decay
        rate = 1.0 if progress < 1 - decay else 0.01 + 0.99 * (1 - progress) / decay
        for group in self.primal.param_groups:
            group["lr"] = self.config.learning_rate * rate
        terms: LossTerms = self.autoencoder.loss(self.batch())
        _check_converging(terms, step)
        if isinstance(self.sparsity, Constraint):
            level = self.sparsity.at(progress).to(terms.sparsity)
            self.cooper.roll(compute_cmp_state_kwargs={"terms": terms, "level": level})
        else:
            self.primal.zero_grad()
            (terms.error + self.sparsity.weight * terms.sparsity + terms.auxiliary).sum().backward()
            self.primal.step()
        self.done = step + 1
        return terms

    def record(self, terms: LossTerms) -> None:
        """Append to the history."""
        if isinstance(self.sparsity, Constraint):
            level = self.sparsity.at((self.done - 1) / self.config.steps)
        else:
            level = torch.as_tensor(self.sparsity.weight, dtype=torch.float32)
        level = level.to(terms.error).expand(self.autoencoder.n_runs)
        self.history.append(
            self.done, terms.error, terms.sparsity, level, self.problem.multiplier.weight
        )

    def save(self, path: str | Path) -> None:
        """Write everything that the next update depends on."""
        tensors = {f"model.{k}": v for k, v in self.autoencoder.state_dict().items()}
        tensors["generator"] = self.generator.get_state()
        tensors["multiplier"] = self.problem.multiplier.weight
        for index, state in self.primal.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        tensors |= {f"history.{n}": self.history.series(n) for n in SERIES if self.history.step}
        metadata = {"done": self.done, "steps": self.history.step, "of": self._identity()}
        save_tensors(path, tensors, metadata)

    def restore(self, path: str | Path) -> None:
        """Go back to where `save` was called."""
        tensors, metadata = load_tensors(path)
        if metadata.get("of") != self._identity():
            raise ValueError(
                f"{path} belongs to another training: {metadata.get('of')}; this one is "
                f"{self._identity()}. Give this training a file of its own, or delete that one."
            )
        part = lambda prefix: {  # noqa: E731
            k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
        }
        self.autoencoder.load_state_dict(part("model."))
        self.generator.set_state(tensors["generator"])
        self.problem.multiplier.weight.data.copy_(tensors["multiplier"])
        adam = self.primal.state_dict()
        for name, value in part("adam.").items():
            index, key = name.split(".", 1)
            adam["state"].setdefault(int(index), {})[key] = value
        self.primal.load_state_dict(adam)
        self.done, self.history = metadata["done"], History()
        rows = part("history.")
        for i, step in enumerate(metadata["steps"]):
            self.history.append(step, *(rows[name][i] for name in SERIES))

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that goes on from it."""
        shapes = {k: list(v.shape) for k, v in self.autoencoder.state_dict().items()}
        settings = {
            k: v.tolist() if isinstance(v, Tensor) else v for k, v in vars(self.sparsity).items()
        }
        return {
            "class": type(self.autoencoder).__name__,
            "shapes": shapes,
            "sparsity": [type(self.sparsity).__name__, settings],
            "config": asdict(self.config),
        }


def _check(inputs: Source, sparsity: Penalty | Constraint, config: TrainingConfig) -> None:
    amount = sparsity.level if isinstance(sparsity, Constraint) else sparsity.weight
    smallest = float(torch.as_tensor(amount).min())
    if isinstance(sparsity, Constraint) and not smallest > 0:
        raise ValueError(
            f"`level` must be above 0: it bounds the mean absolute code; got {smallest}. "
            "`choose_level` finds one from the data."
        )
    if not smallest >= 0:
        raise ValueError(f"`weight` must be at least 0; got {smallest}.")
    for name in ("steps", "batch_size", "record_every", "checkpoint_every"):
        if getattr(config, name) < 1:
            raise ValueError(f"`{name}` must be at least 1; got {getattr(config, name)}.")
    if not isinstance(inputs, Tensor):
        return
    if config.batch_size > inputs.shape[-2]:
        raise ValueError(
            f"`batch_size` must not exceed the {inputs.shape[-2]} training inputs; got "
            f"{config.batch_size}. Lower it or bring more data."
        )
    finite = torch.isfinite(inputs).all(-1)
    if not finite.all():
        row = (~finite).nonzero()[0].tolist()
        raise ValueError(
            f"every input must be finite; row {row[-1]} is the first of "
            f"{int((~finite).sum())} that are not. Find out where they come from."
        )


def _check_converging(terms: LossTerms, step: int) -> None:
    bad = ~(torch.isfinite(terms.error) & torch.isfinite(terms.sparsity))
    if bad.any():
        raise FloatingPointError(
            f"training diverged at step {step} in run(s) {bad.nonzero().flatten().tolist()}: the "
            "loss is not finite. Lower `learning_rate`, or look for outliers in the inputs."
        )


@torch.no_grad()
def evaluate(autoencoder: Trainable, inputs: Tensor, *, chunk: int = 4096) -> LossTerms:
    """Return error and sparsity over all inputs, per run.

    Args:
        autoencoder: Any number of runs.
        inputs: `[samples, d_model]` or `[run, samples, d_model]`.
        chunk: Samples per pass, to bound memory.
    """
    parts = inputs.split(chunk, dim=-2)
    weights = [part.shape[-2] / inputs.shape[-2] for part in parts]
    terms = [autoencoder.loss(part) for part in parts]
    return LossTerms(*(sum(w * t[i] for w, t in zip(weights, terms, strict=True)) for i in (0, 1)))
