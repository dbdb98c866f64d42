"""The Steering lab's figure: what texts say before and after, and effect against side effect."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, BLUE, GREEN, PURPLE, TEMPLATE, VERMILLION


def steering_lab(
    labels: Sequence[str],
    before: Float[ndarray, " concepts"],
    after: Float[ndarray, " concepts"],
    steered: Sequence[bool],
    strengths: Sequence[float],
    curves: Float[ndarray, "strengths 3"],
    strength: float,
) -> go.Figure:
    """Draw concept read-outs without and with steering, and rates against the strength.

    Args:
        labels: Name of each concept, with what its value 1 is.
        before: Share of the words about each concept that say value 1, unsteered; NaN if none do.
        after: The same, steered.
        steered: Whether each concept was to change; their names are bold.
        strengths: Strengths tried so far, ascending.
        curves: At each, the effect, the side effect and the share of ill-formed sentences.
        strength: The one chosen; a dashed line.
    """
    titles = ["what the texts say", "effect and side effects"]
    fig = make_subplots(1, 2, subplot_titles=titles, horizontal_spacing=0.12)
    names = [f"<b>{n}</b>" if s else n for n, s in zip(labels, steered, strict=True)]
    _readouts(fig, names, before, after)
    _rates(fig, strengths, curves, strength)
    fig.update_xaxes(title="share of its words (unitless)", range=[0, 1.05], row=1, col=1)
    fig.update_yaxes(autorange="reversed", showgrid=False, row=1, col=1)
    fig.update_xaxes(title="strength (typical shifts; dashed: chosen)", row=1, col=2)
    fig.update_yaxes(title="share", range=[-0.03, 1.06], row=1, col=2)
    return fig.update_layout(
        template=TEMPLATE, width=820, height=420, margin={"l": 20, "r": 20, "t": 80, "b": 50},
        legend={"orientation": "h", "x": 1, "y": 1.1, "xanchor": "right", "yanchor": "bottom"},
    )  # fmt: skip


def _readouts(fig: go.Figure, names: list[str], before: ndarray, after: ndarray) -> None:
    for values, name, colour, shape in (
        (before, "unsteered", "#BDBDBD", "/"), (after, "steered", BLUE, ""),
    ):  # fmt: skip
        fig.add_bar(
            y=names, x=values, name=name, orientation="h", row=1, col=1,
            marker={"color": colour, "pattern": {"shape": shape}, "line": {"color": BLACK, "width": 1}},
        )  # fmt: skip


def _rates(fig: go.Figure, strengths: Sequence[float], curves: ndarray, strength: float) -> None:
    rates = (("effect", GREEN, "solid", "circle"), ("side effect", VERMILLION, "dash", "square"),
             ("ill-formed", PURPLE, "dot", "diamond"))  # fmt: skip
    here = np.isclose(strengths, strength)
    for (name, colour, dash, symbol), values in zip(rates, curves.T, strict=True):
        fig.add_scatter(
            x=list(strengths), y=values, name=name, mode="lines+markers", row=1, col=2,
            line={"color": colour, "dash": dash},
            marker={"symbol": symbol, "size": np.where(here, 15, 7), "color": colour},
        )  # fmt: skip
    fig.add_scatter(
        x=[strength] * 2, y=[0, 1], mode="lines", name="chosen", row=1, col=2, showlegend=False,
        line={"color": BLACK, "dash": "dash", "width": 1.5},
    )  # fmt: skip
