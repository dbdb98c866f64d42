"""What the authors' layer norms do to a code."""

import torch
from torch.testing import assert_close

from ssae_kit.autoencoders import LayerNormShiftAutoencoder, ShiftAutoencoder, load


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_a_shift_twice_as_long_gets_the_same_code_and_ours_gives_it_twice_the_code():
    shifts = torch.randn(20, 8, generator=seeded(1))
    theirs = LayerNormShiftAutoencoder(2, 8, 5, generator=seeded())
    # Layer norm adds 1e-5 to the variance, which weighs less in the longer vector.
    assert_close(theirs.encode(2 * shifts), theirs.encode(shifts), atol=1e-4, rtol=1e-3)
    ours = ShiftAutoencoder(2, 8, 5, generator=seeded())
    assert_close(ours.encode(2 * shifts), 2 * ours.encode(shifts))


def test_with_one_latent_every_code_is_the_same():
    shifts = torch.randn(20, 8, generator=seeded(1))
    codes = LayerNormShiftAutoencoder(1, 8, 1, generator=seeded()).encode(shifts)
    assert_close(codes, codes[:, :1].expand_as(codes))


def test_it_survives_a_file(tmp_path):
    model = LayerNormShiftAutoencoder(1, 8, 5, generator=seeded())
    model.save(tmp_path / "model.safetensors")
    shifts = torch.randn(4, 8, generator=seeded(1))
    assert_close(load(tmp_path / "model.safetensors").encode(shifts), model.encode(shifts))
