"""Figures of dictionary learning: recovery, dead latents, splitting, absorption, dashboards."""

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
    DIVERGING,
    MARKERS,
    TEMPLATE,
    VERMILLION,
    band,
)


def cosines(
    before: Float[ndarray, "features latents"], after: Float[ndarray, "features latents"]
) -> go.Figure:
    """Draw the cosine of every latent with every true direction, before and after training.

    Args:
        before: Of the random start.
        after: Of the trained dictionary, latents in matched order.
    """
    fig = make_subplots(1, 2, subplot_titles=["random start", "trained"], shared_yaxes=True)
    for column, values in enumerate((before, after), 1):
        heat = go.Heatmap(
            z=values, zmin=-1, zmax=1, colorscale=DIVERGING, showscale=column == 2,
            colorbar={"title": "cosine"},
        )  # fmt: skip
        fig.add_trace(heat, row=1, col=column)
    fig.update_xaxes(title="latent, matched order")
    fig.update_yaxes(title="true feature", autorange="reversed", col=1)
    return fig.update_layout(template=TEMPLATE, title="Cosine of latents and true directions")


def architectures(
    scores: Mapping[str, Mapping[str, Float[ndarray, " runs"]]], floors: Mapping[str, float]
) -> go.Figure:
    """Draw the scores of several architectures side by side, one point per seed.

    Args:
        scores: Architecture, then score, then one value per seed, 0 to 1.
        floors: Of each score, what it was before training.
    """
    names = list(next(iter(scores.values())))
    fig = make_subplots(1, len(names), subplot_titles=names, shared_yaxes=True)
    for column, name in enumerate(names, 1):
        for row, (architecture, values) in enumerate(scores.items()):
            fig.add_scatter(
                x=values[name], y=[architecture] * len(values[name]), row=1, col=column,
                mode="markers", showlegend=False,
                marker={"color": COLOURS[row % 5], "symbol": MARKERS[row % 5], "size": 9},
            )  # fmt: skip
        line = {"color": BLACK, "dash": "dash", "width": 1}
        fig.add_vline(x=floors[name], line=line, row=1, col=column)
    fig.update_xaxes(range=[0, 1.05], title="unitless")
    fig.update_yaxes(autorange="reversed")
    title = "Recovery by architecture (points: seeds; dashed: before training)"
    return fig.update_layout(template=TEMPLATE, title=title)


def pareto(
    l0: Mapping[str, Float[ndarray, "settings runs"]],
    missed: Mapping[str, Float[ndarray, "settings runs"]],
) -> go.Figure:
    """Draw variance missed against the number of latents that fire; lower left is better.

    Args:
        l0: Per architecture, latents that fire per input, a row per setting, a column per seed.
        missed: Variance missed in the same runs.
    """
    fig = go.Figure()
    for i, name in enumerate(l0):
        x, y = l0[name], missed[name]
        fig.add_scatter(
            x=x.mean(1), y=y.mean(1), mode="lines+markers", name=name,
            error_x=_range(list(x)), error_y=_range(list(y)),
            line={"color": COLOURS[i % 5], "dash": DASHES[i % 5]},
            marker={"symbol": MARKERS[i % 5] + ("" if i < 5 else "-open"), "size": 10},
        )  # fmt: skip
    fig.update_xaxes(title="L0 (latents that fire per input, count)", rangemode="tozero")
    fig.update_yaxes(title="variance missed (share)", rangemode="tozero")
    title = "Sparser or more exact? (points: settings; bars: range over seeds)"
    return fig.update_layout(template=TEMPLATE, title=title, height=460)


def dead_over_training(
    steps: Sequence[int], curves: Mapping[str, Float[ndarray, "records runs"]]
) -> go.Figure:
    """Draw the share of dead latents during training; the band is the range over seeds.

    Args:
        steps: Updates made at each record.
        curves: Per cure, the share of dead latents, one column per seed.
    """
    fig = go.Figure()
    for i, (name, dead) in enumerate(curves.items()):
        colour = COLOURS[(i + 1) % 5]
        band(fig, np.asarray(steps), dead.min(1), dead.max(1), colour)
        fig.add_scatter(
            x=list(steps), y=dead.mean(1), mode="lines", name=name,
            line={"color": colour, "dash": DASHES[i % 5], "width": 3},
        )  # fmt: skip
    fig.update_xaxes(title="training (updates)")
    fig.update_yaxes(title="share of latents that are dead", range=[-0.02, 1.02])
    title = "Dead latents while training (band: range over seeds)"
    return fig.update_layout(template=TEMPLATE, title=title)


def firing_rates(rates: Mapping[str, Float[ndarray, " latents"]]) -> go.Figure:
    """Draw how often each latent fires, sorted; dead ones sit at zero.

    Args:
        rates: Per cure, share of inputs on which each latent fires, all seeds together.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(rates.items()):
        fig.add_scatter(
            x=np.linspace(0, 1, len(values)), y=-np.sort(-values), mode="lines", name=name,
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5], "width": 3},
        )  # fmt: skip
    fig.update_xaxes(title="latents, most active first (share of all)")
    fig.update_yaxes(title="firing rate (share of inputs)", rangemode="tozero")
    return fig.update_layout(template=TEMPLATE, title="How often latents fire after training")


def fires_with_children(
    rates: Mapping[str, tuple[Float[ndarray, " runs"], Float[ndarray, " runs"]]],
) -> go.Figure:
    """Draw how often a parent's latent fires when the parent is active, without and with a child.

    Args:
        rates: Per dictionary, the two rates, one value per seed, 0 to 1.
    """
    fig = go.Figure()
    for side, (label, colour) in enumerate((("no child active", BLACK), ("a child active", BLUE))):
        fig.add_bar(
            x=list(rates), y=[pair[side].mean() for pair in rates.values()], name=label,
            marker={"color": colour, "pattern": {"shape": ("", "/")[side]}},
            error_y=_range([pair[side] for pair in rates.values()]),
        )  # fmt: skip
    fig.update_xaxes(title="dictionary")
    fig.update_yaxes(title="parent's latent fires (share of cases)", range=[0, 1.05])
    title = "Absorption: does the general latent still fire? (bars: range over seeds)"
    return fig.update_layout(template=TEMPLATE, title=title, height=440)


def splitting(
    widths: Sequence[int], counts: Mapping[str, Float[ndarray, "widths runs"]]
) -> go.Figure:
    """Draw into how many latents of a wider dictionary each narrow latent splits.

    Args:
        widths: Latents of the wider dictionaries.
        counts: Per condition, wide latents close to a narrow one, mean over narrow latents.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(counts.items()):
        fig.add_scatter(
            x=list(widths), y=values.mean(1), mode="lines+markers", name=name,
            error_y=_range(list(values)),
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
            marker={"symbol": MARKERS[i % 5], "size": 9},
        )  # fmt: skip
    fig.update_xaxes(title="width of the dictionary (latents)", type="log", tickvals=list(widths))
    fig.update_yaxes(title="close latents per narrow latent (count)", rangemode="tozero")
    title = "Splitting: one latent becomes several (bars: range over seeds)"
    return fig.update_layout(template=TEMPLATE, title=title)


def activation_histogram(
    values: Float[ndarray, " others"],
    chosen: Float[ndarray, " labelled"],
    *,
    latent: int,
    label: str,
) -> go.Figure:
    """Draw the non-zero codes of one latent, on texts with its label and on the others.

    Args:
        values: Codes where the label does not hold, zeros left out.
        chosen: Codes where it holds, zeros left out.
        latent: Its index.
        label: What the label says.
    """
    fig = go.Figure()
    longest = max([1e-9, *map(float, values), *map(float, chosen)])
    bins = {"start": 0.0, "end": 1.01 * longest, "size": longest / 40}
    fig.add_histogram(x=chosen, name=label, marker={"color": BLUE}, xbins=bins)
    other = {"color": VERMILLION, "pattern": {"shape": "/"}}
    fig.add_histogram(x=values, name="other texts", marker=other, xbins=bins)
    fig.update_xaxes(title="code where it fires (unitless)")
    fig.update_yaxes(title="texts (count, logarithmic)", type="log", dtick=1)
    title = f"Latent {latent}: when it fires, and how strongly"
    return fig.update_layout(template=TEMPLATE, title=title, barmode="overlay")


def clamping(
    strengths: Sequence[float], rates: Mapping[str, Sequence[tuple[float, float, float]]], y: str
) -> go.Figure:
    """Draw a rate against the value a latent is clamped to.

    Args:
        strengths: Multiples of the latent's largest code.
        rates: Per latent, one (mean, low, high) per strength.
        y: What the rate measures.
    """
    fig = go.Figure()
    for i, (name, rows) in enumerate(rates.items()):
        mean, low, high = (np.array([row[j] for row in rows]) for j in range(3))
        fig.add_scatter(
            x=list(strengths), y=mean, mode="lines+markers", name=name,
            error_y={"array": high - mean, "arrayminus": mean - low},
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
            marker={"symbol": MARKERS[i % 5], "size": 9},
        )  # fmt: skip
    fig.update_xaxes(title="clamped to (multiples of the latent's largest code)")
    fig.update_yaxes(title=y, range=[-0.03, 1.05])
    title = "Clamping one latent (bars: 95% intervals)"
    return fig.update_layout(template=TEMPLATE, title=title)


def _range(values: Sequence[ndarray]) -> dict[str, object]:
    """Error bars from the lowest to the highest value about each mean."""
    return {
        "array": [float(v.max() - v.mean()) for v in values],
        "arrayminus": [float(v.mean() - v.min()) for v in values],
        "color": "#999999",
    }
