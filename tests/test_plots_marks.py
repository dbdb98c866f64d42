"""Marks: every value is drawn, spread is what it says, series differ by more than colour."""

import numpy as np
import plotly.graph_objects as go
import pytest

from ssae_kit import plots

RUNS = np.array([[0.5, 0.7, 0.6], [0.9, 1.0, 0.8]])
RATES = [(0.5, 0.4, 0.7), (0.9, 0.8, 1.0)]


def names(fig):
    """Names in the legend."""
    return [trace.name for trace in fig.data if trace.showlegend is not False]


def ends(trace):
    return trace.y - trace.error_y.arrayminus, trace.y + trace.error_y.array


def test_a_figure_has_its_title_and_axes_and_shared_axes_are_named_once():
    fig = plots.figure("t", "x (unit)", {"title": "y", "range": [0, 1]}, panels=["a", "b"])
    assert fig.layout.template.layout.colorway
    assert fig.layout.title.text == "t"
    assert [note.text for note in fig.layout.annotations] == ["a", "b"]
    assert (fig.layout.xaxis2.title.text, fig.layout.yaxis.title.text) == ("x (unit)", "y")
    assert fig.layout.yaxis2.title.text is None
    assert fig.layout.yaxis2.range == (0, 1)
    stacked = plots.figure("t", "x", "y", panels=["a", "b"], columns=1)
    assert stacked.layout.xaxis.title.text is None
    assert stacked.layout.xaxis2.title.text == "x"


@pytest.mark.parametrize(("median", "middle"), [(False, [0.6, 0.9]), (True, [0.6, 0.9])])
def test_curves_of_runs_show_their_middle_and_reach_lowest_and_highest(median, middle):
    (trace,) = plots.curves(go.Figure(), [1, 2], {"a": RUNS}, bars=True, median=median).data
    np.testing.assert_allclose(trace.y, middle)
    np.testing.assert_allclose(ends(trace), [[0.5, 0.8], [0.7, 1.0]])


def test_a_median_is_no_mean():
    values = {"a": np.array([[0.0, 0.1, 0.8]])}
    middles = [
        plots.curves(go.Figure(), [1], values, median=flag, bars=True).data[0].y[0]
        for flag in (False, True)
    ]
    np.testing.assert_allclose(middles, [0.3, 0.1])


def test_a_band_is_the_spread_and_has_no_entry_in_the_legend():
    band, line = plots.curves(go.Figure(), [1.0, 2.0], {"a": RUNS}).data
    assert band.showlegend is False
    np.testing.assert_allclose(band.y, [0.7, 1.0, 0.8, 0.5])
    np.testing.assert_allclose(line.y, [0.6, 0.9])
    draws = np.linspace(0, 1, 101)[None]
    band, _ = plots.curves(go.Figure(), [1.0], {"a": draws}, spread="95%").data
    np.testing.assert_allclose(band.y, [0.975, 0.025])


def test_rates_bring_their_interval():
    (trace,) = plots.curves(go.Figure(), [1, 2], {"a": RATES}, spread="interval", bars=True).data
    np.testing.assert_allclose(trace.y, [0.5, 0.9])
    np.testing.assert_allclose(ends(trace), [[0.4, 0.8], [0.7, 1.0]])


def test_a_name_stands_in_the_legend_once_and_looks_alike_in_every_panel():
    fig = plots.figure(panels=["l", "r"])
    for column in (1, 2):
        plots.curves(fig, [1, 2], {"a": [0, 1], "b": [1, 0]}, at=(1, column))
    assert names(fig) == ["a", "b"]
    assert fig.data[0].line == fig.data[2].line != fig.data[1].line
    assert (fig.data[2].xaxis, fig.data[2].yaxis) == ("x2", "y2")


def test_thirty_five_series_have_as_many_looks():
    many = {str(i): ([i], [i]) for i in range(35)}
    looks = {(t.marker.color, t.marker.symbol) for t in plots.points(go.Figure(), many).data}
    assert len(looks) == 35


def test_points_stand_where_they_are_with_bars_in_both_directions():
    fig = plots.points(go.Figure(), {"a": ([0.1, 0.2], ["p", "q"]), "b": (RUNS, RUNS)})
    assert (list(fig.data[0].x), list(fig.data[0].y)) == ([0.1, 0.2], ["p", "q"])
    np.testing.assert_allclose(fig.data[1].error_x.array, [0.1, 0.1])
    np.testing.assert_allclose(fig.data[1].error_y.arrayminus, [0.1, 0.1])


def test_scores_have_a_point_per_run_and_place_over_the_middle_of_the_floor():
    floor = np.linspace(0.5, 0.7, 21)
    fig = plots.scores(go.Figure(), ["u", "v", "w"], {"a": RUNS, "b": RUNS}, floor=floor, best=1)
    band, first, second = fig.data
    assert "95%" in band.name
    np.testing.assert_allclose([min(band.y), max(band.y)], np.quantile(floor, [0.025, 0.975]))
    np.testing.assert_allclose(first.y, RUNS.ravel())
    assert (np.abs(np.array(first.x) - [0, 1, 2, 0, 1, 2]) < 0.5).all()
    assert (np.array(first.x) < second.x).all()
    assert set(first.marker.size[3:]) != set(first.marker.size[:3])
    assert fig.layout.xaxis.ticktext == ("u", "v", "w")
    line = plots.scores(go.Figure(), [0, 1, 2], {"a": RUNS}, floor=0.4).data[-1]
    assert (line.name, set(line.y)) == ("random rotations", {0.4})


def test_a_matrix_has_its_first_row_on_top_names_and_blank_unknowns():
    values = np.array([[0.5, np.nan], [1.0, 0.0]])
    fig = plots.heat(plots.figure(), values, [0.25, "b"], ["c", "d"], digits=2, scale="MCC")
    (heat,) = fig.data
    np.testing.assert_array_equal(heat.z, values)
    assert heat.text.tolist() == [["0.50", ""], ["1.00", "0.00"]]
    assert fig.layout.xaxis.ticktext == ("0.25", "b")
    assert fig.layout.yaxis.autorange == "reversed"
    assert fig.layout.coloraxis.colorbar.title.text == "MCC"
    assert (fig.layout.coloraxis.cmin, fig.layout.coloraxis.cmax) == (0, 1)


def test_a_signed_scale_is_white_at_zero():
    signed = plots.heat(plots.figure(), np.eye(2), limits=(-1.0, 1.0)).layout.coloraxis
    assert signed.colorscale[1] == (0.5, "#FFFFFF")
    assert (
        plots.heat(plots.figure(), np.eye(2)).layout.coloraxis.colorscale[1] != signed.colorscale[1]
    )


def test_bars_stand_or_lie_and_span_the_runs():
    fig = plots.bars(go.Figure(), ["p", "q"], {"a": RUNS, "b": [0.1, 0.2]}, text=".1f")
    assert list(fig.data[0].x) == ["p", "q"]
    np.testing.assert_allclose(ends(fig.data[0]), [[0.5, 0.8], [0.7, 1.0]])
    assert list(fig.data[1].text) == ["0.1", "0.2"]
    assert fig.data[0].marker.pattern.shape != fig.data[1].marker.pattern.shape
    (flat,) = plots.bars(plots.figure(), ["p", "q"], {"a": [1, 2]}, flat=True).data
    assert (list(flat.x), list(flat.y), flat.orientation) == ([1, 2], ["p", "q"], "h")


def test_a_histogram_counts_every_value_or_gives_shares():
    values = {"a": [0.1, 0.1, 0.9]}
    (bars,) = plots.histogram(go.Figure(), values, (0.0, 1.0), n_bins=2).data
    assert list(bars.y) == [2, 1]
    (bars,) = plots.histogram(go.Figure(), values, (0.0, 1.0), n_bins=2, share=True).data
    np.testing.assert_allclose(bars.y, [2 / 3, 1 / 3])


def test_rays_lead_from_the_origin_or_through_it_in_one_to_three_dimensions():
    (trace,) = plots.rays(go.Figure(), {"a": np.eye(2)}, length=2.0).data
    np.testing.assert_array_equal(trace.x, [0, 2, np.nan, 0, 0, np.nan])
    (trace,) = plots.rays(go.Figure(), {"a": np.eye(2)}, both_ways=True).data
    np.testing.assert_array_equal(trace.x[:2], [-1, 1])
    (line,) = plots.rays(go.Figure(), {"a": np.array([[1.0]])}).data
    np.testing.assert_array_equal(line.y[:2], [0, 0])
    (solid,) = plots.rays(go.Figure(), {"a": np.eye(3)}).data
    assert (solid.type, solid.z[7]) == ("scatter3d", 1.0)


def test_small_models_stand_in_a_panel_each_in_as_many_dimensions_as_they_have():
    kinds = [{"type": "xy"}, {"type": "scene"}]
    fig = plots.figure("t", panels=["a", "b"], grid={"specs": [kinds]})
    plots.arrangements(fig, [np.eye(2), np.eye(3)])
    assert [trace.type for trace in fig.data] == ["scatter", "scatter3d"]


def test_a_cloud_has_equal_units_on_both_axes():
    fig = plots.cloud(plots.figure(), np.array([[1.0, 2.0], [0.0, -1.0]]), "inputs")
    assert (list(fig.data[0].x), list(fig.data[0].y)) == ([1, 0], [2, -1])
    assert fig.layout.yaxis.scaleanchor == "x"


def test_all_runs_are_one_thin_line_with_gaps_and_the_best_is_thick():
    thin, thick = plots.runs(go.Figure(), [1, 2], RUNS, best=1).data
    np.testing.assert_array_equal(thin.y[:3], [0.5, 0.9, np.nan])
    np.testing.assert_array_equal(thick.y, [0.7, 1.0])
    assert thin.line.width < thick.line.width


def test_a_reference_is_a_named_line_or_a_band():
    fig = plots.reference(plots.figure(), "bound", x=0.4)
    assert (fig.layout.shapes[0].x0, fig.layout.annotations[0].text) == (0.4, "bound")
    fig = plots.reference(plots.figure(), "", y=1.0)
    assert (fig.layout.shapes[0].y0, fig.layout.annotations) == (1.0, ())
    fig = plots.reference(plots.figure(), "chance", y=(0.2, 0.3))
    assert fig.layout.shapes[0].showlegend
    assert (fig.layout.shapes[0].y0, fig.layout.shapes[0].y1) == (0.2, 0.3)


def test_a_logarithmic_axis_has_a_label_at_each_value_and_can_fall():
    axis = plots.log_axis((0.1, 20), "density", falling=True)
    assert axis["ticktext"] == ["0.1", "20"]
    assert axis["autorange"] == "reversed"
    assert "autorange" not in plots.log_axis((1, 2), "n")


def test_the_elbow_is_drawn_over_every_restart():
    levels, error = np.array([0.1, 0.2]), np.array([[0.5, 0.4], [0.1, 0.2]])
    dots, line, chosen = plots.elbow(plots.figure(), levels, error, 1).data
    assert list(dots.y) == [0.5, 0.4, 0.1, 0.2]
    assert list(line.y) == [0.4, 0.1]
    assert set(chosen.x) == {0.2}


def test_no_mark_changes_what_it_is_given():
    before = RUNS.copy()
    fig = plots.curves(plots.figure(), [1, 2], {"a": RUNS}, nudge=0.1)
    plots.scores(fig, [0, 1, 2], {"a": RUNS})
    plots.heat(fig, RUNS)
    plots.rays(fig, {"a": RUNS[:, :2]}, length=3.0)
    np.testing.assert_array_equal(RUNS, before)


def test_a_slider_moves_what_differs_and_needs_no_kernel():
    def picture(value):
        fig = plots.figure(f"at {value}")
        plots.cloud(fig, np.ones((3, 2)), "same")
        return plots.rays(fig, {"turns": np.array([[value, 1.0]])})

    fig = plots.slider({"0°": picture(0.0), "9°": picture(0.9)}, "angle", start=1)
    assert fig.layout.title.text == "at 0.9"
    (knob,) = fig.layout.sliders
    assert (knob.active, [step.label for step in knob.steps]) == (1, ["0°", "9°"])
    moved, title, traces = knob.steps[0].args
    assert list(traces) == [1]  # the cloud stays
    assert moved["x"] == [[0.0, 0.0, None]]
    fig.plotly_update(moved, title, list(traces))  # what plotly.js does when the slider is moved
    assert fig.layout.title.text == "at 0.0"
    assert list(fig.data[1].x) == [0.0, 0.0, None]
    assert list(fig.data[1].y) == [0.0, 1.0, None]
    with pytest.raises(ValueError, match=r"equally many traces; got \[2, 0\]"):
        plots.slider({"a": picture(0.0), "b": plots.figure()}, "angle")
