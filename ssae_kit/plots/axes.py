"""A figure before anything is drawn, its axes and reference lines, and the looks of series.

A figure begins with `figure`; marks draw into it. `at=(row, column)` picks the panel of a figure
with several. Series are {name: values}; each gets a colour, a dash and a symbol of its own, the same
in every panel, and one entry in the legend.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import plotly.graph_objects as go
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, DASHES, GREY, LINES, MARKERS, TEMPLATE

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
    panels: Sequence[str] | Mapping[str, tuple[Any, Any]] = (),
    columns: int = 0,
    grid: Mapping[str, Any] | None = None,
    **layout: Any,
) -> go.Figure:
    """Return an empty figure with the kit's style.

    Args:
        title: Shown above.
        x: Quantity and unit of the horizontal axes.
        y: Quantity and unit of the vertical axes; titles stand once where panels share them.
        panels: Titles of panels, row by row, or title → the two axes of its own; none for a figure
            of one.
        columns: Panels in a row; by default all.
        grid: Further arguments of `plotly.subplots.make_subplots`.
        layout: Anything that plotly's layout takes.
    """
    fig, own = go.Figure(), panels.values() if isinstance(panels, Mapping) else ()
    if panels:
        columns = columns or len(panels)
        shared = {"rows": -(-len(panels) // columns), "shared_yaxes": not own} | dict(grid or {})
        fig = make_subplots(cols=columns, subplot_titles=list(panels), **shared)
        fig.update_annotations(font_size=14)
    fig.update_xaxes(_axis(x))
    fig.update_yaxes(_axis(y))
    for i, (across, up) in enumerate(own, 1):
        fig.update_layout({f"xaxis{i}": _axis(across), f"yaxis{i}": _axis(up)})
    if panels and shared["shared_yaxes"]:
        for column in range(2, columns + 1):
            fig.update_yaxes(title=None, col=column)
        for row in range(1, shared["rows"]):
            fig.update_xaxes(title=None, row=row)
    return fig.update_layout(template=TEMPLATE, title=title or None, **layout)


def reference(
    fig: go.Figure,
    name: str,
    *,
    x: float | None = None,
    y: float | tuple[float, float] | None = None,
    where: str = "",
    at: Panel = None,
) -> go.Figure:
    """Draw a named dashed line across, at `x` or at `y`; or a grey band from y[0] to y[1].

    Args:
        fig: Drawn into.
        name: Written at the line, or into the legend for a band.
        x: Where the line stands.
        y: Where the line lies, or between what the band lies.
        where: Place of the name, as plotly calls it: "bottom right" (of a line across `x`), "top
            right" (of one across `y`), "right" (outside), ...
        at: Panel.
    """
    if isinstance(y, tuple):
        return fig.add_hrect(
            *y, fillcolor="#DDDDDD", line_width=0, layer="below", name=name, showlegend=True, **place(at)
        )  # fmt: skip
    add, at_value, default = (
        (fig.add_hline, y, "top right") if x is None else (fig.add_vline, x, "bottom right")
    )
    note = {"annotation_text": name, "annotation_position": where or default} if name else {}
    return add(at_value, line={"color": BLACK, "dash": "dash", "width": 1.5}, **note, **place(at))


def log_axis(ticks: Iterable[float], title: str, *, falling: bool = False) -> dict[str, Any]:
    """Return a logarithmic axis with a label at each of these values and nowhere else."""
    values = [float(tick) for tick in ticks]
    axis = {"type": "log", "tickvals": values, "ticktext": [f"{v:.4g}" for v in values]}
    return axis | {"title": title} | ({"autorange": "reversed"} if falling else {})


def slider(pictures: Mapping[str, go.Figure], name: str, start: int = 0) -> go.Figure:
    """Make one figure of several that are alike, between which a slider chooses. No kernel is asked.

    Args:
        pictures: Position of the slider → figure. All have the same traces; places and title differ.
        name: What the slider sets.
        start: Which position is seen first, and where nothing can be moved.

    Raises:
        ValueError: if there are fewer than two figures, or their traces are not as many.
    """
    figures = list(pictures.values())
    counts = [len(fig.data) for fig in figures]
    if len(counts) < 2 or len(set(counts)) > 1:
        raise ValueError(
            f"`pictures` must be two or more figures with equally many traces; got {counts} traces."
        )
    moving = [
        i for i in range(counts[0]) if any(_ends(f, i) != _ends(figures[0], i) for f in figures)
    ]
    steps = []
    for position, fig in pictures.items():
        ends = [_ends(fig, i) for i in moving]
        title = {"title.text": fig.layout.title.text}
        args = [{"x": [x for x, _ in ends], "y": [y for _, y in ends]}, title, moving]
        steps.append({"label": position, "method": "update", "args": args})
    knob = {"active": start, "steps": steps, "pad": {"t": 55}}
    return figures[start].update_layout(sliders=[knob | {"currentvalue": {"prefix": f"{name}: "}}])


def _ends(fig: go.Figure, i: int) -> tuple[list[Any], list[Any]]:
    """Places of a trace as plain lists, short enough to be written out many times."""
    both = (np.asarray(fig.data[i][key]) for key in "xy")
    x, y = (values.round(4) if values.dtype.kind == "f" else values for values in both)
    # A gap: NaN is no JSON, and unlike itself.
    return [None if v != v else v for v in x.tolist()], [None if v != v else v for v in y.tolist()]


def look(i: int) -> dict[str, str]:
    """Colour, dash and symbol of the i-th series; no two alike among the first 35."""
    symbol = MARKERS[i % 5] + ("" if i < 5 else "-open")
    return {"color": LINES[i % 7], "dash": DASHES[i % 5], "symbol": symbol}


def entry(fig: go.Figure, name: str, at: Panel) -> dict[str, Any]:
    """Name a trace; the legend has each name once."""
    new = bool(name) and name not in {trace.name for trace in fig.data}
    return {"name": name, "legendgroup": name, "showlegend": new, **place(at)}


def place(at: Panel) -> dict[str, int]:
    """Return a panel as plotly's arguments."""
    return {} if at is None else {"row": at[0], "col": at[1]}


def summary(
    values: Values, spread: Spread, median: bool = False
) -> tuple[ndarray, tuple[ndarray, ndarray] | None]:
    """Return the middle of each place, and low and high; none where there is one value each."""
    array = np.asarray(values)
    if array.ndim == 1:
        return array, None
    if spread == "interval":
        return array[:, 0], (array[:, 1], array[:, 2])
    ends = [0.0, 1.0] if spread == "range" else [0.025, 0.975]
    low, high = np.quantile(array, ends, axis=1)
    return (np.median if median else np.mean)(array, axis=1), (low, high)


def error_bars(middle: ndarray, ends: tuple[ndarray, ndarray] | None) -> dict[str, object] | None:
    """Return error bars from low to high, if there is a spread."""
    if ends is None:
        return None
    low, high = ends
    return {"array": high - middle, "arrayminus": middle - low, "thickness": 1, "color": GREY}


def _axis(axis: Axis) -> dict[str, Any]:
    return {"title": axis} if isinstance(axis, str) else dict(axis)
