"""Choices without labels: bad input is named, and a level that was not met is not passed over."""

import pytest
import torch

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.training import choose_level, require_level


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
