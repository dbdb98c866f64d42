"""Choosing the sparsity level and the restart without labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.training.loop import evaluate, fit
from ssae_kit.training.settings import Constraint, Penalty, TrainingConfig

TOLERANCE = 0.03
"""Error above the lowest that still counts as explained, as a share of what can be."""


@dataclass(frozen=True)
class Restarts:
    """Trained runs in groups of restarts, of which each group's best is kept. Uses no labels."""

    autoencoder: Autoencoder
    """All runs, group by group, restarts together."""
    error: Float[Tensor, "groups restarts"]
    """Reconstruction error of each, by `evaluate`: infinite for a run that went wrong."""

    @property
    def best_error(self) -> Float[Tensor, " groups"]:
        """Error of the best restart of each group."""
        return self.error.min(1).values

    @property
    def best_runs(self) -> Int[Tensor, " groups"]:
        """Index of the best restart of each group, among all runs."""
        n_groups, n_restarts = self.error.shape
        return self.error.argmin(1).cpu() + n_restarts * torch.arange(n_groups)

    def best(self, group: int = 0) -> Autoencoder:
        """Return the best restart of a group.

        Raises:
            ValueError: if none of its errors is a finite number, or there is no such group.
        """
        n_groups = len(self.error)
        group = checks.whole("group", group, -n_groups, n_groups - 1)
        _require_finite(self.error[group])
        return self.autoencoder.select(int(self.best_runs[group]))


@dataclass(frozen=True)
class LevelSweep(Restarts):
    """Reconstruction error at several sparsity levels, a group for each, and the level at the elbow."""

    levels: Float[Tensor, " levels"]
    """Levels tried, ascending; mean absolute code in units of the root mean square shift length."""

    @property
    def chosen(self) -> int:
        """Index of the smallest level that explains as much as any, up to `TOLERANCE`."""
        _require_finite(self.error)
        floor = float(self.best_error.min())
        explained = self.best_error <= floor + TOLERANCE * abs(1 - floor)
        return int(explained.nonzero()[0])

    @property
    def level(self) -> float:
        """The chosen level."""
        return float(self.levels[self.chosen])


def fit_restarts(
    autoencoder: Autoencoder,
    inputs: Tensor,
    sparsity: Penalty | Constraint,
    n_restarts: int,
    config: TrainingConfig | None = None,
    *,
    generator: torch.Generator,
) -> Restarts:
    """Train an autoencoder in place; of every `n_restarts` runs in a row, the best is kept.

    Args:
        autoencoder: Its runs are groups of `n_restarts`.
        inputs: For all runs, or a set for each.
        sparsity: Penalty or constraint; one level, or one for each run.
        n_restarts: Runs per group.
        config: How long and how fast.
        generator: Source of the batches.

    Raises:
        ValueError: if the runs cannot be divided into such groups, or as `fit` does.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    if autoencoder.n_runs % checks.whole("n_restarts", n_restarts):
        raise ValueError(
            f"`n_restarts` must divide the number of runs, {autoencoder.n_runs}; got {n_restarts}."
        )
    fit(autoencoder, inputs, sparsity, config, generator=generator)
    error = evaluate(autoencoder, inputs).error.cpu()
    return Restarts(autoencoder, error.view(-1, n_restarts))


def choose_level(
    shifts: Float[Tensor, "pairs d_model"],
    n_latents: int,
    *,
    generator: torch.Generator,
    n_levels: int = 9,
    n_restarts: int = 3,
    config: TrainingConfig | None = None,
) -> LevelSweep:
    """Sweep the sparsity level and find the elbow of the reconstruction error. Uses no labels.

    Too tight a level cannot reconstruct the shifts. Too slack a level reconstructs them in any
    basis and so identifies nothing. The smallest level that still reconstructs is the one wanted.
    Shrinking every code by a factor t costs an error of (1 - t)^2, so a tolerance of 0.03 accepts
    levels down to 0.83 of the smallest one that loses nothing.

    The levels tried run from 0.5 / k, for k latents, which not even one active latent per shift
    can meet, to 1 / sqrt(k), the level of a code in which every latent is always active.

    Args:
        shifts: Target minus source activations.
        n_latents: Length of the code.
        generator: Source of initial weights and batches.
        n_levels: Levels tried, at least 2.
        n_restarts: Restarts at each level; all of them train at once.
        config: How long and how fast.

    Returns:
        The sweep; its `level` is the choice.

    Raises:
        ValueError: if `n_levels` is below 2, `n_latents` or `n_restarts` below 1, or there are
            fewer pairs than latents.
        TypeError: if there is no generator.
    """
    checks.whole("n_levels", n_levels, 2)
    checks.whole("n_latents", n_latents)
    checks.whole("n_restarts", n_restarts)
    (shifts,) = checks.tensors(shifts=(shifts, "pairs d_model"))
    if len(shifts) < n_latents:
        raise ValueError(
            f"there must be at least as many pairs as latents; got {len(shifts)} pairs for "
            f"{n_latents} latents. Each pair could have a latent of its own, and every level would "
            "look right. Lower `n_latents` or bring more pairs."
        )
    ends = torch.tensor([0.5 / n_latents, n_latents**-0.5]).log()
    levels = torch.linspace(float(ends[0]), float(ends[1]), n_levels).exp()
    sizes = (n_levels * n_restarts, shifts.shape[1], n_latents)
    autoencoder = ShiftAutoencoder(*sizes, generator=generator).to(shifts.device)
    rule = Constraint(levels.repeat_interleave(n_restarts))
    runs = fit_restarts(autoencoder, shifts, rule, n_restarts, config, generator=generator)
    return LevelSweep(autoencoder, runs.error, levels)


def best_run(autoencoder: Autoencoder, inputs: Tensor) -> int:
    """Return the run with the lowest reconstruction error over all inputs. Uses no labels.

    Raises:
        ValueError: if no run's error is a finite number.
    """
    error = evaluate(autoencoder, inputs).error
    _require_finite(error)
    return int(error.argmin())


def _require_finite(error: Tensor) -> None:
    if not torch.isfinite(error).any():
        raise ValueError(
            f"the best of runs needs one whose error is finite; got {error.flatten().tolist()}. Look "
            "for inputs or weights that are not finite."
        )
