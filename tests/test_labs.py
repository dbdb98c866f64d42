"""What all labs share, without a browser: when they compute, what they show, what they export."""

import html
import itertools
import random
import resource
import subprocess
import sys
import threading
import time
import types
from importlib.metadata import version

import ipywidgets
import nbformat
import numpy as np
import plotly.graph_objects as go
import pytest
from packaging.version import Version

from ssae_kit import labs, plots
from ssae_kit.labs.__main__ import NAMES, main, page
from ssae_kit.labs.figure import blank, fitted
from ssae_kit.labs.job import Job
from ssae_kit.plots.show import PLOTLY_MIME, STATIC
from tests import labs as small
from tests.labs import finished, hold


@pytest.fixture(params=small.NAMES)
def lab(request, monkeypatch):
    small.shorten(monkeypatch, request.param)
    made = small.make(request.param)
    yield made
    made.close()


def test_nothing_is_computed_before_the_lab_is_seen(lab):
    assert not lab.busy
    assert lab.result is None
    lab.words_shown.views = 1  # what a browser reports when it draws the lab
    assert finished(lab) is not None


def test_a_lab_that_is_no_longer_seen_stops(lab, monkeypatch):
    begun = hold(lab, monkeypatch)
    lab.words_shown.views = 1
    assert begun.wait(60.0)
    lab.words_shown.views = 0
    lab.wait(10.0)
    assert not lab.busy


def test_no_outcome_of_other_settings_is_kept_and_a_lab_that_is_seen_again_starts_again(
    lab, monkeypatch
):
    lab.start()
    finished(lab)
    with monkeypatch.context() as patch:
        begun = hold(lab, patch)
        lab.words_shown.views = 1
        lab.controls["seed"].value += 1
        assert begun.wait(60.0)
        lab.words_shown.views = 0
        lab.wait(10.0)
    assert lab.result is None
    lab.words_shown.views = 1
    assert finished(lab) is not None


def test_a_new_change_cancels_the_running_computation(lab, monkeypatch):
    with monkeypatch.context() as patch:
        begun = hold(lab, patch)
        lab.start()
        assert begun.wait(60.0)
    old = lab._job
    lab.controls["seed"].value += 1
    finished(lab)
    assert old.cancelled
    assert not old.is_alive()


@pytest.mark.parametrize("lab", ["SuperpositionLab"], indirect=True)
def test_a_computation_overtaken_by_a_slider_draws_once_so_that_the_figure_follows_the_hand(
    lab, monkeypatch
):
    begun, drawn = [], []

    def endless(settings, report):
        begun.append(settings.seed)
        while True:
            time.sleep(0.01)
            report(0.5, lambda: drawn.append(settings.seed) or lab._outcome)

    monkeypatch.setattr(
        "ssae_kit.labs.job.REDRAW_EVERY", 0.3
    )  # none has drawn when it is overtaken
    monkeypatch.setattr(lab, "compute", endless)
    lab.start()
    past = len(lab._past)
    for seed in (0, 1, 2, 3):  # one that is overtaken before its turn is not begun
        lab.controls["seed"].value = seed
        while seed not in begun:
            time.sleep(0.01)
    lab.stop()
    lab.wait(10.0)
    assert drawn[:3] == [0, 1, 2]
    assert len(lab._past) == past + 1  # one change, to be undone at once


@pytest.mark.parametrize(
    ("share", "cancelled", "first"),
    [
        (1.0, False, 0.1),
        (0.85, False, 0.1),
        (0.6, False, 0.72),
        (0.3, False, 3.0),
        (0.3, True, 0.1),
    ],
)
def test_a_computation_draws_less_often_where_others_want_the_processors(
    monkeypatch, share, cancelled, first
):
    clock = types.SimpleNamespace(now=0.0)
    clock.monotonic, clock.process_time = lambda: clock.now, lambda: share * clock.now
    monkeypatch.setattr("ssae_kit.labs.job.time", clock)
    job = Job(None, lambda _: None)
    job.cancelled = cancelled  # then it is of a slider that is dragged
    while not job.due:
        clock.now += 0.01
    assert clock.now == pytest.approx(first, abs=0.03)


def test_a_computation_cancelled_before_its_turn_is_not_begun(lab, monkeypatch):
    computed, go_on, begun = lab.compute, threading.Event(), []

    def late(settings, report):
        begun.append(settings.seed)
        assert go_on.wait(60.0)
        return computed(settings, report)

    monkeypatch.setattr(lab, "compute", late)
    for seed in (1, 2, 3):
        lab.set(seed=seed)
        while not begun:
            time.sleep(0.01)
    go_on.set()
    finished(lab)
    assert begun == [1, 3]


def test_controls_at_their_ends_draw_a_figure_or_explain_themselves(lab):
    start = {name: control.value for name, control in lab.controls.items()}
    done = []
    for name, control in lab.controls.items():
        for end in small.ends(control):
            if (wanted := start | {name: end}) in done:
                continue
            done.append(wanted)
            lab.set(**wanted)
            lab.wait(300.0)
            expected = lab.error or lab.words(lab.settings(), lab.result)
            assert lab.words_shown.text == expected != ""


def test_the_browsers_replies_say_what_is_drawn_and_change_nothing(lab):
    lab.start()
    finished(lab)
    drawn, full = lab.fig.to_plotly_json(), [trace.to_plotly_json() for trace in lab.fig.data]
    last = lab.fig._last_trace_edit_id
    for edit, behind in ((last - 1, True), (last, False)):
        # The browser tells every property that it holds otherwise than it got it, as arrays too.
        lab.fig.set_state({"_js2py_traceDeltas": {"trace_deltas": full, "trace_edit_id": edit}})
        assert lab.fig.behind == behind
    lab.fig.set_state({"_js2py_layoutDelta": None, "_widget_layout": {}})
    assert not lab.fig.behind
    np.testing.assert_equal(lab.fig.to_plotly_json(), drawn)


def test_every_control_and_button_is_labelled_and_explained(lab):
    for name, control in lab.controls.items():
        assert control.description, name
        assert getattr(control, "tooltip", "") or control.description_tooltip, name
    for button in getattr(lab, "_buttons", ()):
        assert button.description
        assert button.tooltip


def test_what_a_control_does_not_take_is_refused_and_nothing_moves(lab):
    before = {name: control.value for name, control in lab.controls.items()}
    with pytest.raises(ValueError, match=r"names must be among .*'seed'.*got \['weather'\]"):
        lab.set(seed=7, weather=1)
    with pytest.raises(ValueError, match=r"`seed` must lie in 0\.\.999; got 1000"):
        lab.set(seed=1000)
    with pytest.raises(ValueError, match=r"`seed` must lie in 0\.\.999; got 'many'"):
        lab.set(seed="many")
    assert {name: control.value for name, control in lab.controls.items()} == before
    with pytest.raises(ValueError, match=r"`seed` must lie in 0\.\.999; got -1"):
        type(lab)(seed=-1)


def test_an_exception_becomes_a_sentence(lab, monkeypatch):
    def fail(*_):
        raise ValueError("the world has ended.")

    monkeypatch.setattr(lab, "compute", fail)
    lab.start()
    lab.wait()
    assert lab.words_shown.text == lab.error == "This did not work: the world has ended."


def test_the_shown_code_makes_the_same_figure_and_words(lab, displayed):
    choose = random.Random(1)
    free = {n: c for n, c in lab.controls.items() if n not in ("relation", "own")}
    lab.set(**{name: small.anywhere(control, choose) for name, control in free.items()})
    finished(lab)
    names = {"dictionary": small.dictionary(), "subject": small.subject()}
    exec(compile(lab.code(), "shown cell", "exec"), names)
    picture, caption = displayed
    made = picture["application/vnd.plotly.v1+json"]["data"]
    assert len(made) == len(lab.fig.data)
    outcome = names["outcome"]
    assert outcome.words() in lab.words_shown.text
    assert outcome.words() in caption["text/markdown"]
    for shown, again in zip(lab.fig.data, outcome.figure().data, strict=True):
        for axis in ("x", "y", "z"):
            if axis in shown and np.asarray(shown[axis]).dtype.kind == "f":
                np.testing.assert_allclose(shown[axis], again[axis], err_msg=shown.name)


def said(lab):
    return {name: control.value for name, control in lab.controls.items()}


def widgets_alive():
    """Every widget that is open, as ipywidgets 8 or 7 keeps them."""
    version_8 = hasattr(ipywidgets.widgets.widget, "_instances")
    return ipywidgets.widgets.widget._instances if version_8 else ipywidgets.Widget.widgets


def drawing(fig):
    return go.Figure(fig.data).to_json()


def slid(lab):
    """Move the lab's first slider by a step; returns its name."""
    sliders = (n for n, one in lab.controls.items() if getattr(one, "step", 0) and not one.disabled)
    name = next(sliders)
    one = lab.controls[name]
    one.value += one.step if one.value < one.max else -one.step
    finished(lab)
    return name


def test_undo_goes_one_change_back_and_reset_to_the_start(lab):
    lab.start()
    first = said(lab)
    name = slid(lab)
    second = said(lab)
    slid(lab)
    lab.undo()
    assert said(lab) == second != first
    lab.reset()
    assert lab.controls[name].value == first[name]
    lab.undo()
    lab.undo()
    lab.undo()
    lab.undo()
    assert said(lab) == first
    finished(lab)


def test_what_is_pinned_stays_below_the_next_outcome(lab):
    lab.start()
    finished(lab)
    words, drawn = lab.words_shown.text, drawing(lab.fig)
    lab.pin()
    slid(lab)
    pinned = lab.view.children[-2].children
    assert html.escape(words) in pinned[1].value
    assert drawing(pinned[2]) == drawn
    before = len(widgets_alive())
    lab.pin()
    assert len(widgets_alive()) <= before


def test_the_line_and_the_link_make_the_same_lab_again(lab, monkeypatch):
    name = slid(lab)
    line, _, link = lab.call().partition("  # or ?")
    assert lab.code().startswith(f"# The lab itself: {line}")
    subjects = {"SteeringLab": small.subject, "InterchangeLab": small.subject}
    own = (subjects | {"LatentLab": small.dictionary}).get(type(lab).__name__)
    made = type(lab)(*([own()] if own else []), **eval(f"dict({line.partition('(')[2]}"))
    assert said(made) == said(lab)
    made.close()
    monkeypatch.setenv("QUERY_STRING", f"{link.partition(' ')[0]}&theme=dark")  # the page's own
    made = type(lab).from_link()
    assert made.controls[name].value == lab.controls[name].value != getattr(made.start_at, name)
    made.close()
    monkeypatch.setenv("QUERY_STRING", "nonsense=3")
    with pytest.raises(ValueError, match="nonsense"):
        type(lab).from_link()


@pytest.mark.parametrize("lab", ["SuperpositionLab", "SteeringLab"], indirect=True)
def test_panels_stand_one_below_the_other_on_a_phone(lab):
    axes = [name for name in lab.fig.layout if name.startswith("yaxis")]
    places = {lab.fig.layout[name].domain for name in axes}
    lab.words_shown.width = 340  # what a browser reports
    stacked = sorted(lab.fig.layout[name].domain for name in axes)
    assert lab.fig.layout.width == 340
    assert all(low[1] < high[0] for low, high in itertools.pairwise(stacked))
    scale = lab.fig.layout.coloraxis.colorbar  # it ends with its panel
    assert scale.len is None or (scale.ypad, scale.y - scale.len) in {
        (0, low) for low, _ in stacked
    }
    lab.words_shown.width = 800
    assert {lab.fig.layout[name].domain for name in axes} == places


@pytest.mark.parametrize(("n", "every"), [(30, 2), (12, 1)])
def test_a_narrow_panel_shows_every_other_of_many_tick_labels(n, every):
    names = [f"token {i}" for i in range(n)]
    fig = plots.heat(blank({"a": ("", ""), "b": ("", "")}), np.eye(n), names, names, at=(1, 2))
    assert fitted(go.Figure(fig), 800).layout.xaxis2.ticktext == tuple(names)
    narrow = fitted(fig, 340).layout.xaxis2
    assert narrow.ticktext == tuple(names[::every])
    assert narrow.tickvals == tuple(range(0, n, every))


def test_a_figure_that_did_not_start_is_replaced_by_another(lab):
    lab.start()
    finished(lab)
    old, drawn = lab.fig, drawing(lab.fig)
    lab.words_shown.retries += 1
    assert lab.fig is not old
    assert old not in lab._seen.children
    assert lab.fig in lab._seen.children
    assert drawing(lab.fig) == drawn
    assert lab._status.value == "Done."
    sent = lab.fig._last_trace_edit_id
    lab._put(lab._outcome.figure().update_traces(visible=False))  # plotly 5 sends only what differs
    assert lab.fig._last_trace_edit_id > sent  # later outcomes go to the new one


def test_a_figure_that_is_shown_but_not_drawn_again_is_replaced_once_its_time_is_over(
    lab, monkeypatch
):
    monkeypatch.setattr("ssae_kit.labs.base.PATIENCE", 0.05)
    old = lab.fig
    old._drawn = -1  # plotly 5 sends nothing where nothing differs
    lab.words_shown.views = 1  # it stands in a browser, which replies to nothing
    finished(lab)
    end = time.monotonic() + 20
    while lab.fig is old and time.monotonic() < end:
        time.sleep(0.01)
    assert lab.fig is not old
    assert drawing(lab.fig) == drawing(old)


def test_a_static_reading_gets_a_picture_and_a_sentence(lab, displayed, monkeypatch):
    monkeypatch.setattr(sys.modules["ssae_kit.plots.show"], "png", lambda fig: b"picture")
    monkeypatch.setenv(STATIC, "1")
    lab._ipython_display_()
    picture, caption = displayed
    assert set(picture) == {PLOTLY_MIME, "image/png", "text/plain"}
    assert lab.sentence in caption["text/markdown"]


def test_a_static_reading_does_not_hide_a_failure(lab, displayed, monkeypatch):
    def fail(*_):
        raise ValueError("the world has ended.")

    monkeypatch.setattr(lab, "compute", fail)
    monkeypatch.setenv(STATIC, "1")
    with pytest.raises(RuntimeError, match="the world has ended"):
        lab._ipython_display_()
    assert displayed == []


def test_a_closed_lab_leaves_no_widget_even_if_its_computation_does_not_stop(lab, monkeypatch):
    def late(*_):
        raise TimeoutError

    registered = widgets_alive()
    before = set(registered)
    other = small.make(type(lab).__name__)
    assert len(registered) > len(before) + 50
    monkeypatch.setattr(other, "wait", late)
    with pytest.raises(TimeoutError):
        other.close()
    assert set(registered) == before


def test_live_there_is_the_widget_and_the_sentence(lab, displayed, monkeypatch):
    monkeypatch.delenv(STATIC, raising=False)
    lab._ipython_display_()
    bundle, still = displayed
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == lab.sentence
    assert still == {"text/plain": ""}


@pytest.mark.parametrize("lab", ["SuperpositionLab"], indirect=True)
def test_a_picture_of_the_last_outcome_stands_behind_the_lab_where_a_page_can_keep_it(
    lab, displayed, monkeypatch
):
    monkeypatch.delenv(STATIC, raising=False)
    lab._ipython_display_()
    lab.start()
    finished(lab)
    assert len(displayed) == 2
    lab.words_shown.keeps = True  # what a browser reports
    lab.start()
    finished(lab)
    assert displayed[2]["text/plain"] == lab.words_shown.text
    assert len(displayed[2][PLOTLY_MIME]["data"]) == len(lab.fig.data)
    grown = displayed[2][PLOTLY_MIME]["layout"]["height"] - lab.result.figure().layout.height
    assert grown == 30  # its title stands above the legend, not on it


def operate(lab, choose, n_times):
    """Move random controls to random places; return the process's peak memory in KiB."""
    for step in range(n_times):
        control = choose.choice(list(lab.controls.values()))
        control.value = small.anywhere(control, choose)
        if step % 20 == 0:
            lab.wait(300.0)
            assert lab.words_shown.text
    lab.wait(300.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_a_hundred_random_operations_leave_no_exception_and_no_memory(lab):
    choose = random.Random(0)
    lab.start()
    finished(lab)
    peak = operate(lab, choose, 50)  # has seen the largest sizes
    grown = operate(lab, choose, 50) - peak
    assert not lab.busy
    # One figure is 5 MiB; 50 would be 250 MiB.
    assert grown < 60_000, f"memory grew by {grown} KiB"
    assert threading.active_count() < 10


def test_a_lab_loads_no_language_model_that_it_does_not_need_and_no_parser():
    slow = {"transformers", "lark"}
    if Version(version("jsonschema")) >= Version("4.25"):  # brings the parser, which takes 3 s,
        slow.remove("lark")  # whoever imports it: the lock holds it back
    code = "import sys; from ssae_kit import labs; labs.SuperpositionLab, labs.ShiftLab; "
    code += f"loaded = {slow} & set(sys.modules); assert not loaded, loaded"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert all(hasattr(labs, name) for name in labs.__all__)
    with pytest.raises(AttributeError, match="no attribute 'NoLab'"):
        labs.NoLab  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_lab_is_a_notebook_that_shows_it(name):
    (cell,) = page(name).cells
    assert cell.source.endswith(f"torch.set_num_threads(1)\nlabs.{name}.from_link()")
    assert isinstance(getattr(labs, name), type)
    assert name in small.NAMES


def test_a_served_lab_ends_the_kernels_of_visitors_who_left(monkeypatch):
    asked, served = [], []

    def call(command, env):
        asked.extend(command)
        assert "JUPYTER_PATH" in env or sys.platform != "linux"  # kernels share their imports
        served.extend(nbformat.read(path, 4) for path in command if path.endswith(".ipynb"))
        return 0

    monkeypatch.setattr(sys, "argv", ["labs", "LatentLab", "--no-browser"])
    monkeypatch.setattr(subprocess, "call", call)
    assert main() == 0
    assert "--MappingKernelManager.cull_idle_timeout=60" in asked
    assert "--MappingKernelManager.cull_interval=15" in asked
    assert asked[-1] == "--no-browser"
    assert [one.cells[0].source for one in served] == [page("LatentLab").cells[0].source]
