"""SAELens reads what we write, we read what SAELens writes, and the outputs agree."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from ssae_kit.autoencoders import (
    BatchTopKSAE,
    GatedSAE,
    JumpReluSAE,
    MatryoshkaSAE,
    ReluSAE,
    ShiftAutoencoder,
    TiedSAE,
    TopKSAE,
    load_saelens,
    save_saelens,
)
from ssae_kit.training import Penalty, TrainingConfig, fit

EXTRAS = {TopKSAE: {"k": 3}, BatchTopKSAE: {"k": 3}, MatryoshkaSAE: {"k": 3, "prefixes": [5]}}
KINDS = [ReluSAE, TiedSAE, GatedSAE, JumpReluSAE, TopKSAE, BatchTopKSAE, MatryoshkaSAE]
NEEDS_SAELENS = "needs SAELens: pip install 'ssae-kit[bench]'"


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


INPUTS = torch.randn(64, 6, generator=seeded(1)) * 3 + 2


def trained(kind):
    autoencoder = kind(2, 6, 10, generator=seeded(), **EXTRAS.get(kind, {}))
    config = TrainingConfig(steps=30, batch_size=32)
    fit(autoencoder, INPUTS, Penalty(0.01), config, generator=seeded(2))
    return autoencoder


@torch.no_grad()
def ours(autoencoder, run=0):
    codes = autoencoder.encode(INPUTS)
    return codes[run] * autoencoder.scale[run], autoencoder.decode(codes)[run]


@pytest.mark.parametrize("kind", KINDS)
def test_saelens_reads_ours_and_computes_the_same(kind, tmp_path):
    sae_lens = pytest.importorskip("sae_lens", reason=NEEDS_SAELENS)
    autoencoder = trained(kind)
    save_saelens(autoencoder, tmp_path, run=1)
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    with torch.no_grad():
        codes = theirs.encode(INPUTS)
        codes = codes.to_dense() if codes.is_sparse else codes
        found = codes, theirs.decode(codes)
    # Float32 sums in another order: a few units in the sixth digit.
    assert_close(found, ours(autoencoder, run=1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["Standard", "TopK", "Gated", "JumpReLU"])
@pytest.mark.parametrize("centred", [True, False])
def test_we_read_theirs_and_compute_the_same(name, centred, tmp_path):
    sae_lens = pytest.importorskip("sae_lens", reason=NEEDS_SAELENS)
    module = __import__(f"sae_lens.saes.{name.lower()}_sae", fromlist=["x"])
    config = getattr(module, f"{name}SAEConfig")
    extra = {"k": 3, "rescale_acts_by_decoder_norm": True} if name == "TopK" else {}
    theirs = getattr(module, f"{name}SAE")(
        config(d_in=6, d_sae=10, apply_b_dec_to_input=centred, **extra)
    )
    assert isinstance(theirs, sae_lens.SAE)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=seeded(3)))
        if name == "JumpReLU":
            theirs.threshold.abs_()
        theirs.fold_W_dec_norm()
        theirs.save_model(tmp_path)
        codes = theirs.encode(INPUTS)
        codes = codes.to_dense() if codes.is_sparse else codes
        wanted = codes, theirs.decode(codes)
    assert_close(ours(load_saelens(tmp_path)), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_trip_through_their_format_changes_nothing(kind, tmp_path):
    autoencoder = trained(kind)
    save_saelens(autoencoder, tmp_path)
    assert_close(ours(load_saelens(tmp_path)), ours(autoencoder), rtol=1e-4, atol=1e-4)


def test_decoders_that_are_not_unit_norm_are_rescaled(tmp_path):
    autoencoder = trained(ReluSAE)
    with torch.no_grad():
        autoencoder.decoder.mul_(3)  # as a foreign training may leave it
    save_saelens(autoencoder, tmp_path)
    loaded = load_saelens(tmp_path)
    assert_close(loaded.directions.norm(dim=-1), torch.ones(1, 10))
    assert_close(ours(loaded)[1], ours(autoencoder)[1], rtol=1e-4, atol=1e-4)


def test_half_precision_comes_back_with_unit_directions(tmp_path):
    autoencoder = trained(ReluSAE)
    with torch.no_grad():
        autoencoder.decoder.mul_(3)
    save_saelens(autoencoder, tmp_path)
    path = tmp_path / "sae_weights.safetensors"
    save_file({name: values.bfloat16() for name, values in load_file(path).items()}, path)
    assert_close(load_saelens(tmp_path).directions.norm(dim=-1), torch.ones(1, 10))


@pytest.mark.parametrize(
    ("kind", "name"), [(ReluSAE, "W_dec"), (GatedSAE, "r_mag"), (TopKSAE, "k")]
)
def test_what_is_missing_in_the_files_is_named(kind, name, tmp_path):
    save_saelens(trained(kind), tmp_path)
    path, config = tmp_path / "sae_weights.safetensors", tmp_path / "cfg.json"
    save_file({key: values for key, values in load_file(path).items() if key != name}, path)
    told = json.loads(config.read_text())
    config.write_text(json.dumps({key: value for key, value in told.items() if key != name}))
    with pytest.raises(ValueError, match=rf"not hold a complete autoencoder.* lacks \['{name}'\]"):
        load_saelens(tmp_path)


def change_config(folder, **changes):
    path = folder / "cfg.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_cannot_be_exchanged_says_why(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cfg\.json is missing"):
        load_saelens(tmp_path)
    save_saelens(trained(ReluSAE), tmp_path)
    change_config(tmp_path, architecture="temporal")
    with pytest.raises(ValueError, match="got 'temporal'"):
        load_saelens(tmp_path)
    change_config(tmp_path, architecture="standard", normalize_activations="layer_norm")
    with pytest.raises(ValueError, match='`normalize_activations` must be "none"'):
        load_saelens(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"short")
    with pytest.raises(ValueError, match="must be a complete autoencoder"):
        load_saelens(tmp_path)


def test_topk_with_long_directions_is_refused(tmp_path):
    topk = trained(TopKSAE)
    with torch.no_grad():
        topk.decoder.mul_(3)
    save_saelens(topk, tmp_path)
    with pytest.raises(ValueError, match="must have unit decoder directions"):
        load_saelens(tmp_path)


def test_a_shift_autoencoder_has_no_counterpart(tmp_path):
    with pytest.raises((TypeError, AttributeError), match="ShiftAutoencoder"):
        save_saelens(ShiftAutoencoder(1, 6, 10, generator=seeded()), tmp_path)


WEIGHTS = {
    "W_enc": torch.randn(6, 10, generator=seeded(5)),
    "W_dec": torch.nn.functional.normalize(torch.randn(10, 6, generator=seeded(6)), dim=1),
    "b_enc": torch.randn(10, generator=seeded(7)),
    "b_dec": torch.randn(6, generator=seeded(8)),
}


def write(folder, config=None, **weights):
    """A folder as SAELens of version 5 writes it, with some settings or weights changed."""
    usual = {"architecture": "standard", "d_in": 6, "d_sae": 10, "normalize_activations": "none"}
    save_file(WEIGHTS | weights, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(usual | (config or {})))


@pytest.mark.parametrize("name", ["activation_fn", "activation_fn_str"])
def test_a_topk_of_versions_3_to_5_is_read_as_topk(name, tmp_path):
    write(tmp_path, {name: "topk", "activation_fn_kwargs": {"k": 3}})
    loaded = load_saelens(tmp_path)
    before = ((INPUTS - WEIGHTS["b_dec"]) @ WEIGHTS["W_enc"] + WEIGHTS["b_enc"]).relu()
    kept = before * (before >= before.topk(3).values.amin(-1, keepdim=True))
    assert_close(loaded.encode(INPUTS)[0], kept, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        ({"activation_fn_str": "tanh-relu"}, {}, r"got \['tanh-relu'\]"),
        (
            {
                "activation_fn": "topk",
                "activation_fn_str": "relu",
                "activation_fn_kwargs": {"k": 3},
            },
            {},
            r"got \['relu', 'topk'\]",
        ),
        ({"activation_fn_str": "topk"}, {}, r"lacks \['k'\]"),
        ({"architecture": "topk", "k": 11}, {}, r"must lie in 1\.\.10"),
        ({"architecture": "topk", "k": "3"}, {}, "settings that do not fit"),
        ({}, {"scaling_factor": torch.ones(10)}, r"no use for \['scaling_factor'\]"),
        ({}, {"b_dec": torch.zeros(1, 6)}, r"`b_dec` must be of shape \[6\]"),
        ({}, {"W_dec": torch.zeros(6, 10)}, r"must be \[latents, d_model\]"),
        ({"d_sae": 9}, {}, r"must be \[latents, d_model\]"),
        ({"apply_b_dec_to_input": "false"}, {}, "must be true or false; got 'false'"),
        ({}, {"b_enc": torch.full((10,), torch.nan)}, "`b_enc` must be finite"),
    ],
)
def test_files_of_another_form_are_explained(config, weights, words, tmp_path):
    write(tmp_path, config, **weights)
    with pytest.raises(ValueError, match=words):
        load_saelens(tmp_path)


@pytest.mark.parametrize("text", ["[1]", "{", b"\xff\xfe"])
def test_a_config_that_is_no_json_object_is_explained(text, tmp_path):
    write(tmp_path)
    (tmp_path / "cfg.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"cfg\.json must"):
        load_saelens(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_written_so_that_it_is_read_back(kind, tmp_path):
    half = trained(kind).bfloat16()
    save_saelens(half, tmp_path)
    # Values are bfloat16's in both; TopK's directions are as long as rounding left them.
    found = load_saelens(tmp_path)
    assert_close(ours(found)[1], ours(half.float())[1], rtol=1e-3, atol=1e-3)


def test_a_save_that_is_killed_between_its_two_files_is_refused(tmp_path, monkeypatch):
    def killed(path):
        raise KeyboardInterrupt

    old, new = (TopKSAE(1, 6, 10, generator=seeded(), k=k) for k in (3, 5))
    save_saelens(old, tmp_path / "kept")
    with monkeypatch.context() as patch:
        patch.setattr("ssae_kit.autoencoders.published.replacing", killed)
        for folder in ("kept", "fresh"):
            with pytest.raises(KeyboardInterrupt):
                save_saelens(new, tmp_path / folder)
    with pytest.raises(ValueError, match=r"must be of one save.*'k': 5.*'k': 3"):
        load_saelens(tmp_path / "kept")
    with pytest.raises(FileNotFoundError, match=r"cfg\.json is missing"):
        load_saelens(tmp_path / "fresh")
    save_saelens(new, tmp_path / "kept")
    assert load_saelens(tmp_path / "kept").k == 5
