"""Every architecture: one interface, the codes its paper says, files that survive."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close

from ssae_kit import storage
from ssae_kit.autoencoders import (
    Autoencoder,
    BatchTopKSAE,
    GatedSAE,
    JumpReluSAE,
    MatryoshkaSAE,
    ReluSAE,
    ShiftAutoencoder,
    TiedSAE,
    TopKSAE,
    clamp,
    load,
    reconstruct,
)

EXTRAS = {TopKSAE: {"k": 3}, BatchTopKSAE: {"k": 3}, MatryoshkaSAE: {"k": 3, "prefixes": [4]}}
SPARSE = [ReluSAE, TiedSAE, GatedSAE, JumpReluSAE, TopKSAE, BatchTopKSAE, MatryoshkaSAE]
ALL = [ShiftAutoencoder, *SPARSE]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(kind, n_runs=2, seed=0):
    return kind(n_runs, 6, 10, generator=seeded(seed), **EXTRAS.get(kind, {}))


def some_inputs(seed=1):
    return torch.randn(50, 6, generator=seeded(seed)) * 3 + 5


def trained_a_little(kind):
    """Weights away from their symmetric start, buffers in use."""
    autoencoder = build(kind)
    autoencoder.calibrate_(some_inputs())
    optimiser = torch.optim.Adam(autoencoder.parameters(), lr=1e-2)
    for _ in range(5):
        optimiser.zero_grad()
        terms = autoencoder.loss(some_inputs())
        (terms.error + 0.01 * terms.sparsity + terms.auxiliary).sum().backward()
        optimiser.step()
        autoencoder.project_()
    return autoencoder


@pytest.mark.parametrize("kind", ALL)
def test_codes_and_reconstructions_have_the_run_axis(kind):
    autoencoder = trained_a_little(kind)
    codes = autoencoder.encode(some_inputs())
    assert codes.shape == (2, 50, 10)
    assert autoencoder.decode(codes).shape == (2, 50, 6)
    assert autoencoder.directions.shape == (2, 10, 6)
    assert_close(autoencoder.directions.norm(dim=-1), torch.ones(2, 10))


@pytest.mark.parametrize("kind", ALL)
def test_runs_do_not_touch_each_other(kind):
    autoencoder = trained_a_little(kind)
    both = autoencoder.encode(some_inputs())
    for run in range(2):
        assert_close(autoencoder.select(run).encode(some_inputs())[0], both[run])


@pytest.mark.parametrize("kind", ALL)
def test_every_run_may_have_inputs_of_its_own(kind):
    autoencoder = trained_a_little(kind)
    inputs = torch.stack([some_inputs(1), some_inputs(2)])
    separate = autoencoder.encode(inputs)
    assert_close(separate[0], autoencoder.encode(some_inputs(1))[0])
    assert_close(separate[1], autoencoder.encode(some_inputs(2))[1])


@pytest.mark.parametrize("kind", SPARSE)
def test_the_error_is_the_unexplained_share_of_variance(kind):
    autoencoder = trained_a_little(kind)
    inputs = some_inputs()
    with torch.no_grad():
        decoded = autoencoder.decode(autoencoder.encode(inputs))
        error = autoencoder.loss(inputs).error
    total = (inputs - inputs.mean(0)).square().sum()
    assert_close(error, (inputs - decoded).square().sum((1, 2)) / total)


@pytest.mark.parametrize("kind", SPARSE)
def test_a_silent_code_decodes_to_the_mean(kind):
    autoencoder = build(kind)
    autoencoder.calibrate_(some_inputs())
    decoded = autoencoder.decode(torch.zeros(2, 1, 10))
    assert_close(decoded[0, 0], some_inputs().mean(0))


@pytest.mark.parametrize("kind", SPARSE)
def test_codes_are_never_negative(kind):
    assert (trained_a_little(kind).encode(some_inputs()) >= 0).all()


@pytest.mark.parametrize("kind", ALL)
def test_projection_drops_what_the_gradient_would_do_to_lengths(kind):
    autoencoder = build(kind)
    autoencoder.calibrate_(some_inputs())
    terms = autoencoder.loss(some_inputs())
    (terms.error + terms.auxiliary).sum().backward()
    autoencoder.project_gradients_()
    along = (autoencoder.decoder.grad * autoencoder.decoder).sum(1)
    assert_close(along, torch.zeros_like(along), rtol=0, atol=1e-6)


# --- what each architecture does --------------------------------------------------------------


def with_weights(autoencoder, scores):
    """Make the encoder output of one input equal `scores`: one run, input (1, 0)."""
    with torch.no_grad():
        autoencoder.encoder.zero_()
        autoencoder.encoder[0, :, 0] = torch.tensor(scores)
    return autoencoder.encode(torch.tensor([[1.0, 0.0]]))[0, 0].tolist()


def test_relu_keeps_what_is_positive():
    assert with_weights(ReluSAE(1, 2, 3, generator=seeded()), [2.0, -1.0, 0.5]) == [2, 0, 0.5]


def test_topk_keeps_the_largest_positive():
    topk = TopKSAE(1, 2, 4, generator=seeded(), k=2)
    assert with_weights(topk, [1.0, 3.0, 2.0, -1.0]) == [0, 3, 2, 0]
    assert with_weights(topk, [-1.0, 3.0, -2.0, -1.0]) == [0, 3, 0, 0]


def test_jumprelu_is_silent_below_its_threshold():
    jump = JumpReluSAE(1, 2, 3, generator=seeded(), first_threshold=1.0)
    assert with_weights(jump, [2.0, 0.9, -3.0]) == [2, 0, 0]


def test_gated_opens_on_one_map_and_measures_with_another():
    gated = GatedSAE(1, 2, 3, generator=seeded())
    with torch.no_grad():
        gated.encoder_bias[0] = torch.tensor([0.0, -5.0, 0.0])  # the second gate stays shut
        gated.log_magnitude[0] = torch.tensor(2.0).log()
        gated.magnitude_bias[0, 0] = 1.0
    assert with_weights(gated, [2.0, 3.0, 0.5]) == [5, 0, 1]


def test_batch_topk_spends_its_budget_where_it_matters():
    before = torch.tensor([[[9.0, 8.0, 7.0], [1.0, 2.0, 0.0]]])
    batch = BatchTopKSAE(1, 2, 3, generator=seeded(), k=1)
    assert batch._largest(before).tolist() == [[[9.0, 8.0, 0.0], [0.0, 0.0, 0.0]]]
    # Afterwards a latent fires above the threshold, whatever its neighbours do.
    assert_close(batch.threshold, torch.tensor([8.0]))
    assert with_weights(batch, [9.0, 7.0, 1.0]) == [9, 0, 0]


def test_matryoshka_prefixes_reconstruct_on_their_own():
    nested = trained_a_little(MatryoshkaSAE)
    inputs = some_inputs()
    with torch.no_grad():
        terms, codes = nested.loss(inputs), nested.encode(inputs)
        codes[..., 4:] = 0
        missed = inputs - nested.decode(codes)
    total = (inputs - inputs.mean(0)).square().sum()
    assert_close(terms.auxiliary, missed.square().sum((1, 2)) / total)


@pytest.mark.parametrize("k", [1, 3, 8, 9, 12])
def test_topk_keeps_the_same_codes_in_training_as_afterwards(k):
    topk = TopKSAE(2, 6, 12, generator=seeded(), k=k)  # one way to find them up to 8, another above
    topk.calibrate_(some_inputs())
    codes = topk.encode(some_inputs())
    missed = some_inputs() / topk.scale[:, None, None] - topk._decode(codes)
    terms = topk.loss(some_inputs())
    assert_close(terms.error, missed.square().sum(-1).mean(-1))
    assert_close(terms.sparsity, codes.sum(-1).mean(-1))


def test_jumprelu_threshold_learns_by_the_window():
    jump = JumpReluSAE(1, 2, 2, generator=seeded(), first_threshold=1.0, bandwidth=0.5)
    with torch.no_grad():
        jump.encoder.copy_(torch.tensor([[[1.1, 0.0], [2.0, 0.0]]]))
    jump.loss(torch.tensor([[1.0, 0.0]])).sparsity.sum().backward()
    # d L0 / d log t = -t / bandwidth inside the window (1.1), 0 outside (2.0).
    assert_close(jump.log_threshold.grad, torch.tensor([[-2.0, 0.0]]))


# --- dead latents -----------------------------------------------------------------------------


def silence(autoencoder, latent=0):
    with torch.no_grad():
        autoencoder.encoder_bias[:, latent] = -1e3


@pytest.mark.parametrize("kind", SPARSE)
def test_a_latent_that_stops_firing_is_counted_dead(kind):
    extras = EXTRAS.get(kind, {})
    autoencoder = kind(2, 6, 10, generator=seeded(), dead_after=2, **extras)
    autoencoder.calibrate_(some_inputs())
    silence(autoencoder)
    for _ in range(2):
        assert not autoencoder.dead.any()
        autoencoder.loss(some_inputs())
    assert autoencoder.dead[:, 0].all()
    counted = autoencoder.idle.clone()
    with torch.no_grad():
        autoencoder.loss(some_inputs())  # looking does not count
    assert_close(autoencoder.idle, counted)


@pytest.mark.parametrize("kind", SPARSE)
def test_a_reseeded_latent_points_where_it_is_told(kind):
    autoencoder = build(kind)
    chosen = torch.zeros(2, 10, dtype=torch.bool)
    chosen[0, 3] = chosen[1, 7] = True
    before = autoencoder.directions.clone()
    silence(autoencoder, 3)
    autoencoder.reseed_(chosen, torch.eye(6)[:2])
    assert_close(autoencoder.directions[0, 3], torch.eye(6)[0])
    assert_close(autoencoder.directions[1, 7], torch.eye(6)[1])
    assert_close(autoencoder.directions[~chosen], before[~chosen])
    assert autoencoder.encoder_bias[0, 3] == 0


def test_dead_latents_of_topk_learn_from_what_is_missed():
    for revival in (0.0, 1.0):
        topk = TopKSAE(1, 6, 10, generator=seeded(), k=2, dead_after=1, revival=revival)
        topk.calibrate_(some_inputs())
        with torch.no_grad():
            topk.encoder[:, 0] *= 1e-3
            topk.encoder_bias[:, 1:] = 5  # the first is never among the largest
        terms = topk.loss(some_inputs())
        assert topk.dead[0, 0]
        (terms.auxiliary + 0 * terms.error).sum().backward()
        moved = bool(topk.encoder.grad[0, 0].abs().sum() > 0)
        assert moved == (revival > 0)
        assert topk.encoder.grad[0, ~topk.dead[0]].abs().sum() == 0  # the living are left alone


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ALL)
def test_what_is_loaded_is_what_was_saved(kind, tmp_path):
    autoencoder = trained_a_little(kind)
    autoencoder.save(tmp_path / "weights.safetensors")
    loaded = load(tmp_path / "weights.safetensors")
    assert type(loaded) is kind
    assert loaded.settings == autoencoder.settings
    assert_close(loaded.encode(some_inputs()), autoencoder.encode(some_inputs()), rtol=0, atol=0)
    assert_close(loaded.state_dict(), autoencoder.state_dict(), rtol=0, atol=0)


def test_a_truncated_file_says_so(tmp_path):
    path = tmp_path / "weights.safetensors"
    build(ReluSAE).save(path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a complete file"):
        load(path)


def test_a_file_of_another_version_says_so(tmp_path):
    path = tmp_path / "weights.safetensors"
    storage.save_tensors(path, build(ReluSAE).state_dict(), {"format": "ssae_kit.autoencoder/0"})
    with pytest.raises(ValueError, match=r"its format is 'ssae_kit\.autoencoder/0'"):
        load(path)


@pytest.mark.parametrize("name", ["QuantumSAE", "load", "LossTerms"])
def test_a_file_of_an_unknown_architecture_says_so(tmp_path, name):
    path = tmp_path / "weights.safetensors"
    metadata = {"format": "ssae_kit.autoencoder/1", "class": name}
    storage.save_tensors(path, build(ReluSAE).state_dict(), metadata)
    with pytest.raises(ValueError, match=f"'{name}', an architecture that is not known here"):
        load(path)


def test_an_architecture_of_ones_own_is_saved_and_read_back(tmp_path):
    class HalfSAE(ReluSAE):
        """Codes half as large."""

        def _encode(self, scaled):
            return super()._encode(scaled) / 2

    path, mine = tmp_path / "weights.safetensors", build(HalfSAE)
    mine.save(path)
    inputs = some_inputs()
    assert_close(load(path).encode(inputs), mine.encode(inputs), rtol=0, atol=0)


def test_an_architecture_of_ones_own_does_not_read_the_files_of_the_kits(tmp_path):
    build(ReluSAE).save(tmp_path / "weights.safetensors")
    mine = type("ReluSAE", (ReluSAE,), {})
    assert type(load(tmp_path / "weights.safetensors")) is ReluSAE is not mine


def test_an_architecture_without_a_loss_says_what_is_missing():
    class Bare(Autoencoder):
        """Nothing of its own."""

    bare = Bare(1, 4, 3, generator=torch.Generator())
    with pytest.raises(NotImplementedError, match="a Bare must bring a `loss` of its own"):
        bare.loss(torch.ones(2, 4))
    with pytest.raises(NotImplementedError, match="a Bare must bring an `_encode` of its own"):
        bare.encode(torch.ones(2, 4))


def test_a_file_of_other_shapes_says_so(tmp_path):
    path = tmp_path / "weights.safetensors"
    state = build(ReluSAE).state_dict() | {"encoder": torch.zeros(2, 9, 6)}
    metadata = {"format": "ssae_kit.autoencoder/1", "class": "ReluSAE"}
    storage.save_tensors(path, state, metadata)
    with pytest.raises(ValueError, match="must hold the settings and weights of a"):
        load(path)
    with pytest.raises(FileNotFoundError, match="is not a file"):
        load(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize("settings", [{}, {"dead_after": 5, "k": 3, "revival": 0.1, "colour": 1}])
def test_settings_that_are_missing_or_unknown_are_refused(settings, tmp_path):
    path = tmp_path / "weights.safetensors"
    build(TopKSAE).save(path)
    tensors, metadata = storage.load_tensors(path)
    storage.save_tensors(path, tensors, metadata | {"settings": settings})
    with pytest.raises(ValueError, match="must hold the settings and weights of a TopKSAE"):
        load(path)


def test_a_full_disk_leaves_the_old_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "weights.safetensors"
    build(ReluSAE).save(path)
    before = path.read_bytes()

    def full(tensors, target, metadata):
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ssae_kit.storage.save_file", full)
    with pytest.raises(OSError, match="Nothing was changed there"):
        build(ReluSAE, seed=5).save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- bad input --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [TopKSAE, BatchTopKSAE])
@pytest.mark.parametrize("k", [0, 11])
def test_k_outside_the_latents_says_what_to_do(kind, k):
    with pytest.raises(ValueError, match=rf"1\.\.10 \(the number of latents\); got {k}"):
        kind(1, 6, 10, generator=seeded(), k=k)


@pytest.mark.parametrize("prefixes", [[], [0, 4], [4, 4], [8, 4], [10]])
def test_prefixes_must_grow_within_the_dictionary(prefixes):
    with pytest.raises(
        ValueError, match=r"ascending lengths between 1 and 9|must be at least 1; got 0"
    ):
        MatryoshkaSAE(1, 6, 10, generator=seeded(), k=3, prefixes=prefixes)


def test_settings_out_of_range_say_so():
    with pytest.raises(ValueError, match="`n_latents` must be at least 1; got 0"):
        ReluSAE(1, 6, 0, generator=seeded())
    with pytest.raises(ValueError, match="`dead_after` must be at least 1 batch; got 0"):
        ReluSAE(1, 6, 10, generator=seeded(), dead_after=0)
    with pytest.raises(ValueError, match=r"must be above 0 and finite; got 0\.0"):
        JumpReluSAE(1, 6, 10, generator=seeded(), bandwidth=0.0)
    with pytest.raises(ValueError, match="`revival` must be at least 0 and finite; got -1"):
        TopKSAE(1, 6, 10, generator=seeded(), k=3, revival=-1.0)


@pytest.mark.parametrize("kind", SPARSE)
def test_inputs_that_do_not_vary_say_so(kind):
    with pytest.raises(ValueError, match="must vary"):
        build(kind).calibrate_(torch.full((20, 6), 3.3))


def test_a_run_that_does_not_exist_says_so():
    two = build(ReluSAE)
    assert_close(two.select(-1).encoder[0], two.encoder[1])
    for run in (2, -3):
        with pytest.raises(ValueError, match=f"-2..1, the runs there are; got {run}"):
            two.select(run)


def test_shifts_that_are_all_zero_say_so():
    with pytest.raises(ValueError, match="every input is zero"):
        build(ShiftAutoencoder).calibrate_(torch.zeros(20, 6))


def test_clamping_keeps_the_error_and_the_other_codes():
    sae = ReluSAE(1, 6, 4, generator=seeded())
    with torch.no_grad():
        sae.decoder.copy_(torch.eye(6)[None, :, :4])  # orthogonal: a push touches one code only
        sae.encoder.copy_(sae.decoder.mT)
    states = some_inputs().abs().view(5, 10, 6)
    clamped = clamp(sae, states, 2, 7.0)
    before, after = (sae.encode(x.view(-1, 6))[0] for x in (states, clamped))
    assert_close(after[:, 2], torch.full((50,), 7.0))
    assert_close(after[:, [0, 1, 3]], before[:, [0, 1, 3]])
    assert_close(clamped - reconstruct(sae, clamped), states - reconstruct(sae, states))


def test_a_latent_clamped_to_its_own_code_leaves_the_state_as_it_was():
    sae = trained_a_little(TopKSAE).select(0)
    state = some_inputs()[:1]
    own = float(sae.encode(state).detach()[0, 0, 3])
    assert torch.equal(clamp(sae, state, 3, own), state)


def test_the_control_of_clamping_moves_as_far_another_way():
    sae = trained_a_little(TopKSAE).select(0)
    states = some_inputs().view(5, 10, 6)
    along = torch.tensor([[1], [2], [4], [5], [6]])
    moved, control = clamp(sae, states, 3, 2.0), clamp(sae, states, 3, 2.0, along=along)
    assert_close((moved - states).norm(dim=-1), (control - states).norm(dim=-1))
    assert not torch.allclose(moved, control)


def test_states_come_back_to_the_device_they_came_from():
    """On pretended tensors, which know their device and shape and nothing else."""
    sae = trained_a_little(TopKSAE).select(0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        states = torch.empty(2, 3, 6, device="cuda")
        for new in (
            reconstruct(sae, states),
            clamp(sae, states, 1, 2.0),
        ):
            assert new.shape == states.shape
            assert new.device == states.device


def test_replacing_states_needs_a_single_run():
    with pytest.raises(ValueError, match=r"one run.*select"):
        reconstruct(trained_a_little(ReluSAE), some_inputs())


# --- public doors -----------------------------------------------------------------------------


@pytest.mark.parametrize("door", ["encode", "loss", "calibrate_", "decode"])
@pytest.mark.parametrize("kind", ALL)
def test_what_is_not_finite_is_refused_at_every_door(kind, door):
    width = 10 if door == "decode" else 6
    bad = torch.ones(2, 5, width)
    bad[1, 2, 3] = torch.nan
    with pytest.raises(ValueError, match=r"must be finite; 1 of .* the first at \[1, 2, 3\]"):
        getattr(build(kind), door)(bad)


@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 6)])
def test_inputs_of_another_width_or_number_of_runs_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be of shape \[batch, 6\] or \[2, batch, 6\]"):
        build(ReluSAE).encode(torch.ones(shape))


def test_half_precision_inputs_do_not_overflow_the_scale():
    shifts = 300 * torch.randn(200, 6, generator=seeded())
    wanted, found = build(ShiftAutoencoder), build(ShiftAutoencoder)
    wanted.calibrate_(shifts)
    found.calibrate_(shifts.half())
    assert_close(found.scale, wanted.scale, rtol=1e-3, atol=0)  # half has three digits


def test_a_damaged_weight_is_found_when_the_file_is_read(tmp_path):
    sae = build(ReluSAE)
    with torch.no_grad():
        sae.encoder[0, 0, 0] = torch.nan
    sae.save(tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match="`encoder` must be finite"):
        load(tmp_path / "weights.safetensors")


def test_half_precision_weights_come_back_as_they_were(tmp_path):
    half = build(TopKSAE).bfloat16()
    half.save(tmp_path / "weights.safetensors")
    assert_close(load(tmp_path / "weights.safetensors").state_dict(), half.state_dict())


def test_a_missing_generator_is_refused(tmp_path):
    from beartype.roar import BeartypeCallHintViolation
    from jaxtyping import TypeCheckError

    with pytest.raises((TypeError, TypeCheckError, BeartypeCallHintViolation), match="generator"):
        ReluSAE(1, 6, 10, generator=None)


@pytest.mark.parametrize("kind", [ReluSAE, JumpReluSAE])
def test_a_reseeded_latent_fires_on_the_input_that_it_came_from(kind):
    sae = kind(
        1, 6, 10, generator=seeded(), **({} if kind is ReluSAE else {"first_threshold": 3.0})
    )
    silence(sae, 3)
    chosen = torch.zeros(1, 10, dtype=torch.bool)
    chosen[0, 3] = True
    sae.reseed_(chosen, torch.eye(6)[:1])
    assert sae.encode(torch.eye(6)[:1])[0, 0, 3] > 0


@pytest.mark.parametrize("along", [torch.tensor([-1]), torch.tensor([8]), torch.arange(3)])
def test_latents_to_move_along_are_whole_numbers_of_latents_there_are(along):
    sae = ReluSAE(1, 6, 8, generator=torch.Generator().manual_seed(1))
    with pytest.raises(ValueError, match="`along` must be latents 0"):
        clamp(sae, torch.randn(7, 6), 1, 2.0, along=along)


def test_a_saved_scale_that_turns_the_codes_round_is_refused(tmp_path):
    build(ReluSAE).save(tmp_path / "a.safetensors")
    tensors, told = storage.load_tensors(tmp_path / "a.safetensors")
    tensors["scale"] = -tensors["scale"]
    storage.save_tensors(tmp_path / "a.safetensors", tensors, told)
    with pytest.raises(ValueError, match="`scale` must be above 0"):
        load(tmp_path / "a.safetensors")
