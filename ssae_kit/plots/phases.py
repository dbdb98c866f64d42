"""Phase maps: what training found in every cell, and what theory expects there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, Int
from numpy import ndarray

from ssae_kit.plots.axes import figure, log_axis
from ssae_kit.plots.show import BLACK

PHASE_FILL = ("#BDBDBD", "#56B4E9", "#E69F00", "#9FD8C6")
"""Fills of the phase maps; every region also carries its name, and white is none of them."""
TICKS = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Labels of a logarithmic axis: plotly writes those between the powers as bare digits."""
HOVER = "density %{x:.3g}, importance %{y:.3g}<br>%{text}<extra></extra>"


def phase_maps(
    importance: Float[ndarray, " rows"],
    density: Float[ndarray, " columns"],
    maps: Mapping[str, tuple[Int[ndarray, "rows columns"], Int[ndarray, "rows columns"]]],
    names: Mapping[str, Sequence[str]],
) -> go.Figure:
    """Draw trained phases as colours, the expected boundaries over them as black lines.

    Args:
        importance: Importance of the extra feature, one per row.
        density: Density of all features, one per column.
        maps: Title of each panel → phases of the trained models, phases expected; -1 is none.
        names: Title of each panel → names of the phases. One that is expected nowhere gets no
            boundary.
    """
    n_rows, n_columns = next(iter(maps.values()))[0].shape
    cells = f"{n_rows}×{n_columns} cells. Colour: what training found. Line: what theory expects"
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": -0.18, "yanchor": "top"}
    importance_title = "importance of the extra feature<br>(the others have 1)"
    fig = figure(
        cells, log_axis(TICKS, "density (unitless)") | {"showgrid": False},
        log_axis(TICKS, importance_title) | {"showgrid": False}, panels=list(maps),
        grid={"horizontal_spacing": 0.1}, width=900, height=500, showlegend=True, legend=legend,
    )  # fmt: skip
    for column, (title, (trained, expected)) in enumerate(maps.items(), 1):
        at = {"x": density, "y": importance, "row": 1, "col": column}
        _trained_phases(fig, trained, names[title], at)
        for phase, name in enumerate(names[title]):
            if (expected == phase).any():
                _expected_phase(fig, expected == phase, name, at)
    white = {"symbol": "square", "size": 12, "color": "white", "line": {"color": BLACK, "width": 1}}
    return fig.add_scatter(
        x=[None], y=[None], mode="markers", marker=white, name="none of the named ways"
    )


def _trained_phases(
    fig: go.Figure, trained: ndarray, names: Sequence[str], at: Mapping[str, Any]
) -> None:
    """Colour every cell of a panel by the phase of its model, in place."""
    steps = [[v, c] for i, c in enumerate(PHASE_FILL) for v in (i / 4, (i + 1) / 4)]
    hover = {"text": np.array([*names, "none of these"])[trained], "hovertemplate": HOVER}
    colours = {"colorscale": steps, "showscale": False, "zmin": -0.5, "zmax": 3.5}
    fig.add_heatmap(z=np.where(trained < 0, np.nan, trained), **hover, **colours, **at)


def _expected_phase(fig: go.Figure, inside: ndarray, name: str, at: Mapping[str, Any]) -> None:
    """Draw the boundary of the cells in which a phase is expected, and its name, in place."""
    lines = {"start": 0.5, "end": 0.5, "size": 1, "coloring": "lines"}
    black = {"colorscale": [[0, BLACK], [1, BLACK]], "line": {"width": 2, "smoothing": 0}}
    plain = {"contours": lines, "showscale": False, "hoverinfo": "skip"}
    fig.add_contour(z=inside.astype(float), **plain, **black, **at)
    row, column = np.argwhere(inside).mean(0).round().astype(int)
    middle = {"x": np.log10(at["x"][column]), "y": np.log10(at["y"][row])}
    note = {"text": name.replace(" ", "<br>", 1), "showarrow": False, "font": {"size": 12}}
    fig.add_annotation(**{**at, **middle, **note})
