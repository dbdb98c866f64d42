"""The Shift lab's computation: settings in, scores out; everything else is the kit's own."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ssae_kit import metrics, studies
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.labs.base import Report
from ssae_kit.metrics.vectors import centred_unit
from ssae_kit.plots.shift_lab import shift_lab
from ssae_kit.studies import Recovery
from ssae_kit.synthetic import (
    Magnitudes,
    ShiftData,
    ShiftProblem,
    check_diversity,
    sample_shifts,
    supports,
)
from ssae_kit.training import History, TrainingConfig

N_RUNS, N_TRAIN, N_TEST = 8, 3000, 1000
TRAINING = TrainingConfig(steps=500, batch_size=64, record_every=20)
LOST = 0.9
"""Score below which the read-out calls a concept lost."""

DESIGNS: dict[str, Callable[["ShiftSettings"], tuple[str, tuple[Any, ...]]]] = {
    "any few concepts": lambda s: ("sizes", (s.n_concepts, s.most)),
    "pairs, sometimes together": lambda s: ("grouped", (s.n_concepts, 2, s.together)),
    "0 and 1 always together": lambda s: ("together", (s.n_concepts, [0, 1], s.most)),
    "0 only with 1": lambda s: ("nested", (s.n_concepts, 0, 1, s.most)),
    "two fixed blocks": lambda s: ("blocks", (s.n_concepts, s.n_concepts // 2)),
    "fixed pairs": lambda s: ("blocks", (s.n_concepts, 2, min(s.most, s.n_concepts // 2))),
    "all always shift": lambda s: ("blocks", (s.n_concepts, s.n_concepts)),
}
"""Support designs by the name the lab shows: a function of `supports`, and its arguments."""

MAGNITUDES = {
    "independent": Magnitudes(),
    "correlated": Magnitudes(correlation=0.8),
    "tied: all alike": Magnitudes(correlation=1.0),
    "tied, free signs": Magnitudes(correlation=1.0, free_signs=True),
    "one size": Magnitudes(values=(-1.0, 1.0)),
}
"""Laws of magnitudes by the name the lab shows."""


@dataclass(frozen=True)
class ShiftSettings:
    """Everything the Shift lab can vary; the defaults keep every condition of the theorem."""

    n_concepts: int = 6
    """Concepts of the world; even."""
    d_model: int = 16
    """Dimensions of the space."""
    design: str = "any few concepts"
    """Which concepts shift together: a key of `DESIGNS`."""
    most: int = 2
    """Concepts (or blocks) that shift at once, at most."""
    together: float = 0.3
    """Co-shift probability: share of pairs in which both partners shift; one design uses it."""
    magnitudes: str = "independent"
    """How far concepts move: a key of `MAGNITUDES`."""
    noise: float = 0.0
    """Standard deviation of the noise in each dimension; concept directions have length 1."""
    bend: float = 0.0
    """Share of a tanh in the embedding, 0 to 1."""
    n_latents: int = 6
    """Length of the code."""
    level: float = 1.0
    """Sparsity level, as a multiple of the true solution's."""
    constrained: bool = True
    """Whether the level is enforced at all."""
    seed: int = 0
    """Draws the world, the pairs and the starts."""

    def design_call(self) -> tuple[str, tuple[Any, ...]]:
        """Return the function of `supports` that makes the design, and its arguments."""
        return DESIGNS[self.design](self)

    def problem(self) -> ShiftProblem:
        """Return the world's laws."""
        name, arguments = self.design_call()
        law = MAGNITUDES[self.magnitudes]
        return ShiftProblem(
            getattr(supports, name)(*arguments), self.d_model, magnitudes=law, noise=self.noise,
            bend=self.bend,
        )  # fmt: skip


@dataclass(frozen=True)
class ShiftOutcome:
    """What eight runs on one world found."""

    recovery: Recovery
    """Scores on pairs that were not trained on."""
    history: History
    """How training went."""
    matrix: Tensor
    """Correlation of codes and concepts in the best run, `[latents, concepts]`; matched first."""
    latents: list[int]
    """Index of each row's latent."""
    floor: float
    """Mean score of random rotations of that many concepts."""
    true_level: float
    """Mean absolute code of the true solution, in the units of the history's sparsity."""

    @classmethod
    def measure(cls, autoencoder: Autoencoder, history: History, test: ShiftData) -> "ShiftOutcome":
        """Score an autoencoder, trained or in training, on a world's other pairs."""
        recovery = studies.score(autoencoder, test)
        best = int(recovery.error.argmin())
        with torch.no_grad():
            codes = autoencoder.encode(test.shifts)[best]
        found = [i for i in recovery.codes.latent[best].tolist() if i >= 0]
        latents = found + [i for i in range(autoencoder.n_latents) if i not in found]
        matrix = centred_unit(codes, 0).mT @ centred_unit(test.changes, 0)
        n_concepts = test.changes.shape[1]
        level = float(test.true_level(autoencoder.n_latents))
        return cls(recovery, history, matrix[latents], latents, _floor(n_concepts), level)

    @property
    def best(self) -> int:
        """Run of lowest reconstruction error: the choice that needs no truth."""
        return int(self.recovery.error.argmin())

    @property
    def lost(self) -> list[int]:
        """Concepts whose lower score, in the best run, is below `LOST`."""
        return (self.recovery.worst[self.best] < LOST).nonzero().flatten().tolist()

    def figure(self) -> go.Figure:
        """Draw it."""
        h = self.history
        error, sparsity, level, multiplier = (
            h.series(name).numpy() for name in ("error", "sparsity", "level", "multiplier")
        )
        allowed = np.where(level[:, 0] > 0, level[:, 0] / self.true_level, np.nan)
        r = self.recovery
        return shift_lab(
            self.matrix.numpy(), self.latents,
            (r.codes.per_concept.numpy(), r.directions.per_concept.numpy()), self.floor,
            h.step, (error, sparsity / self.true_level, multiplier), allowed, best=self.best,
        )  # fmt: skip

    def words(self) -> str:
        """Say what was found, in two sentences."""
        r, best = self.recovery, self.best
        n = r.worst.shape[1]
        lost = f"Lost (a score below {LOST}): " + ", ".join(map(str, self.lost)) + "."
        return (
            f"After {self.history.step[-1]} updates, the best of {len(r.error)} runs (lowest "
            f"reconstruction error, {r.error[best]:.3f}) has a code MCC of "
            f"{r.codes.score[best]:.2f} and a direction MCC of {r.directions.score[best]:.2f}; "
            f"random rotations score {self.floor:.2f}. "
            + (lost if self.lost else f"All {n} concepts came back.")
        )


def draw(settings: ShiftSettings) -> tuple[ShiftData, ShiftData]:
    """Draw a world: pairs to train on, and others of the same world to test on."""
    generator = torch.Generator().manual_seed(settings.seed)
    problem = settings.problem()
    train = sample_shifts(problem, N_TRAIN, generator=generator)
    test = sample_shifts(problem, N_TEST, generator=generator, directions=train.directions)
    return train, test


def run(settings: ShiftSettings, report: Report) -> ShiftOutcome:
    """Train `N_RUNS` runs on the settings' world and score them."""
    train, test = draw(settings)
    autoencoder = ShiftAutoencoder(
        N_RUNS, settings.d_model, settings.n_latents,
        generator=torch.Generator().manual_seed(settings.seed),
    )  # fmt: skip

    def on_record(history: History) -> None:
        share = history.step[-1] / TRAINING.steps
        report(share, lambda: ShiftOutcome.measure(autoencoder, history, test))

    _, history = studies.recover(
        train, seed=settings.seed, autoencoder=autoencoder, config=TRAINING,
        level=settings.level * train.true_level(settings.n_latents),
        constrained=settings.constrained, on_record=on_record,
    )  # fmt: skip
    return ShiftOutcome.measure(autoencoder, history, test)


def code(settings: ShiftSettings) -> str:
    """Return a code cell that does the same without the lab."""
    s = settings
    name, arguments = s.design_call()
    call = f"supports.{name}({', '.join(map(str, arguments))})"
    c = TRAINING
    return f"""import torch
from ssae_kit import labs, plots, studies
from ssae_kit.synthetic import Magnitudes, ShiftProblem, sample_shifts, supports
from ssae_kit.training import TrainingConfig

law = {MAGNITUDES[s.magnitudes]}
problem = ShiftProblem({call}, {s.d_model}, magnitudes=law, noise={s.noise}, bend={s.bend})
generator = torch.Generator().manual_seed({s.seed})
train = sample_shifts(problem, {N_TRAIN}, generator=generator)
test = sample_shifts(problem, {N_TEST}, generator=generator, directions=train.directions)
autoencoder, history = studies.recover(
    train, seed={s.seed}, n_runs={N_RUNS}, n_latents={s.n_latents},
    level={s.level} * train.true_level({s.n_latents}), constrained={s.constrained},
    config=TrainingConfig(steps={c.steps}, batch_size={c.batch_size}, record_every={c.record_every}),
)
outcome = labs.ShiftOutcome.measure(autoencoder, history, test)
plots.show(outcome.figure(), outcome.words())
"""


def diversity(settings: ShiftSettings) -> str:
    """Say whether the world's supports are diverse, and who violates it."""
    return str(check_diversity(settings.problem().design))


@functools.cache
def _floor(n_concepts: int) -> float:
    generator = torch.Generator().manual_seed(0)
    return float(metrics.rotation_floor(n_concepts, generator=generator, n_draws=100).mean())
