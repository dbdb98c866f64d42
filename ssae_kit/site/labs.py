"""Two labs as pages that need no kernel: a grid of trainings made before, and what picks one.

Each training is the lab's own, on its own settings; so are its figure and its words.
"""

import html
import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ssae_kit.site.notebooks import raw
from ssae_kit.storage import replacing

DIGITS = 3
"""Of the numbers in a stored figure: more than a screen can show."""


@dataclass(frozen=True)
class _Lab:
    name: str
    """Its module in the room of labs, and the page's name."""
    axes: dict[str, tuple[Any, ...]]
    """Name of a setting, or `place` → values to train at, first where the page opens."""
    about: str
    """What to look at."""

    @property
    def file(self) -> str:
        return f"page_{self.name}.json"


LABS = (
    _Lab(
        "superposition",
        {"n_features": (5, 2, 3, 4, 6, 8), "sparsity": (0.9, 0.0, 0.5, 0.8, 0.95, 0.98)},
        "Five features and two dimensions: at sparsity 0.9 all five are stored, as a pentagon. "
        "Lower the sparsity. Which is given up first? Then try four features, and six.",
    ),
    _Lab(
        "shift",
        {"place": (), "seed": (0, 1, 2)},
        "Nothing is broken at first, and every concept comes back. Break one condition at a time, "
        "and say before you look which of the five panels will tell.",
    ),
)


def compute(results: Path) -> None:
    """Train every point of both grids and write what the pages show into a folder."""
    from ssae_kit.labs import ShiftLab, SuperpositionLab, shift, superposition  # slow to load

    for lab, of, module, start in (
        (LABS[0], SuperpositionLab, superposition, superposition.SuperpositionSettings),
        (LABS[1], ShiftLab, shift, shift.ShiftSettings),
    ):
        axes = {name: sorted(values) or list(of.places) for name, values in lab.axes.items()}
        points = {}
        for at in product(*(range(len(values)) for values in axes.values())):
            chosen = {name: axes[name][i] for name, i in zip(axes, at, strict=True)}
            changed, hint = of.places.get(chosen.pop("place", ""), ({}, ""))
            result = module.run(start(**changed, **chosen))
            points[",".join(map(str, at))] = _point(result.figure(), f"{result.words()} {hint}")
        opens = [axes[name].index((values or axes[name])[0]) for name, values in lab.axes.items()]
        whole = {"axes": axes, "opens": opens, "points": points}
        with replacing(results / lab.file) as draft:
            draft.write_text(json.dumps(whole, separators=(",", ":")) + "\n", encoding="utf-8")


def _point(figure: Any, words: str) -> dict[str, Any]:
    data = [trace.to_plotly_json() for trace in figure.data]  # the figure's own packs its numbers
    layout = figure.update_layout(template=None, meta=None).layout.to_plotly_json()
    return {"figure": _plain({"data": data, "layout": layout}), "words": words.strip()}


def _plain(value: Any) -> Any:
    """Copy of a figure's data as plain lists, rounded; what is no number becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value


def texts(results: Path) -> dict[str, str]:
    """Name → Markdown of both pages.

    Args:
        results: Folder that `compute` wrote to.
    """
    from ssae_kit import plots

    look = plots.figure().layout.template.to_plotly_json()
    made = {}
    for lab in LABS:
        held = json.loads((results / lab.file).read_text(encoding="utf-8"))
        told = json.dumps(held | {"template": _plain(look)}, separators=(",", ":"))
        controls = "".join(map(_control, held["axes"].items(), held["opens"]))
        n, title = len(held["points"]), f"{lab.name.capitalize()} lab"
        made[f"lab_{lab.name}"] = (
            f"# {title}, from stored trainings\n\n{lab.about}\n\n"
            f"**Nothing is trained here.** You choose among {n} trainings that were run before this "
            f"page was made (`python -m ssae_kit.site labs`). The lab in the notebook trains anew, "
            "and has more controls.\n\n"
            + raw(
                f'<div class="lab"><form>{controls}</form><p aria-live="polite" class="words"></p>'
                f'<div class="figure scroll" role="group" aria-label="Figure"></div>'
                "<noscript>The figure needs JavaScript; the notebook shows a picture.</noscript>"
                f'<script type="application/json">{told.replace("</", chr(60) + chr(92) + "/")}</script></div>'
            )
        )
    return made


def _control(axis: tuple[str, list[Any]], at: int) -> str:
    """Return a slider for numbers, a list for names."""
    name, values = axis
    label = html.escape({"n_features": "features", "place": "condition"}.get(name, name))
    if isinstance(values[0], str):
        options = "".join(
            f'<option value="{i}"{" selected" * (i == at)}>{html.escape(v)}</option>'
            for i, v in enumerate(values)
        )
        return f"<label>{label} <select>{options}</select></label>"
    slider = f'<input type="range" min="0" max="{len(values) - 1}" value="{at}">'
    return f"<label>{label} {slider} <output></output></label>"
