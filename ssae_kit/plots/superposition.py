"""Figures about superposition: features kept, arrangements, phases, neurons, recovery."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    DIVERGING,
    GREEN,
    MARKERS,
    TEMPLATE,
    VERMILLION,
    band,
)

PHASE_FILL = ("#BDBDBD", "#56B4E9", "#E69F00", "#9FD8C6")
"""Fills of the phase maps; every region also carries its name, and white is none of them."""
TICKS = (10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Labels of a logarithmic axis: plotly writes those between the powers as bare digits."""
HOVER = "density %{x:.3g}, importance %{y:.3g}<br>%{text}<extra></extra>"


def features_kept(
    density: Float[ndarray, " densities"],
    kept: Mapping[str, Int[ndarray, "densities seeds"]],
    *,
    n_features: int,
    d_hidden: int,
) -> go.Figure:
    """Draw how many features each model stores, against their density; bands span the seeds."""
    fig = go.Figure()
    for (name, counts), colour, dash, marker in zip(
        kept.items(), (BLUE, VERMILLION, GREEN), DASHES, MARKERS, strict=False
    ):
        band(fig, density, counts.min(1), counts.max(1), colour, opacity=0.2)
        line = {"color": colour, "dash": dash}
        fig.add_scatter(x=density, y=counts.mean(1), name=name, mode="lines+markers", line=line, marker={"symbol": marker, "size": 9})  # fmt: skip
    fig.add_hline(
        y=d_hidden,
        line={"color": BLACK, "dash": "dot"},
        annotation={"text": f"{d_hidden} dimensions", "xanchor": "right"},
    )
    seeds = next(iter(kept.values())).shape[1]
    return fig.update_layout(
        template=TEMPLATE,
        title=f"{n_features} features in {d_hidden} dimensions (line: mean; band: all {seeds} seeds)",
        xaxis=_log_axis(density)
        | {
            "autorange": "reversed",
            "title": "density: share of samples in which a feature is active (rarer →)",
        },
        yaxis={"title": "features stored (count)", "range": [0, n_features + 0.5]},
    )


def _log_axis(ticks: Iterable[float]) -> dict[str, object]:
    """A logarithmic axis with a label at each of these values and nowhere else."""
    at = [float(tick) for tick in ticks]
    return {"type": "log", "tickvals": at, "ticktext": [f"{tick:g}" for tick in at]}


def arrangements(panels: Mapping[str, Float[ndarray, "dimensions features"]]) -> go.Figure:
    """Draw the directions of small models as arrows from the origin, in one to three dimensions."""
    kinds = [{"type": "scene" if w.shape[0] == 3 else "xy"} for w in panels.values()]
    fig = make_subplots(1, len(panels), specs=[kinds], subplot_titles=list(panels))
    for column, w in enumerate(panels.values(), 1):
        rays = np.full((w.shape[0], 3 * w.shape[1]), np.nan)  # origin, tip, gap
        rays[:, 0::3], rays[:, 1::3] = 0, w
        style = {"mode": "lines+markers", "line": {"color": BLUE, "width": 3}, "showlegend": False}
        sizes = np.tile([0, 7, 0], w.shape[1])
        marker = {"size": sizes, "color": VERMILLION, "opacity": 1, "line": {"width": 0}}
        if w.shape[0] == 3:
            trace = go.Scatter3d(x=rays[0], y=rays[1], z=rays[2], marker=marker | {"size": sizes * 0.7}, **style)  # fmt: skip
        else:
            y = rays[1] if w.shape[0] == 2 else rays[0] * 0
            trace = go.Scatter(x=rays[0], y=y, marker=marker | {"size": sizes * 1.4}, **style)
        fig.add_trace(trace, 1, column)
    box = {"range": [-1.5, 1.5], "showticklabels": False, "title": "", "zeroline": True}
    fig.update_xaxes(**box).update_yaxes(**box)
    for number in range(1, len(panels) + 1):
        fig.update_yaxes(scaleanchor=f"x{number if number > 1 else ''}", col=number)
    fig.update_scenes(xaxis=box, yaxis=box, zaxis=box, aspectmode="cube", camera_eye={"x": 1.45, "y": 1.1, "z": 0.72})  # fmt: skip
    return fig.update_layout(
        template=TEMPLATE,
        width=200 * len(panels),
        height=320,
        margin={"l": 10, "r": 10, "t": 110, "b": 10},
        title="Feature directions, axes −1.5 to 1.5 (unitless)",
    )


def dimensionality_sweep(
    density: Float[ndarray, " run"],
    values: Float[ndarray, "run features"],
    stored: Bool[ndarray, "run features"],
    fractions: Mapping[str, float],
    *,
    d_hidden: int,
) -> go.Figure:
    """Draw the dimensionality of every stored feature against density, with named fractions."""
    rows = np.broadcast_to(density[:, None], values.shape)[stored]
    spread = np.random.default_rng(0).uniform(0.97, 1.03, rows.shape)  # to see points apart
    fig = go.Figure()
    lowest = min(fractions, key=fractions.__getitem__)
    for name, fraction in fractions.items():
        note = {"text": name, "x": 1.01, "xanchor": "left", "font": {"size": 12}}
        note["yanchor"] = "top" if name == lowest else "middle"  # or two would touch
        line = {"color": VERMILLION, "dash": "dash", "width": 1}
        fig.add_hline(y=fraction, line=line, annotation=note)
    marker = {"color": BLUE, "size": 4, "opacity": 0.5}
    fig.add_scatter(x=rows * spread, y=values[stored], mode="markers", marker=marker)
    return fig.update_layout(
        template=TEMPLATE,
        margin={"r": 130},
        title=f"{values.shape[1]} equal features in {d_hidden} dimensions: one dot is one stored feature",
        xaxis=_log_axis((0.8, 0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01))
        | {"autorange": "reversed", "title": "density (rarer →; dots spread sideways by 3%)"},
        yaxis={"title": "dimensionality (unitless)", "range": [0, 1]},
    )


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
    fig = make_subplots(1, len(maps), subplot_titles=list(maps), horizontal_spacing=0.1)
    for column, (title, (trained, expected)) in enumerate(maps.items(), 1):
        place = {"row": 1, "col": column}
        _trained_phases(fig, density, importance, trained, names[title], place)
        for phase, name in enumerate(names[title]):
            if (expected == phase).any():
                _expected_phase(fig, density, importance, expected == phase, name, place)
    axis = _log_axis(TICKS) | {"showgrid": False}
    fig.update_xaxes(axis, title="density (unitless)")
    fig.update_yaxes(axis)
    fig.update_yaxes(title="importance of the extra feature<br>(the others have 1)", col=1)
    white = {"symbol": "square", "size": 12, "color": "white", "line": {"color": BLACK, "width": 1}}
    fig.add_scatter(x=[None], y=[None], mode="markers", marker=white, name="none of the named ways")
    return fig.update_layout(
        template=TEMPLATE,
        width=900,
        height=500,
        showlegend=True,
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": -0.18, "yanchor": "top"},
        title=f"{trained.shape[0]}×{trained.shape[1]} cells. Colour: what training found. Line: what theory expects",
    )


def _trained_phases(
    fig: go.Figure,
    density: ndarray,
    importance: ndarray,
    trained: ndarray,
    names: Sequence[str],
    place: Mapping[str, int],
) -> None:
    """Colour every cell of a panel by the phase of its model, in place."""
    steps = [[v, c] for i, c in enumerate(PHASE_FILL) for v in (i / 4, (i + 1) / 4)]
    hover = {"text": np.array([*names, "none of these"])[trained], "hovertemplate": HOVER}
    shown = np.where(trained < 0, np.nan, trained)
    fig.add_heatmap(
        x=density, y=importance, z=shown, **hover, colorscale=steps, showscale=False, zmin=-0.5,
        zmax=3.5, **place,
    )  # fmt: skip


def _expected_phase(
    fig: go.Figure,
    density: ndarray,
    importance: ndarray,
    inside: ndarray,
    name: str,
    place: Mapping[str, int],
) -> None:
    """Draw the boundary of the cells in which a phase is expected, and its name, in place."""
    lines = {"start": 0.5, "end": 0.5, "size": 1, "coloring": "lines"}
    black = {"colorscale": [[0, BLACK], [1, BLACK]], "line": {"width": 2, "smoothing": 0}}
    fig.add_contour(
        x=density, y=importance, z=inside.astype(float), showscale=False, contours=lines, **black,
        hoverinfo="skip", **place,
    )  # fmt: skip
    row, column = np.argwhere(inside).mean(0).round().astype(int)
    fig.add_annotation(
        x=np.log10(density[column]), y=np.log10(importance[row]), text=name.replace(" ", "<br>", 1),
        showarrow=False, font={"size": 12}, **place,
    )  # fmt: skip


def pair_cosines(cosines: Mapping[str, Float[ndarray, " pairs"]], groups: int = 40) -> go.Figure:
    """Draw how the angle between the two features of a pair is distributed, one row each."""
    fig = make_subplots(len(cosines), 1, shared_xaxes=True, vertical_spacing=0.09)
    for row, (name, values) in enumerate(cosines.items(), 1):
        bins = {"start": -1.025, "end": 1.025, "size": 2.05 / groups}
        colour = COLOURS[(row - 1) % len(COLOURS)]
        fig.add_histogram(x=values, xbins=bins, histnorm="probability", marker_color=colour, row=row, col=1)  # fmt: skip
        fig.update_yaxes(title="share of pairs", range=[0, 1], row=row, col=1)
        fig.add_annotation(
            x=0.99, y=0.9, text=name, showarrow=False, xanchor="right", xref="x domain",
            yref="y domain", row=row, col=1,
        )  # fmt: skip
    fig.update_xaxes(
        title="cosine between the two directions of a pair (unitless)", row=len(cosines)
    )
    fig.update_xaxes(range=[-1.05, 1.05])
    return fig.update_layout(
        template=TEMPLATE, height=150 * len(cosines) + 120, showlegend=False,
        title="−1: opposite ends of one axis; 0: right angle",
    )  # fmt: skip


def neuron_weights(panels: Mapping[str, Float[ndarray, "neurons features"]]) -> go.Figure:
    """Draw weight matrices as heatmaps, a row per neuron and a column per feature."""
    fig = make_subplots(2, (len(panels) + 1) // 2, subplot_titles=list(panels), vertical_spacing=0.25)  # fmt: skip
    limit = max(float(np.abs(w).max()) for w in panels.values())
    for number, w in enumerate(panels.values()):
        row, column = divmod(number, (len(panels) + 1) // 2)
        fig.add_heatmap(z=w, coloraxis="coloraxis", row=row + 1, col=column + 1)
    axis = {"title": "weight<br>(unitless)"}
    fig.update_xaxes(title="feature, most important first", dtick=1, showgrid=False)
    fig.update_yaxes(title="neuron", dtick=1, autorange="reversed", showgrid=False)
    scale = {"colorscale": DIVERGING, "cmin": -limit, "cmax": limit, "colorbar": axis}
    return fig.update_layout(
        template=TEMPLATE, width=900, height=560, coloraxis=scale, title="What each neuron takes in"
    )


def recovery_curves(
    n_active: Int[ndarray, " counts"],
    shares: Mapping[tuple[int, int], Float[ndarray, " counts"]],
) -> go.Figure:
    """Draw the share of samples read back, raw and with the number of active features rescaled.

    Args:
        n_active: Active features per sample.
        shares: (dimensions, features) → share read back for each number of active features.
    """
    titles = ["as measured", "rescaled by dimensions and features"]
    fig = make_subplots(1, 2, subplot_titles=titles, shared_yaxes=True)
    features = sorted({n for _, n in shares})
    dimensions = sorted({d for d, _ in shares})
    for (d, n), share in shares.items():
        colour = COLOURS[dimensions.index(d)]
        line = {"color": colour, "dash": DASHES[features.index(n)]}
        marker = {"symbol": MARKERS[dimensions.index(d)], "size": 6}
        name = f"{n} features in {d} dimensions"
        for column, x in enumerate((n_active, n_active * np.log(n / n_active) / d), 1):
            fig.add_scatter(x=x, y=share, name=name, line=line, marker=marker, mode="lines+markers", showlegend=column == 1, row=1, col=column)  # fmt: skip
    fig.update_xaxes(title="active features k (count)", row=1, col=1)
    fig.update_xaxes(title="k · ln(n/k) / m (unitless)", range=[0, 2], row=1, col=2)
    fig.update_yaxes(title="share of samples read back", range=[-0.03, 1.03], row=1, col=1)
    return fig.update_layout(
        template=TEMPLATE, width=960, height=460, legend={"y": -0.25, "orientation": "h"},
        title="n features in m dimensions, read back by FISTA",
    )  # fmt: skip
