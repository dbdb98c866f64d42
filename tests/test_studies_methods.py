import numpy as np
import pytest
import torch

from ssae_kit.studies import methods
from ssae_kit.training import TrainingConfig

QUICK = TrainingConfig(steps=400, batch_size=128)


@pytest.fixture(scope="module")
def data():
    """Shifts in 12 dimensions that are sums of four directions, one or two at a time."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(12, 4, generator=generator))[0].T * 3
    active = torch.rand(1500, 4, generator=generator).argsort(1) < torch.randint(
        1, 3, (1500, 1), generator=generator
    )
    changes = active * (2.0 * torch.randint(2, (1500, 4), generator=generator) - 1)
    return changes @ directions, changes, directions


def test_least_squares_finds_planted_directions_and_explains_everything(data):
    shifts, changes, directions = data
    found = methods.fit_directions(shifts, changes)
    torch.testing.assert_close(found, directions, atol=1e-4, rtol=1e-4)
    assert methods.explained(shifts, changes, found) == pytest.approx(1, abs=1e-6)
    assert methods.explained(shifts, changes, 0 * found) == 0


def test_columns_that_depend_on_each_other_get_the_shortest_directions():
    changes = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    shifts = changes[:, :1] * torch.tensor([[2.0, 0.0]])
    found = methods.fit_directions(shifts, changes)
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))


def test_the_constraint_recovers_planted_concepts_and_its_absence_does_not(data):
    shifts, changes, directions = data
    sets = torch.stack([shifts[:1200], 5 * shifts[:1200]])
    levels = methods.elbow_levels(sets, 4, seed=0, config=QUICK)
    graded = {}
    for name, level in (("SSAE", levels), ("affine", None)):
        trained = methods.shift_autoencoders(
            sets, level, 4, seed=1, n_seeds=2, n_restarts=3, config=QUICK
        )
        assert [len(row) for row in trained] == [2, 2]
        found = [methods.by_autoencoders(row, shifts[1200:]) for row in trained]
        graded[name] = [methods.grade(one, changes[1200:], directions) for one in found]
    for one in graded["SSAE"]:
        assert one.codes.min() > 0.97
        assert one.directions.min() > 0.97
    assert max(one.codes.mean(1).max() for one in graded["affine"]) < 0.95


def test_supervised_methods_recover_planted_concepts(data):
    shifts, changes, directions = data
    means = methods.by_directions(directions, shifts[1200:])
    probe = methods.by_probe(shifts[:1200], changes[:1200], shifts[1200:])
    for found in (means, probe):
        assert methods.grade(found, changes[1200:], directions).codes.min() > 0.999


@pytest.mark.parametrize("method", ["PCA", "FastICA"])
def test_components_have_the_same_form_and_span_the_subspace(data, method):
    shifts, changes, directions = data
    found = methods.by_components(method, shifts[:1200], shifts[1200:], 4, n_seeds=2)
    assert found.codes.shape == (2, 300, 4)
    assert found.directions.shape == (2, 4, 12)
    inside = found.directions @ torch.linalg.pinv(directions) @ directions
    torch.testing.assert_close(inside, found.directions, atol=1e-3, rtol=1e-3)
    rows = methods.grade(found, changes[1200:], directions)
    assert rows.codes.shape == rows.directions.shape == (2, 4)


def test_components_do_not_depend_on_the_global_seed():
    # Of a size at which sklearn draws at random.
    shifts = torch.randn(600, 128, generator=torch.Generator().manual_seed(0))
    found = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002 - the very state that must not matter
        found.append(methods.by_components("PCA", shifts, shifts[:5], 7).directions)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)
