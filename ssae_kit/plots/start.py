"""The first figure of the course: shifts of two concepts, and the directions that methods find."""

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from numpy import ndarray

from ssae_kit.plots.show import COLOURS, DASHES, TEMPLATE


def shift_cloud(
    shifts: Float[ndarray, "pairs 2"], directions: Mapping[str, Float[ndarray, "k 2"]]
) -> go.Figure:
    """Draw two-dimensional shifts and, per method, a line along each direction.

    Args:
        shifts: One point per pair.
        directions: Per method, unit directions; drawn through the origin, sign ignored.
    """
    fig = go.Figure()
    reach = float(np.abs(shifts).max())
    for i, (method, lines) in enumerate(directions.items()):
        ends = np.stack([-reach * lines, reach * lines, np.full_like(lines, np.nan)], 1)
        fig.add_scatter(
            x=ends[..., 0].ravel(), y=ends[..., 1].ravel(), mode="lines", name=method,
            line={"color": COLOURS[i % 5], "dash": DASHES[i % 5], "width": 3},
        )  # fmt: skip
    # Points last: most of them lie on the lines, which would hide them.
    points = {"color": "#777777", "size": 5, "line": {"color": "white", "width": 0.5}}
    fig.add_scatter(x=shifts[:, 0], y=shifts[:, 1], mode="markers", name="one shift", marker=points)
    fig.update_xaxes(title="first number of the shift (unitless)", range=[-reach, reach])
    fig.update_yaxes(
        title="second number (unitless)", range=[-reach, reach], scaleanchor="x", scaleratio=1
    )
    title = "Shifts of two concepts, and the directions found"
    return fig.update_layout(template=TEMPLATE, title=title, width=560, height=480)
