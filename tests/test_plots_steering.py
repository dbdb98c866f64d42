import numpy as np
import pytest

from ssae_kit.plots import steering as figures

RATES = [(0.5, 0.4, 0.7), (0.9, 0.8, 1.0)]
POINTS = {"SSAE": (RATES[1], RATES[0], (0.02, 0.01, 0.03)), "demand": (RATES[0], RATES[0], None)}


@pytest.mark.parametrize("draw", [figures.strength_curves, figures.layer_curves])
def test_curves_have_a_panel_per_method_and_bars_that_reach_the_interval(draw):
    fig = draw([1, 2], {"SSAE": {"effect": RATES}, "random": {"effect": RATES}})
    assert [note.text for note in fig.layout.annotations] == ["SSAE", "random"]
    trace = fig.data[0]
    np.testing.assert_allclose(trace.y + trace.error_y.array, [0.7, 1.0])
    np.testing.assert_allclose(trace.y - trace.error_y.arrayminus, [0.4, 0.8])
    assert fig.layout.title.text
    assert fig.layout.xaxis.title.text
    assert fig.layout.yaxis.title.text


def test_a_method_without_divergence_is_left_out_of_the_right_panel_only():
    fig = figures.pareto(POINTS, {"SSAE": [(0.1, 0.0), (0.9, 0.1)]})
    panels = {(trace.name, trace.xaxis) for trace in fig.data if trace.mode == "markers"}
    assert panels == {("SSAE", "x"), ("SSAE", "x2"), ("demand", "x")}
    assert [len(t.x) for t in fig.data if t.mode == "lines"] == [2]


def test_fifteen_methods_have_fifteen_looks():
    many = {str(i): (RATES[0], RATES[0], None) for i in range(15)}
    looks = {(t.marker.color, t.marker.symbol) for t in figures.pareto(many, {}).data}
    assert len(looks) == 15


def test_a_map_leaves_unknown_rates_blank():
    (heat,) = figures.rate_map(np.array([[0.25, np.nan]]), ["SSAE"], ["language", "size"]).data
    assert heat.text.tolist() == [["0.25", ""]]
    fig = figures.change_matrix(np.eye(2), ["language", "size"])
    assert fig.layout.title.text
    assert fig.layout.xaxis.title.text != fig.layout.yaxis.title.text
