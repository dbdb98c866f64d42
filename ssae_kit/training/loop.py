"""One training loop for every autoencoder: all runs at once, under a penalty or a constraint."""

import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ssae_kit.autoencoders import Autoencoder, LossTerms, SparseAutoencoder
from ssae_kit.storage import at_home, digest, load_tensors, save_tensors
from ssae_kit.training.inputs import as_inputs, check, huge
from ssae_kit.training.lagrangian import Problem, constrained
from ssae_kit.training.revive import revive_dead_
from ssae_kit.training.settings import SERIES, Constraint, History, Penalty, Source, TrainingConfig

CHUNK = 4096
"""Inputs per pass where all are evaluated, to bound memory."""


def fit(
    autoencoder: Autoencoder,
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
    gives every run the gradient it would have alone. A few huge inputs, which a training would be
    spent on, are named by a warning; see `huge`.

    Args:
        autoencoder: Trained in place, on the device it is on.
        inputs: See `Source`. Must be finite.
        sparsity: Penalty or constraint.
        config: How long and how fast.
        generator: Source of the batches. Keep it apart from the one that made the data and the
            one that made the initial weights.
        progress: Show a progress bar.
        on_record: Called with the history after each entry; a live plot hangs here.
        checkpoint: File to save to every `checkpoint_every` steps. If it exists, training goes on
            from there, with the result, bit for bit, that an uninterrupted run would have had. It
            must be of the same data, settings, initial weights and state of the generator, so
            make both anew, from their seeds, before you call again. (Of a function, the first
            batch is compared. Nothing is saved on an interrupt: it may fall in the middle of an
            update.)

    Returns:
        The history.

    Raises:
        TypeError: if an argument is of another type than required.
        ValueError: if the inputs have another shape or type than required, one is not finite (its
            row is named), they do not vary, the batch is larger than the data, a setting is out of
            range, or the checkpoint is of another training.
        FloatingPointError: if a run diverges; names the step and the runs.
    """
    config = TrainingConfig() if config is None else config
    check(autoencoder, sparsity, config, generator)
    if not callable(inputs):
        inputs = as_inputs(inputs, autoencoder, config.batch_size)
    loop = _Loop(autoencoder, inputs, sparsity, config, generator)
    identity = loop.identity() if checkpoint is not None else {}
    loop.autoencoder.calibrate_(loop.sample())
    if checkpoint is not None and at_home(checkpoint).exists():
        loop.restore(checkpoint, identity)
        if on_record is not None and loop.history.step:
            on_record(loop.history)
    steps = range(loop.done, config.steps)
    bar = tqdm(steps, disable=not progress, initial=loop.done, total=config.steps, unit="step")
    for step in bar:
        terms = loop.update(step)
        at_end = loop.done == config.steps
        if at_end or loop.done % config.record_every == 0:
            loop.record(terms)
            bar.set_postfix(error=f"{terms.error.mean().item():.4f}")
            if on_record is not None:
                on_record(loop.history)
        if checkpoint is not None and (at_end or loop.done % config.checkpoint_every == 0):
            loop.save(checkpoint, identity)
    return loop.history


def penalised(terms: LossTerms, weight: Tensor, optimiser: torch.optim.Optimizer) -> None:
    """Make one update that lowers error + weight × sparsity, of every run.

    The optimiser keeps the decoder's directions at unit norm; see `_Loop`.
    """
    loss = terms.error + terms.auxiliary + weight * terms.sparsity
    optimiser.zero_grad()
    loss.sum().backward()  # runs share nothing: the sum gives each the gradient it has alone
    optimiser.step()


@dataclass(eq=False)
class _Loop:
    """The state of one training, so that it can stop and go on."""

    autoencoder: Autoencoder
    inputs: Any
    sparsity: Penalty | Constraint
    config: TrainingConfig
    generator: torch.Generator
    done: int = 0
    history: History = field(default_factory=History)

    def __post_init__(self) -> None:
        autoencoder, rate = self.autoencoder, self.config.learning_rate
        if isinstance(self.inputs, Tensor):
            self.inputs = self.inputs.contiguous()
        self.primal = torch.optim.Adam(autoencoder.parameters(), lr=rate, fused=True)
        self.primal.register_step_pre_hook(lambda *_: autoencoder.project_gradients_())
        self.primal.register_step_post_hook(lambda *_: autoencoder.project_())
        self.problem = Problem(autoencoder.n_runs, autoencoder.decoder.device)
        if isinstance(self.sparsity, Constraint):
            self.both = constrained(self.problem, self.primal, self.sparsity.dual_learning_rate)

    def sample(self) -> Tensor:
        """Inputs that stand for all; a few huge ones among them are named by a warning."""
        inputs = self.batch(4096) if callable(self.inputs) else self.inputs
        rows = huge(inputs).nonzero()
        if len(rows):
            warnings.warn(
                f"{len(rows)} huge inputs, row {int(rows[0, -1])} the first, are 20 times as long "
                "as the median and more than half of the error: the training will be spent on "
                "them. Leave them out: `inputs[~training.huge(inputs)]`.",
                stacklevel=3,
            )
        return inputs

    def batch(self, size: int) -> Tensor:
        """Draw inputs, `[run, size, d_model]`."""
        device = self.autoencoder.decoder.device
        if callable(self.inputs):
            return as_inputs(self.inputs(size, self.generator), self.autoencoder).to(device)
        n_runs, n_samples = self.autoencoder.n_runs, self.inputs.shape[-2]
        at = self.generator.device
        chosen = torch.randint(n_samples, (n_runs, size), generator=self.generator, device=at)
        if self.inputs.dim() == 3:
            chosen = chosen + n_samples * torch.arange(n_runs, device=at)[:, None]
        rows = self.inputs.flatten(0, -2)  # one long table: many times faster than `inputs[...]`
        drawn: Tensor = rows.index_select(0, chosen.flatten().to(rows.device))
        return drawn.view(n_runs, size, -1).to(device)

    def update(self, step: int) -> LossTerms:
        """Make one update; returns the batch's loss terms before it."""
        progress = step / self.config.steps
        for group in self.primal.param_groups:
            group["lr"] = self.config.rate_at(progress)
        terms = self.autoencoder.loss(self.batch(self.config.batch_size))
        _check_converging(terms, step)
        amount = self.sparsity.at(progress).to(terms.sparsity)
        if isinstance(self.sparsity, Constraint):
            self.both.roll(compute_cmp_state_kwargs={"terms": terms, "level": amount})
        else:
            penalised(terms, amount, self.primal)
        self.done = step + 1
        self.resample()
        return terms

    def resample(self) -> None:
        """Start dead latents anew, when it is time to."""
        every, last = self.config.resample_every, self.config.resample_until * self.config.steps
        if every and self.done % every == 0 and self.done <= last:
            inputs = self.batch(8 * self.config.batch_size)
            assert isinstance(self.autoencoder, SparseAutoencoder)  # `check` has seen to it
            revive_dead_(self.autoencoder, inputs, self.primal, self.generator)

    def record(self, terms: LossTerms) -> None:
        """Append to the history."""
        level = self.sparsity.at((self.done - 1) / self.config.steps)
        level = level.expand(self.autoencoder.n_runs)
        dead = self.autoencoder.dead.float().mean(-1)
        multiplier = self.problem.multiplier.weight
        self.history.append(self.done, terms.error, terms.sparsity, level, multiplier, dead)

    def save(self, path: str | Path, identity: dict[str, Any]) -> None:
        """Write everything that the next update depends on."""
        tensors = {f"model.{k}": v for k, v in self.autoencoder.state_dict().items()}
        tensors["generator"] = self.generator.get_state()
        tensors["multiplier"] = self.problem.multiplier.weight
        for index, state in self.primal.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        tensors |= {f"history.{n}": self.history.series(n) for n in SERIES if self.history.step}
        metadata = {"done": self.done, "steps": self.history.step, "of": identity}
        save_tensors(path, tensors, metadata)

    def restore(self, path: str | Path, identity: dict[str, Any]) -> None:
        """Go back to where `save` was called."""
        tensors, metadata = load_tensors(path)
        told = metadata.get("of", {}) if isinstance(metadata, dict) else {}
        other = [name for name, value in identity.items() if told.get(name) != value]
        if other:
            raise ValueError(
                f"{path} belongs to another training: it differs in {', '.join(other)}. "
                "Make autoencoder and generator anew, from the seeds of that training, to go on; "
                "otherwise give this training a file of its own, or delete that one."
            )
        try:
            self._take(tensors, metadata)
        except (KeyError, IndexError, ValueError, RuntimeError) as error:
            what = f"{path} is no checkpoint of this version of the kit ({error!r:.200})"
            raise ValueError(f"{what}. Delete it to start anew.") from error

    def _take(self, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        def part(prefix: str) -> dict[str, Tensor]:
            named = tensors.items()
            return {k.removeprefix(prefix): v for k, v in named if k.startswith(prefix)}

        self.autoencoder.load_state_dict(part("model."))
        self.generator.set_state(tensors["generator"])
        self.problem.multiplier.weight.data.copy_(tensors["multiplier"])
        adam = self.primal.state_dict()
        if not (averages := part("adam.")):
            raise KeyError("adam")
        for name, value in averages.items():
            index, key = name.split(".", 1)
            adam["state"].setdefault(int(index), {})[key] = value
        self.primal.load_state_dict(adam)
        self.done, self.history = metadata["done"], History()
        rows = part("history.")
        for i, step in enumerate(metadata["steps"]):
            self.history.append(step, *(rows[name][i] for name in SERIES))

    def identity(self) -> dict[str, Any]:
        """What a checkpoint must share with the training that goes on from it, before it starts."""
        start = self.generator.get_state()
        inputs = self.batch(self.config.batch_size) if callable(self.inputs) else self.inputs
        self.generator.set_state(start)
        state = {name: t for name, t in self.autoencoder.state_dict().items() if name != "scale"}
        told = {
            "architecture": [type(self.autoencoder).__name__, self.autoencoder.settings],
            "initial weights": digest(state),
            "state of the generator": digest({"generator": start}),
            "inputs": digest({"": inputs}),
            "sparsity": [type(self.sparsity).__name__, vars(self.sparsity)],
            "config": asdict(self.config),
        }
        same: dict[str, Any] = json.loads(json.dumps(told, default=lambda value: value.tolist()))
        return same


def _check_converging(terms: LossTerms, step: int) -> None:
    bad = ~torch.isfinite(terms.error + terms.sparsity).detach()
    if bad.any():
        raise FloatingPointError(
            f"training diverged at step {step} in run(s) {bad.nonzero().flatten().tolist()}: the "
            "loss is not finite. Lower `learning_rate`, or look for outliers in the inputs."
        )


@torch.no_grad()
def evaluate(autoencoder: Autoencoder, inputs: Tensor | np.ndarray) -> LossTerms:
    """Return error and sparsity over all inputs, per run.

    Args:
        autoencoder: Any number of runs.
        inputs: `[samples, d_model]` or `[run, samples, d_model]`, finite.

    Returns:
        One number per run, unitless; no auxiliary term. Infinity for a run whose weights are not
        finite, so that no such run is ever the best.

    Raises:
        TypeError: if the inputs are no tensor or array of numbers.
        ValueError: if their shape is another one, there are none, or one is not finite.
    """
    inputs = as_inputs(inputs, autoencoder)
    error = torch.zeros(autoencoder.n_runs, device=autoencoder.decoder.device)
    sparsity = torch.zeros_like(error)
    for part in inputs.split(CHUNK, dim=-2):
        terms = autoencoder.loss(part.to(error.device))
        share = part.shape[-2] / inputs.shape[-2]
        error, sparsity = error + share * terms.error, sparsity + share * terms.sparsity
    return LossTerms(*(sums.nan_to_num(torch.inf, torch.inf) for sums in (error, sparsity)))
