"""The Dictionary lab: what a sparse autoencoder recovers of features that are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from ssae_kit.labs.base import Lab, Report
from ssae_kit.labs.dictionary_run import (
    ARCHITECTURES,
    N_RUNS,
    DictionaryOutcome,
    DictionarySettings,
    code,
    run,
)
from ssae_kit.labs.parts import choice, heading, places, real, row, switch, values, whole
from ssae_kit.plots.dictionary_lab import dictionary_lab

PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "enough of everything": ({}, "Nearly every feature is found, and the spare latents are dead"),
    "too few latents": ({"n_latents": 24}, "Features are lost, or share a latent"),
    "too many may fire": ({"k": 10}, "Little is missed, and directions are worse"),
    "shrinkage": (
        {"architecture": "ReLU", "penalty": 2.0},
        "Directions are right, and much is missed: the penalty makes every code too small",
    ),
    "a gate against it": (
        {"architecture": "Gated", "penalty": 1.0},
        "As sparse, and less is missed: the penalty leaves the codes' size alone",
    ),
    "dead latents": (
        {"architecture": "BatchTopK", "n_latents": 128},
        "Latents that win nothing at the start learn nothing",
    ),
    "and revived": (
        {"architecture": "BatchTopK", "n_latents": 128, "revive": True},
        "Dead latents get new directions; whether those find a feature is another question",
    ),
    "crowded world": (
        {"n_features": 96, "n_latents": 96, "n_active": 6, "k": 6},
        "Three times as many features as dimensions, six of them at a time: hardly any is found",
    ),
}
"""What the buttons do: changes of the default settings, and what to see."""


class DictionaryLab(Lab):
    """Train a sparse autoencoder on features with known directions, and others for comparison.

    Three runs have the setting chosen; further ones show what the same architecture reaches at
    other sparsities. Controls have the names of `DictionarySettings`.

    Args:
        settings: Where the controls stand at first, by name.
    """

    title = "Can a sparse dictionary undo superposition, and at what price?"
    sentence = (
        "The Dictionary lab trains sparse autoencoders while you watch; run this cell in "
        "JupyterLab to move its controls. The picture shows the start: 40 features in 32 "
        "dimensions, a TopK autoencoder with 64 latents of which 3 may fire."
    )

    def __init__(self, **settings: Any) -> None:
        self.start_at = replace(DictionarySettings(), **settings)
        self._buttons = places(PLACES, self.go_to)
        controls = _controls(self.start_at)
        rows = [
            row(*controls.values()),
            heading("Places to visit (all else as at the start):"),
            row(*self._buttons),
        ]
        super().__init__(controls, rows)
        self.adapt("", None)

    def settings(self) -> DictionarySettings:
        """Return what the controls say."""
        return DictionarySettings(**values(self.controls))

    def compute(self, settings: DictionarySettings, report: Report) -> DictionaryOutcome:
        """Train and score."""
        return run(settings, report)

    def blank(self) -> go.Figure:
        """Return the empty figure."""
        s = self.start_at
        scores = np.full((N_RUNS, s.n_features), np.nan)
        return dictionary_lab(
            np.zeros((s.n_features, s.n_latents)), (scores, scores),
            np.zeros((N_RUNS, s.n_latents)), (np.full(N_RUNS, np.nan),) * 2,
            floor=0.0, true_l0=float(s.n_active), best=0,
        )  # fmt: skip

    def figure(self, result: DictionaryOutcome) -> go.Figure:
        """Draw the outcome."""
        return result.figure()

    def words(self, settings: DictionarySettings, result: DictionaryOutcome) -> str:
        """Say what was found, and at what price."""
        return result.words()

    def code(self, settings: DictionarySettings) -> str:
        """Return the view as a code cell."""
        return code(settings)

    def adapt(self, name: str, old: Any) -> None:
        """Switch off the control that this architecture does not listen to."""
        penalised = self.settings().penalised
        self.controls["k"].disabled = penalised
        self.controls["penalty"].disabled = not penalised

    def go_to(self, place: str) -> None:
        """Go back to the start, and from there to a key of `PLACES`."""
        self.set(**vars(replace(self.start_at, **PLACES[place][0])))


def _controls(at: DictionarySettings) -> dict[str, Any]:
    """Return the controls, by the names of `DictionarySettings`."""
    return {
        "architecture": choice("architecture", list(ARCHITECTURES), "How the code is made sparse", at=at.architecture),
        "n_latents": whole("latents", at.n_latents, 16, 128, "Width of the dictionary", 8),
        "k": whole("L0: latents fire", at.k, 1, 12, "Latents that may fire per input (TopK and its kin)"),
        "penalty": real("penalty (1: usual)", at.penalty, 0.25, 4.0, 0.25, "Weight of the sparsity penalty (the others)"),
        "revive": switch("revive dead latents", at.revive, "Start them anew from inputs reconstructed badly"),
        "n_features": whole("features", at.n_features, 8, 96, "Features of the world, in 32 dimensions", 8),
        "n_active": whole("active at a time", at.n_active, 1, 8, "Features per input, on average"),
        "seed": whole("seed", at.seed, 0, 999, "Draws the world, the samples and the starts"),
    }  # fmt: skip
