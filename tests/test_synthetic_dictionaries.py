"""Worlds for dictionary learning: their truth is what they say."""

import pytest
import torch
from torch.testing import assert_close

from ssae_kit.synthetic.dictionaries import FeatureWorld, gaussian_like


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_features_are_as_frequent_and_as_strong_as_asked():
    world = FeatureWorld.flat(10, 4, n_active=2.0, generator=seeded())
    features = world.sample(20_000, generator=seeded(1))
    active = features > 0
    # Five standard errors of a share of .2 over 20,000 samples.
    assert_close(active.float().mean(0), torch.full((10,), 0.2), rtol=0, atol=0.015)
    assert features[active].min() >= 0.5
    assert features.max() <= 1
    assert_close(world.directions.norm(dim=1), torch.ones(10))
    assert_close(world.activations(torch.eye(10)), world.directions)


def test_a_child_is_never_active_without_its_parent():
    world = FeatureWorld.hierarchy(3, 2, 8, density=0.3, share=0.5, generator=seeded())
    active = world.sample(20_000, generator=seeded(1)) > 0
    parents, children = active[:, :3], active[:, 3:].view(-1, 3, 2)
    assert not (children & ~parents[..., None]).any()
    given = children[parents].float().mean()
    assert abs(float(given) - 0.5) < 0.02
    assert world.parent.tolist() == [-1, -1, -1, 0, 0, 1, 1, 2, 2]


def test_the_gaussian_imitation_has_the_same_mean_and_covariance():
    world = FeatureWorld.flat(10, 4, n_active=2.0, generator=seeded())
    inputs = world.activations(world.sample(50_000, generator=seeded(1)))
    imitation = gaussian_like(inputs, generator=seeded(2))
    assert_close(imitation.mean(0), inputs.mean(0), rtol=0, atol=0.02)
    assert_close(imitation.T.cov(), inputs.T.cov(), rtol=0, atol=0.02)


def test_more_active_features_than_there_are_is_refused():
    with pytest.raises(ValueError, match=r"at most the 10 features; got 11\.0"):
        FeatureWorld.flat(10, 4, n_active=11.0, generator=seeded())


def test_the_gaussian_imitation_of_few_samples_stays_in_their_span():
    inputs = torch.randn(5, 12, generator=seeded())
    imitation = gaussian_like(inputs, generator=seeded(1))
    assert imitation.shape == (5, 12)
    centred, found = inputs - inputs.mean(0), imitation - inputs.mean(0)
    assert_close(found @ torch.linalg.pinv(centred) @ centred, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": torch.tensor([0.5, 0.0])}, r"above 0 and at most 1; \[1\] has 0"),
        ({"density": torch.tensor([0.5, 1.2])}, r"above 0 and at most 1; \[1\] has 1\.2"),
        ({"weakest": 1.5}, r"`weakest` must be in 0\.\.1; got 1\.5"),
        ({"parent": torch.tensor([1, -1])}, "feature 0 has parent 1"),
        ({"parent": torch.tensor([-1, -2])}, "feature 1 has parent -2"),
    ],
)
def test_a_world_that_cannot_be_is_refused(change, message):
    world = {"density": torch.tensor([0.5, 0.5]), "parent": torch.tensor([-1, 0])} | change
    with pytest.raises(ValueError, match=message):
        FeatureWorld(torch.eye(2), **world)
