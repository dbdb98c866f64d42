"""The Superposition lab: watch features find their places while a toy model trains."""

from dataclasses import dataclass, replace
from typing import Any, get_args

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ssae_kit import checks, plots, superposition
from ssae_kit.labs.base import Lab
from ssae_kit.labs.figure import PAGE, beside, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, heading, setting, slider, switch
from ssae_kit.synthetic.features import Relation, sample_features

N_RUNS, BATCH = 6, 256
STEPS, EVERY = 800, 20
"""Updates, and updates between two frames."""


@dataclass(frozen=True)
class SuperpositionSettings:
    """Everything the Superposition lab can vary."""

    n_features: int = setting(5, slider, "features", 2, 12, 1, "To store, most important first")
    d_hidden: int = setting(2, slider, "dimensions", 2, 3, 1, "Dimensions of the narrow layer")
    sparsity: float = setting(
        0.9, slider, "sparsity", 0.0, 0.99, 0.01, "Probability that a feature is zero"
    )
    decay: float = setting(
        1.0, slider, "importance decay", 0.5, 1.0, 0.05, "Share of the one before"
    )
    relation: Relation = setting(
        "independent", choice, "neighbours are", get_args(Relation), "How 0 and 1, 2 and 3, ... go together"
    )  # fmt: skip
    relu_output: bool = setting(True, switch, "ReLU on the output", "Without it, it is linear")
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws starts and batches")


@dataclass(frozen=True)
class SuperpositionOutcome:
    """Runs of one toy model over their training."""

    frames: Float[Tensor, "frames run features d_hidden"]
    """Directions before training and after every `EVERY` updates."""
    losses: Float[Tensor, "records run"]
    """Loss, averaged over every `EVERY` updates."""

    @classmethod
    def measure(cls, frames: list[Tensor], losses: Tensor) -> "SuperpositionOutcome":
        """Gather frames, and the loss of every batch so far, `[updates, run]`."""
        whole = losses[: len(losses) // EVERY * EVERY]
        return cls(torch.stack(frames), whole.view(-1, EVERY, losses.shape[1]).mean(1))

    @property
    def best(self) -> int:
        """Run of lowest loss at the end."""
        return int(self.losses[-1].argmin())

    def figure(self, frame: int = -1, turn: float = 0.0) -> go.Figure:
        """Draw the best run at one frame, by default the last; `turn` in degrees."""
        frame = range(len(self.frames))[frame]
        directions = self.frames[frame, self.best]
        k, d = directions.shape
        names, losses = [str(i) for i in range(k)], self.losses.numpy()
        box = {"range": [-1.4, 1.4], "tickvals": [-1, 0, 1]}
        titles = {
            f"feature directions in {d} dimensions": (
                {"title": "length 1 is the dotted circle (unitless)", **box},
                {"scaleanchor": "x", "constrain": "domain", **box},
            ),
            "overlap of features (inner products)": ("feature", "feature"),
            "dimensionality of each feature": (
                {"title": "feature, most important first", "type": "category"},
                {"title": "unitless", "range": [0, 1.15], "tickvals": [0, 0.5, 1]},
            ),
            "loss of all runs": (
                "updates (dashed: moment shown)", {"title": "loss", "rangemode": "tozero"},
            ),
        }  # fmt: skip
        grid = {"vertical_spacing": 0.19, "row_heights": [0.6, 0.4]}
        fig = blank(titles, columns=2, grid=grid, showlegend=False, **PAGE)
        _directions(fig, flat(directions.numpy(), turn))
        overlap, digits = (directions @ directions.T).numpy(), 1 if k <= 8 else None
        plots.heat(fig, overlap, names, names, limits=(-1.2, 1.2), digits=digits, at=(1, 2))
        share = superposition.dimensionality(directions[None])[0].numpy()
        plots.bars(fig, names, {"dimensionality": share}, text=".2f", at=(2, 1))
        updates = EVERY * np.arange(1.0, len(losses) + 1)
        plots.runs(fig, updates, losses, self.best, at=(2, 2))
        plots.reference(fig, "", x=frame * EVERY, at=(2, 2))
        return beside(fig, 2).update_layout(margin_t=40)  # no legend needs the room

    def words(self, frame: int = -1) -> str:
        """Say what is stored at one frame, and how."""
        frame = range(len(self.frames))[frame]
        directions = self.frames[frame, self.best][None]
        stored = superposition.represented(directions)[0]
        share = superposition.dimensionality(directions)[0][stored]
        crowd = int((superposition.interference(directions)[0][stored] > 0.05).sum())
        k, d = directions.shape[1:]
        missing = ", ".join(map(str, (~stored).nonzero().flatten().tolist()))
        between = f"{share.min():.2f} to {share.max():.2f}" if len(share) else "none"
        return (
            f"After {frame * EVERY} updates, the best of {self.frames.shape[1]} runs stores "
            f"{len(share)} of {k} features in {d} dimensions"
            + (f" (not {missing})" if missing else "")
            + f"; {crowd} of them overlap with others. Dimensionality of the stored: {between}, "
            f"together {share.sum():.2f}. Loss: {self.losses[-1, self.best]:.4f}."
        )


def run(settings: SuperpositionSettings, report: Progress = quiet) -> SuperpositionOutcome:
    """Train `N_RUNS` toy models and keep a frame every `EVERY` updates."""
    s = settings
    model = superposition.ToyModel(
        N_RUNS, s.n_features, s.d_hidden, importance=s.decay ** torch.arange(s.n_features),
        relu_output=s.relu_output, generator=checks.seeded(s.seed),
    )  # fmt: skip
    density = torch.full((N_RUNS, s.n_features), 1 - s.sparsity)
    frames = [model.directions.clone()]

    def on_step(step: int, losses: Tensor) -> None:
        if step % EVERY == 0:
            frames.append(model.directions.clone())
            report(step / STEPS, lambda: SuperpositionOutcome.measure(frames, losses))

    losses = superposition.train(
        model, lambda g: sample_features(density, BATCH, relation=s.relation, generator=g),
        steps=STEPS, generator=checks.seeded(s.seed + 1_000_000), on_step=on_step,
    )  # fmt: skip
    return SuperpositionOutcome.measure(frames, losses)


class SuperpositionLab(Lab):
    """Train six toy models and watch the geometry of the best one form; replay it afterwards.

    Controls have the names of `SuperpositionSettings`. `moment` (a frame of the training) and
    `turn` (degrees, for three dimensions) only change what is drawn.

    Args:
        settings: Where the controls stand at first, by name.
    """

    title = "How can a layer store more features than it has dimensions?"
    does = "The Superposition lab trains toy models while you watch."
    look = (
        "The picture shows five sparse features in two dimensions at the end of training: a "
        "pentagon."
    )
    tasks = (
        "Lower the sparsity step by step. Where does the first feature leave the picture?",
        'Four features: visit "together", then "apart". Which pairs share an axis, and at what cost?',
        "Eight features in two dimensions: which sparsity stores most of them, and what overlaps?",
    )
    run = staticmethod(run)
    places = {
        "pentagon": ({}, "Five sparse features of equal importance in two dimensions"),
        "dense": ({"sparsity": 0.0, "decay": 0.8},
            "No sparsity: only as many features as dimensions are stored, the most important"),
        "antipodal pairs": ({"n_features": 4}, "Four features share two axes, two by two"),
        "the important first": ({"decay": 0.6, "sparsity": 0.6},
            "Less important features are dropped"),
        "together": ({"n_features": 4, "relation": "together"},
            "Features that are active together avoid each other's direction"),
        "apart": ({"n_features": 4, "relation": "apart"},
            "Features that never meet can share an axis at no cost"),
        "linear": ({"relu_output": False, "decay": 0.8},
            "Without a ReLU the layer keeps the two most important features, as PCA does"),
        "three dimensions": ({"n_features": 6, "d_hidden": 3}, "Six features in three dimensions"),
    }  # fmt: skip

    def __init__(self, **settings: Any) -> None:
        self.moment = slider("replay: updates", 0, 0, EVERY, EVERY, "Moment of the training")
        self.turn = slider("turn (degrees)", 30, 0, 360, 10, "Turns three dimensions")
        self._play = widgets.Play(
            min=0, max=EVERY, step=EVERY, interval=150, description="Replay the training"
        )
        widgets.link((self._play, "value"), (self.moment, "value"))
        super().__init__(replace(SuperpositionSettings(), **settings))
        self.view.add_class("ssae-linked")
        for one in (self.moment, self.turn):
            one.observe(self._redraw, "value")

    def above(self) -> list[Any]:
        """Return the controls, and what only changes the drawing."""
        over = heading("Replay it, or turn it:")
        return [*super().above(), over, self._play, self.moment, self.turn]

    def figure(self, result: SuperpositionOutcome) -> go.Figure:
        """Draw the last frame; the scrubber follows."""
        last = (len(result.frames) - 1) * EVERY
        with self._hush():
            self.moment.max = self._play.max = last
            self.moment.value = last
        return result.figure(turn=float(self.turn.value))

    def adapt(self, name: str, old: Any) -> None:
        """Only three dimensions can be turned."""
        self.turn.disabled = self.controls["d_hidden"].value != 3

    def _redraw(self, _: Any) -> None:
        """Show another moment, or another side, of what has been computed."""
        with self._lock:
            if self._quiet or self.result is None:
                return
            frame = min(self.moment.value // EVERY, len(self.result.frames) - 1)
            self._put(self.result.figure(frame, float(self.turn.value)))
            self.words_shown.text = self.result.words(frame)


def flat(directions: Float[ndarray, "features axes"], turn: float) -> Float[ndarray, "features 2"]:
    """Return the directions as seen from the front; three dimensions are turned, then tilted."""
    if directions.shape[1] == 2:
        return directions
    around, tilt = np.radians(turn), np.radians(25)
    x, y, z = directions.T
    right = x * np.cos(around) + y * np.sin(around)
    away = y * np.cos(around) - x * np.sin(around)
    return np.stack([right, z * np.cos(tilt) + away * np.sin(tilt)], axis=1)


def _directions(fig: go.Figure, tips: Float[ndarray, "features 2"]) -> None:
    """Draw the directions with their numbers, and the circle of length 1."""
    plots.rays(fig, {"directions": tips}, at=(1, 1))
    numbers = [f"<b>{i}</b>" for i in range(len(tips))]
    fig.data[-1].text = [text for number in numbers for text in ("", number, "")]
    lengths = np.linalg.norm(tips, axis=1, keepdims=True)
    (x, y), at = (tips * (1 + 0.17 / lengths.clip(1e-9))).T, {"row": 1, "col": 1}  # beyond the tips
    fig.add_scatter(x=x, y=y, mode="text", text=numbers, hoverinfo="skip", **at)
    around, grey = np.linspace(0, 2 * np.pi, 80), {"color": "#999999", "width": 1, "dash": "dot"}
    circle = {"x": np.cos(around), "y": np.sin(around), "mode": "lines", "line": grey}
    fig.add_scatter(**circle, hoverinfo="skip", **at)
