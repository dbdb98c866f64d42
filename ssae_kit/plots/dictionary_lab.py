"""The Dictionary lab's figure: what was recovered, at what price, and which latents are dead."""

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLACK, BLUE, DIVERGING, GREEN, TEMPLATE, VERMILLION


def dictionary_lab(
    cosines: Float[ndarray, "features latents"],
    scores: tuple[Float[ndarray, "run features"], Float[ndarray, "run features"]],
    rates: Float[ndarray, "run latents"],
    prices: tuple[Float[ndarray, " settings"], Float[ndarray, " settings"]],
    *,
    floor: float,
    true_l0: float,
    best: int,
) -> go.Figure:
    """Draw the outcome of a few runs of one dictionary: four panels.

    Args:
        cosines: Of the best run's latents with the true directions; latents in matched order.
        scores: Of each run and feature, the cosine of its latent and the correlation of its code.
        rates: Share of inputs on which each latent fires.
        prices: Latents that fire per input and variance missed: first one value for each of these
            runs, then for runs of other settings.
        floor: Mean cosine of a random dictionary; a dashed line.
        true_l0: Features active per input; a dashed line.
        best: Run that is drawn thick.
    """
    titles = ["cosine of latents with true directions, best run", "sparser or more exact?",
              "recovery of each feature", "how often each latent fires"]  # fmt: skip
    fig = make_subplots(
        2, 2, subplot_titles=titles, vertical_spacing=0.19, horizontal_spacing=0.15,
        row_heights=[0.55, 0.45],
    )  # fmt: skip
    fig.add_heatmap(
        z=cosines, zmin=-1, zmax=1, colorscale=DIVERGING, row=1, col=1,
        colorbar={"len": 0.5, "x": 0.43, "y": 1, "yanchor": "top", "thickness": 8, "tickvals": [-1, 0, 1]},
    )  # fmt: skip
    _prices(fig, *prices, len(rates), true_l0)
    _scores(fig, scores, floor, best)
    _rates(fig, rates, best)
    fig.update_xaxes(title="latent, matched order", showgrid=False, row=1, col=1)
    fig.update_yaxes(title="feature", autorange="reversed", showgrid=False, row=1, col=1)
    fig.update_annotations(font_size=14)
    return fig.update_layout(
        template=TEMPLATE, width=820, height=600, margin={"l": 50, "r": 20, "t": 70, "b": 50},
        legend={"x": 1, "y": 1.07, "xanchor": "right", "yanchor": "bottom", "orientation": "h"},
    )  # fmt: skip


def _prices(fig: go.Figure, l0: ndarray, missed: ndarray, n_runs: int, true_l0: float) -> None:
    here = l0[:n_runs].mean(), missed[:n_runs].mean()
    x, y = np.append(l0[n_runs:], here[0]), np.append(missed[n_runs:], here[1])
    order = np.argsort(x)
    fig.add_scatter(
        x=x[order], y=y[order], mode="lines+markers", name="other settings", row=1, col=2,
        line={"color": GREEN, "dash": "dash"}, marker={"symbol": "square", "size": 7},
    )  # fmt: skip
    fig.add_scatter(
        x=l0[:n_runs], y=missed[:n_runs], mode="markers", name="these runs", row=1, col=2,
        marker={"color": BLACK, "symbol": "circle", "size": 12},
    )  # fmt: skip
    fig.add_scatter(
        x=[true_l0] * 2, y=[0, 1], mode="lines", name="features active", row=1, col=2,
        line={"color": VERMILLION, "dash": "dot", "width": 2}, showlegend=False,
    )  # fmt: skip
    fig.update_xaxes(
        title="L0 (latents per input; dotted: features)", rangemode="tozero", row=1, col=2
    )
    fig.update_yaxes(title="variance missed", range=[-0.03, 1.06], row=1, col=2)


def _scores(fig: go.Figure, scores: tuple[ndarray, ndarray], floor: float, best: int) -> None:
    order = np.argsort(-scores[0][best], kind="stable")
    n_runs, n_features = scores[0].shape
    place = np.arange(1.0, n_features + 1)
    styles = (("direction: |cosine|", BLUE, "circle"), ("code: |correlation|", VERMILLION, "x"))
    for values, (name, colour, symbol) in zip(scores, styles, strict=True):
        size = np.where(np.arange(n_runs) == best, 7, 3)[:, None]
        fig.add_scatter(
            x=np.tile(place, n_runs), y=values[:, order].ravel(), mode="markers", name=name,
            row=2, col=1, marker={
                "color": colour, "symbol": symbol, "opacity": 0.7,
                "size": np.broadcast_to(size, values.shape).ravel(),
            },
        )  # fmt: skip
    fig.add_scatter(
        x=[0.5, n_features + 0.5], y=[floor, floor], mode="lines", name="random dictionary",
        line={"color": BLACK, "dash": "dash", "width": 1.5}, row=2, col=1,
    )  # fmt: skip
    fig.update_xaxes(title="feature, best first (large points: best run)", row=2, col=1)
    fig.update_yaxes(title="unitless", range=[-0.03, 1.06], row=2, col=1)


def _rates(fig: go.Figure, rates: ndarray, best: int) -> None:
    n_runs, n_latents = rates.shape
    place, falling = np.arange(1.0, n_latents + 1), -np.sort(-rates, axis=1)
    gaps = np.full((n_runs, 1), np.nan)
    fig.add_scatter(
        x=np.tile([*place, np.nan], n_runs), y=np.concatenate([falling, gaps], 1).ravel(),
        mode="lines", line={"color": GREEN, "width": 1}, opacity=0.7, row=2, col=2,
        name="all runs", showlegend=False,
    )  # fmt: skip
    fig.add_scatter(
        x=place, y=falling[best], mode="lines", line={"color": BLACK, "width": 2.5}, row=2, col=2,
        name="best run", showlegend=False,
    )  # fmt: skip
    fig.update_xaxes(title="latent, most active first (dead: at zero)", row=2, col=2)
    fig.update_yaxes(title="share of inputs", rangemode="tozero", row=2, col=2)
