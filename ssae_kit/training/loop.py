"""One training loop for every autoencoder: all runs at once, under a penalty or a constraint."""

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cooper
import torch
from torch import Tensor
from tqdm import tqdm

from ssae_kit.autoencoders import LossTerms, SparseAutoencoder
from ssae_kit.storage import load_tensors, save_tensors
from ssae_kit.training.revive import revive_dead_
from ssae_kit.training.settings import (
    SERIES,
    Constraint,
    History,
    Penalty,
    Source,
    Terms,
    Trainable,
    TrainingConfig,
    check,
)
from ssae_kit.upstream import require

require("cooper-optim", cooper, "ConstrainedMinimizationProblem", "Constraint", "CMPState")
require("cooper-optim", cooper, "ConstraintState", "ConstraintType", "formulations", "multipliers")
require("cooper-optim", cooper.optim, "SimultaneousOptimizer")


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
        checkpoint: File to save to every `checkpoint_every` steps. If it exists, training goes on
            from there, with the result, bit for bit, that an uninterrupted run would have had.
            (Nothing is saved on an interrupt: it may fall in the middle of an update.)

    Returns:
        The history.

    Raises:
        ValueError: if the inputs have another shape or type than required, one is not finite (its
            row is named), they do not vary, the batch is larger than the data, a setting is out of
            range, or the checkpoint is of another training.
        FloatingPointError: if a run diverges; names the step and the runs.
    """
    config = config or TrainingConfig()
    d_model = getattr(autoencoder, "d_model", None)
    check(inputs, sparsity, config, autoencoder.n_runs, d_model)
    loop = _Loop(autoencoder, inputs, sparsity, config, generator)
    if checkpoint is not None and Path(checkpoint).exists():
        loop.restore(checkpoint)
    steps = range(loop.done, config.steps)
    bar = tqdm(steps, disable=not progress, initial=loop.done, total=config.steps, unit="step")
    for step in bar:
        terms = loop.update(step)
        if loop.done % config.record_every == 0 or loop.done == config.steps:
            loop.record(terms)
            bar.set_postfix(error=f"{terms.error.mean().item():.4f}")
            if on_record is not None:
                on_record(loop.history)
        if checkpoint is not None and loop.done % config.checkpoint_every == 0:
            loop.save(checkpoint)
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

    def compute_cmp_state(self, terms: Terms, level: Tensor) -> cooper.CMPState:
        violation = cooper.ConstraintState(violation=terms.sparsity / level - 1)
        return cooper.CMPState(
            loss=_with_auxiliary(terms).sum(),
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
        self.autoencoder, self.sparsity = autoencoder, sparsity
        self.inputs = inputs.contiguous() if isinstance(inputs, Tensor) else inputs
        self.config, self.generator = config, generator
        self.done, self.history = 0, History()
        if config.resample_every and not isinstance(autoencoder, SparseAutoencoder):
            raise ValueError(
                f"`resample_every` must be 0: a {type(autoencoder).__name__} has no dead latents "
                f"to resample; got {config.resample_every}."
            )
        autoencoder.calibrate_(inputs if isinstance(inputs, Tensor) else self.batch(4096))
        self.primal = torch.optim.Adam(
            autoencoder.parameters(), lr=config.learning_rate, fused=True
        )
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

    def batch(self, size: int) -> Tensor:
        """Draw inputs, `[run, size, d_model]`."""
        if not isinstance(self.inputs, Tensor):
            return self.inputs(size, self.generator)
        n_runs, n_samples = self.autoencoder.n_runs, self.inputs.shape[-2]
        drawn = torch.randint(n_samples, (n_runs, size), generator=self.generator)
        if self.inputs.dim() == 3:
            drawn = drawn + n_samples * torch.arange(n_runs)[:, None]
        rows = self.inputs.flatten(0, -2)  # one long table: many times faster than `inputs[...]`
        chosen = rows.index_select(0, drawn.flatten().to(rows.device))
        return chosen.view(n_runs, size, -1)

    def update(self, step: int) -> Terms:
        """Make one update; returns the batch's loss terms before it."""
        progress = step / self.config.steps
        for group in self.primal.param_groups:
            group["lr"] = self.config.rate_at(progress)
        terms: Terms = self.autoencoder.loss(self.batch(self.config.batch_size))
        _check_converging(terms, step)
        level = self.sparsity.at(progress).to(terms.sparsity)
        if isinstance(self.sparsity, Constraint):
            self.cooper.roll(compute_cmp_state_kwargs={"terms": terms, "level": level})
        else:
            self.autoencoder.zero_grad()
            loss = _with_auxiliary(terms)
            if level.any():
                loss = loss + level * terms.sparsity
            loss.sum().backward()
            self.primal.step()
        self.done = step + 1
        self.resample()
        return terms

    def resample(self) -> None:
        """Start dead latents anew, when it is time to."""
        every, n_steps = self.config.resample_every, self.config.steps
        if every and self.done % every == 0 and self.done <= self.config.resample_until * n_steps:
            inputs = self.batch(8 * self.config.batch_size)
            revive_dead_(self.autoencoder, inputs, self.primal, generator=self.generator)

    def record(self, terms: Terms) -> None:
        """Append to the history."""
        level = self.sparsity.at((self.done - 1) / self.config.steps)
        level = level.to(terms.error).expand(self.autoencoder.n_runs)
        dead = getattr(self.autoencoder, "dead", torch.zeros(level.shape[0], 1))
        dead = dead.to(terms.error).mean(-1)
        multiplier = self.problem.multiplier.weight
        self.history.append(self.done, terms.error, terms.sparsity, level, multiplier, dead)

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
        self._check_same(path, metadata.get("of"), tensors.get("model.scale"))

        def part(prefix: str) -> dict[str, Tensor]:
            named = tensors.items()
            return {k.removeprefix(prefix): v for k, v in named if k.startswith(prefix)}

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

    def _check_same(self, path: str | Path, told: Any, scale: Tensor | None) -> None:
        """Raise a ValueError unless a checkpoint is of this training and of these data."""
        advice = "Give this training a file of its own, or delete that one."
        if told != self._identity():
            raise ValueError(
                f"{path} belongs to another training: {told}; this one is {self._identity()}. "
                f"{advice}"
            )
        # The size of the inputs tells data apart, up to rounding; a function draws others each time.
        if isinstance(self.inputs, Tensor) and scale is not None:
            here = self.autoencoder.scale.cpu()
            if not torch.allclose(scale, here, rtol=1e-5, atol=0):
                raise ValueError(
                    f"{path} belongs to another training, on inputs of size {scale.tolist()}; "
                    f"these have {here.tolist()}. {advice}"
                )

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that goes on from it."""
        shapes = {k: list(v.shape) for k, v in self.autoencoder.state_dict().items()}
        settings = {
            k: v.tolist() if isinstance(v, Tensor) else v for k, v in vars(self.sparsity).items()
        }
        return {
            "class": type(self.autoencoder).__name__,
            "settings": getattr(self.autoencoder, "settings", {}),
            "shapes": shapes,
            "sparsity": [type(self.sparsity).__name__, settings],
            "config": asdict(self.config),
        }


def _with_auxiliary(terms: Terms) -> Tensor:
    auxiliary: Tensor | float = getattr(terms, "auxiliary", 0.0)
    return terms.error + auxiliary


def _check_converging(terms: Terms, step: int) -> None:
    if not math.isfinite((terms.error + terms.sparsity).detach().sum()):
        bad = ~torch.isfinite(terms.error + terms.sparsity)
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

    Returns:
        One number per run, unitless; no auxiliary term.
    """
    parts = inputs.split(chunk, dim=-2)
    weights = [part.shape[-2] / inputs.shape[-2] for part in parts]
    terms = [autoencoder.loss(part) for part in parts]
    error = sum(w * t.error for w, t in zip(weights, terms, strict=True))
    sparsity = sum(w * t.sparsity for w, t in zip(weights, terms, strict=True))
    return LossTerms(torch.as_tensor(error), torch.as_tensor(sparsity))
