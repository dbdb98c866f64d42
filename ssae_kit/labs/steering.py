"""The Steering lab: turn concepts of a Llama's text and see what else turns."""

from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from ssae_kit.labs.base import Export, Lab, Report
from ssae_kit.labs.parts import WIDE, choice, heading, hinted, real, row, switch, values, whole
from ssae_kit.labs.steering_run import (
    METHODS,
    SteeringOutcome,
    SteeringSettings,
    Subject,
    bundled,
    code,
    run,
)
from ssae_kit.labs.texts import side_by_side
from ssae_kit.plots.steering_lab import steering_lab

SHOWN = 3
"""Continuations shown side by side."""


class SteeringLab(Lab):
    """Steer a Llama: prompt, concepts, method, layer and strength; texts before and after.

    Args:
        subject: What is steered; by default the bundled Llama. `labs.bundled(model)` makes one of
            any Llama trained on our world; build a `labs.Subject` for any other.
        settings: Where the controls stand at first, by the names of `SteeringSettings`.
    """

    title = "Can I move one concept and nothing else?"
    sentence = (
        "The Steering lab steers a Llama and shows its texts before and after; run this cell in "
        "JupyterLab to move its controls. The picture shows one concept turned: what the texts say "
        "without and with steering, and effect and side effects against the strength."
    )

    def __init__(self, subject: Subject | None = None, **settings: Any) -> None:
        self.subject = subject or bundled()
        names, n_layers = self.subject.pairs.concepts, self.subject.llama.n_layers
        at = {"prompt": self.subject.prompts[0], "concepts": (names[0],), "layer": n_layers // 2}
        self.start_at = SteeringSettings(**{**at, **settings})
        controls = _controls(self.subject, self.start_at)
        self._own = widgets.Text(
            description="or your own", placeholder="a text the model could go on from", style=WIDE,
            continuous_update=False, layout={"width": "790px"},
        )  # fmt: skip
        hinted(self._own, "Replaces the prompt above")
        self._own.observe(lambda _: self.start(), "value")
        self.texts = widgets.HTML()
        """Continuations side by side, changed words marked."""
        others = [c for n, c in controls.items() if n not in ("prompt", "concepts")]
        rows = [
            controls["prompt"],
            self._own,
            heading("Concepts to turn, and how (Ctrl or Shift picks several):"),
            row(controls["concepts"], widgets.VBox(others[:3]), widgets.VBox(others[3:])),
        ]
        super().__init__(controls, rows, [self.texts])

    def settings(self) -> SteeringSettings:
        """Return what the controls say; a prompt of one's own comes first."""
        said = values(self.controls)
        own = self._own.value.strip()
        return SteeringSettings(**{**said, "prompt": own or said["prompt"]})

    def compute(self, settings: SteeringSettings, report: Report) -> SteeringOutcome:
        """Write and read."""
        return run(self.subject, settings, report)

    def blank(self) -> go.Figure:
        """Return the empty figure."""
        names = self.subject.pairs.concepts
        nothing = np.zeros(len(names))
        labels = [f"{name}: {self.subject.values[name][1]}" for name in names]
        flags = [False] * len(names)
        return steering_lab(labels, nothing, nothing, flags, [0.0], np.zeros((1, 3)), 0.0)

    def figure(self, result: SteeringOutcome) -> go.Figure:
        """Draw the outcome; the texts are shown beside it."""
        before, after = (result.texts[s] for s in (0.0, result.strength))
        head = ["unsteered", "steered"]
        self.texts.value = side_by_side(head, before[:SHOWN], after[:SHOWN])
        return result.figure()

    def words(self, settings: SteeringSettings, result: SteeringOutcome) -> str:
        """Say what changed, and what else did."""
        return result.words()

    def code(self, settings: SteeringSettings) -> str:
        """Return the view as a code cell."""
        return code(self.subject, settings)

    def export(self) -> Export:
        """Return settings and code, concepts as a list."""
        made = super().export()
        concepts = list(made.settings["concepts"])
        return Export({**made.settings, "concepts": concepts}, made.code)


def _controls(subject: Subject, at: SteeringSettings) -> dict[str, Any]:
    """Return the controls, by the names of `SteeringSettings`."""
    names = subject.pairs.concepts
    concepts = widgets.SelectMultiple(
        options=names, value=at.concepts, description="concepts", rows=len(names), style=WIDE,
        layout={"width": "254px"},
    )  # fmt: skip
    hinted(concepts, "Turned to their other value, all at once")
    hint = "Text that the model goes on from"
    return {
        "prompt": choice("prompt", subject.prompts, hint, "790px", at.prompt),
        "concepts": concepts,
        "method": choice("direction from", METHODS, "Where the directions come from", at=at.method),
        "layer": whole("layer", at.layer, 1, subject.llama.n_layers, "Output of this block"),
        "strength": real("strength", at.strength, 0.0, 4.0, 0.25, "Typical shifts to add"),
        "everywhere": switch(
            "at every token", at.everywhere, "Not only once, at the prompt's last"
        ),
        "seed": whole("seed", at.seed, 0, 999, "Draws the continuations"),
    }
