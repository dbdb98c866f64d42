"""The Superposition lab's own: its figure, its replay, the hook of the toy model's training."""

import threading
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import superposition
from ssae_kit.labs import superposition as superposition_lab
from ssae_kit.labs.superposition import SuperpositionLab, SuperpositionSettings, flat
from ssae_kit.synthetic.features import sample_features
from tests import labs as small
from tests.labs import finished, hold

LAB = "SuperpositionLab"


def toy(on_step=None):
    model = superposition.ToyModel(2, 3, 2, generator=torch.Generator().manual_seed(0))
    density = torch.full((2, 3), 0.5)
    losses = superposition.train(
        model,
        lambda g: sample_features(density, 8, generator=g),
        steps=5,
        generator=torch.Generator().manual_seed(1),
        on_step=on_step,
    )
    return model, losses


def test_the_hook_sees_every_update_and_changes_nothing():
    seen = []
    watched, losses = toy(lambda step, so_far: seen.append((step, so_far.clone())))
    plain, same = toy()
    torch.testing.assert_close(watched.directions, plain.directions, rtol=0, atol=0)
    torch.testing.assert_close(losses, same, rtol=0, atol=0)
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    torch.testing.assert_close(seen[2][1], losses[:3])


def test_what_the_hook_raises_ends_the_training():
    def stop(step, _):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        toy(stop)


def test_the_figure_shows_the_kits_own_numbers(lab):
    lab.set(**vars(SuperpositionSettings(n_features=4, sparsity=0.5)))
    result = finished(lab)
    directions = result.frames[-1, result.best]
    rays, numbers, heat, bars = (lab.fig.data[i] for i in (0, 1, 3, 4))
    tips = np.stack([rays.x[1::3], rays.y[1::3]], 1).astype(float)
    np.testing.assert_allclose(tips, directions, rtol=1e-6)
    beyond = np.stack([numbers.x, numbers.y], 1) - tips  # a number stands where its ray points
    np.testing.assert_allclose(np.linalg.norm(beyond, axis=1), 0.17, rtol=1e-3)
    overlap = directions @ directions.T  # a float32 product: sums may run in another order
    np.testing.assert_allclose(np.asarray(heat.z), overlap, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(
        bars.y, superposition.dimensionality(directions[None])[0], rtol=1e-5, atol=1e-6
    )


def test_the_replay_goes_back_to_the_start(lab):
    lab.set(**vars(SuperpositionSettings()))
    result = finished(lab)
    assert lab.moment.value == lab.moment.max == 60
    lab.moment.value = 0
    start = result.frames[0, result.best]
    tips = np.array(lab.fig.data[0].x[1::3], dtype=float)
    np.testing.assert_allclose(tips, start[:, 0], rtol=1e-6)
    assert lab.words_shown.text.startswith("After 0 updates")


def test_what_was_computed_before_a_change_cannot_be_replayed(lab, monkeypatch):
    lab.set(**vars(SuperpositionSettings()))
    finished(lab)
    with monkeypatch.context() as patch:
        hold(lab, patch)
        lab.set(n_features=9)
        lab.stop()
        lab.wait()
    words = lab.words_shown.text
    lab.moment.value = 0
    assert lab.words_shown.text == words
    assert lab.result is None


def test_a_change_made_while_the_outcome_is_drawn_is_not_lost(lab):
    lab.set(**vars(SuperpositionSettings()))
    finished(lab)
    lab.moment.value = 0
    drawing = threading.Event()

    def slowly(_):
        if threading.current_thread() is not threading.main_thread():
            drawing.set()
            time.sleep(0.3)

    lab.moment.observe(slowly, "value")
    lab.controls["seed"].value += 1
    assert drawing.wait(60.0)
    lab.controls["n_features"].value = 7
    finished(lab)
    lab.moment.unobserve(slowly, "value")
    assert len(lab.fig.data[4].y) == 7


def test_three_dimensions_can_be_turned_and_keep_their_lengths_at_most(lab):
    lab.set(**vars(SuperpositionSettings(n_features=6, d_hidden=3)))
    result = finished(lab)
    assert not lab.turn.disabled
    before = np.array(lab.fig.data[1].x)
    lab.turn.value = 120
    assert not np.allclose(before, lab.fig.data[1].x)
    directions = result.frames[-1, result.best].numpy()
    seen = np.linalg.norm(flat(directions, 120.0), axis=1)
    assert (seen <= np.linalg.norm(directions, axis=1) + 1e-6).all()
    np.testing.assert_allclose(flat(directions, 0.0), flat(directions, 360.0), atol=1e-6)


def test_what_cannot_be_is_explained_in_place(lab):
    lab.set(**vars(SuperpositionSettings(n_features=5, relation="together")))
    lab.wait()
    assert lab.words_shown.text == lab.error
    assert "5" in lab.error
    lab.set(**vars(SuperpositionSettings()))
    finished(lab)


@pytest.mark.parametrize("name", SuperpositionLab.places)
def test_every_place_can_be_visited(lab, name):
    lab.go_to(name)
    finished(lab)
    assert vars(lab.settings()) == vars(SuperpositionSettings()) | SuperpositionLab.places[name][0]


@pytest.mark.parametrize("name", ["dense", "linear"])
def test_where_there_is_no_superposition_as_many_features_are_stored_as_dimensions(
    monkeypatch, name
):
    monkeypatch.setattr(superposition_lab, "STEPS", 400)
    wanted = SuperpositionSettings(**SuperpositionLab.places[name][0])
    outcome = superposition_lab.run(wanted)
    best = outcome.frames[-1, outcome.best][None]
    assert superposition.represented(best).tolist() == [[True, True, False, False, False]]
    sparse = superposition_lab.run(SuperpositionSettings(decay=0.8))
    best = sparse.frames[-1, sparse.best][None]
    assert superposition.represented(best).sum() > 2


RANDOM = st.builds(
    SuperpositionSettings,
    n_features=st.integers(2, 12),
    d_hidden=st.integers(2, 3),
    sparsity=st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.99]),
    decay=st.sampled_from([0.5, 0.75, 1.0]),
    relation=st.sampled_from(["independent", "together", "apart"]),
    relu_output=st.booleans(),
    seed=st.integers(0, 999),
)


@small.randomly
@given(RANDOM)
def test_random_settings_are_computed_or_explained(lab, wanted):
    lab.set(**vars(wanted))
    lab.wait()
    assert lab.settings() == wanted
    if lab.error:
        assert wanted.relation != "independent"
        assert lab.words_shown.text == lab.error
    else:
        assert lab.words_shown.text == lab.result.words()
        assert len(lab.fig.data[4].y) == wanted.n_features
