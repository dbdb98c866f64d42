"""Two labs as pages that need no kernel: a grid of trainings made before, and what picks one.

Each training is the lab's own, on its own settings; so are its figure and its words.
"""

import html
import json
from itertools import product
from pathlib import Path
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from ssae_kit import plots
from ssae_kit.site.notebooks import embedded, raw
from ssae_kit.storage import replacing

GRIDS: dict[str, dict[str, list[Any]]] = {
    "superposition": {
        "n_features": [2, 3, 4, 5, 6, 8],
        "sparsity": [0.0, 0.5, 0.8, 0.9, 0.95, 0.98],
    },
    "shift": {"place": [], "seed": [0, 1, 2]},
}
"""Lab → name of a setting → values to train at; `place` stands for all of the lab's places."""
ABOUT = {
    "superposition": "Five features and two dimensions: at sparsity 0.9 all five are stored, as a "
    "pentagon. Lower the sparsity. Which is given up first? Then try four features, and six.",
    "shift": "Nothing is broken at first, and every concept comes back. Break one condition at a "
    "time, and say before you look which of the five panels will tell.",
}
LABELS = {"n_features": "features", "place": "condition"}
DIGITS = 3
"""Of the numbers in a stored figure: more than a screen can show."""


def compute(results: Path) -> None:
    """Train every point of both grids and write what the pages show into a folder."""
    from ssae_kit.labs import game, shift, superposition  # slow to load

    of = {
        "superposition": (superposition, superposition.SuperpositionSettings, {}),
        "shift": (shift, shift.ShiftSettings, game.ShiftLab.places),
    }
    for name, (module, settings, places) in of.items():
        axes = {axis: values or list(places) for axis, values in GRIDS[name].items()}
        points = {}
        for at in product(*(range(len(values)) for values in axes.values())):
            chosen = {axis: axes[axis][i] for axis, i in zip(axes, at, strict=True)}
            changed, hint = places.get(chosen.pop("place", ""), ({}, ""))
            result = module.run(settings(**changed, **chosen))
            points[",".join(map(str, at))] = _point(result.figure(), f"{result.words()} {hint}")
        opens = [v.index(getattr(settings(), axis, v[0])) for axis, v in axes.items()]
        whole = {"axes": axes, "opens": opens, "points": points}
        with replacing(results / f"page_{name}.json") as draft:
            draft.write_text(json.dumps(whole, separators=(",", ":")) + "\n", encoding="utf-8")


def _point(figure: Any, words: str) -> dict[str, Any]:
    data = [trace.to_plotly_json() for trace in figure.data]  # the figure's own packs its numbers
    layout = figure.update_layout(template=None, meta=None).layout.to_plotly_json()
    return {"figure": _plain({"data": data, "layout": layout}), "words": words.strip()}


def _plain(value: Any) -> Any:
    """Copy of a figure's data as plain lists, rounded; what is no number becomes null."""
    text = json.dumps(value, cls=PlotlyJSONEncoder)
    return json.loads(text, parse_float=lambda number: float(f"{float(number):.{DIGITS}g}"))


def texts(results: Path) -> dict[str, str]:
    """Name → Markdown of both pages, from the folder that `compute` wrote to."""
    template = _plain(plots.figure().layout.template.to_plotly_json())
    made = {}
    for name, about in ABOUT.items():
        held = json.loads((results / f"page_{name}.json").read_text(encoding="utf-8"))
        controls = "".join(map(_control, held["axes"].items(), held["opens"]))
        made[f"lab_{name}"] = (
            f"# {name.capitalize()} lab, from stored trainings\n\n{about}\n\n**Nothing is trained "
            f"here.** You choose among {len(held['points'])} trainings that were run before this "
            "page was made (`python -m ssae_kit.site labs`). The lab in the notebook trains anew, "
            "and has more controls.\n\n"
        ) + raw(
            f'<div class="lab"><form>{controls}</form><p aria-live="polite" class="words"></p>'
            '<div class="figure scroll" role="group" aria-label="Figure"></div>'
            "<noscript>The figure needs JavaScript; the notebook shows a picture.</noscript>"
            f"{embedded(held | {'template': template})}</div>"
        )
    return made


def _control(axis: tuple[str, list[Any]], at: int) -> str:
    """Return a slider for numbers, a list for names."""
    label, values = LABELS.get(axis[0], axis[0]), axis[1]
    if isinstance(values[0], str):
        options = "".join(f"<option value={i}>{html.escape(v)}" for i, v in enumerate(values))
        return f"<label>{label} <select>{options}</select></label>"
    slider = f'<input type="range" min="0" max="{len(values) - 1}" value="{at}">'
    return f"<label>{label} {slider} <output></output></label>"
