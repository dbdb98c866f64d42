"""Figures of identifiability: agreement of seeds, error against recovery, rotation, floors."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from ssae_kit.plots.show import BLACK, COLOURS, DASHES, MARKERS, TEMPLATE, band


def sorted_matches(
    curves: Mapping[str, Float[ndarray, "pairs latents"]],
    *,
    measure: str = "|cosine|",
    title: str = "Do two seeds find the same directions?",
) -> go.Figure:
    """Draw the similarity of matched latents, best first; one line per condition.

    Args:
        curves: Per condition, the similarity of every matched latent, 0 to 1, one row per pair of
            seeds. The line is the mean over pairs, the band their range.
        measure: What kind of similarity.
        title: What the figure asks.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        ranked = -np.sort(-values, axis=1)
        x = np.arange(1, ranked.shape[1] + 1)
        band(fig, x, ranked.min(0), ranked.max(0), COLOURS[(i + 1) % 5])
        fig.add_scatter(
            x=x, y=ranked.mean(0), mode="lines", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5], "width": 3},
        )  # fmt: skip
    fig.update_xaxes(title="latents, best matched first (rank)")
    fig.update_yaxes(title=f"{measure} with its partner", range=[0, 1.05])
    return fig.update_layout(
        template=TEMPLATE,
        title=f"{title} Band: all pairs of seeds",
        legend={"orientation": "h", "y": -0.25},
    )


def recovery_against_explained(
    points: Mapping[str, tuple[Float[ndarray, " runs"], Float[ndarray, " runs"]]], floor: float
) -> go.Figure:
    """Draw recovery of the true directions against variance explained, one point per seed.

    Args:
        points: Per method, variance explained and recovery.
        floor: Recovery of a random dictionary of the same width.
    """
    fig = go.Figure()
    fig.add_hline(
        y=floor, line={"color": BLACK, "dash": "dash"},
        annotation_text="random dictionary", annotation_position="top left",
    )  # fmt: skip
    for i, (name, (explained, found)) in enumerate(points.items()):
        fig.add_scatter(
            x=explained, y=found, mode="markers", name=name,
            marker={"color": COLOURS[i % 5], "symbol": MARKERS[i % 5], "size": 10, "opacity": 0.8},
        )  # fmt: skip
    fig.update_xaxes(title="share of variance explained", range=[0.45, 1.05])
    fig.update_yaxes(title="mean best |cosine| with the truth", range=[0, 1.08])
    return fig.update_layout(
        template=TEMPLATE, title="Explaining the data is not finding its causes"
    )


def rotation(
    angles: Float[ndarray, " angles"],
    curves: Mapping[str, Float[ndarray, " angles"]],
    marked: float,
) -> go.Figure:
    """Draw what changes when a solution is rotated.

    Args:
        angles: In degrees.
        curves: Per quantity, its value at each angle, unitless.
        marked: Angle to mark with a vertical line, in degrees.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        fig.add_scatter(
            x=angles, y=values, mode="lines", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5], "width": 3},
        )  # fmt: skip
    fig.add_vline(
        x=marked, line={"color": BLACK, "dash": "dot"}, annotation_text=f"{marked:g}°",
        annotation_position="bottom right",
    )  # fmt: skip
    fig.update_xaxes(title="rotation of the solution (degrees)", dtick=45)
    fig.update_yaxes(title="value (unitless)", rangemode="tozero")
    title = "Rotating codes and directions together"
    return fig.update_layout(
        template=TEMPLATE, title=title, legend={"orientation": "h", "y": -0.25}
    )


def floors(
    x: Sequence[float],
    curves: Mapping[str, Float[ndarray, "points draws"]],
    *,
    x_title: str,
    y_title: str,
    title: str,
    log_x: bool = True,
) -> go.Figure:
    """Draw what a score gives where there is nothing to find; the band holds 95% of draws.

    Args:
        x: Where the score was taken.
        curves: Per line, the draws at each place.
        x_title: Quantity and unit.
        y_title: Quantity and unit.
        title: What is seen.
        log_x: Whether the axis is logarithmic.
    """
    fig = go.Figure()
    for i, (name, draws) in enumerate(curves.items()):
        low, high = np.quantile(draws, [0.025, 0.975], axis=1)
        band(fig, np.asarray(x, dtype=float), low, high, COLOURS[(i + 1) % 5])
        fig.add_scatter(
            x=list(x), y=draws.mean(1), mode="lines+markers", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
            marker={"symbol": MARKERS[i % 5], "size": 8},
        )  # fmt: skip
    fig.update_xaxes(title=x_title, type="log" if log_x else "linear")
    if log_x:
        fig.update_xaxes(tickvals=list(x), ticktext=[f"{v:g}" for v in x])
    fig.update_yaxes(title=y_title, range=[0, 1.05])
    return fig.update_layout(template=TEMPLATE, title=f"{title} (band: 95% of draws)")


def two_scores(points: Mapping[str, tuple[float, float]]) -> go.Figure:
    """Draw the latent correlation of several solutions against their decoder cosine.

    Args:
        points: Per solution, MCC of codes and MCC of directions.
    """
    fig = go.Figure()
    fig.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": "#999999", "dash": "dash"},
        name="the two scores agree",
    )  # fmt: skip
    for i, (name, (codes, directions)) in enumerate(points.items()):
        fig.add_scatter(
            x=[directions], y=[codes], mode="markers", name=name,
            marker={"color": COLOURS[i % 5], "symbol": MARKERS[i % 5], "size": 14},
        )  # fmt: skip
    fig.update_xaxes(title="MCC of directions: |cosine| (SAELens)", range=[0.4, 1.04])
    fig.update_yaxes(title="MCC of codes: |correlation|", range=[0.4, 1.04])
    return fig.update_layout(template=TEMPLATE, title="Two scores, one name", height=440)


def plane(
    inputs: Float[ndarray, "samples axes"], arrows: Mapping[str, Float[ndarray, "latents axes"]]
) -> go.Figure:
    """Draw data of two dimensions with the directions of several solutions over it.

    Args:
        inputs: One point per sample, unitless.
        arrows: Per solution, its directions.
    """
    fig = go.Figure()
    fig.add_scatter(
        x=inputs[:, 0], y=inputs[:, 1], mode="markers", name="inputs",
        marker={"color": "#999999", "size": 3, "opacity": 0.5},
    )  # fmt: skip
    reach = float(np.abs(inputs).max())
    for i, (name, rows) in enumerate(arrows.items()):
        x = [v for row in rows for v in (0.0, float(row[0]) * reach, None)]
        y = [v for row in rows for v in (0.0, float(row[1]) * reach, None)]
        line = {"color": COLOURS[i % 5], "dash": DASHES[i % 5], "width": 4}
        fig.add_scatter(x=x, y=y, mode="lines", name=name, line=line)
    fig.update_xaxes(title="first input (unitless)")
    fig.update_yaxes(title="second input (unitless)", scaleanchor="x")
    title = "The same data in two bases"
    return fig.update_layout(template=TEMPLATE, title=title, width=620, height=520)
