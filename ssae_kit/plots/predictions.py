"""Predictions and what became of them; `exercises.Predictions` sees that they fit together."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ssae_kit.plots.axes import LEGEND_ABOVE, figure
from ssae_kit.plots.marks import curves
from ssae_kit.plots.show import BLACK, BLUE, VERMILLION


def intervals(
    names: Sequence[str],
    ranges: Sequence[tuple[float, float]],
    outcomes: Sequence[float],
    *,
    x_title: str,
    title: str,
) -> go.Figure:
    """Draw each predicted range as a bar and its outcome as a diamond.

    Args:
        names: One per prediction, from the top.
        ranges: Lowest and highest value predicted, in the units of the axis.
        outcomes: What came out, same units.
        x_title: Quantity and unit.
        title: Shown above.
    """
    down, tall = {"autorange": "reversed", "title": "prediction"}, 170 + 40 * len(names)
    fig = figure(title, x_title, down, height=tall, legend=LEGEND_ABOVE)
    for i, (name, ends) in enumerate(zip(names, ranges, strict=True)):
        bar = {"x": list(ends), "y": [name, name], "mode": "lines", "name": "predicted range"}
        fig.add_scatter(**bar, line={"color": BLUE, "width": 12}, showlegend=i == 0)
    diamond = {"symbol": "diamond", "size": 12, "color": VERMILLION, "line": {"color": BLACK}}
    found = {"x": list(outcomes), "y": list(names), "mode": "markers", "name": "outcome"}
    return fig.add_scatter(**found, marker=diamond)


def orders(predicted: Sequence[str], outcome: Sequence[str], *, title: str) -> go.Figure:
    """Draw two orders of the same things side by side; a line joins each thing with itself.

    Args:
        predicted: From the first place down.
        outcome: The same things, from the first place down.
        title: Shown above.
    """
    places = {"autorange": "reversed", "tickvals": np.arange(1, len(outcome) + 1), "title": "place"}
    sides, tall = {"title": "order", "range": [-0.7, 1.7]}, 170 + 40 * len(outcome)
    fig = figure(title, sides, places, height=tall)
    for place, name in enumerate(outcome, 1):
        before = list(predicted).index(name) + 1
        colour = BLUE if before == place else VERMILLION
        line = {"color": colour, "dash": "solid" if before == place else "dash"}
        ends = {"x": ["predicted", "outcome"], "y": [before, place], "text": [name, name]}
        where = {"textposition": ["middle left", "middle right"], "mode": "lines+markers+text"}
        fig.add_scatter(**ends, **where, line=line, marker={"size": 9}, showlegend=False)
    return fig


def sketch(
    places: Sequence[str],
    predicted: Sequence[float],
    outcome: Sequence[float],
    *,
    y_title: str,
    title: str,
) -> go.Figure:
    """Draw a predicted curve and the outcome over the same places.

    Args:
        places: From left to right.
        predicted: One value per place, in the units of the axis.
        outcome: The same, what came out.
        y_title: Quantity and unit.
        title: Shown above.
    """
    fig = figure(title, {"type": "category", "title": "place"}, y_title, height=360)
    return curves(fig, places, {"your sketch": predicted, "outcome": outcome})
