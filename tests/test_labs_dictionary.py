"""The Dictionary lab's own: its figure against the kit's numbers, and what it says of dead latents."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import metrics
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.labs import dictionary as dictionary_lab
from ssae_kit.labs.dictionary import DictionaryLab, DictionaryOutcome, DictionarySettings
from ssae_kit.synthetic.dictionaries import FeatureWorld
from ssae_kit.training import Penalty, fit
from tests import labs as small
from tests.labs import finished

LAB = "DictionaryLab"


def test_the_figure_shows_the_kits_own_numbers(lab):
    wanted = DictionarySettings(k=2, seed=3)
    lab.set(**vars(wanted))
    finished(lab)
    world, inputs, features = dictionary_lab.draw(wanted)
    seed = torch.Generator().manual_seed
    sae = TopKSAE(3, 32, 64, generator=seed(1_000_003), k=2, dead_after=20, revival=0.0)
    fit(sae, inputs, Penalty(), wanted.config(), generator=seed(2_000_003))
    with torch.no_grad():
        codes = sae.encode(world.activations(features))
    test = world.activations(features).expand(3, -1, -1)
    missed = metrics.unexplained_variance(test, sae.decode(codes).detach())
    best = int(missed.argmin())
    found = metrics.mcc_directions(sae.directions, world.directions).per_concept
    heat, _, runs, directions, _, floor, _, rates = lab.fig.data
    np.testing.assert_allclose(np.diag(heat.z)[:40].__abs__(), found[best], atol=1e-5)
    np.testing.assert_allclose(runs.x, metrics.l0(codes))
    np.testing.assert_allclose(runs.y, missed, rtol=1e-5)
    order = np.argsort(-found[best].numpy(), kind="stable")
    np.testing.assert_allclose(directions.y, found[:, order].flatten(), rtol=1e-5)
    rate = (codes[best] > 0).float().mean(0)
    np.testing.assert_allclose(rates.y, rate.sort(descending=True).values)
    assert floor.y[0] == floor.y[1] < 0.7


@pytest.mark.parametrize("architecture", dictionary_lab.ARCHITECTURES)
def test_the_curve_has_the_chosen_setting_and_others(lab, architecture):
    lab.set(**vars(DictionarySettings(architecture=architecture)))
    result = finished(lab)
    n_other = len(result.l0) - dictionary_lab.N_RUNS
    assert n_other >= 3
    assert len(lab.fig.data[1].x) == n_other + 1
    assert (np.diff(lab.fig.data[1].x) >= 0).all()
    assert lab.controls["k"].disabled != lab.controls["penalty"].disabled


def test_a_planted_dictionary_is_found_and_its_spare_latents_are_dead():
    generator = torch.Generator().manual_seed(0)
    world = FeatureWorld.flat(8, 32, 2.0, generator=generator)
    features = world.sample(200, generator=generator)
    sae = TopKSAE(3, 32, 10, generator=generator, k=8)
    sae.calibrate_(world.activations(features))
    with torch.no_grad():
        axes = torch.linalg.qr(world.directions.T)[0].T  # orthonormal, so that codes are exact
        planted = torch.cat([axes, axes[:2]])
        sae.decoder.copy_(planted.T.expand(3, -1, -1))
        sae.encoder.copy_(planted.expand(3, -1, -1))
        sae.decoder_bias.zero_()
        sae.encoder_bias[:, 8:] = -100.0
    orthogonal = FeatureWorld(axes, world.density, world.parent)
    outcome = DictionaryOutcome.measure([sae], orthogonal, features)
    torch.testing.assert_close(outcome.found.score, torch.ones(3))
    torch.testing.assert_close(outcome.missed, torch.zeros(3), atol=1e-5, rtol=0)
    assert (outcome.rates == 0).sum(1).tolist() == [2, 2, 2]
    assert "found 8 of 8 features" in outcome.words()
    assert "2 of 10 latents are dead" in outcome.words()


@pytest.mark.parametrize("name", DictionaryLab.places)
def test_every_place_can_be_visited(lab, name):
    lab.go_to(name)
    lab.stop()
    lab.wait()
    assert vars(lab.settings()) == vars(DictionarySettings()) | DictionaryLab.places[name][0]


RANDOM = st.builds(
    DictionarySettings,
    architecture=st.sampled_from(list(dictionary_lab.ARCHITECTURES)),
    n_latents=st.integers(2, 16).map(lambda n: 8 * n),
    k=st.integers(1, 12),
    penalty=st.integers(1, 16).map(lambda n: n / 4),
    revive=st.booleans(),
    n_features=st.integers(1, 12).map(lambda n: 8 * n),
    n_active=st.integers(1, 8),
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
    assert result.cosines.shape == (wanted.n_features, wanted.n_latents)
    assert lab.words_shown.text == result.words()
    assert np.isfinite(lab.fig.data[1].y).all()
