"""The Shift lab's own: its figure, its conditions, its game."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import studies
from ssae_kit.labs import ShiftLab, shift
from ssae_kit.labs.shift import ShiftSettings
from tests import labs as small
from tests.labs import finished, hold

LAB = "ShiftLab"


def test_the_figure_shows_the_kits_own_numbers(lab):
    lab.set(**vars(ShiftSettings(seed=3)))
    result = finished(lab)
    train, test = shift.draw(ShiftSettings(seed=3))
    autoencoder, history = studies.recover(
        train, seed=3, n_runs=8, config=shift.TRAINING, level=train.true_level(6)
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
    for name, (changes, _) in lab.places.items():
        lab.go_to(name)
        lab.stop()
        expected = vars(ShiftSettings()) | changes
        assert vars(lab.settings()) == expected
    lab.wait()
    with pytest.raises(ValueError, match="must be one of"):
        lab.go_to("weather")


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


def test_the_game_hides_its_settings_until_a_guess(lab):
    lab.hide()
    truth = lab.hidden
    assert truth in lab.game
    assert all(control.disabled for control in lab.controls.values())
    finished(lab)
    assert "Support diversity" not in lab.words_shown.text
    assert truth not in lab.words_shown.text
    with pytest.raises(ValueError, match="guess first"):
        lab.code()
    right, played = lab.score
    assert not lab.guess(next(name for name in lab.game if name != truth))
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


def test_a_guess_that_is_no_condition_is_refused_and_not_counted(lab):
    lab.hide()
    score = lab.score
    with pytest.raises(ValueError, match=r"`name` must be one of .*; got 'weather'"):
        lab.guess("weather")
    assert lab.score == score
    assert lab.hidden is not None
    lab.guess("noise")
    finished(lab)


def test_what_the_hidden_condition_should_show_stays_until_something_is_changed(lab):
    lab.hide()
    hint = lab.places[lab.hidden][1]
    lab.guess("noise")
    for _ in range(2):
        finished(lab)
        assert lab.words_shown.text.endswith(hint)
        lab.start()
    seed = lab.controls["seed"]
    seed.value += 1 if seed.value < seed.max else -1  # the game draws any of them
    finished(lab)
    assert hint not in lab.words_shown.text


def test_a_guess_shows_no_scores_of_the_world_before(lab, monkeypatch):
    lab.set(**vars(ShiftSettings()))
    finished(lab)
    words = lab.words_shown.text
    with monkeypatch.context() as patch:
        hold(lab, patch)
        lab.hide()
        lab.stop()
        lab.wait()
    lab.guess("noise")
    assert lab.words_shown.text == words
    lab.start()
    finished(lab)


def test_settings_make_the_same_lab_again_and_impossible_numbers_are_refused(lab):
    lab.set(**vars(ShiftSettings(seed=7, n_concepts=4, n_latents=4)))
    again = ShiftLab(**vars(lab.settings()))
    assert again.settings() == lab.settings()
    again.close()
    with pytest.raises(ValueError, match=r"`most` must lie in 1\.\.3; got 5"):
        ShiftLab(n_concepts=4, most=5)
    finished(lab)


RANDOM = st.builds(
    ShiftSettings,
    n_concepts=st.sampled_from([4, 6, 8, 10, 12]),
    d_model=st.integers(4, 48),
    design=st.sampled_from(list(shift.DESIGNS)),
    most=st.integers(1, 3),
    together=st.integers(1, 19).map(lambda n: n / 20),
    magnitudes=st.sampled_from(list(shift.MAGNITUDES)),
    noise=st.integers(0, 10).map(lambda n: n / 20),
    bend=st.integers(0, 10).map(lambda n: n / 10),
    n_latents=st.integers(1, 24),
    level=st.integers(1, 30).map(lambda n: n / 10),
    constrained=st.booleans(),
    seed=st.integers(0, 999),
)


@small.randomly
@given(RANDOM)
def test_random_settings_are_what_is_computed(lab, wanted):
    lab.set(**vars(wanted))
    result = finished(lab)
    for name, value in vars(wanted).items():
        got = getattr(lab.settings(), name)
        assert got == value or math.isclose(got, value)
    assert np.isfinite(lab.fig.data[1].y).all()
    assert result.matrix.shape == (wanted.n_latents, wanted.n_concepts)
