"""Train on shifts whose truth is known, and score what came back, concept by concept."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks, methods
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.metrics import Matching
from ssae_kit.synthetic import ShiftData
from ssae_kit.training import Constraint, History, Penalty, TrainingConfig, evaluate, fit, seeded


@dataclass(frozen=True)
class Recovery:
    """How well each concept came back, in each run."""

    codes: Matching
    """Codes against true concept shifts."""
    directions: Matching
    """Decoder directions against true concept directions."""
    error: Float[Tensor, " run"]
    """Reconstruction error, as a share of the mean square of the shifts; needs no truth."""
    sparsity: Float[Tensor, " run"]
    """Mean absolute code, in units of the root mean square shift length; needs no truth."""

    def keep(self, runs: Int[Tensor, " kept"]) -> "Recovery":
        """Return the results of these runs only."""
        codes, directions = (
            Matching(*(part[runs] for part in matching))
            for matching in (self.codes, self.directions)
        )
        return Recovery(codes, directions, self.error[runs], self.sparsity[runs])

    @property
    def worst(self) -> Float[Tensor, "run concepts"]:
        """The lower of a concept's two scores."""
        return torch.minimum(self.codes.per_concept, self.directions.per_concept)


def recover(
    data: ShiftData,
    *,
    seed: int,
    level: float | Tensor | None = None,
    n_latents: int | None = None,
    n_runs: int = 1,
    constrained: bool = True,
    config: TrainingConfig | None = None,
    autoencoder: Autoencoder | None = None,
    on_record: Callable[[History], None] | None = None,
) -> tuple[Autoencoder, History]:
    """Train shift autoencoders on data of known truth, all runs at once.

    Args:
        data: One world for all runs, or worlds stacked along the run axis, one run each.
        seed: Seed of the initial weights and, plus one million, of the batches.
        level: Sparsity level, one number or one per run; by default that of the true solution.
        n_latents: Length of the code; by default one latent per concept.
        n_runs: Runs on the same world; stacked worlds bring their own number.
        constrained: If false, nothing asks for sparse codes.
        config: How long and how fast.
        autoencoder: Trained in place of a new `ShiftAutoencoder`.
        on_record: See `training.fit`.

    Returns:
        The trained autoencoder and its history.
    """
    checks.require_kind("data", data, ShiftData, "sample_shifts(...)")
    *runs, _, d_model = data.shifts.shape
    n_latents = data.directions.shape[-2] if n_latents is None else n_latents
    level = data.true_level(n_latents) if level is None else level
    autoencoder = autoencoder or ShiftAutoencoder(
        runs[0] if runs else n_runs, d_model, n_latents, generator=seeded(seed)
    )
    rule = Constraint(level) if constrained else Penalty()
    batches = seeded(seed + 1_000_000)
    history = fit(autoencoder, data.shifts, rule, config, generator=batches, on_record=on_record)
    return autoencoder, history


def score(autoencoder: Autoencoder, data: ShiftData) -> Recovery:
    """Compare every run of an autoencoder with the truth.

    Args:
        autoencoder: Trained; one run per world if the data are stacked.
        data: Best of the same world but other pairs, so that nothing is scored by heart.
    """
    checks.require_kind("autoencoder", autoencoder, Autoencoder)
    checks.require_kind("data", data, ShiftData, "sample_shifts(...)")
    truth = data.shifts, data.changes, data.directions
    worlds = zip(*truth, strict=True) if data.shifts.dim() == 3 else repeat(truth)
    runs = [methods.of_autoencoder(autoencoder.select(i)) for i in range(autoencoder.n_runs)]
    found = [methods.score(run, *world) for run, world in zip(runs, worlds, strict=False)]
    codes, directions = (
        Matching(*map(torch.cat, zip(*matchings, strict=True)))
        for matchings in zip(*found, strict=True)
    )
    error, sparsity, *_ = evaluate(autoencoder, data.shifts)
    return Recovery(codes, directions, error, sparsity)
