"""Conformance of every score: cases worked by hand, invariances, floors."""

import math

import jaxtyping
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from ssae_kit import metrics


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# --- reconstruction -------------------------------------------------------------------------


def test_predicting_the_mean_leaves_all_variance_unexplained():
    inputs = torch.randn(50, 3, generator=seeded()) + 7
    assert_close(metrics.unexplained_variance(inputs, inputs.mean(0).expand(50, 3)), torch.ones(()))


def test_perfect_reconstruction_leaves_nothing():
    inputs = torch.randn(2, 50, 3, generator=seeded())
    assert_close(metrics.unexplained_variance(inputs, inputs), torch.zeros(2))


def test_unexplained_variance_by_hand():
    inputs = torch.tensor([[0.0, 0.0], [2.0, 0.0]])  # mean (1, 0), total 2
    decoded = torch.tensor([[0.0, 0.0], [1.0, 0.0]])  # missed 1
    assert_close(metrics.unexplained_variance(inputs, decoded), torch.tensor(0.5))


def test_variance_is_about_the_mean_not_about_zero():
    # SAELens once measured it about zero: far from the origin everything then looked explained.
    inputs = torch.randn(50, 3, generator=seeded())
    noisy = inputs + torch.randn(50, 3, generator=seeded(1))
    near = metrics.unexplained_variance(inputs, noisy)
    assert_close(metrics.unexplained_variance(inputs + 100, noisy + 100), near, rtol=1e-3, atol=0)


def test_constant_inputs_have_no_variance_to_explain():
    with pytest.raises(ValueError, match="constant"):
        metrics.unexplained_variance(torch.ones(5, 2), torch.ones(5, 2))


def test_rounding_is_no_variance():
    inputs = torch.full((1000, 3), 0.1)
    assert (inputs - inputs.mean(0)).any()  # the mean of a constant is off in the last digit
    with pytest.raises(ValueError, match="constant"):
        metrics.unexplained_variance(inputs, inputs + 1e-4)


# --- sparsity -------------------------------------------------------------------------------


def test_l0_and_dead_share_by_hand():
    codes = torch.tensor([[0.0, 1.0, 0.0, -2.0], [0.0, 3.0, 0.0, 0.0]])
    assert_close(metrics.l0(codes), torch.tensor(1.5))
    assert_close(metrics.dead_share(codes), torch.tensor(0.5))


def test_firing_scores_by_hand():
    codes = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]])
    active = torch.tensor([[True, False], [False, False], [True, True], [True, False]])
    matching = metrics.Matching(torch.ones(1, 2), torch.tensor([[0, 1]]), torch.ones(1, 2))
    scores = metrics.firing(codes, active, matching)
    assert_close(scores.precision, torch.tensor([[0.5, 1.0]]))
    assert_close(scores.recall, torch.tensor([[1 / 3, 1.0]]))
    assert_close(scores.f1, torch.tensor([[0.4, 1.0]]))


def test_a_concept_without_a_latent_has_no_f1():
    matching = metrics.Matching(torch.zeros(1, 1), torch.tensor([[-1]]), torch.zeros(1, 1))
    scores = metrics.firing(torch.ones(1, 3, 1), torch.ones(3, 1, dtype=torch.bool), matching)
    assert_close(scores.f1, torch.zeros(1, 1))


# --- matching -------------------------------------------------------------------------------


def test_mcc_of_directions_by_hand():
    directions = torch.tensor([[[0.0, -3.0], [1.0, 1.0]]])
    matching = metrics.mcc_directions(directions, torch.eye(2))
    assert matching.latent.tolist() == [[1, 0]]
    assert matching.sign.tolist() == [[1.0, -1.0]]
    assert_close(matching.score, torch.tensor([(1 + math.sqrt(0.5)) / 2]))


def test_the_best_matching_is_not_the_greedy_one():
    # Greedy takes .9 first and is left with .1; the best total is .3 + .8.
    cosines = torch.tensor([[0.9, 0.3], [0.8, 0.1]])
    elsewhere = (1 - cosines.square().sum(1)).sqrt().diag()
    directions = torch.cat([cosines, elsewhere], 1)
    concepts = torch.eye(4)[:2]
    matching = metrics.mcc_directions(directions[None], concepts)
    assert matching.latent.tolist() == [[1, 0]]


def test_missing_latents_score_zero():
    matching = metrics.mcc_directions(torch.eye(3)[None, :2], torch.eye(3))
    assert matching.latent.tolist() == [[0, 1, -1]]
    assert_close(matching.score, torch.tensor([2 / 3]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_scores_ignore_permutation_sign_and_scale(seed):
    g = seeded(seed)
    shifts = torch.randn(40, 5, generator=g)
    codes = shifts @ torch.randn(5, 5, generator=g)
    order = torch.randperm(5, generator=g)
    factor = (torch.rand(5, generator=g) + 0.1) * (2.0 * torch.randint(2, (5,), generator=g) - 1)
    moved = (codes * factor)[:, order]
    for score in (lambda c: metrics.mcc_codes(c[None], shifts).score, lambda c: label(c, shifts)):
        assert_close(score(moved), score(codes), rtol=1e-4, atol=1e-5)
    for score in (lambda c: metrics.mcc_directions(c[None], shifts.T).score, metrics_of(shifts)):
        assert_close(score(moved.T), score(codes.T), rtol=1e-4, atol=1e-5)


def label(codes, shifts):
    return metrics.label_mcc(codes[None], shifts)


def metrics_of(shifts):
    return lambda rows: metrics.mmcs(rows[None], shifts.T)


def test_code_and_direction_scores_can_disagree():
    # Concepts that always move together: one latent reads both, no direction is either's.
    both = torch.randn(200, 1, generator=seeded())
    shifts = both.expand(-1, 2)
    directions = torch.tensor([[[1.0, 1.0]]]) / math.sqrt(2)
    codes = shifts @ directions[0].T
    assert metrics.mcc_codes(codes[None], shifts).per_concept.max() > 0.999
    assert_close(
        metrics.mcc_directions(directions, torch.eye(2)).per_concept.max(),
        torch.tensor(math.sqrt(0.5)),
    )


def test_constant_latents_correlate_with_nothing():
    codes = torch.full((1, 30, 2), 0.3)
    shifts = torch.randn(30, 2, generator=seeded())
    assert_close(metrics.mcc_codes(codes, shifts).score, torch.zeros(1))
    assert_close(metrics.label_mcc(codes, shifts), torch.zeros(1, 2))
    rounding = 0.3 + 1e-7 * shifts[None]  # what varies in its last digit only
    assert_close(metrics.mcc_codes(rounding, shifts).score, torch.zeros(1))


def test_agreeing_runs_score_one_in_pair_order():
    one = torch.randn(4, 6, generator=seeded())
    other = torch.randn(4, 6, generator=seeded(1))
    scores = metrics.mcc_seeds(torch.stack([one, one.flip(0), other]))
    assert scores.shape == (3,)
    assert_close(scores[0], torch.ones(()))
    assert_close(scores[1], scores[2])
    assert scores[1] < 0.9


# --- floors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_concepts", "expected"), [(2, 0.90), (3, 0.84), (5, 0.73), (10, 0.60)])
def test_random_rotations_score_far_above_zero(n_concepts, expected):
    draws = metrics.rotation_floor(n_concepts, generator=seeded(), n_draws=400)
    # Five standard errors of 400 draws, plus .01 because the expected values have two digits.
    tolerance = 5 * float(draws.std()) / math.sqrt(400) + 0.01
    assert abs(float(draws.mean()) - expected) < tolerance


def test_two_concepts_have_a_floor_known_in_closed_form():
    # A rotation by a: the better of |cos a| and |sin a|; its mean over a is 2 sqrt(2) / pi.
    draws = metrics.rotation_floor(2, generator=seeded(), n_draws=2000)
    assert abs(float(draws.mean()) - 2 * math.sqrt(2) / math.pi) < 5 * float(draws.std()) / 44


def test_single_concepts_scatter_more_than_their_means():
    mean = metrics.rotation_floor(7, generator=seeded())
    single = metrics.rotation_floor(7, generator=seeded(), per_concept=True)
    torch.testing.assert_close(single.view(200, 7).mean(1), mean)
    assert single.std() > 1.5 * mean.std()


def test_label_mcc_finds_something_in_noise():
    noise, labels = torch.randn(1, 20, 512, generator=seeded()), torch.zeros(20, 1)
    labels[:10] = 1
    assert metrics.label_mcc(noise, labels) > 0.5  # the best of 512 with 20 samples
    noise, labels = torch.randn(1, 2000, 512, generator=seeded()), torch.zeros(2000, 1)
    labels[:1000] = 1
    assert metrics.label_mcc(noise, labels) < 0.12  # 5 / sqrt(2000)


# --- dictionaries ---------------------------------------------------------------------------


def test_mmcs_and_uniqueness_by_hand():
    directions = torch.tensor([[[2.0, 0.0], [1.0, 0.1], [-1.0, -1.0]]])
    # Both reference directions: cosines 1 and sqrt(.5).
    assert_close(metrics.mmcs(directions, torch.eye(2)), torch.tensor([(1 + math.sqrt(0.5)) / 2]))
    distinct = metrics.uniqueness(directions[:, :2], torch.eye(2))
    assert_close(distinct, torch.tensor([0.5]))  # both nearest to the first


def test_mmcs_of_a_random_dictionary_in_two_dimensions():
    # One random direction in the plane: the mean of |cos a| is 2 / pi.
    angles = 2 * math.pi * torch.rand(4000, generator=seeded())
    directions = torch.stack([angles.cos(), angles.sin()], -1)[:, None]
    scores = metrics.mmcs(directions, torch.tensor([[1.0, 0.0]]))
    assert abs(float(scores.mean()) - 2 / math.pi) < 5 * float(scores.std()) / math.sqrt(4000)


def test_mmcs_of_a_random_dictionary_grows_with_its_width():
    reference = torch.randn(32, 64, generator=seeded(9))
    narrow = metrics.mmcs(torch.randn(1, 32, 64, generator=seeded()), reference)
    wide = metrics.mmcs(torch.randn(1, 4096, 64, generator=seeded()), reference)
    assert narrow < 0.35
    assert wide > narrow + 0.1


# --- bad input ------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_shape_checks")
def test_scores_refuse_what_they_cannot_compare():
    with pytest.raises(ValueError, match="same rows; got 4 and 3"):
        metrics.mcc_codes(torch.zeros(1, 3, 2), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="same d_model; got 2 and 3"):
        metrics.mcc_directions(torch.ones(1, 2, 3), torch.eye(2))
    with pytest.raises(ValueError, match="same d_model; got 2 and 3"):
        metrics.mmcs(torch.ones(1, 2, 3), torch.eye(2))
    with pytest.raises(ValueError, match="`codes` must be finite; 8 of 8 values are not"):
        metrics.mcc_codes(torch.full((1, 4, 2), torch.nan), torch.zeros(4, 2))
    with pytest.raises(ValueError, match="must hold 2 or more rows; got 1"):
        metrics.mcc_codes(torch.ones(1, 1, 2), torch.ones(1, 2))
    with pytest.raises(ValueError, match="row 1 is zero, which points nowhere"):
        metrics.mcc_directions(torch.ones(1, 2, 2), torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="at least 2 runs; got 1"):
        metrics.mcc_seeds(torch.ones(1, 2, 3))
    with pytest.raises(ValueError, match="`n_concepts` must be at least 1; got 0"):
        metrics.rotation_floor(0, generator=seeded())


# --- in a language model --------------------------------------------------------------------


def test_loss_recovered_by_hand():
    clean, ablated = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 3.0])
    found = metrics.loss_recovered(clean, torch.tensor([1.5, 4.0]), ablated)
    assert_close(found, torch.tensor([0.75, -0.5]))
    with pytest.raises(ValueError, match="nothing to recover"):
        metrics.loss_recovered(clean, clean, clean)


def test_handovers_by_hand():
    # Two texts, "a b c" and "b a b". Latent 0 fires on a and promotes b; latent 1 fires on b and
    # promotes c; latent 2 fires on c and promotes a token that never occurs.
    ids, text = torch.tensor([0, 1, 2, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    codes = torch.nn.functional.one_hot(ids).float()
    found = metrics.handovers(codes, ids, text, torch.tensor([1, 2, 9]))
    assert found.successor.tolist() == [1, 2, -1]
    assert_close(found.said, torch.tensor([1.0, 0.5, 0.0]))  # b comes after a, and before c once
    assert_close(found.follows, torch.tensor([1.0, 0.5, 0.0]))
    assert_close(found.by_chance, torch.tensor([3 / 6, 1 / 6, 0.0]))


def test_a_token_on_which_nothing_fires_has_no_successor():
    ids = torch.tensor([0, 1])
    codes = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # latent 0 fires on a and promotes b
    found = metrics.handovers(codes, ids, torch.zeros(2).long(), torch.tensor([1, 0]))
    assert found.successor.tolist() == [-1, 0]
    assert found.by_chance.tolist() == [0.0, 0.5]
    with pytest.raises(ValueError, match="`codes` must be at least 0"):
        metrics.handovers(-codes, ids, torch.zeros(2).long(), torch.tensor([1, 0]))


def test_no_baton_is_handed_from_one_text_to_the_next():
    ids, text = torch.tensor([0, 1]), torch.tensor([0, 1])
    codes = torch.eye(2)
    assert metrics.handovers(codes, ids, text, torch.tensor([1, 0])).follows.tolist() == [0, 0]
    # With shape checks on, as in these tests, the type checker speaks first.
    with pytest.raises((ValueError, jaxtyping.TypeCheckError), match=r"ids"):
        metrics.handovers(codes, ids[:1], text, torch.tensor([1, 0]))
