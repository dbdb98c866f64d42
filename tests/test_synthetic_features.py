"""Sparse features: how often, how large, how together."""

import pytest
import torch
from torch.testing import assert_close

from ssae_kit.synthetic.features import pattern_features, pattern_weights, sample_features

N = 40_000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def five_errors(p: float) -> float:
    """Five standard errors of a share p among N samples."""
    return 5 * (p * (1 - p) / N) ** 0.5


@pytest.mark.parametrize("relation", ["independent", "together", "apart"])
def test_every_relation_has_the_asked_density_and_uniform_values(relation):
    density = torch.tensor([[0.1] * 4, [0.4] * 4])
    x = sample_features(density, N, relation=relation, generator=seeded(0))
    assert x.min() >= 0
    assert x.max() <= 1
    for run, p in enumerate((0.1, 0.4)):
        active = x[run] > 0
        assert (active.float().mean(0) - p).abs().max() < five_errors(p)
        values = x[run, :, 0][active[:, 0]]
        # A uniform value has mean 1/2 and standard deviation .289.
        assert abs(values.mean() - 0.5) < 5 * 0.289 / len(values) ** 0.5
        assert abs(values.var() - 1 / 12) < 0.01


@pytest.mark.parametrize(
    ("relation", "expected"), [("independent", 0.04), ("together", 0.2), ("apart", 0.0)]
)
def test_neighbours_meet_as_often_as_the_relation_says(relation, expected):
    density = torch.full((1, 4), 0.2)
    active = sample_features(density, N, relation=relation, generator=seeded(1))[0] > 0
    within = (active[:, 0] & active[:, 1]).float().mean()
    assert abs(within - expected) <= five_errors(expected)
    between = (active[:, 1] & active[:, 2]).float().mean()
    assert abs(between - 0.04) <= five_errors(0.04)


def test_values_of_features_that_go_together_are_independent():
    x = sample_features(torch.ones(1, 2), N, relation="together", generator=seeded(2))[0]
    assert abs(torch.corrcoef(x.T)[0, 1]) < 5 / N**0.5


def test_patterns_are_all_there_and_weigh_what_they_are_likely():
    x = pattern_features(2, 3, generator=seeded(3))
    assert x.shape == (10, 2)
    patterns = (x > 0).int().tolist()
    assert patterns == [[0, 0]] + [[1, 0]] * 3 + [[0, 1]] * 3 + [[1, 1]] * 3
    weights = pattern_weights(torch.tensor([[0.1, 0.5]]), 3)
    expected = torch.tensor([0.45] + [0.05 / 3] * 3 + [0.45 / 3] * 3 + [0.05 / 3] * 3)
    assert_close(weights[0], expected)


def test_patterns_give_the_expectation_that_samples_give():
    density = torch.tensor([[0.2, 0.2, 0.2]])
    x = pattern_features(3, 4000, generator=seeded(4))
    largest = x.max(-1).values
    weighted = (pattern_weights(density, 4000) @ largest).item()
    sampled = sample_features(density, N, generator=seeded(5))[0].max(-1).values
    # Five standard errors of the samples; the patterns' own error is smaller.
    assert abs(weighted - sampled.mean().item()) < 5 * sampled.std().item() / N**0.5


BAD = {
    "zero": (dict(density=torch.tensor([[0.1, 0.0]])), r"\[0, 1\] has 0"),
    "above one": (dict(density=torch.tensor([[1.5, 0.1]])), "at most 1"),
    "not a number": (dict(density=torch.tensor([[float("nan"), 0.1]])), "has nan"),
    "samples": (dict(n_samples=0), "`n_samples` must be at least 1; got 0"),
    "odd": (dict(density=torch.full((1, 3), 0.1), relation="apart"), "come in pairs; got 3"),
    "too dense": (dict(density=torch.full((1, 2), 0.6), relation="apart"), "at most 1/2; got 0.6"),
    "unequal": (dict(density=torch.tensor([[0.1, 0.2]]), relation="together"), "share one density"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_refused_with_a_reason(case):
    given, message = BAD[case]
    call = dict(density=torch.full((1, 2), 0.1), n_samples=4) | given
    with pytest.raises(ValueError, match=message):
        sample_features(**call, generator=seeded(0))


def test_too_many_features_to_list_are_refused():
    with pytest.raises(ValueError, match=r"1\.\.10 .* got 11"):
        pattern_features(11, 1, generator=seeded(0))
    with pytest.raises(ValueError, match="`n_draws` must be at least 1"):
        pattern_weights(torch.ones(1, 2), 0)
