"""The Dictionary lab: what a sparse autoencoder recovers of features that are known."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import autoencoders, checks, metrics, plots
from ssae_kit.autoencoders import SparseAutoencoder
from ssae_kit.labs.base import Lab
from ssae_kit.labs.figure import PAGE, beside, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, setting, slider, switch
from ssae_kit.metrics import Matching
from ssae_kit.synthetic.dictionaries import FeatureWorld
from ssae_kit.training import History, Penalty, TrainingConfig, fit

N_RUNS, D_MODEL, N_TRAIN, N_TEST = 3, 32, 8000, 1000
STEPS, BATCH, DEAD_AFTER = 160, 128, 20
FOUND = 0.9
"""Cosine above which the read-out calls a feature found."""
PENALTIES, KS = (0.25, 0.5, 1.0, 2.0, 4.0), (1, 2, 6)
"""Settings that are trained once each, for the trade-off curve."""

ARCHITECTURES: dict[str, tuple[type[SparseAutoencoder], float | None]] = {
    "TopK": (autoencoders.TopKSAE, None),
    "BatchTopK": (autoencoders.BatchTopKSAE, None),
    "Matryoshka": (autoencoders.MatryoshkaSAE, None),
    "ReLU": (autoencoders.ReluSAE, 0.3),
    "Tied": (autoencoders.TiedSAE, 0.3),
    "Gated": (autoencoders.GatedSAE, 0.6),
    "JumpReLU": (autoencoders.JumpReluSAE, 0.06),
}
"""Class of each architecture, and the penalty that makes three to five latents fire in the default
world; None where the number of latents is set instead."""


@dataclass(frozen=True)
class DictionarySettings:
    """Everything the Dictionary lab can vary."""

    architecture: str = setting(
        "TopK", choice, "architecture", list(ARCHITECTURES), "How the code is made sparse"
    )
    n_latents: int = setting(64, slider, "latents", 16, 128, 8, "Width of the dictionary")
    k: int = setting(3, slider, "L0: latents fire", 1, 12, 1, "Latents per input (TopK, its kin)")
    penalty: float = setting(
        1.0, slider, "penalty (1: usual)", 0.25, 4.0, 0.25, "Weight of the penalty (the others)"
    )
    revive: bool = setting(False, switch, "revive dead latents", "Start them anew")
    n_features: int = setting(40, slider, "features", 8, 96, 8, "Of the world, in 32 dimensions")
    n_active: int = setting(
        3, slider, "active at a time", 1, 8, 1, "Features per input, on average"
    )
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws world, samples and starts")

    def plan(self) -> list[tuple[dict[str, Any], list[float]]]:
        """Return what is trained: settings of an autoencoder, and the penalty of each of its runs.

        The first `N_RUNS` runs have the chosen setting; each further one has another.
        """
        typical = ARCHITECTURES[self.architecture][1]
        if typical is not None:
            weights = [self.penalty] * N_RUNS + [p for p in PENALTIES if p != self.penalty]
            return [({}, [typical * weight for weight in weights])]
        extras: dict[str, Any] = {
            "TopK": {"revival": 0.0},
            "Matryoshka": {"prefixes": [self.n_latents // 2]},
        }
        others = [k for k in KS if k != self.k and k <= self.n_latents]
        runs = [(self.k, N_RUNS), *((k, 1) for k in others)]
        return [({"k": k} | extras.get(self.architecture, {}), [0.0] * n) for k, n in runs]

    def config(self) -> TrainingConfig:
        """Return how long is trained."""
        every = STEPS // 5 if self.revive else 0
        return TrainingConfig(
            steps=STEPS, batch_size=BATCH, resample_every=every, record_every=max(STEPS // 20, 1)
        )


@dataclass(frozen=True)
class DictionaryOutcome:
    """What the runs of one setting recovered, and where other settings would lie."""

    cosines: Float[Tensor, "features latents"]
    """Of the best run, with the true directions; latents in the order of their features."""
    found: Matching
    """Latents matched to features by direction, per run of the chosen setting."""
    codes: Matching
    """The same by code."""
    rates: Float[Tensor, "run latents"]
    """Share of inputs on which each latent fires."""
    l0: Float[Tensor, " settings"]
    """Latents that fire per input: first the runs of the chosen setting, then other settings."""
    missed: Float[Tensor, " settings"]
    """Variance missed, in the same order."""
    true_l0: float
    """Features active per input."""
    floor: float
    """Mean cosine that a random dictionary of that width reaches."""

    @classmethod
    @torch.no_grad()
    def measure(
        cls, trained: Sequence[SparseAutoencoder], world: FeatureWorld, features: Tensor
    ) -> "DictionaryOutcome":
        """Score autoencoders on samples `[samples, features]` that they were not trained on.

        The first `N_RUNS` runs of the first one have the chosen setting.
        """
        inputs = world.activations(features)
        coded = [sae.encode(inputs) for sae in trained]
        pairs = zip(trained, coded, strict=True)
        missed = [
            metrics.unexplained_variance(inputs.expand(sae.n_runs, -1, -1), sae.decode(c))
            for sae, c in pairs
        ]
        codes, directions = coded[0][:N_RUNS], trained[0].directions[:N_RUNS]
        found = metrics.mcc_directions(directions, world.directions)
        best = int(missed[0][:N_RUNS].argmin())
        first = [i for i in found.latent[best].tolist() if i >= 0]
        order = first + [i for i in range(directions.shape[1]) if i not in first]
        return cls(
            world.directions @ directions[best, order].T, found,
            metrics.mcc_codes(codes, features), (codes > 0).float().mean(1),
            torch.cat([metrics.l0(c) for c in coded]), torch.cat(missed),
            float(metrics.l0(features)), _floor(directions.shape[1], features.shape[1]),
        )  # fmt: skip

    @property
    def best(self) -> int:
        """Run of least variance missed, among those of the chosen setting: no truth is needed."""
        return int(self.missed[:N_RUNS].argmin())

    def figure(self) -> go.Figure:
        """Draw it: the best run's match with the truth, its price, and every run's recovery."""
        share = {"title": "share of inputs", "rangemode": "tozero"}
        l0 = {"title": "L0 (latents per input; dashed: features)", "rangemode": "tozero"}
        place = {"title": "feature, best first (large points: best run)", "tickmode": "auto"}
        matched = ("latent, matched order", "feature")
        titles = {
            "cosines with the truth, best run": matched,
            "sparser or more exact?": (l0, {"title": "variance missed", "range": [-0.03, 1.06]}),
            "recovery of each feature": (place, "|cosine| or |correlation|"),
            "how often each latent fires": ("latent, most active first (dead: at zero)", share),
        }
        grid = {"vertical_spacing": 0.19, "horizontal_spacing": 0.15, "row_heights": [0.55, 0.45]}
        fig = blank(titles, columns=2, grid=grid, **PAGE)
        plots.heat(fig, self.cosines.numpy(), limits=(-1.0, 1.0), at=(1, 1))
        self._prices(fig)
        found, codes = self.found.per_concept.numpy(), self.codes.per_concept.numpy()
        order = np.argsort(-found[self.best], kind="stable")
        both = {"direction: |cosine|": found[:, order], "code: |correlation|": codes[:, order]}
        places, chance = range(len(order)), "random dictionary"
        plots.scores(
            fig, places, both, floor=self.floor, floor_name=chance, best=self.best, at=(2, 1)
        )
        rates = -np.sort(-self.rates.numpy(), axis=1).T
        plots.runs(fig, np.arange(1.0, len(rates) + 1), rates, self.best, at=(2, 2))
        return beside(fig, 1)

    def _prices(self, fig: go.Figure) -> None:
        """Draw variance missed against sparsity, of these runs and of other settings."""
        l0, missed = self.l0.numpy(), self.missed.numpy()
        here = l0[:N_RUNS].mean(), missed[:N_RUNS].mean()
        x, y = np.append(l0[N_RUNS:], here[0]), np.append(missed[N_RUNS:], here[1])
        order = np.argsort(x)
        plots.points(fig, {"other settings": (x[order], y[order])}, line=True, size=7, at=(1, 2))
        marker = {"color": "#000000", "symbol": "square", "size": 11}
        these = {"x": l0[:N_RUNS], "y": missed[:N_RUNS], "mode": "markers", "marker": marker}
        fig.add_scatter(**these, name="these runs", row=1, col=2)
        plots.reference(fig, "", x=self.true_l0, at=(1, 2))

    def words(self) -> str:
        """Say what was found, and at what price."""
        found = (self.found.per_concept >= FOUND).sum(1)
        n_runs, n_features = self.found.per_concept.shape
        best = self.best
        return (
            f"The best of {n_runs} runs (least variance missed, {self.missed[best]:.0%}) fires "
            f"{self.l0[best]:.1f} latents per input; {self.true_l0:.1f} features are active. It "
            f"found {int(found[best])} of {n_features} features (cosine {FOUND} or more; the runs: "
            f"{int(found.min())} to {int(found.max())}); the mean cosine is "
            f"{self.found.score[best]:.2f}, of a random dictionary {self.floor:.2f}. Codes follow "
            f"their features with a correlation of {self.codes.score[best]:.2f}. "
            f"{int((self.rates[best] == 0).sum())} of {self.rates.shape[1]} latents are dead."
        )


def draw(settings: DictionarySettings) -> tuple[FeatureWorld, Tensor, Tensor]:
    """Draw a world, inputs to train on, and the features of test samples."""
    s, generator = settings, checks.seeded(settings.seed)
    world = FeatureWorld.flat(s.n_features, D_MODEL, float(s.n_active), generator=generator)
    inputs = world.activations(world.sample(N_TRAIN, generator=generator))
    return world, inputs, world.sample(N_TEST, generator=generator)


def run(settings: DictionarySettings, report: Progress = quiet) -> DictionaryOutcome:
    """Train everything in the settings' plan and score it."""
    s, (world, inputs, features) = settings, draw(settings)
    kind, plan = ARCHITECTURES[s.architecture][0], s.plan()
    trained: list[SparseAutoencoder] = []

    def measure() -> DictionaryOutcome:
        return DictionaryOutcome.measure(trained, world, features)

    def on_record(history: History) -> None:
        share = (len(trained) - 1 + history.step[-1] / STEPS) / len(plan)
        report(share, measure)

    for extras, weights in plan:
        sae = kind(
            len(weights), D_MODEL, s.n_latents, dead_after=DEAD_AFTER, **extras,
            generator=checks.seeded(s.seed + 1_000_000),
        )  # fmt: skip
        trained.append(sae)
        fit(
            sae, inputs, Penalty(torch.tensor(weights), warmup=0.2), s.config(),
            generator=checks.seeded(s.seed + 2_000_000), on_record=on_record,
        )  # fmt: skip
    return measure()


class DictionaryLab(Lab):
    """Train a sparse autoencoder on features with known directions, and others for comparison.

    Three runs have the setting chosen; further ones show what the same architecture reaches at
    other sparsities. Controls have the names of `DictionarySettings`.

    Args:
        settings: Where the controls stand at first, by name.
    """

    title = "Can a sparse dictionary undo superposition, and at what price?"
    does = "The Dictionary lab trains sparse autoencoders while you watch."
    look = (
        "The picture shows the start: 40 features in 32 dimensions, a TopK autoencoder with "
        "64 latents of which 3 may fire."
    )
    tasks = (
        "Let more latents fire. From where on does missing less not mean finding more?",
        "Miss as little with ReLU as with TopK at 3. Which penalty does it, and what becomes of the codes?",
        "Find settings that miss little, with directions hardly better than a random dictionary's.",
    )

    run = staticmethod(run)
    places = {
        "enough of everything": ({},
            "Nearly every feature is found, and the spare latents are dead"),
        "too few latents": ({"n_latents": 24}, "Features are lost, or share a latent"),
        "too many may fire": ({"k": 10}, "Little is missed, and directions are worse"),
        "shrinkage": ({"architecture": "ReLU", "penalty": 2.0},
            "Directions are right, and much is missed: the penalty makes every code too small"),
        "a gate against it": ({"architecture": "Gated", "penalty": 1.0},
            "As sparse, and less is missed: the penalty leaves the codes' size alone"),
        "dead latents": ({"architecture": "BatchTopK", "n_latents": 128},
            "Latents that win nothing at the start learn nothing"),
        "and revived": ({"architecture": "BatchTopK", "n_latents": 128, "revive": True},
            "Dead latents start anew; most find nothing and are dead again at the end"),
        "crowded world": ({"n_features": 96, "n_latents": 96, "n_active": 6, "k": 6},
            "Three times as many features as dimensions, six of them at a time: hardly any is found"),
    }  # fmt: skip

    def __init__(self, **settings: Any) -> None:
        super().__init__(replace(DictionarySettings(), **settings))

    def adapt(self, name: str, old: Any) -> None:
        """Switch off the control that this architecture does not listen to."""
        penalised = ARCHITECTURES[self.controls["architecture"].value][1] is not None
        self.controls["k"].disabled = penalised
        self.controls["penalty"].disabled = not penalised


@functools.cache
def _floor(n_latents: int, n_features: int) -> float:
    generator = checks.seeded(0)
    random = torch.randn(5, n_latents, D_MODEL, generator=generator)
    truth = torch.randn(n_features, D_MODEL, generator=generator)
    return float(metrics.mcc_directions(random, truth).score.mean())
