"""The Shift lab's figure: which latent holds which concept, how well, and how training went."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, BLUE, DIVERGING, GREEN, TEMPLATE, VERMILLION

Runs = Float[ndarray, "records run"]
"""One value per record of the history and run."""


def shift_lab(
    matrix: Float[ndarray, "latents concepts"],
    latents: Sequence[int],
    scores: tuple[Float[ndarray, "run concepts"], Float[ndarray, "run concepts"]],
    floor: float,
    steps: Sequence[int],
    traces: tuple[Runs, Runs, Runs],
    allowed: Float[ndarray, " records"],
    *,
    best: int,
) -> go.Figure:
    """Draw the outcome of runs on one world: five panels.

    Args:
        matrix: Correlation of the best run's codes with the concepts; matched latents first.
        latents: Index of each row's latent.
        scores: Of each run and concept, code correlation and direction cosine, 0 to 1.
        floor: Mean score of random rotations; a dashed line.
        steps: Updates at each record.
        traces: Reconstruction error; mean absolute code over the true solution's; multiplier.
        allowed: Level in force over the true solution's; NaN where none is.
        best: Run of lowest error; drawn thick.
    """
    fig = make_subplots(
        2, 6, vertical_spacing=0.2, horizontal_spacing=0.09, row_heights=[0.6, 0.4],
        specs=[[{"colspan": 2}, None, {"colspan": 4}, None, None, None],
               [{"colspan": 2}, None, {"colspan": 2}, None, {"colspan": 2}, None]],
        subplot_titles=[
            "correlation of codes, best run", "score of each concept (unitless), one point per run",
            "reconstruction error", "mean |code| (1: the truth's)", "multiplier",
        ],
    )  # fmt: skip
    _matrix(fig, matrix, latents)
    _scores(fig, scores, floor, best)
    for i, values in enumerate(traces):
        _lines(fig, steps, values, best, 2 * i + 1)
    fig.add_scatter(
        x=list(steps), y=allowed, mode="lines", name="level: highest allowed", row=2, col=3,
        line={"color": VERMILLION, "dash": "dot", "width": 2}, showlegend=False,
    )  # fmt: skip
    fig.update_yaxes(rangemode="tozero", row=2)
    fig.update_yaxes(range=[0, 1.05], row=2, col=1)
    fig.update_xaxes(title="updates", row=2)
    fig.update_annotations(font_size=14)
    return fig.update_layout(
        template=TEMPLATE, width=820, height=600, margin={"l": 50, "r": 20, "t": 70, "b": 50},
        legend={"x": 1, "y": 1.07, "xanchor": "right", "yanchor": "bottom", "orientation": "h"},
    )  # fmt: skip


def _matrix(fig: go.Figure, matrix: ndarray, latents: Sequence[int]) -> None:
    n_latents, n_concepts = matrix.shape
    shown = (
        np.char.mod("%.1f", matrix.round(1) + 0.0) if n_concepts <= 6 and n_latents <= 8 else None
    )
    heat = go.Heatmap(
        z=matrix,
        x=[str(k) for k in range(n_concepts)],
        y=[f"r{i}" for i in latents],
        zmin=-1,
        zmax=1,
        colorscale=DIVERGING,
        colorbar={
            "len": 0.56,
            "x": 0.275,
            "y": 1,
            "yanchor": "top",
            "thickness": 8,
            "tickvals": [-1, 0, 1],
        },
        text=shown,
        texttemplate="" if shown is None else "%{text}",
        hovertemplate="latent %{y}, concept %{x}: %{z:.2f}<extra></extra>",
    )
    fig.add_trace(heat, row=1, col=1)
    fig.update_xaxes(title="concept", row=1, col=1, type="category", showgrid=False)
    fig.update_yaxes(
        title="latent", autorange="reversed", row=1, col=1, type="category", showgrid=False
    )


def _scores(fig: go.Figure, scores: tuple[ndarray, ndarray], floor: float, best: int) -> None:
    n_runs, n_concepts = scores[0].shape
    styles = (("code: |correlation|", BLUE, "circle", -0.2), ("direction: |cosine|", VERMILLION, "x", 0.2))  # fmt: skip
    spread = np.linspace(-0.12, 0.12, n_runs)[:, None]
    size = np.where(np.arange(n_runs) == best, 11, 6)[:, None]
    for values, (name, colour, symbol, aside) in zip(scores, styles, strict=True):
        fig.add_scatter(
            x=(np.arange(n_concepts) + aside + spread).ravel(), y=values.ravel(), mode="markers",
            name=name, row=1, col=3, marker={
                "color": colour, "symbol": symbol, "opacity": 0.75,
                "size": np.broadcast_to(size, values.shape).ravel(),
            },
        )  # fmt: skip
    fig.add_scatter(
        x=[-0.5, n_concepts - 0.5], y=[floor, floor], mode="lines", name="random rotation",
        line={"color": BLACK, "dash": "dash", "width": 1.5}, row=1, col=3,
    )  # fmt: skip
    fig.update_xaxes(
        title="concept (large points: best run)", range=[-0.5, n_concepts - 0.5], row=1, col=3,
        tickvals=list(range(n_concepts)), showgrid=False, zeroline=False,
    )  # fmt: skip
    fig.update_yaxes(range=[-0.03, 1.06], row=1, col=3)


def _lines(fig: go.Figure, steps: Sequence[int], values: ndarray, best: int, column: int) -> None:
    """Draw all runs as one thin broken line, and the best one thick."""
    gap = np.full((1, values.shape[1]), np.nan)
    x = np.tile([*map(float, steps), np.nan], values.shape[1])
    fig.add_scatter(
        x=x, y=np.concatenate([values, gap]).T.ravel(), mode="lines", name="all runs",
        line={"color": GREEN, "width": 1}, opacity=0.6, showlegend=False, row=2, col=column,
    )  # fmt: skip
    fig.add_scatter(
        x=list(steps), y=values[:, best], mode="lines", name="best run",
        line={"color": BLACK, "width": 2.5}, showlegend=False, row=2, col=column,
    )  # fmt: skip
