"""What the Shift lab computes: eight runs on a world that keeps or breaks the conditions."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ssae_kit import checks, metrics, plots, studies
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.labs.figure import PAGE, beside, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, setting, slider, switch
from ssae_kit.metrics.vectors import centred_unit
from ssae_kit.studies import Recovery
from ssae_kit.synthetic import (
    Magnitudes,
    ShiftData,
    ShiftProblem,
    SupportDesign,
    sample_shifts,
    supports,
)
from ssae_kit.training import History, TrainingConfig

N_RUNS, N_TRAIN, N_TEST = 8, 3000, 1000
TRAINING = TrainingConfig(steps=500, batch_size=64, record_every=20)
GRID = {"rows": 2, "specs": [[{"colspan": 2}, None, {"colspan": 4}, None, None, None],
                             [{"colspan": 2}, None, {"colspan": 2}, None, {"colspan": 2}, None]],
        "vertical_spacing": 0.2, "horizontal_spacing": 0.09, "row_heights": [0.6, 0.4]}  # fmt: skip
LOST = 0.9
"""Score below which the read-out calls a concept lost."""

DESIGNS: dict[str, Callable[["ShiftSettings"], SupportDesign]] = {
    "any few concepts": lambda s: supports.sizes(s.n_concepts, s.most),
    "pairs, sometimes together": lambda s: supports.grouped(s.n_concepts, 2, s.together),
    "0 and 1 always together": lambda s: supports.together(s.n_concepts, [0, 1], s.most),
    "0 only with 1": lambda s: supports.nested(s.n_concepts, 0, 1, s.most),
    "two fixed blocks": lambda s: supports.blocks(s.n_concepts, s.n_concepts // 2),
    "fixed pairs": lambda s: supports.blocks(s.n_concepts, 2, min(s.most, s.n_concepts // 2)),
    "all always shift": lambda s: supports.blocks(s.n_concepts, s.n_concepts),
}
"""Support designs by the name the lab shows."""

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

    n_concepts: int = setting(6, slider, "concepts", 4, 12, 2, "Concepts of the world")
    d_model: int = setting(16, slider, "dimensions", 4, 48, 1, "Dimensions of the space")
    n_latents: int = setting(6, slider, "latents", 1, 24, 1, "Length of the code")
    design: str = setting(
        "any few concepts", choice, "which shift", list(DESIGNS), "Which concepts shift together"
    )
    most: int = setting(2, slider, "at once, at most", 1, 11, 1, "Concepts or blocks that shift")
    together: float = setting(
        0.3, slider, "co-shift prob.", 0.05, 0.95, 0.05, "Share of pairs: both partners shift"
    )
    magnitudes: str = setting(
        "independent", choice, "how far", list(MAGNITUDES), "Law of the magnitudes"
    )
    noise: float = setting(0.0, slider, "noise", 0.0, 0.5, 0.05, "Standard deviation per dimension")
    bend: float = setting(0.0, slider, "bend", 0.0, 1.0, 0.1, "Share of a tanh in the embedding")
    level: float = setting(
        1.0, slider, "level (1: true)", 0.1, 3.0, 0.1, "Sparsity level allowed; 1 is the truth's"
    )
    constrained: bool = setting(
        True, switch, "enforce the level", "Without it nothing asks for sparse codes"
    )
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws world, pairs and starts")

    def problem(self) -> ShiftProblem:
        """Return the world's laws."""
        design, law = DESIGNS[self.design](self), MAGNITUDES[self.magnitudes]
        return ShiftProblem(design, self.d_model, magnitudes=law, noise=self.noise, bend=self.bend)


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

    def figure(self) -> go.Figure:
        """Draw which latent holds which concept, how well, and how training went."""
        h, r, best = self.history, self.recovery, self.best
        n_latents, n_concepts = self.matrix.shape
        from_zero = {"rangemode": "tozero"}
        titles = {
            "correlation of codes, best run": ("concept", "latent"),
            "score of each concept (unitless), one point per run": (
                "concept (large points: best run)", "",
            ),
            "reconstruction error": ("updates", {"range": [0, 1.05]}),
            "mean |code| (1: the truth's)": ("updates", from_zero),
            "multiplier": ("updates", from_zero),
        }  # fmt: skip
        fig = blank(titles, columns=6, grid=GRID, **PAGE)
        digits = 1 if n_concepts <= 6 and n_latents <= 8 else None
        rows = [f"r{i}" for i in self.latents]
        plots.heat(
            fig, self.matrix.numpy(), range(n_concepts), rows, limits=(-1.0, 1.0), digits=digits, at=(1, 1)
        )  # fmt: skip
        both = {"code: |correlation|": r.codes.per_concept.numpy(),
                "direction: |cosine|": r.directions.per_concept.numpy()}  # fmt: skip
        plots.scores(fig, range(n_concepts), both, floor=self.floor, best=best, at=(1, 3))
        sparsity = h.series("sparsity") / self.true_level
        for i, values in enumerate((h.series("error"), sparsity, h.series("multiplier"))):
            plots.runs(fig, h.step, values.numpy(), best, at=(2, 2 * i + 1))
        level = h.series("level")[:, 0].numpy() / self.true_level
        allowed = {"x": list(h.step), "y": np.where(level > 0, level, np.nan), "mode": "lines"}
        dotted = {"color": "#D55E00", "dash": "dot", "width": 2}
        fig.add_scatter(
            **allowed, name="level: highest allowed", line=dotted, showlegend=False, row=2, col=3
        )
        return beside(fig, 1)

    def words(self) -> str:
        """Say what was found, in two sentences."""
        r, best = self.recovery, self.best
        scores = r.worst[best]
        lost = ", ".join(map(str, (scores < LOST).nonzero().flatten().tolist()))
        none_lost = f"All {len(scores)} concepts came back."
        ending = f"Lost (a score below {LOST}): {lost}." if lost else none_lost
        return (
            f"After {self.history.step[-1]} updates, the best of {len(r.error)} runs (lowest "
            f"reconstruction error, {r.error[best]:.3f}) has a code MCC of "
            f"{r.codes.score[best]:.2f} and a direction MCC of {r.directions.score[best]:.2f}; "
            f"random rotations score {self.floor:.2f}. {ending}"
        )


def draw(settings: ShiftSettings) -> tuple[ShiftData, ShiftData]:
    """Draw a world: pairs to train on, and others of the same world to test on."""
    generator = checks.seeded(settings.seed)
    problem = settings.problem()
    train = sample_shifts(problem, N_TRAIN, generator=generator)
    test = sample_shifts(problem, N_TEST, generator=generator, directions=train.directions)
    return train, test


def run(settings: ShiftSettings, report: Progress = quiet) -> ShiftOutcome:
    """Train `N_RUNS` runs on the settings' world and score them."""
    train, test = draw(settings)
    first = checks.seeded(settings.seed)
    autoencoder = ShiftAutoencoder(N_RUNS, settings.d_model, settings.n_latents, generator=first)

    def on_record(history: History) -> None:
        share = history.step[-1] / TRAINING.steps
        report(share, lambda: ShiftOutcome.measure(autoencoder, history, test))

    _, history = studies.recover(
        train, seed=settings.seed, autoencoder=autoencoder, config=TRAINING,
        level=settings.level * train.true_level(settings.n_latents),
        constrained=settings.constrained, on_record=on_record,
    )  # fmt: skip
    return ShiftOutcome.measure(autoencoder, history, test)


@functools.cache
def _floor(n_concepts: int) -> float:
    generator = checks.seeded(0)
    return float(metrics.rotation_floor(n_concepts, generator=generator, n_draws=100).mean())
