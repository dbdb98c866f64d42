"""Marks: what figures are made of. Each takes arrays, adds itself to a figure and returns it.

A figure begins with `figure`, which names its axes; `at=(row, column)` picks the panel of a figure
with several. Series are {name: values}; each gets a colour, a dash and a symbol of its own, the same
in every panel, and one entry in the legend.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import (
    BLACK,
    DASHES,
    DIVERGING,
    GREEN,
    GREY,
    LINES,
    MARKERS,
    TEMPLATE,
    VERMILLION,
)

Values = ndarray | Sequence[Any]
"""Numbers, or names of categories."""
Panel = tuple[int, int] | None
"""Row and column of a panel, from 1; None for the only one."""
Axis = str | Mapping[str, Any]
"""Quantity and unit, or all that plotly can be told of an axis."""
Spread = Literal["range", "95%", "interval"]
"""What the second axis of values holds: runs, shown from lowest to highest; draws, shown by the
middle 95% of them; or three columns (mean, low, high)."""
LEGEND_BELOW = {"orientation": "h", "y": -0.25}
LEGEND_ABOVE = {"x": 1, "y": 1.07, "xanchor": "right", "yanchor": "bottom", "orientation": "h"}
"""Where a legend leaves the panels their width."""


def figure(
    title: str = "",
    x: Axis = "",
    y: Axis = "",
    *,
    panels: Sequence[str] = (),
    columns: int = 0,
    grid: Mapping[str, Any] | None = None,
    **layout: Any,
) -> go.Figure:
    """Return an empty figure with the kit's look.

    Args:
        title: Shown above.
        x: Quantity and unit of the horizontal axes.
        y: Quantity and unit of the vertical axes; written once where panels share them.
        panels: Titles of panels, row by row; none for a figure of one.
        columns: Panels in a row; by default all.
        grid: Further arguments of `plotly.subplots.make_subplots`.
        layout: Anything that plotly's layout takes.
    """
    fig = go.Figure()
    if panels:
        columns = columns or len(panels)
        shared = {"rows": -(-len(panels) // columns), "shared_yaxes": True} | dict(grid or {})
        fig = make_subplots(cols=columns, subplot_titles=list(panels), **shared)
        fig.update_annotations(font_size=14)
    fig.update_xaxes(_axis(x))
    fig.update_yaxes(_axis(y))
    if panels and shared["shared_yaxes"]:
        for column in range(2, columns + 1):
            fig.update_yaxes(title=None, col=column)
    return fig.update_layout(template=TEMPLATE, title=title or None, **layout)


def curves(
    fig: go.Figure,
    x: Values,
    series: Mapping[str, Values],
    *,
    spread: Spread = "range",
    bars: bool = False,
    median: bool = False,
    markers: bool = True,
    nudge: float = 0.0,
    at: Panel = None,
) -> go.Figure:
    """Draw named curves; those of several runs by their mean, with a band for the spread.

    Args:
        fig: Drawn into.
        x: Places, ascending: numbers or names.
        series: Per curve, one value per place, or a row of them (see `Spread`).
        spread: What such a row holds.
        bars: Show the spread by bars instead of a band.
        median: Take the median of the runs, not their mean.
        markers: Put a symbol at each place.
        nudge: Distance between the curves along the axis, so that bars can be told apart.
        at: Panel.
    """
    for i, (name, values) in enumerate(series.items()):
        middle, low, high = _summary(values, spread, median)
        look, places = _look(i), np.asarray(x)
        if nudge:
            places = places + nudge * (i - (len(series) - 1) / 2)
        if low is not None and not bars:
            band(fig, places, low, high, look["color"], at=at)
        fig.add_scatter(
            x=places,
            y=middle,
            mode="lines+markers" if markers else "lines",
            line={"color": look["color"], "dash": look["dash"], "width": 2 if markers else 3},
            marker={"symbol": look["symbol"], "size": 8},
            error_y=_error(middle, low, high) if bars else None,
            **_named(fig, name, at),
        )
    return fig


def points(
    fig: go.Figure,
    series: Mapping[str, tuple[Values, Values]],
    *,
    spread: Spread = "range",
    line: bool = False,
    size: int = 10,
    at: Panel = None,
) -> go.Figure:
    """Draw named points, one per run or setting; bars where a value is a row (see `Spread`).

    Args:
        fig: Drawn into.
        series: Per name, horizontal and vertical values; names of categories are values too.
        spread: What a row of values holds.
        line: Join the points of a series.
        size: Of a symbol, in pixels.
        at: Panel.
    """
    for i, (name, ends) in enumerate(series.items()):
        (x, *wide), (y, *high) = (_summary(values, spread) for values in ends)
        look = _look(i)
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines+markers" if line else "markers",
            error_x=_error(x, *wide),
            error_y=_error(y, *high),
            line={"color": look["color"], "dash": look["dash"]},
            marker={
                "color": look["color"],
                "symbol": look["symbol"],
                "size": size,
                "opacity": 0.8,
                "line": {"width": 0.5, "color": BLACK},
            },
            **_named(fig, name, at),
        )
    return fig


def scores(
    fig: go.Figure,
    places: Sequence[str | int],
    series: Mapping[str, Float[ndarray, "run places"]],
    *,
    floor: Float[ndarray, " draws"] | float | None = None,
    floor_name: str = "random rotations",
    best: int | None = None,
    at: Panel = None,
) -> go.Figure:
    """Draw one point per run at each place, series side by side, over what chance reaches.

    Args:
        fig: Drawn into.
        places: Names of the columns, for example of concepts.
        series: Per name, one row per run, 0 to 1.
        floor: Scores by chance: a number is a dashed line, draws are a band of 95% of them.
        floor_name: What chance does.
        best: Run drawn larger.
        at: Panel.
    """
    ends = [-0.5, len(places) - 0.5]
    if isinstance(floor, ndarray):
        low, high = np.quantile(floor, [0.025, 0.975])
        fig.add_scatter(
            x=[*ends, *ends[::-1]],
            y=[low, low, high, high],
            fill="toself",
            fillcolor="#DDDDDD",
            mode="none",
            **_named(fig, f"{floor_name}, 95%", at),
        )
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        n_runs, look = len(values), _look(i)
        aside = np.linspace(-0.3, 0.3, n_runs)[:, None] if n_runs > 1 else np.zeros((1, 1))
        x = np.arange(len(places)) - 0.4 + width * (i + 0.5 + aside)
        size = np.where(np.arange(n_runs) == best, 11, 7)[:, None]
        marker = {"color": look["color"], "symbol": look["symbol"], "opacity": 0.75}
        marker["size"] = np.broadcast_to(size, values.shape).ravel()
        fig.add_scatter(
            x=x.ravel(), y=values.ravel(), mode="markers", marker=marker, **_named(fig, name, at)
        )
    if isinstance(floor, float):
        fig.add_scatter(
            x=ends,
            y=[floor, floor],
            mode="lines",
            line={"color": BLACK, "dash": "dash", "width": 1.5},
            **_named(fig, floor_name, at),
        )
    ticks = {"tickvals": list(range(len(places))), "ticktext": [str(place) for place in places]}
    angle = -45 if len(places) > 8 and isinstance(places[0], str) else None
    fig.update_xaxes(ticks, range=ends, tickangle=angle, showgrid=False, **_at(at))
    fig.update_xaxes(zeroline=False, **_at(at))
    return fig.update_yaxes(range=[-0.03, 1.06], **_at(at))


def heat(
    fig: go.Figure,
    values: Float[ndarray, "rows columns"],
    x: Iterable[str | int | float] = (),
    y: Iterable[str | int | float] = (),
    *,
    limits: tuple[float, float] = (0.0, 1.0),
    digits: int | None = None,
    scale: str | Mapping[str, Any] = "",
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
        scale: What the colours mean, or all that plotly can be told of a colour bar.
        at: Panel.
    """
    n_rows, n_columns = values.shape
    names = [[f"{v:g}" if isinstance(v, float) else str(v) for v in axis] for axis in (x, y)]
    text = None
    if digits is not None:
        numbers = np.char.mod(f"%.{digits}f", np.nan_to_num(values).round(digits) + 0.0)
        text = np.where(np.isnan(values), "", numbers)
    fig.add_heatmap(
        z=values,
        x=names[0] or np.arange(n_columns),
        y=names[1] or np.arange(n_rows),
        text=text,
        texttemplate="" if text is None else "%{text}",
        coloraxis="coloraxis",
        **_at(at),
    )
    for update, axis in ((fig.update_xaxes, names[0]), (fig.update_yaxes, names[1])):
        update(type="category" if axis else "linear", showgrid=False, zeroline=False, **_at(at))
    fig.update_yaxes(autorange="reversed", **_at(at))
    signed = limits[0] == -limits[1]
    bar = {"title": scale} if isinstance(scale, str) else dict(scale)
    return fig.update_layout(
        coloraxis={
            "colorscale": DIVERGING if signed else "Cividis",
            "cmin": limits[0],
            "cmax": limits[1],
            "colorbar": bar,
        }
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
    for i, (name, values) in enumerate(series.items(), first):
        middle, low, high = _summary(values, "range")
        error, pattern = _error(middle, low, high), ("", "/", "x", ".")[i % 4]
        along, across = ("y", "x") if flat else ("x", "y")
        fig.add_bar(
            **{along: list(names), across: middle, f"error_{across}": error},
            orientation="h" if flat else "v",
            text=None if text is None else [f"{v:{text}}" for v in middle],
            textposition="outside",
            cliponaxis=False,
            marker={
                "color": _look(i)["color"],
                "pattern": {"shape": pattern},
                "line": {"color": BLACK, "width": 0.5},
            },
            **_named(fig, name, at),
        )
    if flat:
        fig.update_yaxes(type="category", autorange="reversed", showgrid=False, **_at(at))
    return fig


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
        fig.add_bar(
            x=(edges[:-1] + edges[1:]) / 2,
            y=counts / max(counts.sum(), 1) if share else counts,
            width=(ends[1] - ends[0]) / n_bins,
            marker={"color": _look(i)["color"], "pattern": {"shape": ("", "/", "x", ".")[i % 4]}},
            **_named(fig, name, at),
        )
    return fig.update_layout(barmode="overlay")


def cloud(
    fig: go.Figure, places: Float[ndarray, "points 2"], name: str, *, at: Panel = None
) -> go.Figure:
    """Draw many points in a plane, grey and small, with equal units on both axes."""
    marker = {"color": "#777777", "size": 5, "line": {"color": "white", "width": 0.5}}
    fig.add_scatter(
        x=places[:, 0], y=places[:, 1], mode="markers", marker=marker, **_named(fig, name, at)
    )
    reach = 1.05 * float(np.abs(places).max(initial=1e-9))
    fig.update_xaxes(range=[-reach, reach], **_at(at))
    return fig.update_yaxes(range=[-reach, reach], scaleanchor="x", scaleratio=1, **_at(at))


def rays(
    fig: go.Figure,
    series: Mapping[str, Float[ndarray, "directions axes"]],
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
        look, sizes = _look(i), np.tile([0, 0 if both_ways else 9, 0], len(tips))
        kind = go.Scatter3d if tips.shape[1] == 3 else go.Scatter
        trace = kind(
            **dict(zip("xyz", ends.T, strict=False)),
            mode="lines+markers",
            line={"color": look["color"], "dash": look["dash"], "width": 3},
            marker={"color": VERMILLION, "size": sizes, "opacity": 1, "line": {"width": 0}},
            **_named(fig, name, None),
        )
        fig.add_trace(trace, *(at or (None, None)))
    return fig


def runs(
    fig: go.Figure,
    x: Values,
    values: Float[ndarray, "places run"],
    best: int,
    *,
    at: Panel = None,
) -> go.Figure:
    """Draw all runs as thin lines, and the best one thick: two traces, however many runs."""
    n_runs = values.shape[1]
    places, gap = np.asarray(x, dtype=float), np.full((1, n_runs), np.nan)
    fig.add_scatter(
        x=np.tile([*places, np.nan], n_runs),
        y=np.concatenate([values, gap]).T.ravel(),
        mode="lines",
        line={"color": GREEN, "width": 1},
        opacity=0.65,
        **_named(fig, "all runs", at),
    )
    return fig.add_scatter(
        x=places,
        y=values[:, best],
        mode="lines",
        line={"color": BLACK, "width": 2.5},
        **_named(fig, "best run", at),
    )


def reference(
    fig: go.Figure,
    name: str,
    *,
    x: float | None = None,
    y: float | tuple[float, float] | None = None,
    left: bool = False,
    at: Panel = None,
) -> go.Figure:
    """Draw a named dashed line across, at `x` or at `y`; or a grey band from y[0] to y[1].

    Args:
        fig: Drawn into.
        name: Written at the line, or into the legend for a band.
        x: Where the line stands.
        y: Where the line lies, or between what the band lies.
        left: Write the name to the left of the line.
        at: Panel.
    """
    line = {"color": BLACK, "dash": "dash", "width": 1.5}
    if isinstance(y, tuple):
        return fig.add_hrect(
            *y, fillcolor="#DDDDDD", line_width=0, layer="below", name=name, showlegend=True, **_at(at)
        )  # fmt: skip
    where = ("bottom" if x is not None else "top") + (" left" if left else " right")
    note = {"annotation_text": name or None, "annotation_position": where}
    if x is not None:
        return fig.add_vline(x, line=line, **(note if name else {}), **_at(at))
    return fig.add_hline(y, line=line, **(note if name else {}), **_at(at))


def band(
    fig: go.Figure, x: ndarray, low: ndarray, high: ndarray, colour: str, *, at: Panel = None
) -> go.Figure:
    """Shade between two lines over the same places, without an entry in the legend."""
    return fig.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        mode="lines",
        fillcolor=colour,
        opacity=0.15,
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        **_at(at),
    )


def log_axis(ticks: Iterable[float], title: str, *, falling: bool = False) -> dict[str, Any]:
    """Return a logarithmic axis with a label at each of these values and nowhere else."""
    values = [float(tick) for tick in ticks]
    axis = {"type": "log", "tickvals": values, "ticktext": [f"{v:g}" for v in values]}
    return axis | {"title": title} | ({"autorange": "reversed"} if falling else {})


def _look(i: int) -> dict[str, str]:
    """Colour, dash and symbol of the i-th series; no two alike among the first 35."""
    symbol = MARKERS[i % 5] + ("" if i < 5 else "-open")
    return {"color": LINES[i % 7], "dash": DASHES[i % 5], "symbol": symbol}


def _named(fig: go.Figure, name: str, at: Panel) -> dict[str, Any]:
    """Name a trace; the legend has each name once."""
    new = bool(name) and name not in {trace.name for trace in fig.data}
    return {"name": name, "legendgroup": name, "showlegend": new, **_at(at)}


def _at(at: Panel) -> dict[str, int]:
    return {} if at is None else {"row": at[0], "col": at[1]}


def _axis(axis: Axis) -> dict[str, Any]:
    return {"title": axis} if isinstance(axis, str) else dict(axis)


def _summary(
    values: Values, spread: Spread, median: bool = False
) -> tuple[ndarray, ndarray | None, ndarray | None]:
    """Return middle, low and high of each place; no spread where there is one value each."""
    array = np.asarray(values)
    if array.ndim == 1:
        return array, None, None
    if spread == "interval":
        return array[:, 0], array[:, 1], array[:, 2]
    ends = [0.0, 1.0] if spread == "range" else [0.025, 0.975]
    low, high = np.quantile(array, ends, axis=1)
    return (np.median if median else np.mean)(array, axis=1), low, high


def _error(middle: ndarray, low: ndarray | None, high: ndarray | None) -> dict[str, object] | None:
    """Return error bars from low to high, if there is a spread."""
    if low is None or high is None:
        return None
    return {"array": high - middle, "arrayminus": middle - low, "thickness": 1, "color": GREY}
