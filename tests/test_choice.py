"""Choices without labels: bad input is named, and a level that was not met is not passed over."""

import pytest
import torch

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.training import LevelSweep, best_run, choose_level, require_level


def seeded():
    return torch.Generator().manual_seed(0)


def test_fewer_pairs_than_latents_are_refused():
    with pytest.raises(ValueError, match="got 5 pairs for 8 latents"):
        choose_level(torch.randn(5, 3), 8, generator=seeded())


def test_a_level_that_was_not_met_is_named_with_its_run():
    shifts = torch.randn(50, 4, generator=seeded())
    model = ShiftAutoencoder(2, 4, 4, generator=seeded())
    require_level(model, shifts, 1e3)
    with pytest.raises(ValueError, match=r"not met in run\(s\) \[1\].*1e-09 is the highest"):
        require_level(model, shifts, torch.tensor([1e3, 1e-9]))


def test_a_run_that_is_not_a_number_is_neither_best_nor_within_its_level():
    shifts = torch.randn(50, 4, generator=seeded())
    model = ShiftAutoencoder(3, 4, 4, generator=seeded())
    with torch.no_grad():
        model.decoder_bias[0] = torch.nan
        model.encoder[0] = torch.nan
    error = torch.tensor([[torch.nan, 0.5], [0.2, torch.nan]])
    sweep = LevelSweep(torch.tensor([0.1, 0.2]), error, model, 0.03)
    assert best_run(model, shifts) != 0
    assert sweep.best_error.tolist() == pytest.approx([0.5, 0.2])
    assert sweep.best_runs.tolist() == [1, 2]
    assert sweep.level == pytest.approx(0.2)
    with pytest.raises(ValueError, match=r"not met in run\(s\) \[0\]"):
        require_level(model, shifts, 1e3)
