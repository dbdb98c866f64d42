"""The Dictionary lab's computation: settings in, what was recovered and at what price out."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import autoencoders, metrics
from ssae_kit.autoencoders import SparseAutoencoder
from ssae_kit.labs.base import Report
from ssae_kit.metrics import Matching
from ssae_kit.plots.dictionary_lab import dictionary_lab
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

    architecture: str = "TopK"
    """How the code is made sparse: a key of `ARCHITECTURES`."""
    n_latents: int = 64
    """Width of the dictionary."""
    k: int = 3
    """Latents that may fire per input, where the architecture is told so."""
    penalty: float = 1.0
    """Weight of the sparsity penalty, where there is one; 1 is the architecture's typical one."""
    revive: bool = False
    """Whether dead latents start anew from inputs that are reconstructed badly."""
    n_features: int = 40
    """Features of the world; more than 32 do not fit without overlap."""
    n_active: int = 3
    """Features active at a time, on average."""
    seed: int = 0
    """Draws the world, the samples and the starts."""

    @property
    def penalised(self) -> bool:
        """Whether the architecture is told a penalty; otherwise it is told `k`."""
        return ARCHITECTURES[self.architecture][1] is not None

    def plan(self) -> list[tuple[dict[str, Any], list[float]]]:
        """Return what is trained: settings of an autoencoder, and the penalty of each of its runs.

        The first `N_RUNS` runs have the chosen setting; each further one has another.
        """
        typical = ARCHITECTURES[self.architecture][1]
        if typical is not None:
            weights = [self.penalty] * N_RUNS + [p for p in PENALTIES if p != self.penalty]
            return [({}, [typical * weight for weight in weights])]
        others = [k for k in KS if k != self.k and k <= self.n_latents]
        runs = [(self.k, N_RUNS), *((k, 1) for k in others)]
        return [({"k": k} | self._extras(), [0.0] * n) for k, n in runs]

    def _extras(self) -> dict[str, Any]:
        if self.architecture == "Matryoshka":
            return {"prefixes": [self.n_latents // 2]}
        return {"revival": 0.0} if self.architecture == "TopK" else {}

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

    @property
    def dead(self) -> Float[Tensor, " run"]:
        """Latents that fire on no test input, per run."""
        return (self.rates == 0).float().sum(1)

    def figure(self) -> go.Figure:
        """Draw it."""
        return dictionary_lab(
            self.cosines.numpy(), (self.found.per_concept.numpy(), self.codes.per_concept.numpy()),
            self.rates.numpy(), (self.l0.numpy(), self.missed.numpy()),
            floor=self.floor, true_l0=self.true_l0, best=self.best,
        )  # fmt: skip

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
            f"{int(self.dead[best])} of {self.rates.shape[1]} latents are dead."
        )


def draw(settings: DictionarySettings) -> tuple[FeatureWorld, Tensor, Tensor]:
    """Draw a world, inputs to train on, and the features of test samples."""
    s, generator = settings, torch.Generator().manual_seed(settings.seed)
    world = FeatureWorld.flat(s.n_features, D_MODEL, float(s.n_active), generator=generator)
    inputs = world.activations(world.sample(N_TRAIN, generator=generator))
    return world, inputs, world.sample(N_TEST, generator=generator)


def run(settings: DictionarySettings, report: Report) -> DictionaryOutcome:
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
            generator=torch.Generator().manual_seed(s.seed + 1_000_000),
        )  # fmt: skip
        trained.append(sae)
        fit(
            sae, inputs, Penalty(torch.tensor(weights), warmup=0.2), s.config(),
            generator=torch.Generator().manual_seed(s.seed + 2_000_000), on_record=on_record,
        )  # fmt: skip
    return measure()


def code(settings: DictionarySettings) -> str:
    """Return a code cell that does the same without the lab."""
    s, c = settings, settings.config()
    kind = ARCHITECTURES[s.architecture][0].__name__
    return f"""import torch
from ssae_kit import labs, plots
from ssae_kit.autoencoders import {kind}
from ssae_kit.synthetic.dictionaries import FeatureWorld
from ssae_kit.training import Penalty, TrainingConfig, fit

generator = torch.Generator().manual_seed({s.seed})
world = FeatureWorld.flat({s.n_features}, {D_MODEL}, {float(s.n_active)}, generator=generator)
inputs = world.activations(world.sample({N_TRAIN}, generator=generator))
features = world.sample({N_TEST}, generator=generator)
config = TrainingConfig(
    steps={c.steps}, batch_size={c.batch_size}, resample_every={c.resample_every}, record_every={c.record_every}
)
trained = []
for extras, weights in {s.plan()}:
    sae = {kind}(
        len(weights), {D_MODEL}, {s.n_latents}, dead_after={DEAD_AFTER}, **extras,
        generator=torch.Generator().manual_seed({s.seed + 1_000_000}),
    )
    fit(
        sae, inputs, Penalty(torch.tensor(weights), warmup=0.2), config,
        generator=torch.Generator().manual_seed({s.seed + 2_000_000}),
    )
    trained.append(sae)
outcome = labs.DictionaryOutcome.measure(trained, world, features)
plots.show(outcome.figure(), outcome.words())
"""


@functools.cache
def _floor(n_latents: int, n_features: int) -> float:
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(5, n_latents, D_MODEL, generator=generator)
    truth = torch.randn(n_features, D_MODEL, generator=generator)
    return float(metrics.mcc_directions(random, truth).score.mean())
