"""Scale: components lose nothing, what they learn lifts back, and a killed training goes on."""

import pytest
import torch
from torch.testing import assert_close

import ssae_kit.studies.scale as module
from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.studies.scale import leading_axes, lifted, scale
from ssae_kit.synthetic import ShiftProblem, sample_shifts, supports

TINY = {"n_concepts": 4, "d_model": 9, "most": 2, "seeds": [0, 1], "n_samples": 500}


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_leading_axes_hold_all_of_shifts_without_noise():
    problem = ShiftProblem(supports.sizes(4, 2), 9)
    shifts = sample_shifts(problem, 100, generator=seeded(0)).shifts
    axes = leading_axes(shifts, 4, generator=seeded(1))
    assert_close(axes.T @ axes, torch.eye(4))
    assert_close(shifts @ axes @ axes.T, shifts, atol=1e-5, rtol=0)  # float32 after two products
    fewer = leading_axes(shifts, 3, generator=seeded(1))
    assert (shifts - shifts @ fewer @ fewer.T).abs().max() > 0.01


def test_a_lifted_autoencoder_does_in_all_dimensions_what_it_did_in_components():
    small = ShiftAutoencoder(2, 4, 5, generator=seeded(0))
    with torch.no_grad():
        for parameter in small.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=seeded(1)))
    small.project_()
    axes = torch.linalg.qr(torch.randn(2, 9, 4, generator=seeded(2))).Q
    components = torch.randn(2, 30, 4, generator=seeded(3))
    small.calibrate_(components)
    full, shifts = lifted(small, axes), components @ axes.mT
    assert_close(full.encode(shifts), small.encode(components))
    assert_close(full.decode(full.encode(shifts)), small.decode(small.encode(components)) @ axes.mT)
    assert_close(full.directions.norm(dim=-1), torch.ones(2, 5))


def test_every_concept_of_every_world_comes_back_and_without_training_it_does_not():
    found, untrained = scale(**TINY, steps=600), scale(**TINY, steps=1)
    assert found["error"].shape == found["multiplier"].shape == (2,)
    assert found["error"].max() < 0.05
    for kind in ("codes", "directions"):
        assert found[kind].shape == (2, 4)
        assert found[kind].min() > 0.95 > untrained[kind].min()


def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_result(tmp_path, monkeypatch):
    whole = scale(**TINY, steps=600)
    checkpoint = tmp_path / "here.safetensors"
    real = module.fit

    def killed(*args, **options):
        def die(history):
            if history.step[-1] > 500:
                raise KeyboardInterrupt

        return real(*args, **options, on_record=die)

    monkeypatch.setattr(module, "fit", killed)
    with pytest.raises(KeyboardInterrupt):
        scale(**TINY, steps=600, checkpoint=str(checkpoint))
    assert checkpoint.exists()
    monkeypatch.setattr(module, "fit", real)
    resumed = scale(**TINY, steps=600, checkpoint=str(checkpoint))
    for name in ("codes", "directions", "error"):
        assert torch.equal(resumed[name], whole[name])
    assert not checkpoint.exists()
