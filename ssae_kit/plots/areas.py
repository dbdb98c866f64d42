"""Marks that fill the plane: matrices, bars, histograms, clouds, and directions as rays.

Each takes arrays, adds itself to a figure in place, and returns the figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from ssae_kit.plots.axes import Panel, Values, entry, error_bars, look, place, summary
from ssae_kit.plots.show import BLACK, DIVERGING, VERMILLION


def heat(
    fig: go.Figure,
    values: Float[ndarray, "rows columns"],
    x: Iterable[str | int | float] = (),
    y: Iterable[str | int | float] = (),
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    digits: int | None = None,
    scale: str = "",
    at: Panel = None,
) -> go.Figure:
    """Draw a matrix in colours, first row on top; NaN stays blank.

    Args:
        fig: Drawn into; all its panels have one scale of colours.
        values: The matrix.
        x: Names of the columns, by default their numbers.
        y: Names of the rows, by default their numbers.
        limits: Ends of the scale; diverging from white if they lie about zero.
        digits: Write the numbers, with so many decimals.
        scale: What the colours mean.
        at: Panel.
    """
    text, template = None, ""
    if digits is not None:
        numbers = np.char.mod(f"%.{digits}f", np.nan_to_num(values).round(digits) + 0.0)
        text, template = np.where(np.isnan(values), "", numbers), "%{text}"
    fig.add_heatmap(z=values, text=text, texttemplate=template, coloraxis="coloraxis", **place(at))
    for update, names in ((fig.update_xaxes, list(x)), (fig.update_yaxes, list(y))):
        if names:
            shown = [f"{v:g}" if isinstance(v, float) else str(v) for v in names]
            update(tickvals=list(range(len(names))), ticktext=shown, **place(at))
        update(showgrid=False, zeroline=False, **place(at))
    fig.update_yaxes(autorange="reversed", **place(at))
    colours = DIVERGING if limits[0] == -limits[1] else "Cividis"
    ends = {"cmin": limits[0], "cmax": limits[1]}
    return fig.update_layout(
        coloraxis={"colorscale": colours, **ends, "colorbar": {"title": scale}}
    )


def bars(
    fig: go.Figure,
    names: Sequence[str | int],
    series: Mapping[str, Values],
    *,
    flat: bool = False,
    text: str | None = None,
    first: int = 0,
    at: Panel = None,
) -> go.Figure:
    """Draw bars side by side, with the range where a value is a row of runs.

    Args:
        fig: Drawn into.
        names: Of the groups.
        series: Per name, one value per group, or a row of runs for each.
        flat: Lay the bars down, first on top.
        text: Format of the number written at each bar, for example `.2f`.
        first: Place of the first series among colours and patterns.
        at: Panel.
    """
    along, across = ("y", "x") if flat else ("x", "y")
    look_of = {"orientation": "h" if flat else "v", "textposition": "outside", "cliponaxis": False}
    for i, (name, values) in enumerate(series.items(), first):
        middle, ends = summary(values, "range")
        drawn = {along: list(names), across: middle, f"error_{across}": error_bars(middle, ends)}
        if text is not None:
            drawn["text"] = [f"{v:{text}}" for v in middle]
        fill = _fill(i) | {"line": {"color": BLACK, "width": 0.5}}
        fig.add_bar(**drawn, **look_of, marker=fill, **entry(fig, name, at))
    if flat:
        fig.update_yaxes(type="category", autorange="reversed", showgrid=False, **place(at))
    return fig


def _fill(i: int) -> dict[str, Any]:
    """Colour and pattern of the i-th series."""
    return {"color": look(i)["color"], "pattern": {"shape": ("", "/", "x", ".")[i % 4]}}


def histogram(
    fig: go.Figure,
    series: Mapping[str, Values],
    ends: tuple[float, float],
    *,
    n_bins: int = 40,
    share: bool = False,
    at: Panel = None,
) -> go.Figure:
    """Draw how values are distributed, one histogram over the other.

    Args:
        fig: Drawn into.
        series: Per name, the values.
        ends: Of the axis; equal bins lie between them.
        n_bins: How many.
        share: Heights are shares of all values, not counts.
        at: Panel.
    """
    for i, (name, values) in enumerate(series.items()):
        counts, edges = np.histogram(np.asarray(values), bins=n_bins, range=ends)
        heights = counts / max(counts.sum(), 1) if share else counts
        bar = {
            "x": (edges[:-1] + edges[1:]) / 2,
            "y": heights,
            "width": (ends[1] - ends[0]) / n_bins,
        }
        fig.add_bar(**bar, marker=_fill(i), **entry(fig, name, at))
    return fig.update_layout(barmode="overlay")


def cloud(fig: go.Figure, places: Float[ndarray, "points 2"], name: str) -> go.Figure:
    """Draw many points in the only panel, grey and small, with equal units on both axes."""
    marker = {"color": "#777777", "size": 5, "line": {"color": "white", "width": 0.5}}
    x, y = places.T
    fig.add_scatter(x=x, y=y, mode="markers", marker=marker, **entry(fig, name, None))
    reach = 1.05 * float(np.abs(places).max(initial=1e-9))
    fig.update_xaxes(range=[-reach, reach])
    return fig.update_yaxes(range=[-reach, reach], scaleanchor="x", scaleratio=1)


def rays(
    fig: go.Figure,
    series: Mapping[str, Float[ndarray, "_ axes"]],
    *,
    length: float = 1.0,
    both_ways: bool = False,
    at: Panel = None,
) -> go.Figure:
    """Draw directions as lines from the origin, in one to three dimensions.

    Args:
        fig: Drawn into; a panel of three dimensions is a scene.
        series: Per name, one direction a row.
        length: Multiplies them.
        both_ways: Draw each through the origin, where signs mean nothing.
        at: Panel.
    """
    for i, (name, rows) in enumerate(series.items()):
        tips = length * np.pad(rows, ((0, 0), (0, max(0, 2 - rows.shape[1]))))
        start = -tips if both_ways else 0 * tips
        ends = np.stack([start, tips, np.full_like(tips, np.nan)], 1).reshape(-1, tips.shape[1])
        style, sizes = look(i), np.tile([0, 0 if both_ways else 9, 0], len(tips))
        line = {"color": style["color"], "dash": style["dash"], "width": 3}
        marker = {"color": VERMILLION, "size": sizes, "opacity": 1, "line": {"width": 0}}
        drawn = {"mode": "lines+markers", "line": line, "marker": marker} | entry(fig, name, None)
        kind = go.Scatter3d if tips.shape[1] == 3 else go.Scatter
        trace = kind(**dict(zip("xyz", ends.T, strict=False)), **drawn)
        fig.add_trace(trace, *(at or (None, None)))
    return fig


def arrangements(fig: go.Figure, panels: Sequence[Float[ndarray, "_ _"]]) -> go.Figure:
    """Draw the directions of small models as rays, in one to three dimensions, a panel each.

    Args:
        fig: Of one row; the panel of a model in three dimensions is a scene.
        panels: Of each model, one direction a row.
    """
    box = {"range": [-1.5, 1.5], "showticklabels": False, "title": "", "zeroline": True}
    for column, directions in enumerate(panels, 1):
        rays(fig, {"": directions}, at=(1, column))
        fig.update_yaxes(scaleanchor=f"x{column if column > 1 else ''}", col=column)
    fig.update_xaxes(box).update_yaxes(box)
    eye = {"x": 1.45, "y": 1.1, "z": 0.72}
    return fig.update_scenes(xaxis=box, yaxis=box, zaxis=box, aspectmode="cube", camera_eye=eye)
