"""Figures of identification and steering: the elbow, recovery per concept, effect and side effect."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

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
    title = "Recovery of each concept, one point per seed"
    return fig.update_layout(template=TEMPLATE, title=title, legend={"orientation": "h", "y": -0.3})


def strength_curves(
    strengths: Sequence[float], curves: Mapping[str, Mapping[str, Sequence[Rate]]]
) -> go.Figure:
    """Draw rates against steering strength, one panel per method.

    Args:
        strengths: In typical shifts; 0 is unsteered.
        curves: Method, then quantity, then one rate with its 95% interval per strength.
    """
    from plotly.subplots import make_subplots

    fig = make_subplots(1, len(curves), subplot_titles=list(curves), shared_yaxes=True)
    for column, quantities in enumerate(curves.values(), 1):
        for i, (quantity, rates) in enumerate(quantities.items()):
            mean, low, high = (np.array([rate[j] for rate in rates]) for j in range(3))
            fig.add_scatter(
                x=list(strengths), y=mean, row=1, col=column, name=quantity,
                error_y={"array": high - mean, "arrayminus": mean - low, "thickness": 1},
                line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
                marker={"symbol": MARKERS[i % 5], "size": 7}, mode="lines+markers",
                showlegend=column == 1, legendgroup=quantity,
            )  # fmt: skip
    fig.update_xaxes(title="strength (typical shifts)")
    fig.update_yaxes(range=[-0.02, 1.05])
    fig.update_yaxes(title="rate, with 95% interval", col=1)
    title = "Effect and side effects against strength"
    return fig.update_layout(template=TEMPLATE, title=title, legend={"orientation": "h", "y": -0.3})


def effect_against_side_effect(points: Mapping[str, tuple[Rate, Rate]]) -> go.Figure:
    """Draw each method's effect against its side effect. The lower right corner is best.

    Args:
        points: Per method, the effect and the side effect, each with its 95% interval.
    """
    fig = go.Figure()
    for i, (method, (effect, side)) in enumerate(points.items()):
        symbol = MARKERS[i % 5] + (
            "" if i < 5 else "-open"
        )  # a second round of five stays distinct
        fig.add_scatter(
            x=[effect[0]], y=[side[0]], mode="markers", name=method,
            marker={"color": COLOURS[i % 5], "symbol": symbol, "size": 12},
            error_x={"array": [effect[2] - effect[0]], "arrayminus": [effect[0] - effect[1]]},
            error_y={"array": [side[2] - side[0]], "arrayminus": [side[0] - side[1]]},
        )  # fmt: skip
    fig.update_xaxes(range=[-0.03, 1.03], title="effect: share of the target's words that changed")
    fig.update_yaxes(rangemode="tozero", title="side effect: share changed elsewhere")
    title = "Effect against side effect, with 95% intervals"
    return fig.update_layout(template=TEMPLATE, title=title)


def change_matrix(rates: Float[ndarray, "targets concepts"], concepts: Sequence[str]) -> go.Figure:
    """Draw which concepts changed when each was steered; off the diagonal should stay dark.

    Args:
        rates: Row: the concept steered. Column: share of that concept's words that changed.
        concepts: Names of rows and columns.
    """
    fig = go.Figure(
        go.Heatmap(
            z=rates,
            x=list(concepts),
            y=list(concepts),
            zmin=0,
            zmax=1,
            colorscale="Cividis",
            text=np.vectorize("{:.2f}".format)(rates),
            texttemplate="%{text}",
            colorbar={"title": "share changed"},
        )
    )
    fig.update_xaxes(title="concept read in the text")
    fig.update_yaxes(title="concept steered", autorange="reversed")
    title = "What changed when one concept was steered"
    return fig.update_layout(template=TEMPLATE, title=title, height=480)
