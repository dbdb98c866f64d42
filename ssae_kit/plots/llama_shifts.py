"""Figures of concept shifts in a Llama: by layer, under correlated changes, and by cosine."""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from ssae_kit.plots.show import BLACK, BLUE, COLOURS, DASHES, MARKERS, TEMPLATE, VERMILLION

ORANGE, SKY = "#E69F00", "#56B4E9"
"""Two more of Okabe and Ito's colours; too pale for lines alone, so their marks are outlined."""


def linearity(layers: Sequence[int], share: Mapping[str, Float[ndarray, " layers"]]) -> go.Figure:
    """Draw which share of the shifts a sum of concept directions explains, against depth.

    Args:
        layers: 0 is the embedding, l the output of block l.
        share: Per data set, held-out share explained in each layer, at most 1.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(share.items()):
        fig.add_scatter(
            x=list(layers), y=values, name=name, mode="lines+markers",
            line={"color": COLOURS[(i + 1) % 5], "dash": DASHES[i % 5]},
            marker={"symbol": MARKERS[i % 5], "size": 8},
        )  # fmt: skip
    fig.update_xaxes(title="layer (number of blocks passed)", dtick=1)
    fig.update_yaxes(title="share of shifts explained", range=[-0.1, 1.05])
    title = "Are shifts sums of concept directions?"
    return fig.update_layout(template=TEMPLATE, title=title)


def by_layer(
    layers: Sequence[int],
    scores: Mapping[str, Float[ndarray, "layers seeds"]],
    floor: Float[ndarray, " draws"],
    *,
    quantity: str,
) -> go.Figure:
    """Draw the score of each method against depth; bars span the seeds.

    Args:
        layers: Layers, ascending.
        scores: Per method, one column per seed, 0 to 1.
        floor: Scores of random rotations; the band spans 95% of them.
        quantity: What the scores measure.
    """
    fig = go.Figure()
    low, high = np.quantile(floor, [0.025, 0.975])
    fig.add_hrect(
        y0=low, y1=high, fillcolor="#DDDDDD", line_width=0, layer="below",
        name="random rotations, 95%", showlegend=True,
    )  # fmt: skip
    for i, (method, values) in enumerate(scores.items()):
        middle = np.median(values, 1)
        shift = 0.05 * (i - (len(scores) - 1) / 2)
        fig.add_scatter(
            x=np.asarray(layers) + shift, y=middle, name=method, mode="lines+markers",
            error_y={"array": values.max(1) - middle, "arrayminus": middle - values.min(1),
                     "thickness": 1},
            line={**_look(i), "width": 3 if i == 0 else 1.5},
            marker={"symbol": MARKERS[i % 5], "size": 8, "line": {"width": 1, "color": BLACK}},
        )  # fmt: skip
    fig.update_xaxes(title="layer (number of blocks passed)", tickvals=list(layers))
    fig.update_yaxes(title=quantity, range=[0, 1.05])
    title = "Recovery by layer: median of seeds, bars from worst to best"
    legend = {"orientation": "h", "y": -0.25}
    return fig.update_layout(template=TEMPLATE, title=title, height=480, legend=legend)


def co_change(
    shares: Sequence[float],
    scores: Mapping[str, Float[ndarray, "shares seeds"]],
    *,
    bound: float,
) -> go.Figure:
    """Draw the recovery of two coupled concepts against how often both change together.

    Args:
        shares: Given that one of the two changes, how often both do, 0 to 1.
        scores: Per method, one column per seed: mean score of the two concepts, 0 to 1.
        bound: Share above which theory expects the sparsest code to mix the two.
    """
    fig = go.Figure()
    fig.add_vline(
        x=bound, line={"color": BLACK, "dash": "dash"}, annotation_text=f"bound: {bound:.2f}",
        annotation_position="bottom right",
    )  # fmt: skip
    for i, (method, values) in enumerate(scores.items()):
        middle = np.median(values, 1)
        fig.add_scatter(
            x=np.asarray(shares) + 0.008 * i, y=middle, name=method, mode="lines+markers",
            error_y={"array": values.max(1) - middle, "arrayminus": middle - values.min(1),
                     "thickness": 1},
            line=_look(i),
            marker={"symbol": MARKERS[i % 5], "size": 8, "line": {"width": 1, "color": BLACK}},
        )  # fmt: skip
    fig.update_xaxes(title="share of both, given that one changes", range=[-0.03, 1])
    fig.update_yaxes(title="|correlation|, mean of the two", range=[0.4, 1.05])
    title = "Two coupled concepts: median of seeds, worst to best"
    return fig.update_layout(template=TEMPLATE, title=title)


def starts(
    error: Mapping[str, Float[ndarray, " starts"]], weakest: Mapping[str, Float[ndarray, " starts"]]
) -> go.Figure:
    """Draw, for single starts of a training, what was lost against what can be seen without labels.

    Args:
        error: Per data set, the reconstruction error of each start, unitless.
        weakest: The same starts' score of their weakest concept, 0 to 1.
    """
    fig = go.Figure()
    for i, (name, values) in enumerate(error.items()):
        fig.add_scatter(
            x=values, y=weakest[name], name=name, mode="markers",
            marker={"color": COLOURS[(i + 1) % 5], "symbol": MARKERS[i % 5], "size": 8},
        )  # fmt: skip
    fig.update_xaxes(title="reconstruction error (share of the shifts not explained)")
    fig.update_yaxes(title="|correlation| of the weakest concept", range=[0, 1.05])
    title = "Which starts lost a concept? One point per start"
    return fig.update_layout(template=TEMPLATE, title=title)


def steering_cosines(
    as_published: Mapping[str, float], without_leak: Mapping[str, float], unsteered: float
) -> go.Figure:
    """Draw each method's steering cosine with and without a look at the test pair.

    Args:
        as_published: Per method, the cosine when the vector is made from the test pair itself.
        without_leak: The same methods, with vectors made before the test pair was seen.
        unsteered: Cosine of source and target when nothing is added.
    """
    fig = go.Figure()
    for name, values, colour, symbol in (
        ("made from the test pair", as_published, VERMILLION, "circle-open"),
        ("made from training pairs", without_leak, BLUE, "square"),
    ):
        fig.add_scatter(
            x=list(values.values()), y=list(values), mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2}},
        )  # fmt: skip
    fig.add_vline(
        x=unsteered, line={"color": BLACK, "dash": "dash"}, annotation_text="nothing added",
        annotation_position="top left",
    )  # fmt: skip
    fig.update_xaxes(title="cosine of steered and target state (unitless)")
    fig.update_yaxes(title="", autorange="reversed")
    title = "Steering cosine, with and without the leak"
    return fig.update_layout(
        template=TEMPLATE, title=title, legend={"orientation": "h", "y": -0.25}
    )


def _look(i: int) -> dict[str, str]:
    colours = (*COLOURS[1:], BLACK, ORANGE, SKY)
    return {"color": colours[i % len(colours)], "dash": DASHES[i % 5]}
