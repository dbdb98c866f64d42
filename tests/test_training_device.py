"""A whole training on a GPU, pretended or real: nothing stays or is drawn on the wrong side."""

import pytest
import torch

from ssae_kit.autoencoders import (
    BatchTopKSAE,
    GatedSAE,
    JumpReluSAE,
    ReluSAE,
    ShiftAutoencoder,
    TiedSAE,
    TopKSAE,
)
from ssae_kit.training import Constraint, Penalty, TrainingConfig, fit
from ssae_kit.training.revive import revive_dead_
from tests.pretend import DEVICES, Pretend, moved, on

CONFIG = TrainingConfig(steps=4, batch_size=8, record_every=2, resample_every=0)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def plain_adam(monkeypatch):
    """The fused kernel knows real devices only."""
    adam, plain = torch.optim.Adam, {"fused": False, "foreach": False}

    def made(weights, **settings):
        weights = list(weights)
        is_real = weights[0].device.type != "meta"
        return adam(weights, **settings if is_real else settings | plain)

    monkeypatch.setattr(torch.optim, "Adam", made)


def test_two_devices_in_one_operation_are_an_error():
    with Pretend(), pytest.raises(RuntimeError, match="same device"):
        torch.ones(3, device="meta") + torch.ones(3)


@pytest.mark.parametrize("sparsity", [Penalty(0.1), Constraint(torch.tensor([0.1, 0.2]))])
@pytest.mark.parametrize("is_far", [False, True])
@pytest.mark.parametrize("device", DEVICES)
def test_a_training_stays_on_the_gpu_wherever_its_data_are(sparsity, is_far, device):
    inputs = torch.randn(40, 6, generator=seeded())
    with on(device):
        autoencoder = moved(ShiftAutoencoder(2, 6, 4, generator=seeded(1)), device)
        inputs = inputs.to(device) if is_far else inputs
        history = fit(autoencoder, inputs, sparsity, CONFIG, generator=seeded(2))
        assert autoencoder.decoder.device.type == device
        assert history.series("error").device.type == "cpu"


@pytest.mark.parametrize("device", DEVICES)
def test_dead_latents_are_revived_on_the_gpu(device):
    with on(device):
        relu = ReluSAE(2, 6, 8, generator=seeded(1), dead_after=1)
        with torch.no_grad():
            relu.encoder_bias[:, :3] = -100
        relu.loss(torch.randn(20, 6, generator=seeded()))
        moved(relu, device)
        inputs = torch.randn(20, 6, generator=seeded()).to(device)
        optimiser = torch.optim.Adam(relu.parameters(), fused=True)
        before = relu.directions.clone()
        revive_dead_(relu, inputs, optimiser, seeded(3))
        assert (relu.directions != before).any(-1)[:, :3].all()


@pytest.mark.parametrize(
    ("kind", "extras"),
    [
        (ReluSAE, {}),
        (TiedSAE, {}),
        (GatedSAE, {}),
        (JumpReluSAE, {}),
        (TopKSAE, {"k": 2}),
        (BatchTopKSAE, {"k": 2}),
    ],
)
@pytest.mark.parametrize("device", DEVICES)
def test_every_sparse_autoencoder_trains_and_resamples_on_the_gpu(kind, extras, device):
    config = TrainingConfig(steps=4, batch_size=8, record_every=2, resample_every=2)
    with on(device):
        autoencoder = moved(kind(2, 6, 8, generator=seeded(1), dead_after=1, **extras), device)
        fit(
            autoencoder,
            torch.randn(40, 6, generator=seeded()),
            Penalty(0.1),
            config,
            generator=seeded(2),
        )
        assert {value.device.type for value in autoencoder.state_dict().values()} == {device}
