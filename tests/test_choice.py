"""Choices without labels: bad input is named, and what is not a number is never the best."""

import pytest
import torch

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.training import (
    Constraint,
    LevelSweep,
    Restarts,
    TrainingConfig,
    best_run,
    choose_level,
    evaluate,
    fit_restarts,
)


def seeded():
    return torch.Generator().manual_seed(0)


def test_fewer_pairs_than_latents_are_refused():
    with pytest.raises(ValueError, match="got 5 pairs for 8 latents"):
        choose_level(torch.randn(5, 3), 8, generator=seeded())


@pytest.mark.parametrize(
    ("n_latents", "options", "error"),
    [
        (0, {}, "must be at least 1; got 0"),
        (2, {"n_restarts": 0}, "must be at least 1; got 0"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused_in_words(n_latents, options, error):
    shifts = torch.randn(300, 4, generator=seeded())
    with pytest.raises((ValueError, TypeError), match=error):
        choose_level.__wrapped__(shifts, n_latents, **{"generator": seeded(), **options})


def test_a_run_that_is_not_a_number_is_never_the_best():
    shifts = torch.randn(50, 4, generator=seeded())
    model = ShiftAutoencoder(3, 4, 4, generator=seeded())
    with torch.no_grad():
        model.decoder_bias[0] = torch.nan
        model.encoder[0] = torch.nan
        model.decoder[1] = 1e25  # what is reconstructed is finite, its square is not
    found = evaluate(model, shifts).error
    assert found.isfinite().tolist() == [False, False, True]
    assert Restarts(model, found[None]).best_runs.tolist() == [2]
    error = torch.tensor([[torch.inf, 0.5], [0.2, torch.inf]])
    sweep = LevelSweep(model, error, torch.tensor([0.1, 0.2]))
    assert sweep.best_error.tolist() == pytest.approx([0.5, 0.2])
    assert sweep.best_runs.tolist() == [1, 2]
    assert sweep.level == pytest.approx(0.2)


def test_nothing_is_chosen_where_no_error_is_a_number():
    model = ShiftAutoencoder(2, 4, 4, generator=seeded())
    with torch.no_grad():
        model.encoder[:] = torch.nan
    error = evaluate(model, torch.randn(50, 4, generator=seeded())).error
    lost = LevelSweep(model, error[:, None], torch.tensor([0.1, 0.2]))
    inputs = torch.randn(50, 4, generator=seeded())
    for call in (lambda: best_run(model, inputs), lambda: lost.chosen, lambda: lost.best(1)):
        with pytest.raises(ValueError, match="error is finite"):
            call()


def test_of_every_group_of_restarts_the_one_with_the_lowest_error_is_kept():
    shifts = torch.randn(100, 4, generator=seeded())
    model = ShiftAutoencoder(4, 4, 2, generator=seeded())
    levels = torch.tensor([0.5, 0.01, 0.01, 0.5])  # the second and third cannot say much
    config = TrainingConfig(steps=100, batch_size=50)
    runs = fit_restarts(model, shifts, Constraint(levels), 2, config, generator=seeded())
    assert runs.best_runs.tolist() == [0, 3]
    assert torch.equal(runs.best(1).decoder[0], model.decoder[3])
    with pytest.raises(ValueError, match="must divide the number of runs, 4; got 3"):
        fit_restarts(model, shifts, Constraint(0.5), 3, config, generator=seeded())
