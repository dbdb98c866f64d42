"""Methods: each finds what was planted, in one form; bad input is refused in words."""

import math

import numpy as np
import pytest
import torch

from ssae_kit import methods
from ssae_kit.autoencoders import ReluSAE, ShiftAutoencoder
from ssae_kit.training import TrainingConfig

QUICK = TrainingConfig(steps=400, batch_size=128)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data():
    """Shifts in 12 dimensions that are sums of four directions, one or two at a time."""
    generator = seeded()
    directions = torch.linalg.qr(torch.randn(12, 4, generator=generator))[0].T * 3
    active = torch.rand(1500, 4, generator=generator).argsort(1) < torch.randint(
        1, 3, (1500, 1), generator=generator
    )
    changes = active * (2.0 * torch.randint(2, (1500, 4), generator=generator) - 1)
    return changes @ directions, changes, directions


def halves(data):
    shifts, changes, _ = data
    return shifts[:1200], changes[:1200], shifts[1200:], changes[1200:]


def test_least_squares_finds_planted_directions_and_explains_everything(data):
    shifts, changes, directions = data
    found = methods.regression(shifts, changes).directions
    torch.testing.assert_close(found, directions, atol=1e-4, rtol=1e-4)
    assert methods.explained(shifts, changes, found) == pytest.approx(1, abs=1e-6)
    assert methods.explained(shifts, changes, 0 * found) == 0
    with pytest.raises(ValueError, match="nothing to explain"):
        methods.explained(0 * shifts, changes, found)


def test_columns_that_depend_on_each_other_get_the_shortest_directions():
    changes = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]])
    shifts = changes[:, :1] * torch.tensor([[2.0, 0.0]])
    found = methods.regression(shifts, changes).directions
    torch.testing.assert_close(found, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))


def test_difference_of_means_of_pairs_that_change_one_concept_each_is_exact():
    directions = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    changes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    found = methods.difference_of_means(changes @ directions, changes)
    torch.testing.assert_close(found.directions, directions)


def test_the_chosen_level_recovers_planted_concepts_with_latents_to_spare(data):
    shifts, changes, held_out, answers = halves(data)
    found = methods.ssae(shifts, 8, config=QUICK)
    score = methods.score(found, held_out, answers, data[2])
    assert score.codes.per_concept.min() > 0.97
    assert score.directions.per_concept.min() > 0.97
    other = methods.score(found, held_out, methods.shuffled(answers), data[2])
    assert other.codes.score.max() < 0.5


def test_a_level_recovers_planted_concepts_in_every_seed_and_its_absence_does_not(data):
    shifts, _, held_out, answers = halves(data)
    graded = {}
    for level in (0.25, math.inf):
        found = methods.ssae_seeds(shifts, 4, 3, level=level, seed=1, config=QUICK)
        graded[level] = methods.score(found, held_out, answers, data[2])
        assert graded[level].codes.per_concept.shape == (3, 4)
    assert graded[0.25].codes.per_concept.min() > 0.97
    assert graded[math.inf].codes.score.max() < 0.95


@pytest.mark.parametrize(
    "method", [methods.difference_of_means, methods.regression, methods.least_squares_probe]
)
def test_supervised_methods_recover_planted_concepts_and_not_from_shuffled_labels(data, method):
    shifts, changes, held_out, answers = halves(data)
    right = methods.score(method(shifts, changes), held_out, answers, data[2])
    assert right.codes.per_concept.min() > 0.99
    wrong = method(shifts, methods.shuffled(changes, seed=1))
    assert methods.score(wrong, held_out, answers, data[2]).codes.score < 0.9


@pytest.mark.parametrize(
    "method",
    [methods.pca, methods.singular_vectors, methods.fast_ica, methods.dictionary_learning],
)
def test_components_have_the_same_form_and_span_the_subspace(data, method):
    shifts, _, held_out, answers = halves(data)
    found = method(shifts, 4)
    assert found.directions.shape == (4, 12)
    inside = found.directions @ torch.linalg.pinv(data[2]) @ data[2]
    torch.testing.assert_close(inside, found.directions, atol=1e-3, rtol=1e-3)
    assert methods.score(found, held_out, answers, data[2]).codes.per_concept.shape == (1, 4)


def test_components_do_not_depend_on_the_global_seed():
    # Of a size at which sklearn draws at random.
    shifts = torch.randn(600, 128, generator=seeded())
    found = []
    for seed in (0, 1):
        np.random.seed(seed)  # noqa: NPY002 - the very state that must not matter
        found.append(methods.pca(shifts, 7).directions)
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=0)


def test_an_autoencoder_of_states_reads_a_shift_as_the_difference_of_two_codes(data):
    sources = torch.randn(1500, 12, generator=seeded(3))
    found = methods.sae(torch.cat([sources, sources + data[0]]), 8, config=QUICK)
    codes = found.from_sources(sources[:5]).codes(data[0][:5])
    torch.testing.assert_close(
        codes, found.codes((sources + data[0])[:5]) - found.codes(sources[:5])
    )


def test_naming_recovers_planted_directions_with_sign_and_length(data):
    shifts, changes, directions = data
    autoencoder = ShiftAutoencoder(1, 12, 5, generator=seeded())
    with torch.no_grad():  # the truth, permuted, of unit norm, one sign turned, a latent to spare
        order, flip = [2, 0, 1, 3], torch.tensor([1.0, -1.0, 1.0, 1.0])
        unit = directions / directions.norm(dim=1, keepdim=True)
        autoencoder.decoder[0, :, :4] = (unit[order] * flip[:, None]).T
        autoencoder.encoder[0, :4] = torch.linalg.pinv(autoencoder.decoder[0, :, :4])
        autoencoder.encoder[0, 4] = 0
        autoencoder.scale.fill_(2.5)
    found, matching = methods.of_autoencoder(autoencoder).named(shifts, changes)
    torch.testing.assert_close(found, directions, atol=1e-4, rtol=1e-4)
    assert matching.score.item() > 0.999


def test_a_direction_that_only_reads_is_named_with_the_length_of_the_shift_along_it(data):
    shifts, changes, directions = data
    found, _ = methods.least_squares_probe(shifts, changes).named(shifts, changes)
    # Directions at right angles, changes almost independent: 4.5 standard errors of 1 / sqrt(560).
    torch.testing.assert_close(found, directions, atol=0.6, rtol=0)


def test_singular_vectors_find_orthogonal_concepts_of_unequal_strength():
    truth = torch.diag(torch.tensor([3.0, 2.0, 1.0]))
    changes = torch.randint(-1, 2, (3000, 3), generator=seeded()).float()
    found, matching = methods.singular_vectors(changes @ truth, 3).named(changes @ truth, changes)
    assert torch.nn.functional.cosine_similarity(found, truth).min() > 0.99
    assert matching.score.item() > 0.99


def test_the_largest_entry_of_every_singular_vector_is_positive():
    rows = methods.singular_vectors(torch.randn(200, 12, generator=seeded()), 8).directions
    assert (rows.max(1).values == rows.abs().max(1).values).all()


@pytest.mark.parametrize("method", [methods.class_means, methods.probe])
def test_supervised_directions_of_states_point_along_the_planted_ones(method):
    truth = 4 * torch.eye(3, 8)
    values = torch.randint(0, 2, (2000, 3), generator=seeded(2))
    found = method(values.float() @ truth, values).directions
    cosine = torch.nn.functional.cosine_similarity(found, truth)
    assert cosine.min() > 0.99  # values are independent up to 1 / sqrt(2000) = 0.02
    wrong = method(values.float() @ truth, methods.shuffled(values, seed=3)).directions
    assert torch.nn.functional.cosine_similarity(wrong, truth).abs().max() < 0.95


def test_value_means_steer_a_concept_of_three_values():
    values = torch.tensor([0, 1, 2, 2])
    states = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 3.0]])
    means = methods.value_means(states, values, 3)
    torch.testing.assert_close(means, torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    with pytest.raises(ValueError, match=r"value\(s\) \[3\]"):
        methods.value_means(states, values, 4)
    with pytest.raises(ValueError, match=r"2 text\(s\) have another"):
        methods.value_means(states, values, 2)


def test_random_directions_keep_lengths_and_nothing_else():
    directions = torch.randn(3, 512, generator=seeded())
    random = methods.random_directions(directions, generator=seeded(1))
    torch.testing.assert_close(random.norm(dim=1), directions.norm(dim=1))
    assert torch.nn.functional.cosine_similarity(random, directions).abs().max() < 0.2  # 4.5 sd


def test_rescaled_directions_point_as_before_and_are_as_long_as_the_reference():
    found = methods.rescaled(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 10.0]]))
    torch.testing.assert_close(found, torch.tensor([[6.0, 8.0]]))
    with pytest.raises(ValueError, match=r"row\(s\) \[1\] point nowhere"):
        methods.rescaled(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.ones(2, 2))


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.float64, torch.float16, "numpy"])
def test_changes_of_any_dtype_give_the_same_directions(kind):
    shifts, changes = torch.randn(40, 3, generator=seeded()), torch.eye(2).repeat(20, 1)
    given = changes.numpy() if kind == "numpy" else changes.to(kind)
    fit = methods.difference_of_means.__wrapped__  # what a user gets: no type is enforced
    assert torch.equal(fit(shifts, given).directions, fit(shifts, changes).directions)


ONES = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda f: f(ONES * math.nan, torch.ones(4, 2)), r"`shifts` must be finite; 12 of 12"),
        (lambda f: f(ONES, torch.ones(3, 2)), "the same rows; got 3 and 4"),
        (lambda f: f(ONES[0], torch.ones(4, 2)), r"the axes \[rows, columns\]; got shape \[3\]"),
        (lambda f: f(ONES, "gender"), "`changes` must be a tensor or an array of numbers; got str"),
        (lambda f: f(ONES, torch.tensor([[1, 0]] * 4)), r"column\(s\) \[1\] never do"),
    ],
)
@pytest.mark.parametrize(
    "method", [methods.difference_of_means, methods.regression, methods.least_squares_probe]
)
def test_what_cannot_be_fitted_is_refused_in_words(method, call, error):
    with pytest.raises((ValueError, TypeError), match=error):
        call(method.__wrapped__)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (
            lambda: methods.known(ONES).codes(torch.ones(2, 5)),
            "as wide as the directions, 3; got 5",
        ),
        (lambda: methods.known(ONES).codes(torch.full((2, 3), math.inf)), "must be finite"),
        (lambda: methods.known(ONES[:1]).named(ONES, torch.ones(4, 2)), "at least 2 latents"),
        (lambda: methods.pca(ONES, 4), "at least as many pairs and dimensions"),
        (lambda: methods.of_autoencoder(ReluSAE(2, 2, 4, generator=seeded())), "one run"),
        (lambda: methods.class_means(torch.eye(2), torch.tensor([[0, 1], [1, 1]])), r"\[0\] of"),
        (lambda: methods.probe(torch.eye(2), torch.tensor([[0, 1], [1, 1]])), "1 has .1. only"),
        (
            lambda: methods.class_means(torch.eye(3), torch.tensor([[0], [1], [2]])),
            "must be 0 or 1",
        ),
    ],
)
def test_what_cannot_be_read_or_named_is_refused_in_words(call, error):
    with pytest.raises(ValueError, match=error):
        call()


def test_a_product_that_has_a_direction_is_found_and_a_sum_shows_none():
    before, after = (torch.randint(2, (400, 3), generator=seeded(i)) for i in (1, 2))
    directions = torch.linalg.qr(torch.randn(8, 4, generator=seeded(3)))[0].T
    added = (after - before).float() @ directions[:3]
    signs = [2.0 * values - 1 for values in (before, after)]
    change = (signs[1][:, [0, 2]].prod(1) - signs[0][:, [0, 2]].prod(1)) / 2
    assert methods.interactions(added, before, after).abs().max() < 1e-5
    gains = methods.interactions(added + change[:, None] * directions[3], before, after)
    assert gains[0, 2] > 0.2
    assert gains[0, 2] == gains[2, 0] == gains.max()
    assert gains[0, 1].abs() < 0.05
    assert (gains.diagonal() == 0).all()
    with pytest.raises(ValueError, match="0 or 1"):
        methods.interactions(added, 2 * before - 1, after)
    noise = torch.randn(32, 8, generator=seeded(4))  # a direction more always fits those it is of
    assert methods.interactions(noise, before[:32], after[:32]).sum() < 0


def test_latents_in_use_are_those_without_which_less_is_explained():
    shifts = torch.tensor([0.1, 3.0, 0.0, 2.0, 0.2]).expand(4, 5)
    found = methods.Found(torch.eye(5), lambda shifts: shifts)
    assert methods.in_use(found, shifts).tolist() == [1, 3]
    twice = methods.Found(torch.eye(5), lambda shifts: shifts * torch.tensor([1, 1, 1, 2, 1]))
    assert methods.in_use(twice, shifts).tolist() == [1]  # as far off with the fourth as without
    silent = methods.Found(torch.eye(5), torch.zeros_like)
    with pytest.raises(ValueError, match="of 5 none does"):
        methods.in_use(silent, shifts)


def test_merged_latents_are_those_that_share_one_concept_out():
    generator = seeded(3)
    common, other = torch.eye(8)[:2]
    change = torch.randint(-1, 2, (400, 2), generator=generator).float()
    is_king = torch.rand(400, generator=generator) < 0.5
    parts = torch.stack([change[:, 0] * is_king, -change[:, 0] * ~is_king, change[:, 1]], 1)
    rows = torch.stack([common + 0.4 * torch.eye(8)[2], -common - 0.4 * torch.eye(8)[3], other])
    shifts, inverse = parts @ rows, torch.linalg.pinv(rows)
    split = methods.Found(rows, lambda shifts: shifts @ inverse)
    merged = methods.merge(split, shifts)
    assert methods.score(split, shifts, change, torch.eye(8)[:2]).codes.score < 0.9
    found = methods.score(merged, shifts, change, torch.eye(8)[:2])
    assert merged.directions.shape == (2, 8)
    assert found.codes.score > 0.99
    assert found.directions.score > 0.97
    torch.testing.assert_close(merged.directions.norm(dim=1), torch.ones(2))


def test_latents_far_apart_stay_apart_and_silent_ones_silent():
    found = methods.Found(torch.eye(3), lambda shifts: shifts * torch.tensor([1.0, 0.0, -2.0]))
    merged = methods.merge(found, torch.ones(4, 3))
    assert sorted(merged.codes(torch.ones(4, 3))[0].tolist()) == [-2.0, 0.0, 1.0]
    assert merged.directions.norm(dim=1).sort().values.tolist() == [0.0, 1.0, 1.0]


def test_shifts_too_small_to_have_a_direction_are_refused():
    shifts = 1e-44 * torch.randn(40, 6)
    with pytest.raises(ValueError, match="`directions` must be finite"):
        methods.least_squares_probe(shifts, torch.ones(40, 1))


@pytest.mark.parametrize("name", ["fast_ica", "dictionary_learning"])
def test_a_seed_out_of_range_is_refused_in_our_words(name):
    with pytest.raises(ValueError, match="`seed` must lie in 0"):
        getattr(methods, name)(torch.randn(40, 6), 3, seed=-1)


def test_shifts_that_do_not_vary_have_no_independent_components():
    with pytest.raises(ValueError, match="must not all be zero"):
        methods.fast_ica(torch.randn(1, 6).expand(40, 6), 3)


def test_changes_by_more_than_one_would_make_means_too_long_and_are_refused():
    shifts, changes = torch.randn(40, 6), 2 * torch.ones(40, 1)
    with pytest.raises(ValueError, match="must be -1, 0 or 1"):
        methods.difference_of_means(shifts, changes)
    with pytest.raises(ValueError, match="must be -1, 0 or 1"):
        methods.known(torch.randn(2, 6)).named(shifts, changes)
