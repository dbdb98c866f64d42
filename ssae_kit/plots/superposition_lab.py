"""The Superposition lab's figure: the geometry of a toy model at one moment of its training."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, BLUE, DIVERGING, GREEN, TEMPLATE, VERMILLION


def superposition_lab(
    directions: Float[ndarray, "dimensions features"],
    dimensionality: Float[ndarray, " features"],
    losses: Float[ndarray, "records run"],
    every: int,
    *,
    step: int,
    best: int,
    turn: float = 0.0,
) -> go.Figure:
    """Draw one run at one moment, and the loss of all runs: four panels.

    Args:
        directions: Column i is the direction of feature i; two or three dimensions.
        dimensionality: Of each feature, 0 to 1.
        losses: Of every run, averaged over each `every` updates.
        every: Updates per record.
        step: Updates made at the moment that is shown; a line in the loss panel.
        best: Run that is shown; its loss is drawn thick.
        turn: Degrees by which a three-dimensional arrangement is turned about its upright axis.
    """
    d, k = directions.shape
    titles = [f"feature directions in {d} dimensions", "W<sup>T</sup>W: overlap of features",
              "dimensionality of each feature", "loss of all runs"]  # fmt: skip
    fig = make_subplots(2, 2, subplot_titles=titles, vertical_spacing=0.19, row_heights=[0.6, 0.4])
    _rays(fig, flat(directions, turn))
    labels = [str(i) for i in range(k)]
    gram = directions.T @ directions
    fig.add_heatmap(
        z=gram, x=labels, y=labels, zmin=-1.2, zmax=1.2, colorscale=DIVERGING, row=1, col=2,
        text=np.char.mod("%.1f", gram.round(1) + 0.0) if k <= 8 else None, texttemplate="%{text}" if k <= 8 else "",
        colorbar={"len": 0.56, "y": 1, "yanchor": "top", "thickness": 8, "tickvals": [-1, 0, 1]},
    )  # fmt: skip
    fig.add_bar(
        x=labels, y=dimensionality, marker={"color": BLUE}, row=2, col=1, showlegend=False,
        text=np.char.mod("%.2f", dimensionality), textposition="outside", cliponaxis=False,
    )  # fmt: skip
    _losses(fig, losses, every, step, best)
    fig.update_xaxes(title="feature", type="category", showgrid=False, row=1, col=2)
    fig.update_yaxes(type="category", autorange="reversed", showgrid=False, row=1, col=2)
    fig.update_xaxes(title="feature, most important first", type="category", row=2, col=1)
    fig.update_yaxes(title="unitless", range=[0, 1.15], tickvals=[0, 0.5, 1], row=2, col=1)
    fig.update_annotations(font_size=14)
    margin = {"l": 60, "r": 20, "t": 40, "b": 50}
    return fig.update_layout(
        template=TEMPLATE, width=820, height=600, margin=margin, showlegend=False
    )


def flat(
    directions: Float[ndarray, "dimensions features"], turn: float
) -> Float[ndarray, "2 features"]:
    """Return the directions as seen from the front; three dimensions are turned, then tilted."""
    if directions.shape[0] == 2:
        return directions
    around, tilt = np.radians(turn), np.radians(25)
    x, y, z = directions
    right = x * np.cos(around) + y * np.sin(around)
    away = y * np.cos(around) - x * np.sin(around)
    return np.stack([right, z * np.cos(tilt) + away * np.sin(tilt)])


def _rays(fig: go.Figure, tips: ndarray) -> None:
    k = tips.shape[1]
    rays = np.full((2, 3 * k), np.nan)  # origin, tip, gap
    rays[:, 0::3], rays[:, 1::3] = 0, tips
    fig.add_scatter(
        x=rays[0], y=rays[1], mode="lines", line={"color": BLUE, "width": 3}, row=1, col=1
    )
    fig.add_scatter(
        x=tips[0], y=tips[1], mode="markers+text", text=[f"<b>{i}</b>" for i in range(k)],
        textposition="top right", marker={"color": VERMILLION, "size": 9}, row=1, col=1,
    )  # fmt: skip
    around = np.linspace(0, 2 * np.pi, 80)
    fig.add_scatter(
        x=np.cos(around), y=np.sin(around), mode="lines", hoverinfo="skip", row=1, col=1,
        line={"color": "#999999", "width": 1, "dash": "dot"},
    )  # fmt: skip
    box = {"range": [-1.4, 1.4], "tickvals": [-1, 0, 1], "row": 1, "col": 1}
    fig.update_xaxes(title="length 1 is the dotted circle (unitless)", **box)
    fig.update_yaxes(scaleanchor="x", constrain="domain", **box)


def _losses(fig: go.Figure, losses: ndarray, every: int, step: int, best: int) -> None:
    n_records, n_runs = losses.shape
    x = every * np.arange(1.0, n_records + 1)
    gap = np.full((1, n_runs), np.nan)
    fig.add_scatter(
        x=np.tile([*x, np.nan], n_runs), y=np.concatenate([losses, gap]).T.ravel(), mode="lines",
        line={"color": GREEN, "width": 1}, opacity=0.7, row=2, col=2, name="all runs",
    )  # fmt: skip
    fig.add_scatter(
        x=x, y=losses[:, best], mode="lines", line={"color": BLACK, "width": 2.5}, row=2, col=2,
        name="run shown",
    )  # fmt: skip
    top = float(np.nanmax(losses, initial=1e-3))
    fig.add_scatter(
        x=[step, step], y=[0, top], mode="lines", row=2, col=2, name="moment shown",
        line={"color": VERMILLION, "dash": "dash", "width": 2},
    )  # fmt: skip
    fig.update_xaxes(title="updates (dashed: moment shown)", row=2, col=2)
    fig.update_yaxes(title="loss", rangemode="tozero", row=2, col=2)
