"""Marks over places: named curves with their spread, points, scores over a floor, runs.

Each takes arrays, adds itself to a figure in place, and returns the figure.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from ssae_kit.plots.axes import Panel, Spread, Values, entry, error_bars, look, place, summary
from ssae_kit.plots.show import BLACK, GREEN, VERMILLION


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
        middle, ends = summary(values, spread, median)
        style, places = look(i), np.asarray(x)
        if nudge:
            places = places + nudge * (i - (len(series) - 1) / 2)
        if ends and not bars:
            _band(fig, places, *ends, style["color"], at)
        fig.add_scatter(
            x=places,
            y=middle,
            mode="lines+markers" if markers else "lines",
            line={"color": style["color"], "dash": style["dash"], "width": 2 if markers else 3},
            marker={"symbol": style["symbol"], "size": 8},
            error_y=error_bars(middle, ends) if bars else None,
            **entry(fig, name, at),
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
        (x, wide), (y, high) = (summary(values, spread) for values in ends)
        style, colour = look(i), look(i)["color"]
        outline = {"width": 0.5 if size > 6 else 0, "color": BLACK}
        if "open" in style["symbol"]:  # nothing but an outline
            outline = {"width": 2, "color": colour}
        marker = {"color": colour, "symbol": style["symbol"], "size": size, "opacity": 0.8}
        fig.add_scatter(
            x=x,
            y=y,
            mode="lines+markers" if line else "markers",
            error_x=error_bars(x, wide),
            error_y=error_bars(y, high),
            line={"color": colour, "dash": style["dash"]},
            marker=marker | {"line": outline},
            **entry(fig, name, at),
        )
    return fig


def scores(
    fig: go.Figure,
    places: Sequence[str | int],
    series: Mapping[str, Float[ndarray, "_ places"]],
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
        _chance(fig, ends, floor, floor_name, at)
    width = 0.8 / len(series)
    for i, (name, values) in enumerate(series.items()):
        n_runs, style = len(values), look(i)
        aside = np.linspace(-0.3, 0.3, n_runs)[:, None] if n_runs > 1 else np.zeros((1, 1))
        x = np.arange(len(places)) - 0.4 + width * (i + 0.5 + aside)
        # A triangle looks smaller than the other markers of its size.
        size = np.where(np.arange(n_runs) == best, 11, 7)[:, None] + 3 * ("tri" in style["symbol"])
        marker = {"color": style["color"], "symbol": style["symbol"], "opacity": 0.75}
        marker["size"] = np.broadcast_to(size, values.shape).ravel()
        fig.add_scatter(
            x=x.ravel(), y=values.ravel(), mode="markers", marker=marker, **entry(fig, name, at)
        )
    if isinstance(floor, float):
        _chance(fig, ends, floor, floor_name, at)
    named = isinstance(places[0], str)
    shown = range(0, len(places), 1 if named else 1 + len(places) // 13)
    ticks = {"tickvals": list(shown), "ticktext": [str(places[i]) for i in shown]}
    ticks["tickangle"] = -45 if named and len(places) > 8 else None
    fig.update_xaxes(ticks, range=ends, showgrid=False, zeroline=False, **place(at))
    return fig.update_yaxes(range=[-0.03, 1.06], **place(at))


def _chance(
    fig: go.Figure, ends: list[float], floor: Float[ndarray, " draws"] | float, name: str, at: Panel
) -> None:
    """Draw what chance reaches: a dashed line, or behind the points a band of 95% of the draws."""
    if isinstance(floor, float):
        line = {"color": BLACK, "dash": "dash", "width": 1.5}
        fig.add_scatter(x=ends, y=[floor, floor], mode="lines", line=line, **entry(fig, name, at))
        return
    low, high = np.quantile(floor, [0.025, 0.975])
    around = {"x": [*ends, *ends[::-1]], "y": [low, low, high, high], "mode": "none"}
    name = f"{name}, 95%"
    fig.add_scatter(**around, fill="toself", fillcolor="#DDDDDD", **entry(fig, name, at))


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
    every = {"x": np.tile([*places, np.nan], n_runs), "y": np.concatenate([values, gap]).T.ravel()}
    thin, thick = {"color": GREEN, "width": 1}, {"color": BLACK, "width": 2.5}
    fig.add_scatter(**every, mode="lines", line=thin, opacity=0.65, **entry(fig, "all runs", at))
    one = {"x": places, "y": values[:, best], "mode": "lines", "line": thick}
    return fig.add_scatter(**one, **entry(fig, "best run", at))


def _band(fig: go.Figure, x: ndarray, low: ndarray, high: ndarray, colour: str, at: Panel) -> None:
    """Shade between two lines over the same places, without an entry in the legend."""
    around = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate([high, low[::-1]])}
    shade = {"fill": "toself", "fillcolor": colour, "opacity": 0.15, "line": {"width": 0}}
    quiet = {"hoverinfo": "skip", "showlegend": False}
    fig.add_scatter(**around, **shade, **quiet, mode="lines", **place(at))


def elbow(
    fig: go.Figure,
    levels: Float[ndarray, " levels"],
    error: Float[ndarray, "levels restarts"],
    chosen: int,
) -> go.Figure:
    """Draw reconstruction error against sparsity level, restarts as points; one level is marked.

    Args:
        fig: Drawn into.
        levels: Levels tried, unitless.
        error: Unexplained share of the shifts, one column per restart.
        chosen: Index of the level at the elbow.
    """
    every = np.repeat(levels, error.shape[1])
    points(fig, {"one restart": (every, error.ravel())}, size=7)
    curves(fig, levels, {"best restart": error.min(1)}, markers=False)
    upright = {"x": [levels[chosen]] * 2, "y": [0, float(error.max())], "mode": "lines"}
    line = {"color": VERMILLION, "dash": "dash"}
    fig.add_scatter(**upright, line=line, name=f"chosen: {levels[chosen]:.3f}")
    ticks = [f"{level:.2f}" for level in levels]
    title = "sparsity level: mean |code| allowed (unitless)"
    fig.update_xaxes(type="log", title=title, tickvals=levels, ticktext=ticks)
    return fig.update_yaxes(title="unexplained share of the shifts", rangemode="tozero")
