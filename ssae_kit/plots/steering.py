"""Figures of identification and steering: the elbow, recovery per concept, effect and side effect."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, BLUE, COLOURS, DASHES, MARKERS, TEMPLATE, VERMILLION

Rate = tuple[float, float, float]
"""A mean with its interval: (mean, low, high)."""


def level_sweep(
    levels: Float[ndarray, " levels"], error: Float[ndarray, "levels restarts"], chosen: int
) -> go.Figure:
    """Draw reconstruction error against sparsity level; the chosen level is marked.

    Args:
        levels: Levels tried, unitless.
        error: Unexplained share of the shifts, one column per restart.
        chosen: Index of the level at the elbow.
    """
    fig = go.Figure()
    for restart in range(error.shape[1]):
        fig.add_scatter(
            x=levels, y=error[:, restart], mode="markers", name="one restart",
            marker={"color": BLUE, "symbol": "circle-open"}, showlegend=restart == 0,
        )  # fmt: skip
    fig.add_scatter(
        x=levels, y=error.min(1), mode="lines", name="best restart", line={"color": BLACK}
    )
    fig.add_scatter(
        x=[levels[chosen]] * 2, y=[0, float(error.max())], mode="lines",
        name=f"chosen: {levels[chosen]:.3f}", line={"color": VERMILLION, "dash": "dash"},
    )  # fmt: skip
    fig.update_xaxes(
        type="log", title="sparsity level: mean |code| allowed (unitless)",
        tickvals=levels, ticktext=[f"{level:.2f}" for level in levels],
    )  # fmt: skip
    fig.update_yaxes(title="unexplained share of the shifts", rangemode="tozero")
    return fig.update_layout(template=TEMPLATE, title="Reconstruction error has an elbow")


def recovery(
    concepts: Sequence[str],
    scores: Mapping[str, Float[ndarray, "run concepts"]],
    floor: Float[ndarray, " draws"],
    *,
    quantity: str = "|correlation| of code and concept",
) -> go.Figure:
    """Draw the score of each concept under each method, seeds as single points, over the floor.

    Args:
        concepts: Names of the columns.
        scores: Per method, one row per seed, 0 to 1.
        floor: Scores of random rotations; the band spans 95% of them.
        quantity: What the scores measure.
    """
    fig = go.Figure()
    low, high = np.quantile(floor, [0.025, 0.975])
    ends = [-0.5, len(concepts) - 0.5]
    fig.add_scatter(
        x=[*ends, *ends[::-1]], y=[low, low, high, high], fill="toself", fillcolor="#DDDDDD",
        mode="none", name="random rotations, 95%",
    )  # fmt: skip
    width = 0.8 / len(scores)
    for i, (method, values) in enumerate(scores.items()):
        centre = np.arange(len(concepts)) - 0.4 + width * (i + 0.5)
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1)
        fig.add_scatter(
            x=(centre + width * spread[:, None]).ravel(), y=values.ravel(), mode="markers",
            name=method, marker={"color": COLOURS[(i + 1) % 5], "symbol": MARKERS[i % 5], "size": 8},
        )  # fmt: skip
    fig.update_xaxes(
        tickvals=list(range(len(concepts))), ticktext=list(concepts), title="concept",
        range=ends, showgrid=False, zeroline=False,
    )  # fmt: skip
    fig.update_yaxes(range=[0, 1.05], title=quantity)
    fig.update_layout(template=TEMPLATE, title="Recovery of each concept, one point per seed")
    if len(concepts) > 8:  # their names need room
        fig.update_xaxes(tickangle=-45)
        fig.update_layout(height=480)
    return fig.update_layout(legend={"orientation": "h", "y": -0.45 if len(concepts) > 8 else -0.3})


Curves = Mapping[str, Mapping[str, Sequence[Rate]]]
"""Panel, then quantity, then one rate with its 95% interval per place on the horizontal axis."""


def strength_curves(strengths: Sequence[float] | Sequence[int], curves: Curves) -> go.Figure:
    """Draw rates against steering strength, one panel per method.

    Args:
        strengths: In typical shifts; 0 is unsteered.
        curves: Method, then quantity, then one rate with its 95% interval per strength.
    """
    fig = _rate_panels(strengths, curves, "strength (typical shifts)")
    return fig.update_layout(title="Effect and side effects against strength")


def layer_curves(layers: Sequence[int], curves: Curves) -> go.Figure:
    """Draw rates against the layer that was steered, one panel per method.

    Args:
        layers: 0 is the embedding, l the output of block l.
        curves: Method, then quantity, then one rate with its 95% interval per layer.
    """
    fig = _rate_panels(layers, curves, "layer steered")
    fig.update_xaxes(tickvals=list(layers))
    return fig.update_layout(title="Effect and side effects against layer")


def _rate_panels(
    places: Sequence[float] | Sequence[int], curves: Curves, place_title: str
) -> go.Figure:
    fig = make_subplots(1, len(curves), subplot_titles=list(curves), shared_yaxes=True)
    for column, quantities in enumerate(curves.values(), 1):
        for i, (quantity, rates) in enumerate(quantities.items()):
            mean, error = _bars(rates)
            fig.add_scatter(
                x=list(places), y=mean, row=1, col=column, name=quantity, error_y=error,
                line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
                marker={"symbol": MARKERS[i % 5], "size": 7}, mode="lines+markers",
                showlegend=column == 1, legendgroup=quantity,
            )  # fmt: skip
    fig.update_xaxes(title=place_title)
    fig.update_yaxes(range=[-0.02, 1.05])
    fig.update_yaxes(title="rate, with 95% interval", col=1)
    return fig.update_layout(template=TEMPLATE, legend={"orientation": "h", "y": -0.3})


def pareto(
    points: Mapping[str, tuple[Rate, Rate, Rate | None]],
    paths: Mapping[str, Sequence[tuple[float, float]]],
) -> go.Figure:
    """Draw each method's effect against two side effects. The lower right corner is best.

    Args:
        points: Per method, the effect, the share of other words that changed, and the divergence
            in nats per token or None; each with its 95% interval.
        paths: Per method, effect and share of other words at each strength tried; drawn as a
            line in the left panel.
    """
    sides = ("share of other words that changed", "off-target KL (nats per token)")
    fig = make_subplots(1, 2, horizontal_spacing=0.14)
    for i, (method, rates) in enumerate(points.items()):
        symbol = MARKERS[i % 5] + ("", "-open", "-open-dot")[i // 5 % 3]
        _effect_and_sides(fig, method, rates, {"color": COLOURS[i % 5], "symbol": symbol})
        if method in paths:
            x, y = zip(*paths[method], strict=True)
            line = {"color": COLOURS[i % 5], "dash": DASHES[i % 5], "width": 1}
            fig.add_scatter(
                x=x, y=y, row=1, col=1, mode="lines", line=line, opacity=0.6,
                showlegend=False, legendgroup=method, hoverinfo="skip",
            )  # fmt: skip
    fig.update_xaxes(range=[-0.04, 1.04], title="effect: share of target words changed")
    for column, side_title in enumerate(sides, 1):
        fig.update_yaxes(rangemode="tozero", title={"text": side_title, "standoff": 20}, col=column)
    title = "Effect against side effects, with 95% intervals"
    legend = {"orientation": "h", "y": -0.25}
    return fig.update_layout(template=TEMPLATE, title=title, legend=legend, width=860, height=520)


def _effect_and_sides(
    fig: go.Figure, method: str, rates: tuple[Rate, Rate, Rate | None], marker: dict[str, str]
) -> None:
    """Draw one method's point in both panels of `pareto`, in place."""
    effect, *sides = rates
    for column, side in enumerate(sides, 1):
        if side is not None:
            fig.add_scatter(
                x=[effect[0]], y=[side[0]], row=1, col=column, mode="markers", name=method,
                marker={**marker, "size": 11}, error_x=_bars([effect])[1], error_y=_bars([side])[1],
                showlegend=column == 1, legendgroup=method,
            )  # fmt: skip


def _bars(rates: Sequence[Rate]) -> tuple[Float[ndarray, " rates"], dict[str, object]]:
    """Means, and the error bars that reach the ends of their intervals."""
    mean, low, high = np.array(rates, dtype=float).T
    return mean, {"array": high - mean, "arrayminus": mean - low, "thickness": 1}


def change_matrix(rates: Float[ndarray, "targets concepts"], concepts: Sequence[str]) -> go.Figure:
    """Draw which concepts changed when each was steered; off the diagonal should stay dark.

    Args:
        rates: Row: the concept steered. Column: share of that concept's words that changed.
        concepts: Names of rows and columns.
    """
    fig = rate_map(rates, concepts, concepts)
    fig.update_xaxes(title="concept read in the text")
    fig.update_yaxes(title="concept steered")
    return fig.update_layout(title="What changed when one concept was steered")


def rate_map(
    rates: Float[ndarray, "rows columns"], rows: Sequence[str], columns: Sequence[str]
) -> go.Figure:
    """Draw shares of changed words as a labelled map, 0 dark to 1 bright.

    Args:
        rates: 0 to 1; NaN is left blank.
        rows: Their names, first on top.
        columns: Their names.
    """
    label = np.where(np.isnan(rates), "", np.vectorize("{:.2f}".format)(rates))
    heat = go.Heatmap(
        z=rates, x=list(columns), y=list(rows), zmin=0, zmax=1, colorscale="Cividis",
        text=label, texttemplate="%{text}", colorbar={"title": "share changed"},
    )  # fmt: skip
    fig = go.Figure(heat)
    fig.update_yaxes(autorange="reversed")
    return fig.update_layout(template=TEMPLATE, height=480)
