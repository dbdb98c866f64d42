"""The training loop: what it reaches, what it resumes, what it refuses."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ssae_kit import storage
from ssae_kit.autoencoders import (
    BatchTopKSAE,
    GatedSAE,
    LossTerms,
    MatryoshkaSAE,
    ReluSAE,
    ShiftAutoencoder,
    TopKSAE,
)
from ssae_kit.metrics import mcc_directions
from ssae_kit.training import (
    Constraint,
    Penalty,
    Restarts,
    TrainingConfig,
    evaluate,
    fit,
    huge,
)
from ssae_kit.training.lagrangian import Problem, constrained
from ssae_kit.training.revive import revive_dead_

SHORT = TrainingConfig(steps=40, batch_size=32, checkpoint_every=10, record_every=5)
FEATURES = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(7)))[0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def sparse_inputs(n=2000, seed=1):
    """Of 12 orthogonal features each is active one time in six."""
    g = seeded(seed)
    active = torch.rand(n, 12, generator=g) < 1 / 6
    return (active * torch.rand(n, 12, generator=g)) @ FEATURES


# --- what it reaches --------------------------------------------------------------------------


def test_topk_finds_planted_features_and_a_frozen_decoder_does_not():
    config = TrainingConfig(steps=300, batch_size=128, learning_rate=5e-3)
    scores = {}
    for frozen in (False, True):
        topk = TopKSAE(3, 12, 16, generator=seeded(2), k=2)
        topk.decoder.requires_grad_(not frozen)
        fit(topk, sparse_inputs(), Penalty(), config, generator=seeded(3))
        scores[frozen] = mcc_directions(topk.directions, FEATURES).score
    assert (scores[False] > 0.9).all()
    assert (scores[True] < 0.8).all()


def test_a_constraint_is_kept():
    autoencoder = ShiftAutoencoder(2, 12, 12, generator=seeded(2))
    level = torch.tensor([0.05, 0.1])
    config = TrainingConfig(steps=300, batch_size=128)
    fit(autoencoder, sparse_inputs(), Constraint(level), config, generator=seeded(3))
    # A multiplier holds its constraint on average; batches of 128 scatter by a few percent.
    assert (evaluate(autoencoder, sparse_inputs()).sparsity < 1.1 * level).all()


def test_a_heavier_penalty_gives_a_sparser_code():
    relu = ReluSAE(2, 12, 16, generator=seeded(2))
    weight = torch.tensor([0.01, 0.3])
    config = TrainingConfig(steps=100, batch_size=64, learning_rate=1e-2)
    fit(relu, sparse_inputs(), Penalty(weight), config, generator=seeded(3))
    terms = evaluate(relu, sparse_inputs())
    assert terms.sparsity[1] < terms.sparsity[0]
    assert terms.error[1] > terms.error[0]


def test_a_run_trains_as_it_would_alone():
    inputs = sparse_inputs()
    together = ReluSAE(2, 12, 16, generator=seeded(2))
    alone = together.select(1)
    batches = lambda size, g: inputs[torch.randint(len(inputs), (size,), generator=g)]  # noqa: E731
    for autoencoder in (together, alone):
        fit(autoencoder, batches, Penalty(0.05), SHORT, generator=seeded(3))
    # Batched and single products round differently; 40 steps keep that below 1e-4.
    assert_close(together.select(1).directions, alone.directions, rtol=0, atol=1e-4)


def test_the_best_run_is_the_one_with_the_least_error():
    relu = ReluSAE(3, 12, 16, generator=seeded(2))
    weight = torch.tensor([0.3, 0.001, 0.3])
    fit(relu, sparse_inputs(), Penalty(weight), SHORT, generator=seeded(3))
    runs = Restarts(relu, evaluate(relu, sparse_inputs()).error[None])
    assert runs.best_runs.tolist() == [1]


# --- where the data come from -------------------------------------------------------------------


def test_a_mapped_file_trains_like_a_tensor(tmp_path):
    inputs = sparse_inputs()
    inputs.numpy().tofile(tmp_path / "inputs.bin")
    mapped = torch.from_file(str(tmp_path / "inputs.bin"), size=inputs.numel()).view(inputs.shape)
    array = np.memmap(tmp_path / "inputs.bin", dtype=np.float32, mode="r+", shape=inputs.shape)
    found = []
    for source in (inputs, mapped, torch.from_numpy(array)):
        relu = ReluSAE(2, 12, 16, generator=seeded(2))
        fit(relu, source, Penalty(0.05), SHORT, generator=seeded(3))
        found.append(relu.decoder.detach())
    assert_close(found[1], found[0], rtol=0, atol=0)
    assert_close(found[2], found[0], rtol=0, atol=0)


def test_a_generator_of_batches_needs_no_stored_data():
    relu = ReluSAE(2, 12, 16, generator=seeded(2))
    history = fit(
        relu,
        lambda size, g: torch.randn(2, size, 12, generator=g),
        Penalty(0.0),
        SHORT,
        generator=seeded(3),
    )
    assert history.error[-1].mean() < history.error[0].mean()


def test_each_run_can_have_data_of_its_own():
    inputs = torch.stack([sparse_inputs(), torch.zeros(2000, 12).normal_(generator=seeded(4))])
    relu = ReluSAE(2, 12, 16, generator=seeded(2))
    fit(relu, inputs, Penalty(0.1), SHORT, generator=seeded(3))
    scale = (inputs - inputs.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    assert_close(relu.scale, scale)


# --- schedules ----------------------------------------------------------------------------------


def test_schedules_by_hand():
    config = TrainingConfig(learning_rate=1.0, warmup=0.2, decay=0.5)
    rates = [config.rate_at(p) for p in (0.0, 0.1, 0.2, 0.4, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 0.505, 0.01])
    penalty = Penalty(2.0, warmup=0.5)
    assert [float(penalty.at(p)) for p in (0.0, 0.25, 0.5, 1.0)] == [0.0, 1.0, 2.0, 2.0]
    constraint = Constraint(1.0, start=3.0, warmup=0.2, ramp=0.4)
    levels = [float(constraint.at(p)) for p in (0.0, 0.2, 0.4, 0.6, 1.0)]
    assert levels == pytest.approx([3.0, 3.0, 2.0, 1.0, 1.0])


def test_the_history_holds_what_was_asked_for():
    relu = ReluSAE(2, 12, 16, generator=seeded(2), dead_after=1)
    seen = []
    history = fit(
        relu,
        sparse_inputs(),
        Penalty(0.1, warmup=0.5),
        SHORT,
        generator=seeded(3),
        on_record=lambda h: seen.append(len(h.step)),
    )
    assert history.step == [5, 10, 15, 20, 25, 30, 35, 40]
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]
    for name in ("error", "sparsity", "level", "multiplier", "dead"):
        assert history.series(name).shape == (8, 2)
    assert float(history.level[0][0]) == pytest.approx(0.1 * 4 / 20)  # step 5 was made at 4/40


# --- dead latents -------------------------------------------------------------------------------


def with_dead_latents(kind=ReluSAE, **extras):
    autoencoder = kind(2, 12, 16, generator=seeded(2), dead_after=5, **extras)
    with torch.no_grad():
        autoencoder.encoder_bias[:, :8] = -100.0
    return autoencoder


@pytest.mark.parametrize(("kind", "extras"), [(ReluSAE, {}), (GatedSAE, {})])
def test_resampling_brings_dead_latents_back(kind, extras):
    dead = []
    for every in (0, 20):
        autoencoder = with_dead_latents(kind, **extras)
        config = TrainingConfig(
            steps=120, batch_size=64, learning_rate=5e-3, resample_every=every, resample_until=0.5
        )
        fit(autoencoder, sparse_inputs(), Penalty(0.05), config, generator=seeded(3))
        dead.append(autoencoder.dead.float().mean().item())
    assert dead[0] >= 0.5
    assert dead[1] < 0.1


def test_revived_latents_point_at_the_worst_input_and_forget_their_averages():
    relu = with_dead_latents()
    inputs = sparse_inputs(64)
    relu.calibrate_(inputs)
    inputs[13] *= 1000  # its squared error outweighs all others
    optimiser = torch.optim.Adam(relu.parameters())
    for _ in range(5):
        relu.loss(sparse_inputs(64)).error.sum().backward()
        optimiser.step()
    revive_dead_(relu, inputs, optimiser, seeded(3))
    assert not relu.dead.any()
    worst = inputs[13] / relu.scale[0] - relu.decoder_bias[0]
    assert_close(relu.directions[0, 0], worst / worst.norm())
    average = optimiser.state[relu.encoder]["exp_avg"]
    assert (average[:, :8] == 0).all()
    assert (average[:, 8:] != 0).any()
    before = relu.directions.clone()
    revive_dead_(relu, inputs, optimiser, seeded(3))
    assert torch.equal(relu.directions, before)


# --- stopping and going on ----------------------------------------------------------------------


class _StopError(KeyboardInterrupt):
    pass


def kinds():
    relu = lambda: ReluSAE(2, 12, 16, generator=seeded(2), dead_after=3)  # noqa: E731
    batch = lambda: BatchTopKSAE(2, 12, 16, generator=seeded(2), k=2)  # noqa: E731
    shift = lambda: ShiftAutoencoder(2, 12, 12, generator=seeded(2))  # noqa: E731
    return {
        "relu": (relu, Penalty(0.3)),
        "batch": (batch, Penalty()),
        "shift": (shift, Constraint(0.1)),
    }


@pytest.mark.parametrize("name", ["relu", "batch", "shift"])
@pytest.mark.parametrize("stop", [7, 18, 23])  # 23 falls into the resampling after step 20
def test_a_killed_run_goes_on_bit_for_bit(name, stop, tmp_path):
    build, sparsity = kinds()[name]
    inputs = sparse_inputs()
    resample_every = 0 if name == "shift" else 10
    config = replace(SHORT, checkpoint_every=5, resample_every=resample_every)

    def batches(size, g):
        nonlocal count
        count += 1
        if count == stop:
            raise _StopError
        return inputs[torch.randint(len(inputs), (size,), generator=g)]

    count = 1000
    whole = build()
    history = fit(whole, batches, sparsity, config, generator=seeded(3))
    count, killed, path = 0, build(), tmp_path / "half.safetensors"
    with pytest.raises(_StopError):
        fit(killed, batches, sparsity, config, generator=seeded(3), checkpoint=path)
    count, resumed = 1000, build()
    again = fit(resumed, batches, sparsity, config, generator=seeded(3), checkpoint=path)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)
    assert again.step == history.step
    for series in ("error", "sparsity", "level", "multiplier", "dead"):
        assert_close(again.series(series), history.series(series), rtol=0, atol=0)


def test_a_checkpoint_survives_a_crash_too(tmp_path):
    """Not an interrupt: nothing is saved on the way out, the last checkpoint must do."""
    build, sparsity = kinds()["relu"]
    inputs, path = sparse_inputs(), tmp_path / "half.safetensors"

    def crash(history):
        if history.step[-1] == 25:
            raise RuntimeError("power cut")

    whole = build()
    fit(whole, inputs, sparsity, SHORT, generator=seeded(3))
    with pytest.raises(RuntimeError, match="power cut"):
        fit(build(), inputs, sparsity, SHORT, generator=seeded(3), checkpoint=path, on_record=crash)
    resumed = build()
    fit(resumed, inputs, sparsity, SHORT, generator=seeded(3), checkpoint=path)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    build, sparsity = kinds()["relu"]
    path = tmp_path / "half.safetensors"
    fit(build(), sparse_inputs(), sparsity, SHORT, generator=seeded(3), checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another training"):
        fit(build(), sparse_inputs(), Penalty(0.4), SHORT, generator=seeded(3), checkpoint=path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a complete file"):
        fit(build(), sparse_inputs(), sparsity, SHORT, generator=seeded(3), checkpoint=path)


def test_a_checkpoint_of_other_data_or_of_another_setting_is_refused(tmp_path):
    path = tmp_path / "half.safetensors"

    def go_on(inputs, k=2, prefixes=(4, 8)):
        sae = MatryoshkaSAE(2, 12, 16, generator=seeded(2), k=k, prefixes=prefixes)
        fit(sae, inputs, Penalty(), SHORT, generator=seeded(3), checkpoint=path)

    go_on(sparse_inputs())
    go_on(sparse_inputs())
    for other in ({"k": 3}, {"prefixes": (4, 9)}):
        with pytest.raises(ValueError, match="belongs to another training"):
            go_on(sparse_inputs(), **other)
    with pytest.raises(ValueError, match="differs in inputs"):
        go_on(sparse_inputs(seed=8))


def test_a_checkpoint_of_another_seed_is_refused(tmp_path):
    build, sparsity = kinds()["relu"]
    path, inputs = tmp_path / "half.safetensors", sparse_inputs()
    fit(build(), inputs, sparsity, SHORT, generator=seeded(3), checkpoint=path)
    with pytest.raises(ValueError, match="differs in state of the generator"):
        fit(build(), inputs, sparsity, SHORT, generator=seeded(4), checkpoint=path)
    other = ReluSAE(2, 12, 16, generator=seeded(9), dead_after=3)
    with pytest.raises(ValueError, match="differs in initial weights"):
        fit(other, inputs, sparsity, SHORT, generator=seeded(3), checkpoint=path)
    turned = inputs @ FEATURES
    with pytest.raises(ValueError, match="differs in inputs"):
        fit(build(), turned, sparsity, SHORT, generator=seeded(3), checkpoint=path)


def test_a_finished_training_gives_its_history_again(tmp_path):
    build, sparsity = kinds()["shift"]
    path, config, seen = tmp_path / "done.safetensors", replace(SHORT, checkpoint_every=1000), []
    inputs, first, second = sparse_inputs(), build(), build()
    told = fit(first, inputs, sparsity, config, generator=seeded(3), checkpoint=path)
    again = fit(
        second,
        inputs,
        sparsity,
        config,
        generator=seeded(3),
        checkpoint=path,
        on_record=lambda history: seen.append(history.step[-1]),
    )
    assert_close(second.state_dict(), first.state_dict(), rtol=0, atol=0)
    assert_close(again.series("error"), told.series("error"), rtol=0, atol=0)
    assert seen == [40]  # a plot that hangs there is drawn, though nothing is left to train


# --- bad input ----------------------------------------------------------------------------------


def train(inputs=None, sparsity=None, **settings):
    inputs = sparse_inputs(100) if inputs is None else inputs
    config = TrainingConfig(**{"steps": 10, "batch_size": 32} | settings)
    autoencoder = ReluSAE(2, 12, 16, generator=seeded(2))
    return fit(autoencoder, inputs, sparsity or Penalty(0.1), config, generator=seeded(3))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_a_row_that_is_not_finite_is_named(value):
    inputs = sparse_inputs(100)
    inputs[42, 3] = value
    inputs[77, 0] = value
    with pytest.raises(ValueError, match="row 42 is the first of 2 that are not"):
        train(inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        torch.ones(100, 11),
        torch.ones(2, 100, 11),
        torch.ones(12),
        torch.ones(1, 2, 100, 12),
        torch.ones(0, 12),
    ],
)
def test_inputs_of_another_shape_are_refused(inputs):
    with pytest.raises(
        ValueError, match=r"\[samples, 12\] .*; got shape .*Bring inputs of this width"
    ):
        train(inputs)
    with pytest.raises(ValueError, match=r"\[samples, 12\] .*; got shape"):
        evaluate(ReluSAE(2, 12, 16, generator=seeded()), inputs)


@pytest.mark.parametrize(
    "convert",
    [
        torch.Tensor.double,
        torch.Tensor.numpy,
        lambda inputs: inputs.double().numpy(),
        lambda inputs: inputs.clone().requires_grad_() * 1,
        lambda inputs: lambda size, g: inputs.double()[torch.randint(100, (2, size), generator=g)],
    ],
)
def test_numbers_of_other_types_train_as_in_float32(convert):
    inputs = sparse_inputs(100)
    drawn = lambda size, g: inputs[torch.randint(100, (2, size), generator=g)]  # noqa: E731
    wanted = train(drawn if callable(convert(inputs)) else inputs)
    assert_close(train(convert(inputs)).series("error"), wanted.series("error"))


def test_integers_and_narrow_floats_are_taken():
    train((10 * sparse_inputs(100)).int())
    train(sparse_inputs(100).half())


def test_settings_that_do_not_fit_each_other_say_why():
    with pytest.raises(ValueError, match="must not exceed the 100 training inputs; got 101"):
        train(batch_size=101)
    with pytest.raises(ValueError, match=r"one for each of the 2 runs; got 3"):
        train(sparsity=Penalty(torch.ones(3)))
    with pytest.raises(ValueError, match=r"each of the 2 runs; got shape \[3, "):
        train(sparse_inputs(100).expand(3, -1, -1))
    with pytest.raises(ValueError, match="ShiftAutoencoder has no dead latents to resample"):
        fit(
            ShiftAutoencoder(1, 12, 4, generator=seeded()),
            sparse_inputs(),
            Constraint(0.1),
            replace(SHORT, resample_every=10),
            generator=seeded(),
        )
    with pytest.raises(ValueError, match="must vary"):
        train(torch.ones(100, 12))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Constraint, {"level": torch.tensor([0.1, 0.0])}, "`level` must be above 0"),
        (Penalty, {"weight": -1.0}, "`weight` must be at least 0, .*; got -1"),
        (Penalty, {"weight": torch.nan}, "`weight` must be finite"),
        (Penalty, {"weight": 0.1, "warmup": 20.0}, "`warmup` must be a share of the steps"),
        (Constraint, {"level": 0.1, "ramp": -0.1}, "`ramp` must be a share of the steps"),
        (Constraint, {"level": 0.1, "start": 0.5}, "`start` must be at least 1; got 0.5"),
        (Constraint, {"level": 0.1, "dual_learning_rate": 0.0}, "`dual_learning_rate` must be ab"),
        (TrainingConfig, {"steps": 0}, "`steps` must be at least 1; got 0"),
        (TrainingConfig, {"resample_every": -1}, "`resample_every` must be at least 0; got -1"),
        (TrainingConfig, {"learning_rate": 0.0}, "`learning_rate` must be above 0; got 0.0"),
        (TrainingConfig, {"decay": 1.5}, "`decay` must be a share of the steps, 0 to 1; got 1.5"),
        (TrainingConfig, {"warmup": torch.nan}, "`warmup` must be a share .*; got nan"),
    ],
)
def test_settings_out_of_range_say_so(kind, settings, message):
    with pytest.raises(ValueError, match=message):
        kind(**settings)


def test_an_autoencoder_that_cannot_be_trained_says_why():
    relu = ReluSAE(2, 12, 16, generator=seeded(2))
    with torch.no_grad(), pytest.raises(ValueError, match="training needs a gradient"):
        fit(relu, sparse_inputs(), Penalty(), SHORT, generator=seeded())
    with pytest.raises(ValueError, match=r"in float32; its weights are torch\.float64"):
        fit(relu.double(), sparse_inputs(), Penalty(), SHORT, generator=seeded())
    relu.float().decoder.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"`decoder` must be finite.*weights: make it anew"):
        fit(relu, sparse_inputs(), Penalty(), SHORT, generator=seeded())


def test_divergence_names_the_step_and_the_runs():
    inputs = sparse_inputs(100)
    relu = ReluSAE(2, 12, 16, generator=seeded(2))

    def batches(size, g):
        if loss_calls == 3:
            relu.encoder.data[1, 0] = torch.inf
        return inputs[:size]

    loss_calls = 0
    config = TrainingConfig(steps=10, batch_size=32, record_every=1)

    def count(_history):
        nonlocal loss_calls
        loss_calls += 1

    with pytest.raises(FloatingPointError, match=r"diverged at step 3 in run\(s\) \[1\]"):
        fit(relu, batches, Penalty(0.1), config, generator=seeded(3), on_record=count)


def test_batches_that_are_not_finite_are_blamed_on_the_function():
    with pytest.raises(ValueError, match="inputs must be finite"):
        train(lambda size, g: torch.full((size, 12), torch.nan))


def test_a_run_whose_weights_are_not_finite_is_never_the_best():
    relu = ReluSAE(2, 12, 16, generator=seeded(2))
    relu.decoder.data[0] = torch.nan
    error = evaluate(relu, sparse_inputs()).error
    assert error.isfinite().tolist() == [False, True]
    assert Restarts(relu, error[None]).best_runs.tolist() == [1]


# --- huge inputs --------------------------------------------------------------------------------


def with_sinks():
    inputs = sparse_inputs()
    inputs[:10] = 100 * FEATURES[0]
    return inputs


def test_a_few_huge_inputs_are_named_and_can_be_left_out():
    inputs = with_sinks()
    with pytest.warns(
        UserWarning, match=r"10 huge inputs, row 0 the first.*inputs\[~training\.huge"
    ):
        train(inputs)
    assert huge(inputs).nonzero().flatten().tolist() == list(range(10))
    train(inputs[~huge(inputs)])


def test_ordinary_inputs_are_not_called_huge():
    heavy = torch.randn(2000, 12, generator=seeded()) * torch.randn(2000, 1, generator=seeded(1))
    lone = sparse_inputs()
    lone[0] *= 30 / lone[0].norm().clamp_min(1e-3) * lone.norm(dim=-1).median()  # long, but few
    for inputs in (sparse_inputs(), heavy, lone, torch.zeros(5, 12)):
        assert not huge(inputs).any()


# --- the multiplier -----------------------------------------------------------------------------


def test_the_multiplier_follows_its_formula():
    sparsity, expected, level, rate = torch.tensor([0.9, 0.05, 0.3]), torch.zeros(3), 0.2, 0.5
    weight = torch.nn.Parameter(torch.ones(3))
    problem = Problem(3, torch.device("cpu"))
    both = constrained(problem, torch.optim.SGD([weight], lr=0.0), rate)
    for factor in (1.0, 0.4, 0.1, 2.0):
        terms = LossTerms(weight * 1, weight * sparsity * factor)
        both.roll(compute_cmp_state_kwargs={"terms": terms, "level": torch.tensor(level)})
        expected = (expected + rate * (sparsity * factor / level - 1)).clamp_min(0)
        assert_close(problem.multiplier.weight.detach(), expected)
    assert expected.tolist() != [0, 0, 0]


def test_a_checkpoint_of_another_function_is_refused(tmp_path):
    def draw(n, generator):
        return torch.randn(n, 16, generator=generator)

    path = tmp_path / "run.safetensors"
    config = replace(SHORT, steps=10)
    build = lambda: ReluSAE(1, 16, 8, generator=seeded(2))  # noqa: E731
    fit(build(), draw, Penalty(), config, generator=seeded(3), checkpoint=path)
    fit(build(), draw, Penalty(), config, generator=seeded(3), checkpoint=path)
    other = lambda n, generator: 1 + draw(n, generator)  # noqa: E731
    with pytest.raises(ValueError, match="it differs in inputs"):
        fit(build(), other, Penalty(), config, generator=seeded(3), checkpoint=path)


@pytest.mark.parametrize("name", ["steps", "learning_rate", "warmup"])
def test_a_truth_value_is_no_setting(name):
    with pytest.raises((TypeError, ValueError), match=f"`{name}` must be"):
        TrainingConfig(**{name: True})


@pytest.mark.parametrize("gone", ["model.decoder", "adam.", "multiplier", "done"])
def test_a_checkpoint_that_lacks_something_is_of_another_version(gone, tmp_path):
    path = tmp_path / "run.safetensors"

    def train():
        made = ShiftAutoencoder(1, 6, 4, generator=torch.Generator().manual_seed(1))
        rule, data = Constraint(0.2), torch.randn(40, 6, generator=torch.Generator().manual_seed(2))
        fit(made, data, rule, TrainingConfig(steps=3, batch_size=8), generator=torch.Generator().manual_seed(3), checkpoint=path)  # fmt: skip

    train()
    tensors, told = storage.load_tensors(path)
    kept = {name: values for name, values in tensors.items() if not name.startswith(gone)}
    storage.save_tensors(path, kept, {key: value for key, value in told.items() if key != gone})
    with pytest.raises(ValueError, match="no checkpoint of this version"):
        train()
