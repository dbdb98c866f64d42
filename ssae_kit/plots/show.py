"""The look of every figure, and the one way to display it: `show(fig, alt)`.

Colours are Okabe and Ito's, those that reach a contrast of 3:1 on white. Colour never stands
alone: `DASHES` and `MARKERS` run beside it.
"""

import base64
import functools
import json
import os
from typing import Any

import plotly.graph_objects as go
import plotly.io as pio

BLACK, BLUE, VERMILLION = "#000000", "#0072B2", "#D55E00"
GREEN, PURPLE = "#009E73", "#CC79A7"
GREY, ORANGE, SKY = "#999999", "#E69F00", "#56B4E9"
COLOURS = (BLACK, BLUE, VERMILLION, GREEN, PURPLE)
LINES = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
"""Colours of series, in order; the last two are too pale to stand without a dash or an outline."""
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
MARKERS = ("circle", "square", "triangle-up", "diamond", "x")
DIVERGING = ((0.0, BLUE), (0.5, "#FFFFFF"), (1.0, VERMILLION))

TEMPLATE = "ssae"
"""Name of the registered template; every plot function passes it explicitly."""

PLOTLY_MIME = "application/vnd.plotly.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
STATIC = "SSAE_STATIC"
"""Environment variable; 1 makes `show` add a PNG, which a page without JavaScript can draw."""


def register_template() -> None:
    """Register the kit's look with plotly under the name `TEMPLATE`."""
    axis = {
        "showgrid": True,
        "gridcolor": "#E5E5E5",
        "linecolor": BLACK,
        "ticks": "outside",
        "zerolinecolor": "#999999",
        "automargin": True,
        "title": {"font": {"size": 15}},
    }
    layout = go.Layout(
        width=720,
        height=400,
        margin={"l": 70, "r": 30, "t": 60, "b": 60},
        paper_bgcolor="white",
        plot_bgcolor="white",
        font={"family": "Open Sans, Arial, sans-serif", "size": 14, "color": BLACK},
        title={"x": 0.02, "xanchor": "left", "font": {"size": 17}},
        colorway=COLOURS,
        colorscale={"sequential": "Cividis", "diverging": DIVERGING},
        xaxis=axis,
        yaxis=axis,
        hoverlabel={"font": {"size": 13}},
    )
    layout.yaxis.title.standoff = 14  # pixels; by itself the title touches wide tick labels
    pio.templates[TEMPLATE] = go.layout.Template(layout=layout)


def show(fig: go.Figure, alt: str = "") -> None:
    """Display a figure with its description as a visible caption below it.

    The figure is live: JupyterLab and VS Code draw it themselves; Colab, nbviewer and a notebook
    exported as HTML draw it with plotly.js, which they fetch. With the environment variable
    `SSAE_STATIC` set to 1 (as ``pytest --nb-write`` does) it is a PNG, which is all that GitHub and
    JupyterLab then show, and what the site draws the live figure from.

    Args:
        fig: The figure. Its ``layout.meta["alt"]`` is set in place.
        alt: One sentence that says what can be seen, for readers who cannot see it. May be left
            out if ``fig.layout.meta["alt"]`` holds it already.

    Raises:
        TypeError: if the description is not text.
        ValueError: if there is no description.
        RuntimeError: if a PNG is asked for and no Chrome or Chromium is found.
    """
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    meta = dict(fig.layout.meta) if isinstance(fig.layout.meta, dict) else {}
    alt = alt or meta.get("alt", "")
    if not isinstance(alt, str):
        raise TypeError(
            f"`alt` must be a sentence that describes the figure; got {type(alt).__name__} {alt!r}."
        )
    if not alt.strip():
        raise ValueError(
            "`show` needs a description of the figure for readers who cannot see it; got none. "
            'Call show(fig, "What the figure shows, in one sentence.").'
        )
    alt = alt.strip()
    fig.update_layout(meta={**meta, "alt": alt})
    picture = {PLOTLY_MIME: json.loads(fig.to_json())}
    if os.environ.get(STATIC) == "1":
        picture["image/png"] = base64.b64encode(png(fig)).decode()
    else:
        picture["text/html"] = page_part(fig)
    display({**picture, "text/plain": alt}, raw=True)
    display({"text/markdown": f"*Figure: {alt}*", "text/plain": f"Figure: {alt}"}, raw=True)


def show_widget(view: Any, text: str) -> None:
    """Display a live widget, and a text where no widget can live.

    The message is Jupyter's own, which ipywidgets 7 and 8 understand; their methods differ.
    """
    from IPython.display import display

    model = {"version_major": 2, "version_minor": 0, "model_id": view.model_id}
    display({WIDGET_MIME: model, "text/plain": text}, raw=True)


def page_part(fig: go.Figure) -> str:
    """Return a figure as HTML for a page that fetches plotly.js.

    A page that has require.js, as exported notebooks do, would hand plotly.js over to it, and the
    figure would look for it in vain: `define` is hidden meanwhile.
    """
    hide, give_back = (
        f"<script>window.{to} = window.{of}; window.{of} = undefined;</script>"
        for to, of in (("hiddenDefine", "define"), ("define", "hiddenDefine"))
    )
    drawn = pio.to_html(fig, include_plotlyjs="cdn", full_html=False, validate=False)
    return f"{hide}{drawn}{give_back}"


def png(fig: go.Figure) -> bytes:
    """Draw a figure as PNG in its own size, 720 by 400 pixels unless it says otherwise.

    Raises:
        RuntimeError: if no Chrome or Chromium is found.
    """
    import kaleido  # only a PNG needs it

    _start_browser()
    default = pio.templates[TEMPLATE].layout
    size = {side: fig.layout[side] or default[side] for side in ("width", "height")}
    return bytes(kaleido.calc_fig_sync(fig.to_dict(), opts={"format": "png", "scale": 1, **size}))


@functools.cache
def _start_browser() -> None:
    """Keep one browser open: 0.2 s for a figure instead of 3 s."""
    import kaleido

    kaleido.start_sync_server(silence_warnings=True)


register_template()
