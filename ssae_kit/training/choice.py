"""Choosing the sparsity level and the restart without labels."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.training.loop import evaluate, fit
from ssae_kit.training.settings import Constraint, TrainingConfig


@dataclass(frozen=True)
class LevelSweep:
    """Reconstruction error at several sparsity levels, and the level at the elbow."""

    levels: Float[Tensor, " levels"]
    """Levels tried, ascending; mean absolute code in units of the root mean square shift length."""
    error: Float[Tensor, "levels restarts"]
    """Unexplained share of the shifts at each level and restart."""
    autoencoder: ShiftAutoencoder
    """The runs behind it, level by level, restarts together."""
    tolerance: float
    """Error above the lowest that still counts as explained, as a share of what can be."""

    @property
    def best_error(self) -> Float[Tensor, " levels"]:
        """Error of the best restart at each level."""
        return _nan_last(self.error).min(1).values

    @property
    def chosen(self) -> int:
        """Index of the smallest level that explains as much as any, up to the tolerance."""
        floor = float(self.best_error.min())
        explained = self.best_error <= floor + self.tolerance * (1 - floor)
        return int(explained.nonzero()[0])

    @property
    def level(self) -> float:
        """The chosen level."""
        return float(self.levels[self.chosen])

    @property
    def best_runs(self) -> Int[Tensor, " levels"]:
        """Index of the best restart at each level, among all runs."""
        n_levels, n_restarts = self.error.shape
        return _nan_last(self.error).argmin(1) + n_restarts * torch.arange(n_levels)


def choose_level(
    shifts: Float[Tensor, "pairs d_model"],
    n_latents: int,
    *,
    generator: torch.Generator,
    n_levels: int = 9,
    n_restarts: int = 3,
    tolerance: float = 0.03,
    config: TrainingConfig | None = None,
    progress: bool = False,
) -> LevelSweep:
    """Sweep the sparsity level and find the elbow of the reconstruction error. Uses no labels.

    Too tight a level cannot reconstruct the shifts. Too slack a level reconstructs them in any
    basis and so identifies nothing. The smallest level that still reconstructs is the one wanted.
    Shrinking every code by a factor t costs an error of (1 - t)^2, so the default tolerance of
    0.03 accepts levels down to 0.83 of the smallest one that loses nothing.

    The levels tried run from 0.5 / k, for k latents, which not even one active latent per shift
    can meet, to 1 / sqrt(k), the level of a code in which every latent is always active.

    Args:
        shifts: Target minus source activations.
        n_latents: Length of the code.
        generator: Source of initial weights and batches.
        n_levels: Levels tried, at least 2.
        n_restarts: Restarts at each level; all of them train at once.
        tolerance: See above, unitless, above 0.
        config: How long and how fast.
        progress: Show a progress bar.

    Returns:
        The sweep; its `level` is the choice.

    Raises:
        ValueError: if `n_levels` is below 2, the tolerance is not above 0, or there are fewer
            pairs than latents.
    """
    if n_levels < 2 or not tolerance > 0:
        raise ValueError(
            f"`n_levels` must be at least 2 and `tolerance` above 0; got {n_levels}, {tolerance}."
        )
    if shifts.shape[0] < n_latents:
        raise ValueError(
            f"there must be at least as many pairs as latents; got {shifts.shape[0]} pairs for "
            f"{n_latents} latents. Each pair could have a latent of its own, and every level would "
            "look right. Lower `n_latents` or bring more pairs."
        )
    ends = torch.tensor([0.5 / n_latents, n_latents**-0.5]).log()
    levels = torch.linspace(float(ends[0]), float(ends[1]), n_levels).exp()
    autoencoder = ShiftAutoencoder(
        n_levels * n_restarts, shifts.shape[-1], n_latents, generator=generator
    )
    constraint = Constraint(levels.repeat_interleave(n_restarts))
    fit(autoencoder, shifts, constraint, config, generator=generator, progress=progress)
    error = evaluate(autoencoder, shifts).error
    return LevelSweep(levels, error.view(n_levels, n_restarts), autoencoder, tolerance)


def best_run(autoencoder: Autoencoder, inputs: Tensor) -> int:
    """Return the run with the lowest reconstruction error over all inputs. Uses no labels."""
    return int(_nan_last(evaluate(autoencoder, inputs).error).argmin())


def require_level(
    autoencoder: Autoencoder, inputs: Tensor, level: float | Tensor, *, slack: float = 0.1
) -> None:
    """Raise an error unless every run ended at or below its sparsity level.

    Args:
        autoencoder: Trained under the constraint.
        inputs: What it was trained on.
        level: The level, one number or one per run.
        slack: Excess that is let pass, as a share of the level.

    Raises:
        ValueError: if a run's sparsity exceeds its level by more than that, or is not a number.
    """
    sparsity = evaluate(autoencoder, inputs).sparsity
    levels = torch.as_tensor(level).to(sparsity).expand_as(sparsity)
    missed = (~(sparsity <= levels * (1 + slack))).nonzero().flatten().tolist()
    if missed:
        run = missed[0]
        raise ValueError(
            f"the level was not met in run(s) {missed}: run {run} has a mean absolute code of "
            f"{float(sparsity[run]):.3g} where {float(levels[run]):.3g} is the highest allowed. "
            "Train longer, raise `dual_learning_rate`, or raise the level."
        )


def _nan_last(error: Tensor) -> Tensor:
    """Errors in which a run that went wrong is the worst."""
    return error.nan_to_num(nan=torch.inf, posinf=torch.inf)
