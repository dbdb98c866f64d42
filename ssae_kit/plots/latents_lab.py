"""The Latent lab's figure: how strongly a latent fires, what it promotes, who is close."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray
from plotly.subplots import make_subplots

from ssae_kit.plots.show import BLUE, GREEN, TEMPLATE, VERMILLION


def latents_lab(
    codes: Float[ndarray, " tokens"],
    promoted: Sequence[tuple[str, float]],
    near: Sequence[tuple[str, float]],
) -> go.Figure:
    """Draw one latent: three panels.

    Args:
        codes: Its codes where it fires, above 0.
        promoted: Tokens and by how much its direction raises their logits, highest first.
        near: Other latents and the cosines of their directions with its own, highest first.
    """
    titles = ["its codes where it fires", "tokens it promotes", "neighbours"]
    fig = make_subplots(1, 3, subplot_titles=titles, horizontal_spacing=0.13)
    largest = float(codes.max(initial=1e-9))
    counts, edges = np.histogram(codes, bins=30, range=(0.0, largest))
    fig.add_bar(x=(edges[:-1] + edges[1:]) / 2, y=counts, marker={"color": BLUE}, row=1, col=1)
    for column, (rows, colour, shape) in enumerate(
        ((promoted, VERMILLION, "/"), (near, GREEN, "")), 2
    ):
        fig.add_bar(
            y=list(range(len(rows))), x=[value for _, value in rows], orientation="h", row=1,
            col=column, marker={"color": colour, "pattern": {"shape": shape}},
        )  # fmt: skip
        fig.update_yaxes(
            tickvals=list(range(len(rows))), ticktext=[name for name, _ in rows], showgrid=False,
            autorange="reversed", row=1, col=column,
        )  # fmt: skip
    fig.update_xaxes(title="code (unitless)", row=1, col=1)
    fig.update_yaxes(title="tokens (count)", row=1, col=1)
    fig.update_xaxes(title="rise of the logit (any unit)", row=1, col=2)
    fig.update_xaxes(title="cosine", row=1, col=3)
    fig.update_annotations(font_size=14)
    margin = {"l": 50, "r": 20, "t": 40, "b": 50}
    return fig.update_layout(
        template=TEMPLATE, width=820, height=320, margin=margin, showlegend=False
    )
