import numpy as np
import pytest

from ssae_kit.plots import llama_shifts as figures

SCORES = {"SSAE": np.array([[0.5, 0.7, 0.6], [0.9, 1.0, 0.8]]), "PCA": np.array([[0.4], [0.6]])}
FLOOR = np.linspace(0.5, 0.7, 20)


def draw(name):
    if name == "linearity":
        return figures.linearity([1, 2], {"right": np.array([0.8, 0.9])})
    if name == "by_layer":
        return figures.by_layer([1, 2], SCORES, FLOOR, quantity="MCC of codes")
    if name == "co_change":
        return figures.co_change([0.1, 0.7], SCORES, bound=0.41)
    if name == "starts":
        return figures.starts({"10%": np.array([0.1, 0.2])}, {"10%": np.array([0.99, 0.7])})
    return figures.steering_cosines({"SSAE": 0.9}, {"SSAE": 0.7}, 0.6)


@pytest.mark.parametrize(
    "name", ["linearity", "by_layer", "co_change", "starts", "steering_cosines"]
)
def test_a_figure_names_its_axes_and_its_title(name):
    fig = draw(name)
    assert fig.layout.title.text
    assert fig.layout.xaxis.title.text
    assert fig.layout.yaxis.title.text or name == "steering_cosines"  # its rows are the methods


@pytest.mark.parametrize("name", ["by_layer", "co_change"])
def test_the_line_is_the_median_and_the_bars_reach_worst_and_best(name):
    trace = draw(name).data[0]
    np.testing.assert_allclose(trace.y, [0.6, 0.9])
    np.testing.assert_allclose(trace.y + trace.error_y.array, [0.7, 1.0])
    np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, [0.5, 0.8])


def test_every_start_is_a_point_at_its_error():
    (points,) = draw("starts").data
    assert (list(points.x), list(points.y)) == ([0.1, 0.2], [0.99, 0.7])


def test_the_band_holds_the_middle_95_percent_of_the_floor():
    (band,) = draw("by_layer").layout.shapes
    assert band.showlegend
    assert "random" in band.name
    np.testing.assert_allclose([band.y0, band.y1], np.quantile(FLOOR, [0.025, 0.975]))


def test_methods_differ_by_more_than_colour():
    fig = draw("by_layer")
    assert len({trace.marker.symbol for trace in fig.data}) == 2
    assert len({trace.line.dash for trace in fig.data}) == 2
