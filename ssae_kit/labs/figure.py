"""A live figure that no browser can draw too early, its update in one message, and its layout."""

import json
from collections.abc import Mapping
from copy import deepcopy
from importlib.metadata import version
from typing import Any

import plotly.graph_objects as go

from ssae_kit import plots
from ssae_kit.plots.show import PLOTLY_MIME
from ssae_kit.upstream import require

require("plotly", go.FigureWidget, "open", "_js2py_traceDeltas", "_last_trace_edit_id")
require("plotly", go.Figure(), "_data", "_layout_obj", "batch_update")
START = ("_widget_data", "_widget_layout")  # from plotly 6 on: what a new view starts from
if not version("plotly").startswith("5."):
    require("plotly", go.FigureWidget, *START)
MARGIN: dict[str, Any] = {"l": 50, "r": 20, "t": 70, "b": 50}
HEIGHT, NARROW, PANEL, BETWEEN = (380, 500), 560, 300, 80
"""Pixels: height of a live figure with one row of panels and with more; width below which panels
stand one below the other; height of each there, and what of it lies between two."""
ONE_LINE = 780
"""Pixels in which the longest legend is one line; in fewer it is two."""
CROWD = 20
"""Tick labels above which a narrow panel shows every other one."""
PAGE: dict[str, Any] = {"width": 820, "height": 600, "margin": MARGIN, "legend": plots.LEGEND_ABOVE}
"""Layout of a lab's figure."""


_KEPT: dict[str, go.Figure] = {}


def blank(panels: Mapping[str, Any], **wanted: Any) -> go.Figure:
    """Return an empty `plots.figure`, made once: a lab draws the same panels many times a second."""
    key = repr((panels, wanted))
    if key not in _KEPT:
        _KEPT[key] = plots.figure(panels=panels, **wanted)
    return go.Figure(_KEPT[key])


def beside(fig: go.Figure, panel: int) -> go.Figure:
    """Make the scale of colours a thin bar at the right of the panel of this number, from -1 to 1."""
    (_, x), (low, high) = fig.layout[f"xaxis{panel}"].domain, fig.layout[f"yaxis{panel}"].domain
    place = {"x": x, "y": high, "yanchor": "top", "len": high - low, "ypad": 0}
    return fig.update_coloraxes(colorbar={**place, "thickness": 8, "tickvals": [-1, 0, 1]})


def fitted(fig: go.Figure, width: int) -> go.Figure:
    """Make a figure as wide as its place; in a narrow one, its panels stand one below the other."""
    wide, panels = width >= NARROW, [*fig.select_xaxes()]
    rows = len({axis.domain for axis in fig.select_yaxes()})
    legend = {"yref": "container", "y": 1, "yanchor": "top", "font_size": 12}
    above = 30 if fig.layout.showlegend is False else 60 if width >= ONE_LINE else 76
    margin = {"l": 50, "r": 20, "t": above, "b": 45}
    fig.update_xaxes(title={"standoff": 4, "font_size": 13 if wide else 11})
    fig.update_yaxes(title_font_size=13)
    fig.update_layout(width=width, height=HEIGHT[rows > 1], legend=legend, margin=margin)
    if not wide and len(panels) > 1:
        _stack(fig, len(panels))
    inside = fig.layout.width - 70, fig.layout.height - fig.layout.margin.t - 45
    for x, y in zip(panels, fig.select_yaxes(), strict=True):
        if y.scaleanchor:  # plotly loses hold of it when the page changes
            across, up = (
                n * (axis.domain[1] - axis.domain[0])
                for n, axis in zip(inside, (x, y), strict=True)
            )
            y.scaleanchor, x.range = None, [end * across / up for end in y.range]
    return fig.update_layout(font_size=12)


def _stack(fig: go.Figure, n: int) -> None:
    for i, title in zip(range(n), fig.layout.annotations, strict=False):
        axis, high = i + 1 if i else "", 1 - i / n
        x = fig.layout[f"xaxis{axis}"].update(domain=(0.02, 0.9))
        if len(x.ticktext or ()) > CROWD:
            x.update(ticktext=x.ticktext[::2], tickvals=x.tickvals[::2])
        fig.layout[f"yaxis{axis}"].domain = (high - (1 - BETWEEN / PANEL) / n, high)
        title.update(x=0.5, y=high, font_size=12)
        if any(trace.xaxis == f"x{axis}" for trace in fig.select_traces({"type": "heatmap"})):
            beside(fig, i + 1)
    named = {trace.name for trace in fig.data if trace.name and trace.showlegend is not False}
    above = 30 if fig.layout.showlegend is False else 35 + 19 * len(named)
    legend = {"x": 0, "xanchor": "left", "tracegroupgap": 0}
    fig.update_layout(height=PANEL * n, legend=legend, margin_t=above)


class LiveFigure(go.FigureWidget):  # type: ignore[misc]
    """A FigureWidget whose first message to the browser already holds its data.

    Plotly's own opens its channel empty and sends the data after it. A busy browser may draw it in
    between, and such a figure stays empty: later updates are for traces that it does not have.
    """

    _complete = False
    _drawn = 0

    def __init__(self, fig: go.Figure) -> None:
        super().__init__(fig)
        self._complete = True
        self.open()

    def open(self) -> None:
        """Open the channel, once there is something to send."""
        if self._complete:
            super().open()

    def replace(self, fig: go.Figure) -> None:
        """Take over data and layout of a figure with the same traces, in one message.

        Raises:
            ValueError: if the number of traces differs.
        """
        if len(self.data) != len(fig.data):
            raise ValueError(f"needs a figure of {len(self.data)} traces; got {len(fig.data)}.")
        layout = fig.layout.to_plotly_json()
        layout.pop("template", None)
        with self.batch_update():
            for old, new in zip(self.data, fig.data, strict=True):
                fresh = new.to_plotly_json()
                fresh.pop("type")
                old.update(fresh, overwrite=True)
            self.update_layout(layout, overwrite=True)

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take from the browser only which update it has drawn.

        Plotly's own changes the figure by what the browser replies: it drops properties, fails where
        one is an array (7.1.0), and loses an update that a thread sends meanwhile.
        """
        reply = sync_data.get("_js2py_traceDeltas")
        if reply:
            self._drawn = reply["trace_edit_id"]

    @property
    def behind(self) -> bool:
        """Whether the browser has not drawn the last update yet; for ever if there is none."""
        return bool(self._drawn < self._last_trace_edit_id)

    def settle(self) -> None:
        """Make what is drawn the start of every further view; else each would begin empty.

        Plotly 5 need not be told: its model in the browser takes part in every update.
        """
        if hasattr(self, START[0]):
            drawn = deepcopy(self._data), deepcopy(self._layout_obj._props)
            for name, value in zip(START, drawn, strict=True):
                setattr(self, name, value)


class Still:
    """A picture behind a lab in the notebook, which is seen once the lab's kernel is gone."""

    def __init__(self) -> None:
        from IPython.display import DisplayHandle  # only a notebook should pay for it

        self._shown = DisplayHandle()
        self._shown.display({"text/plain": ""}, raw=True)

    def take(self, fig: go.Figure, words: str) -> None:
        """Show another outcome."""
        title = {"text": "As it was left. Run the cell to use it.", "font_size": 14, "y": 1}
        title |= {"yref": "container", "yanchor": "top", "pad_t": 6}
        room = {
            "height": fig.layout.height + 30,
            "margin_t": fig.layout.margin.t + 30,
        }  # no legend's
        fig.update_layout(title=title, **room)
        picture = {PLOTLY_MIME: json.loads(fig.to_json()), "text/plain": words}
        self._shown.update(picture, raw=True)
