"""Figures of recovery from shifts: every value is drawn, every axis says what it is."""

import numpy as np

from ssae_kit.plots import shifts as figures


def titles(fig):
    return [axis.title.text for axis in (fig.layout.xaxis, fig.layout.yaxis)]


def test_each_condition_has_a_panel_with_a_point_per_world_and_concept():
    scores = np.full((3, 4), 0.5), np.full((3, 4), 0.7)
    fig = figures.per_concept({"a": scores, "b": scores}, {"a": 0.4, "b": 0.4})
    assert [len(trace.x) for trace in fig.data] == [12] * 4
    assert {"a", "b"} <= {note.text for note in fig.layout.annotations}
    assert fig.data[0].name == "code MCC"


def test_a_cell_without_value_is_blank():
    values = np.array([[0.5, np.nan]])
    fig = figures.phases({"m": values}, [1, 2], [3], x_title="x", y_title="y", title="t")
    assert fig.data[0].text.tolist() == [["0.50", ""]]
    assert titles(fig) == ["x", "y"]
    figures.add_boundary(fig, [0.0, 1.0], [0.0, 0.0], 0)
    assert fig.data[1].mode == "lines"


def test_transition_draws_every_seed_and_every_formula():
    fig = figures.transition([0.1, 0.2], {"a": np.ones((2, 5))}, {"formula": 0.15})
    assert len(fig.data[0].x) == 10
    shown = [trace for trace in fig.data if trace.showlegend is not False]
    assert [(trace.name, trace.mode) for trace in shown] == [("a", "lines+markers")]
    assert fig.layout.shapes[0].x0 == 0.15
    assert all(titles(fig))


def test_curves_carry_their_names_and_axes_their_units():
    turned = figures.turning(np.arange(3.0), {"p": np.ones(3)})
    wide = figures.widths([10, 20], {"seeds": np.ones((2, 3))}, true=10)
    long = figures.norms(np.ones(3), {"affine": np.ones(3)})
    assert [fig.data[0].name for fig in (turned, wide, long)] == ["p", "seeds", "affine"]
    assert all(all(titles(fig)) for fig in (turned, wide, long))


def test_more_curves_than_colours_start_the_colours_again():
    curves = {f"method {i}": np.ones((2, 3)) for i in range(6)}
    looks = [trace.line.color for trace in figures.widths([4, 8], curves, true=4).data]
    assert looks[0] == looks[5]
    assert len(set(looks)) == 5
