"""The generator of concept shifts: its truth is true, its designs are what they say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from ssae_kit.metrics import mcc_codes, mcc_directions
from ssae_kit.synthetic import (
    Magnitudes,
    Mixing,
    ShiftProblem,
    SupportDesign,
    check_diversity,
    sample_shifts,
    stack,
    supports,
)

subset_families = st.integers(2, 6).flatmap(
    lambda n: st.lists(
        st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True), min_size=1, max_size=8
    )
)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(mask: torch.Tensor) -> set[tuple[bool, ...]]:
    return set(map(tuple, mask.tolist()))


@given(st.integers(1, 8), st.data(), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_sizes_draws_one_to_most_distinct_concepts(n_concepts, data, seed):
    most = data.draw(st.integers(1, n_concepts))
    drawn = supports.sizes(n_concepts, most).sample(200, generator=seeded(seed)).sum(1)
    assert drawn.min() >= 1
    assert drawn.max() <= most


def test_each_support_size_is_equally_likely():
    drawn = supports.sizes(10, 3).sample(30_000, generator=seeded()).sum(1)
    share = torch.stack([(drawn == size).float().mean() for size in (1, 2, 3)])
    # Standard error of a share of 1/3 over 30 000 draws: 0.0027; four of them.
    assert_close(share, torch.full((3,), 1 / 3), atol=0.011, rtol=0)


@given(subset_families, st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_family_yields_its_subsets_only(subsets, seed):
    used = sorted({k for subset in subsets for k in subset})
    subsets = [[used.index(k) for k in subset] for subset in subsets]
    design = supports.family(subsets)
    assert rows(design.sample(100, generator=seeded(seed))) <= rows(design.units)


@given(subset_families)
@settings(max_examples=60, deadline=None)
def test_diversity_check_agrees_with_the_theorems_wording(subsets):
    used = sorted({k for subset in subsets for k in subset})
    subsets = [{used.index(k) for k in subset} for subset in subsets]
    everything = set(range(len(used)))
    holds = all(
        set().union(*(s for s in subsets if k not in s)) == everything - {k} for k in everything
    )
    assert check_diversity(supports.family([list(s) for s in subsets])).holds == holds


@pytest.mark.parametrize(
    ("design", "violators"),
    [
        (supports.sizes(6, 3), []),
        (supports.sizes(6, 6), []),
        (supports.grouped(6, 2, 0.9), []),
        (supports.sizes(6, 5, least=5), []),
        (supports.blocks(6, 6), [0, 1, 2, 3, 4, 5]),
        (supports.blocks(6, 2, most=2), [0, 1, 2, 3, 4, 5]),
        (supports.together(6, [1, 4], 3), [1, 4]),
        (supports.nested(6, 0, 3, 3), [0]),
    ],
    ids=lambda value: value.name if isinstance(value, SupportDesign) else None,
)
def test_diversity_names_the_violators(design, violators):
    report = check_diversity(design)
    assert report.violators.tolist() == violators
    assert report.holds == (not violators)
    drawn = design.sample(5000, generator=seeded(1))
    assert check_diversity(drawn).violators.tolist() == violators


def test_diversity_says_with_whom_a_concept_always_shifts():
    assert "concept 0 never shifts without [3]" in str(check_diversity(supports.nested(6, 0, 3, 3)))
    seen = torch.tensor([[True, False], [True, False]])
    assert "concept 1 never shifts" in str(check_diversity(seen))


def test_joint_share_is_the_share_of_pairs_in_which_both_shift():
    drawn = supports.grouped(4, 2, 0.3).sample(20_000, generator=seeded()).sum(1)
    # Standard error 0.0032; four of them.
    assert abs((drawn == 2).float().mean() - 0.3) < 0.013


@given(st.integers(1, 5), st.integers(1, 9), st.floats(0, 1), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_shifts_are_concept_shifts_times_directions(n_concepts, d_model, rho, free, seed):
    problem = ShiftProblem(supports.sizes(n_concepts, 1), d_model, Magnitudes(rho, free))
    data = sample_shifts(problem, 50, generator=seeded(seed))
    assert_close(data.shifts, data.changes @ data.directions)
    assert_close(data.directions.norm(dim=1), torch.ones(n_concepts))
    assert (data.supports.sum(1) == 1).all()


@given(st.integers(1, 6), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_the_truth_scores_one_whatever_its_order_sign_and_scale(n_concepts, seed):
    problem = ShiftProblem(supports.sizes(n_concepts, n_concepts), 12)
    data = sample_shifts(problem, 200, generator=seeded(seed))
    order = torch.randperm(n_concepts, generator=seeded(seed))
    factor = torch.randn(n_concepts, generator=seeded(seed + 1)).abs() + 0.1
    factor = factor * torch.where(torch.arange(n_concepts) % 2 == 0, 1.0, -1.0)
    codes = (data.changes * factor)[None, :, order]
    directions = (data.directions / factor[:, None])[None, order]
    assert mcc_codes(codes, data.changes).score.item() > 0.9999
    assert mcc_directions(directions, data.directions).score.item() > 0.9999


@given(st.integers(2, 8), st.floats(1.5, 1e3), st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_condition_number_is_as_asked(n_concepts, condition, seed):
    directions = Mixing(condition=condition).sample(n_concepts, 8, generator=seeded(seed))
    singular = torch.linalg.svdvals(directions.double())
    assert_close(float(singular[0] / singular[-1]), condition, rtol=1e-3, atol=0)
    assert_close(directions.square().sum(1).mean(), torch.tensor(1.0))


def test_orthogonal_directions_stand_at_right_angles():
    directions = Mixing("orthogonal").sample(2, 5, generator=seeded())
    assert_close(directions @ directions.T, torch.eye(2))


def test_tied_concepts_move_alike_and_free_signs_keep_their_size():
    tied = Magnitudes(correlation=1.0).sample(100, 3, generator=seeded())
    assert_close(tied, tied[:, :1].expand(-1, 3))
    free = Magnitudes(correlation=1.0, free_signs=True).sample(100, 3, generator=seeded())
    assert_close(free.abs(), free[:, :1].abs().expand(-1, 3))
    assert not torch.equal(free, free[:, :1].expand(-1, 3))


def test_correlation_is_as_asked():
    drawn = Magnitudes(correlation=0.8).sample(20_000, 2, generator=seeded())
    # Standard error of a correlation of .8 over 20 000 pairs: (1 - .64) / 141 = .0025; four.
    assert abs(torch.corrcoef(drawn.T)[0, 1] - 0.8) < 0.01


def test_discrete_magnitudes_take_the_given_values_only():
    drawn = Magnitudes(values=(-1.0, 2.0)).sample(100, 3, generator=seeded())
    assert set(drawn.unique().tolist()) == {-1.0, 2.0}


def test_more_pairs_of_the_same_world_share_its_directions():
    problem = ShiftProblem(supports.sizes(3, 2), 8)
    first = sample_shifts(problem, 50, generator=seeded())
    more = sample_shifts(problem, 50, generator=seeded(1), directions=first.directions)
    assert torch.equal(first.directions, more.directions)
    assert not torch.equal(first.shifts, more.shifts)


def test_the_same_seed_gives_the_same_data():
    problem = ShiftProblem(supports.sizes(3, 2), 8, noise=0.1)
    first, second = (sample_shifts(problem, 40, generator=seeded()) for _ in range(2))
    assert torch.equal(first.shifts, second.shifts)


def test_noise_has_the_given_size():
    problem = ShiftProblem(supports.sizes(3, 2), 16, noise=0.5)
    data = sample_shifts(problem, 20_000, generator=seeded())
    spread = (data.shifts - data.changes @ data.directions).std()
    # Standard error over 320 000 values: 0.0006.
    assert abs(spread - 0.5) < 0.003


def test_a_bent_embedding_makes_shifts_depend_on_their_source():
    design = supports.family([[0], [1]])
    values = Magnitudes(values=(1.0,))
    straight = sample_shifts(ShiftProblem(design, 4, values), 500, generator=seeded())
    bent = sample_shifts(ShiftProblem(design, 4, values, bend=0.5), 500, generator=seeded())
    alike = straight.shifts[straight.supports[:, 0]]
    assert alike.std(0).max() < 1e-6
    assert bent.shifts[bent.supports[:, 0]].std(0).max() > 0.01


def test_source_and_target_are_bent_by_one_function():
    problem = ShiftProblem(supports.sizes(2, 2), 4, bend=1.0)
    data = sample_shifts(problem, 500, generator=seeded())
    size = data.directions.square().sum(0).mean().sqrt()
    unbent = [
        size * torch.atanh(ends / size) for ends in (data.sources, data.sources + data.shifts)
    ]
    kept = torch.stack([ends.abs().amax(1) < 2 * size for ends in unbent]).all(0)  # not saturated
    assert kept.float().mean() > 0.5
    straight = (data.changes @ data.directions)[kept]
    # Float32 through tanh and back, up to tanh(2): some ten units in the last digit.
    assert_close(unbent[1][kept] - unbent[0][kept], straight, rtol=0, atol=1e-5)


def test_stacked_data_keep_each_world_and_level():
    problem = ShiftProblem(supports.sizes(3, 2), 8)
    worlds = [sample_shifts(problem, 50, generator=seeded(seed)) for seed in range(2)]
    both = stack(worlds)
    assert both.shifts.shape == (2, 50, 8)
    assert_close(both.true_level(), torch.stack([world.true_level() for world in worlds]))
    assert_close(both.true_level(6), both.true_level() / 2)


def test_true_level_by_hand():
    design = supports.family([[0], [1]])
    problem = ShiftProblem(design, 2, Magnitudes(values=(3.0,)), Mixing("orthogonal"))
    data = sample_shifts(problem, 100, generator=seeded())
    # Every shift is 3 long, and one of two latents is active with |code| 3: mean 1.5, over 3.
    assert_close(data.true_level(), torch.tensor(0.5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: supports.sizes(0, 1), "must be at least 1; got 0"),
        (lambda: supports.family([]), "at least one support"),
        (lambda: supports.family([[0], []]), "no empty one"),
        (lambda: supports.family([[0], [2]]), r"concepts \[1\] never do"),
        (lambda: supports.sizes(3, 4), r"`most` must lie in 1\.\.3"),
        (lambda: supports.blocks(10, 3), "must divide the 10 concepts"),
        (lambda: supports.grouped(4, 2, 1.0), "between 0 and 1"),
        (lambda: Magnitudes(correlation=1.5), r"must be in 0\.\.1; got 1\.5"),
        (lambda: Magnitudes(values=(0.0, 1.0)), "must not hold 0"),
        (lambda: Mixing("rotten"), "'gaussian' or 'orthogonal'"),
        (lambda: Mixing(condition=float("inf")), "finite and at least 1"),
        (lambda: Mixing("orthogonal").sample(5, 3, generator=seeded()), "cannot be orthogonal"),
        (lambda: ShiftProblem(supports.sizes(3, 2), 0), "`d_model` must be at least 1"),
        (lambda: ShiftProblem(supports.sizes(3, 2), noise=-1.0), "at least 0"),
        (lambda: stack([]), "at least one data set"),
        (lambda: supports.sizes(3, 2).sample(0, generator=seeded()), "`n_samples` must be"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_mixing_that_is_not_finite_is_refused():
    problem = ShiftProblem(supports.sizes(3, 2), 4)
    directions = torch.full((3, 4), float("nan"))
    with pytest.raises(ValueError, match="12 of 12 values are not"):
        sample_shifts(problem, 10, generator=seeded(), directions=directions)
