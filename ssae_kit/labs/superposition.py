"""The Superposition lab: watch features find their places while a toy model trains."""

from dataclasses import replace
from typing import Any, get_args

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from ssae_kit.labs.base import Lab, Report
from ssae_kit.labs.parts import choice, heading, places, real, row, switch, values, whole
from ssae_kit.labs.superposition_run import (
    EVERY,
    N_RUNS,
    SuperpositionOutcome,
    SuperpositionSettings,
    code,
    run,
)
from ssae_kit.plots.superposition_lab import superposition_lab
from ssae_kit.synthetic.features import Relation

PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "pentagon": ({}, "Five sparse features of equal importance in two dimensions"),
    "dense": ({"sparsity": 0.0}, "No sparsity: only as many features as dimensions are stored"),
    "antipodal pairs": ({"n_features": 4}, "Four features share two axes, two by two"),
    "the important first": ({"decay": 0.6, "sparsity": 0.6}, "Less important features are dropped"),
    "together": (
        {"n_features": 4, "relation": "together"},
        "Features that are active together avoid each other's direction",
    ),
    "apart": (
        {"n_features": 4, "relation": "apart"},
        "Features that never meet can share an axis at no cost",
    ),
    "linear": ({"relu_output": False}, "Without a ReLU nothing is stored in superposition"),
    "three dimensions": ({"n_features": 6, "d_hidden": 3}, "Six features in three dimensions"),
}
"""What the buttons do: changes of the default settings, and what to see."""


class SuperpositionLab(Lab):
    """Train six toy models and watch the geometry of the best one form; replay it afterwards.

    Controls have the names of `SuperpositionSettings`. `moment` (a frame of the training) and
    `turn` (degrees, for three dimensions) only change what is drawn.

    Args:
        settings: Where the controls stand at first, by name.
    """

    title = "How can a layer store more features than it has dimensions?"
    sentence = (
        "The Superposition lab trains toy models while you watch; run this cell in JupyterLab to "
        "move its controls. The picture shows five sparse features in two dimensions at the end of "
        "training: a pentagon."
    )

    def __init__(self, **settings: Any) -> None:
        self.start_at = replace(SuperpositionSettings(), **settings)
        controls = _controls(self.start_at)
        self.moment = whole("replay: updates", 0, 0, EVERY, "Moment of the training", EVERY)
        self.turn = whole("turn (degrees)", 30, 0, 360, "Turns three dimensions", 10)
        self.moment.continuous_update = self.turn.continuous_update = True
        self._play = widgets.Play(
            min=0, max=EVERY, step=EVERY, interval=150, description="Replay the training"
        )
        self._linked = widgets.jslink((self._play, "value"), (self.moment, "value"))
        self._buttons = places(PLACES, self.go_to)
        rows = [
            row(*controls.values()),
            heading("Places to visit (all else as at the start):"),
            row(*self._buttons),
            heading("Replay the training, once it is done; turn three dimensions:"),
            row(self._play, self.moment, self.turn),
        ]
        super().__init__(controls, rows)
        self.turn.disabled = self.start_at.d_hidden != 3
        for slider in (self.moment, self.turn):
            slider.observe(self._redraw, "value")

    def settings(self) -> SuperpositionSettings:
        """Return what the controls say."""
        return SuperpositionSettings(**values(self.controls))

    def compute(self, settings: SuperpositionSettings, report: Report) -> SuperpositionOutcome:
        """Train."""
        return run(settings, report)

    def blank(self) -> go.Figure:
        """Return the empty figure."""
        k = self.start_at.n_features
        nothing = np.zeros((2, k)), np.zeros(k), np.full((1, N_RUNS), np.nan)
        return superposition_lab(*nothing, EVERY, step=0, best=0)

    def figure(self, result: SuperpositionOutcome) -> go.Figure:
        """Draw the last frame; the scrubber follows."""
        last = (len(result.frames) - 1) * EVERY
        with self._hush():
            self.moment.max = self._play.max = last
            self.moment.value = last
        return result.figure(turn=float(self.turn.value))

    def words(self, settings: SuperpositionSettings, result: SuperpositionOutcome) -> str:
        """Say what is stored, and how."""
        return result.words()

    def code(self, settings: SuperpositionSettings) -> str:
        """Return the view as a code cell."""
        return code(settings)

    def adapt(self, name: str, old: Any) -> None:
        """Only three dimensions can be turned."""
        self.turn.disabled = self.controls["d_hidden"].value != 3

    def close(self) -> None:
        """Stop the computation and take the lab off every page. It cannot be used afterwards."""
        self._linked.close()
        super().close()

    def go_to(self, place: str) -> None:
        """Go back to the start, and from there to a key of `PLACES`."""
        self.set(**vars(replace(self.start_at, **PLACES[place][0])))

    def _redraw(self, _: Any) -> None:
        """Show another moment, or another side, of what has been computed."""
        with self._lock:
            if self._quiet or self.result is None:
                return
            frame = min(self.moment.value // EVERY, len(self.result.frames) - 1)
            self.fig.replace(self.result.figure(frame, float(self.turn.value)))
            self.words_shown.text = self.result.words(frame)


def _controls(at: SuperpositionSettings) -> dict[str, Any]:
    """Return the controls, by the names of `SuperpositionSettings`."""
    return {
        "n_features": whole("features", at.n_features, 2, 12, "Features to store"),
        "d_hidden": whole("dimensions", at.d_hidden, 2, 3, "Dimensions of the narrow layer"),
        "sparsity": real("sparsity", at.sparsity, 0.0, 0.99, 0.01, "Probability that a feature is zero"),
        "decay": real("importance decay", at.decay, 0.5, 1.0, 0.05, "Importance as a share of the one before"),
        "relation": choice("neighbours are", get_args(Relation), "How 0 and 1, 2 and 3, ... go together", at=at.relation),
        "relu_output": switch("ReLU on the output", at.relu_output, "Without it the model is linear"),
        "seed": whole("seed", at.seed, 0, 999, "Draws starts and batches"),
    }  # fmt: skip
