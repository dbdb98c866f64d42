"""The Shift lab without a browser: its controls, its figure, its game, its words."""

import json
import math
import random
import resource
import sys
import threading

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ssae_kit import labs, studies
from ssae_kit.labs import ShiftLab, ShiftSettings, shift_run
from ssae_kit.labs.__main__ import NAMES, page
from ssae_kit.labs.shift import CONDITIONS, GAME
from ssae_kit.plots.show import STATIC
from ssae_kit.training import TrainingConfig


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """A few updates on few pairs: here the view is tested, not recovery."""
    training = TrainingConfig(steps=6, batch_size=16, record_every=2)
    monkeypatch.setattr(shift_run, "TRAINING", training)
    monkeypatch.setattr(shift_run, "N_TRAIN", 60)
    monkeypatch.setattr(shift_run, "N_TEST", 40)


@pytest.fixture(scope="module")
def lab():
    made = ShiftLab()
    yield made
    made.close()


def finished(lab):
    lab.wait()
    assert lab.error == ""
    return lab.result


def test_nothing_is_computed_before_the_lab_is_seen():
    lab = ShiftLab()
    assert not lab.busy
    assert lab.result is None
    lab.words_shown.views = 1  # what a browser reports when it draws the lab
    assert finished(lab) is not None
    lab.close()


def test_a_lab_that_is_no_longer_seen_stops(lab, monkeypatch):
    monkeypatch.setattr(shift_run, "TRAINING", TrainingConfig(steps=10**6, batch_size=16))
    lab.words_shown.views = 1
    lab.start()
    lab.words_shown.views = 0
    lab.wait(10.0)
    assert not lab.busy


def test_a_new_change_cancels_the_running_computation(lab, monkeypatch):
    monkeypatch.setattr(shift_run, "TRAINING", TrainingConfig(steps=10**6, batch_size=16))
    lab.controls["seed"].value = 5
    old = lab._job
    monkeypatch.setattr(shift_run, "TRAINING", TrainingConfig(steps=2, batch_size=16))
    lab.controls["seed"].value = 6
    finished(lab)
    assert old.cancelled.is_set()
    assert not old.thread.is_alive()


def test_the_figure_shows_the_kits_own_numbers(lab):
    lab.set(**vars(ShiftSettings(seed=3)))
    result = finished(lab)
    train, test = shift_run.draw(ShiftSettings(seed=3))
    autoencoder, history = studies.recover(
        train, seed=3, n_runs=8, config=shift_run.TRAINING, level=train.true_level(6)
    )
    recovery = studies.score(autoencoder, test)
    torch.testing.assert_close(recovery.worst, result.recovery.worst)
    heat, codes, directions = lab.fig.data[:3]
    np.testing.assert_allclose(codes.y, recovery.codes.per_concept.flatten())
    np.testing.assert_allclose(directions.y, recovery.directions.per_concept.flatten())
    best = int(recovery.error.argmin())
    np.testing.assert_allclose(np.abs(np.diag(heat.z)), recovery.codes.per_concept[best], atol=1e-6)
    np.testing.assert_allclose(lab.fig.data[5].y, history.series("error")[:, best])


def test_every_condition_has_a_button_that_sets_it(lab):
    for name, (changes, _) in CONDITIONS.items():
        lab.break_condition(name)
        lab.stop()
        expected = vars(ShiftSettings()) | changes
        assert vars(lab.settings()) == expected
    lab.wait()
    with pytest.raises(ValueError, match="must be one of"):
        lab.break_condition("weather")


def test_controls_at_their_ends_draw_a_figure_and_say_something(lab):
    for name, control in lab.controls.items():
        ends = getattr(control, "options", None) or [
            getattr(control, "min", False),
            getattr(control, "max", True),
        ]
        for end in ends:
            lab.set(**vars(ShiftSettings()) | {name: end})
            result = finished(lab)
            assert np.shape(lab.fig.data[0].z) == result.matrix.shape
            assert (
                lab.words_shown.text == f"{result.words()}\n{shift_run.diversity(lab.settings())}"
            )


def test_latents_follow_concepts_and_no_impossible_number_can_be_entered(lab):
    lab.set(**vars(ShiftSettings()))
    lab.controls["n_concepts"].value = 10
    assert lab.controls["n_latents"].value == 10
    lab.controls["most"].value = 9
    lab.controls["n_concepts"].value = 4
    assert lab.controls["most"].value == 3
    lab.controls["n_latents"].value = 7
    lab.controls["n_concepts"].value = 8
    assert lab.controls["n_latents"].value == 7
    finished(lab)


def test_every_control_is_labelled_and_explained(lab):
    for name, control in lab.controls.items():
        assert control.description, name
        assert control.tooltip, name
    for button in lab._buttons:
        assert button.description
        assert button.tooltip


def test_an_exception_becomes_a_sentence(lab, monkeypatch):
    def fail(*_):
        raise ValueError("the world has ended.")

    monkeypatch.setattr(shift_run, "draw", fail)
    lab.start()
    lab.wait()
    assert lab.words_shown.text == lab.error == "This did not work: the world has ended."


def test_the_exported_cell_makes_the_same_figure(lab, displayed, monkeypatch):
    monkeypatch.delenv(STATIC, raising=False)
    lab.set(**vars(ShiftSettings(design="fixed pairs", noise=0.1, n_latents=7, level=1.5, seed=2)))
    export = finished(lab) and lab.export()
    assert json.loads(json.dumps(export.settings)) == vars(lab.settings())
    code = export.code.replace("sample_shifts(problem, 3000", "sample_shifts(problem, 60")
    names = {}
    exec(compile(code, "exported cell", "exec"), names)
    shown, made = lab.fig.data, names["outcome"].figure().data
    for i in (1, 2, 5, 7):
        np.testing.assert_allclose(shown[i].y, made[i].y, err_msg=str(i))
    assert len(displayed) == 2


def test_a_static_reading_gets_a_picture_and_a_sentence(lab, displayed, monkeypatch):
    monkeypatch.setattr(sys.modules["ssae_kit.plots.show"], "png", lambda fig: b"picture")
    monkeypatch.setenv(STATIC, "1")
    lab._ipython_display_()
    picture, caption = displayed
    assert set(picture) == {"image/png", "text/plain"}
    assert lab.sentence in caption["text/markdown"]


def test_live_there_is_the_widget_and_the_sentence(lab, displayed, monkeypatch):
    monkeypatch.delenv(STATIC, raising=False)
    lab._ipython_display_()
    (bundle,) = displayed
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"] == lab.sentence


def test_the_game_hides_its_settings_until_a_guess(lab):
    lab.hide()
    truth = lab.hidden
    assert truth in GAME
    assert all(control.disabled for control in lab.controls.values())
    finished(lab)
    assert "Support diversity" not in lab.words_shown.text
    assert truth not in lab.words_shown.text
    with pytest.raises(ValueError, match="guess first"):
        lab.export()
    right, played = lab.score
    assert not lab.guess(next(name for name in GAME if name != truth))
    lab.hide()
    assert lab.guess(lab.hidden)
    assert lab.score == (right + 1, played + 2)
    assert not lab.controls["noise"].disabled
    with pytest.raises(ValueError, match="first hide"):
        lab.guess("noise")
    finished(lab)


def test_after_a_game_the_controls_show_what_was_hidden(lab):
    lab.hide()
    hidden = lab.settings()
    finished(lab)
    lab.guess("noise")
    assert lab.settings() == hidden


RANDOM = st.builds(
    ShiftSettings,
    n_concepts=st.sampled_from([4, 6, 8, 10, 12]),
    d_model=st.integers(4, 48),
    design=st.sampled_from(list(shift_run.DESIGNS)),
    most=st.integers(1, 3),
    together=st.integers(1, 19).map(lambda n: n / 20),
    magnitudes=st.sampled_from(list(shift_run.MAGNITUDES)),
    noise=st.integers(0, 10).map(lambda n: n / 20),
    bend=st.integers(0, 10).map(lambda n: n / 10),
    n_latents=st.integers(1, 24),
    level=st.integers(1, 30).map(lambda n: n / 10),
    constrained=st.booleans(),
    seed=st.integers(0, 999),
)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RANDOM)
def test_random_settings_are_what_is_computed(lab, wanted):
    lab.set(**vars(wanted))
    result = finished(lab)
    for name, value in vars(wanted).items():
        got = getattr(lab.settings(), name)
        assert got == value or math.isclose(got, value)
    assert np.isfinite(lab.fig.data[1].y).all()
    assert result.matrix.shape == (wanted.n_latents, wanted.n_concepts)


def test_two_hundred_random_operations_leave_no_error_and_no_memory(lab):
    choose = random.Random(0)
    lab.set(**vars(ShiftSettings()))
    finished(lab)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for step in range(200):
        name, control = choose.choice(list(lab.controls.items()))
        if hasattr(control, "options"):
            control.value = choose.choice(control.options)
        elif name == "constrained":
            control.value = choose.random() < 0.5
        else:
            control.value = control.min + control.step * choose.randrange(
                int((control.max - control.min) / control.step + 1.5)
            )
        if step % 20 == 0:
            finished(lab)
    finished(lab)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak
    assert grown < 60_000, f"memory grew by {grown} KiB"  # one figure is 5 MiB; 200 would be 1 GiB
    assert threading.active_count() < 10


@pytest.mark.parametrize("name", NAMES)
def test_the_page_of_a_lab_is_a_notebook_that_shows_it(name):
    (cell,) = page(name).cells
    assert cell.source.endswith(f"labs.{name}()")
    assert isinstance(getattr(labs, name), type)
