"""Figures of recovery from concept shifts: concept by concept, phase diagrams, boundaries."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import (
    BLACK,
    BLUE,
    COLOURS,
    DASHES,
    GREEN,
    MARKERS,
    PURPLE,
    TEMPLATE,
    VERMILLION,
)

Score = Float[ndarray, "run concepts"]
"""One score, 0 to 1, per run and concept."""


def per_concept(
    conditions: Mapping[str, tuple[Score, Score]], floors: Mapping[str, float], *, columns: int = 3
) -> go.Figure:
    """Draw one panel per condition: the scores of each concept, one point per world.

    Args:
        conditions: Per condition, code scores and direction scores.
        floors: Per condition, the mean score of random rotations; a dashed line.
        columns: Panels in a row.
    """
    names = list(conditions)
    rows = -(-len(names) // columns)
    fig = make_subplots(
        rows, columns, subplot_titles=names, shared_yaxes=True, horizontal_spacing=0.03,
        vertical_spacing=0.3 / rows, x_title="concept", y_title="score (unitless)",
    )  # fmt: skip
    styles = (("code MCC", BLUE, "circle-open", -0.15), ("direction MCC", VERMILLION, "x", 0.15))
    for i, name in enumerate(names):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        for scores, (label, colour, marker, aside) in zip(conditions[name], styles, strict=True):
            x = np.broadcast_to(np.arange(scores.shape[1]) + aside, scores.shape)
            fig.add_scatter(
                x=x.ravel(), y=scores.ravel(), mode="markers", name=label, showlegend=i == 0,
                marker={"color": colour, "symbol": marker, "size": 7}, **place,
            )  # fmt: skip
        fig.add_hline(y=floors[name], line={"color": BLACK, "dash": "dash", "width": 1}, **place)
        fig.update_xaxes(tickvals=list(range(scores.shape[1])), tickfont={"size": 10}, **place)
    fig.update_yaxes(range=[-0.05, 1.08], tickvals=[0, 0.5, 1])
    return fig.update_layout(
        template=TEMPLATE, height=110 + 180 * rows, width=820,
        title="Recovery of each concept; one point per world; dashed: random rotations",
        legend={
            "orientation": "h", "yref": "container", "y": 0.98, "yanchor": "top",
            "x": 1, "xanchor": "right",
        },
        margin={"t": 110},
    )  # fmt: skip


def phases(
    panels: Mapping[str, Float[ndarray, "rows columns"]],
    x: Sequence[int | float],
    y: Sequence[int | float],
    *,
    x_title: str,
    y_title: str,
    title: str,
) -> go.Figure:
    """Draw one heatmap per method, on one colour scale from 0.4 to 1, with the number in each cell.

    Args:
        panels: Per method, mean score of each cell; NaN where there is none.
        x: Values along the columns.
        y: Values along the rows.
        x_title: What the columns are, with unit.
        y_title: What the rows are, with unit.
        title: Of the figure.
    """
    fig = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True)
    across = list(range(len(x)))
    for i, values in enumerate(panels.values()):
        text = np.where(np.isnan(values), "", np.char.mod("%.2f", np.nan_to_num(values)))
        fig.add_heatmap(
            x=across, y=list(range(len(y))), z=values, text=text, texttemplate="%{text}",
            coloraxis="coloraxis", row=1, col=i + 1,
        )  # fmt: skip
    fig.update_xaxes(tickvals=across, ticktext=[f"{v:g}" for v in x], title=x_title)
    fig.update_yaxes(tickvals=list(range(len(y))), ticktext=[f"{v:g}" for v in y])
    fig.update_yaxes(title={"text": y_title, "standoff": 20}, col=1)
    return fig.update_layout(
        template=TEMPLATE, title=title, width=140 + 260 * len(panels), height=380,
        coloraxis={"colorscale": "Cividis", "cmin": 0.4, "cmax": 1, "colorbar": {"title": "MCC"}},
    )  # fmt: skip


def add_boundary(fig: go.Figure, columns: Sequence[float], rows: Sequence[float], i: int) -> None:
    """Draw an analytic boundary over heatmap panel `i` (from 0) of `phases`, in cell units."""
    fig.add_scatter(
        x=list(columns), y=list(rows), mode="lines", row=1, col=i + 1, name="analytic boundary",
        line={"color": VERMILLION, "width": 2, "dash": "dash"}, showlegend=False,
    )  # fmt: skip


def transition(
    shares: Sequence[float],
    measured: Mapping[str, Float[ndarray, "shares worlds"]],
    boundaries: Mapping[str, float],
) -> go.Figure:
    """Draw recovery against the share of joint pairs, one point per world, beside the formulas.

    Args:
        shares: Share of pairs in which both of two concepts shift.
        measured: Per setting, direction MCC of each world.
        boundaries: Per formula, the share at which it says L1 leaves the truth.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(measured.items()):
        colour = (BLUE, GREEN, BLACK, PURPLE)[i % 4]
        marker = {"color": colour, "symbol": MARKERS[i % 5], "size": 8, "opacity": 0.6}
        line = {"color": colour, "dash": DASHES[i % 5]}
        group = {"legendgroup": name, "name": name}
        x = np.repeat(shares, values.shape[1])
        fig.add_scatter(x=x, y=values.ravel(), mode="markers", marker=marker, showlegend=False, **group)  # fmt: skip
        fig.add_scatter(x=list(shares), y=values.mean(1), mode="lines", line=line, showlegend=False, **group)  # fmt: skip
        # One entry in the legend for both.
        fig.add_scatter(x=[None], y=[None], mode="lines+markers", line=line, marker=marker, **group)
    for i, (name, share) in enumerate(boundaries.items()):
        fig.add_vline(
            x=share, line={"color": VERMILLION, "dash": "dash"}, annotation_text=name,
            annotation_position="bottom right" if i % 2 else "bottom left",
        )  # fmt: skip
    fig.update_xaxes(title="share of pairs in which both concepts shift")
    fig.update_yaxes(title="direction MCC (unitless)", range=[0.4, 1.03])
    title = "Points: worlds; lines: their mean; vertical lines: where the formula says L1 turns"
    return fig.update_layout(template=TEMPLATE, title=title)


def turning(
    degrees: Float[ndarray, " angles"], curves: Mapping[str, Float[ndarray, " angles"]]
) -> go.Figure:
    """Draw the L1 norm of a turned basis, relative to the true one, against the angle."""
    fig = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        fig.add_scatter(
            x=degrees, y=values, mode="lines", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5], "width": 2.5},
        )  # fmt: skip
    fig.add_hline(y=1, line={"color": BLACK, "dash": "dot"})
    fig.update_xaxes(title="angle by which the basis is turned (degrees)", dtick=15)
    fig.update_yaxes(title="mean L1 norm, relative to the true basis")
    return fig.update_layout(
        template=TEMPLATE, title="A turned basis can be cheaper than the truth"
    )


def widths(
    n_latents: Sequence[int], curves: Mapping[str, Float[ndarray, "widths values"]], *, true: int
) -> go.Figure:
    """Draw scores against the length of the code: mean, and a bar from least to greatest.

    Args:
        n_latents: Lengths of the code.
        curves: Per score, its values at each width (seeds or pairs of seeds).
        true: Number of concepts; a dashed line.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(curves.items()):
        mean = values.mean(1)
        fig.add_scatter(
            x=list(n_latents), y=mean, mode="lines+markers", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]}, marker={"symbol": MARKERS[i % 5], "size": 9},
            error_y={"array": values.max(1) - mean, "arrayminus": mean - values.min(1)},
        )  # fmt: skip
    fig.add_vline(
        x=true, line={"color": BLACK, "dash": "dash"}, annotation_text=f"{true} concepts",
        annotation_position="bottom right",
    )  # fmt: skip
    fig.update_xaxes(title="latents (count)")
    fig.update_yaxes(title="MCC (unitless)", range=[0.4, 1.03])
    title = "Seeds disagree about spare latents, not about concepts (bars: range)"
    return fig.update_layout(template=TEMPLATE, title=title)


def norms(
    length: Float[ndarray, " pairs"], codes: Mapping[str, Float[ndarray, " pairs"]]
) -> go.Figure:
    """Draw how long each pair's code is against how far its concepts truly moved.

    Args:
        length: Euclidean length of the true concept shifts.
        codes: Per autoencoder, the length of the code.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(codes.items()):
        fig.add_scatter(
            x=length, y=values / values.mean(), mode="markers", name=name,
            marker={"color": COLOURS[(i + 1) % 5], "symbol": MARKERS[i % 5], "size": 5, "opacity": 0.6},
        )  # fmt: skip
    fig.update_xaxes(title="true length of the concept shifts (unitless)")
    fig.update_yaxes(title="length of the code over its mean")
    title = "A layer norm on the code forgets how far concepts moved"
    return fig.update_layout(template=TEMPLATE, title=title)
