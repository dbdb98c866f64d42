"""Folders of dictionary_learning and sparsify are read as what their own libraries compute."""

import json

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ssae_kit.autoencoders import TopKSAE, load_published, load_saelens, save_saelens

D, N = 6, 10


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed):
    return torch.randn(shape, generator=seeded(seed))


X = drawn(40, D, seed=0) * 2 + 1
ENC, DEC = drawn(N, D, seed=1), torch.nn.functional.normalize(drawn(D, N, seed=2), dim=0)
B_ENC, B_DEC = drawn(N, seed=3), drawn(D, seed=4)
LINEAR = {"encoder.weight": ENC, "encoder.bias": B_ENC, "decoder.weight": DEC}
MATRICES = {"W_enc": ENC.T.contiguous(), "b_enc": B_ENC, "W_dec": DEC.T.contiguous()}
K = {"k": torch.tensor(3, dtype=torch.int), "threshold": torch.tensor(0.7)}
SCORES = (X - B_DEC) @ ENC.T + B_ENC  # before the activation, input centred


def top(codes, k=3):
    codes = codes.relu()
    return codes * (codes >= codes.topk(k).values.amin(-1, keepdim=True))


def above(codes, threshold):
    return codes.relu() * (codes > threshold)


def gated():
    gate = (X - B_DEC) @ ENC.T
    return (gate + B_ENC > 0) * (0.3 * gate + 0.2).relu()


GATES = {
    "r_mag": torch.full((N,), 0.3).log(), "gate_bias": B_ENC, "mag_bias": torch.full((N,), 0.2),
}  # fmt: skip
DICTIONARIES = {
    "AutoEncoder": (LINEAR | {"bias": B_DEC}, SCORES.relu()),
    "AutoEncoderNew": (LINEAR | {"decoder.bias": B_DEC}, (X @ ENC.T + B_ENC).relu()),
    "GatedAutoEncoder": (
        {"encoder.weight": ENC, "decoder.weight": DEC, "decoder_bias": B_DEC} | GATES, gated(),
    ),
    "JumpReluAutoEncoder": (
        MATRICES | {"b_dec": B_DEC, "threshold": torch.full((N,), 0.4)},
        above(X @ ENC.T + B_ENC, 0.4),
    ),
    "AutoEncoderTopK": (LINEAR | {"b_dec": B_DEC} | K, top(SCORES)),
    "BatchTopKSAE": (LINEAR | {"b_dec": B_DEC} | K, above(SCORES, 0.7)),
    "MatryoshkaBatchTopKSAE": (
        MATRICES | {"b_dec": B_DEC, "group_sizes": torch.tensor([4, 6])} | K, above(SCORES, 0.7),
    ),
}  # fmt: skip


def write(folder, name, state):
    (folder / "config.json").write_text(json.dumps({"trainer": {"dict_class": name}}))
    torch.save(state, folder / "ae.pt")


@pytest.mark.parametrize("name", DICTIONARIES)
def test_a_dictionary_of_dictionary_learning_computes_the_same(name, tmp_path):
    state, codes = DICTIONARIES[name]
    write(tmp_path, name, state)
    loaded = load_published(tmp_path)
    # Float32 sums in another order: a few units in the sixth digit.
    assert_close(loaded.encode(X)[0], codes, rtol=1e-4, atol=1e-4)
    assert_close(loaded.decode(loaded.encode(X))[0], codes @ DEC.T + B_DEC, rtol=1e-4, atol=1e-4)


def sparsify(folder, **config):
    weights = {"encoder.weight": ENC, "encoder.bias": B_ENC, "W_dec": DEC.T.contiguous()}
    save_file(weights | {"b_dec": B_DEC}, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 3, "d_in": D} | config))


def test_an_autoencoder_of_sparsify_computes_the_same(tmp_path):
    sparsify(tmp_path)
    assert_close(load_published(tmp_path).encode(X)[0], top(SCORES), rtol=1e-4, atol=1e-4)


def test_a_folder_of_saelens_is_recognised(tmp_path):
    save_saelens(TopKSAE(1, D, N, generator=seeded(), k=3), tmp_path)
    assert_close(load_published(tmp_path).encode(X), load_saelens(tmp_path).encode(X))


class Whole:
    """What a pickled object does when it is read: here, nothing good."""

    def __reduce__(self):
        return (print, ("code was run",))


def test_a_file_that_is_no_pickle_at_all_is_refused(tmp_path):
    write(tmp_path, "AutoEncoder", {})
    (tmp_path / "ae.pt").write_bytes(b"abc")
    with pytest.raises(ValueError, match="must be a dictionary of tensors"):
        load_published(tmp_path)


@pytest.mark.parametrize("spoil", [torch.Tensor.to_sparse, lambda w: w + 1j])
def test_weights_that_are_not_dense_and_real_are_refused(spoil, tmp_path):
    write(tmp_path, "AutoEncoder", LINEAR | {"bias": spoil(B_DEC)})
    with pytest.raises(TypeError, match="`b_dec` must hold real numbers, dense"):
        load_published(tmp_path)


def test_a_file_with_code_is_refused_and_the_code_is_not_run(tmp_path, capsys):
    write(tmp_path, "AutoEncoder", Whole())
    with pytest.raises(ValueError, match=r"convert it once: torch\.save"):
        load_published(tmp_path)
    assert "code was run" not in capsys.readouterr().out


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("CrossCoder", {}, "got 'CrossCoder'"),
        (["AutoEncoder"], {}, r"got \"\['AutoEncoder'\]"),
        ("AutoEncoderTopK", {"k": torch.tensor(0)}, "got 0"),
        ("BatchTopKSAE", {"threshold": torch.tensor(-1.0)}, "never set"),
        ("AutoEncoderTopK", {"b_dec": torch.zeros(D + 1)}, r"`b_dec` must be of shape \[6\]"),
        ("AutoEncoderTopK", {"decoder.weight": 2 * DEC}, "unit decoder directions"),
        ("AutoEncoderTopK", {"extra": torch.zeros(1)}, r"no use for \['extra'\]"),
        ("AutoEncoderTopK", {"k": torch.tensor([3, 4])}, r"whole number .* got \[3, 4\]"),
        ("AutoEncoderTopK", {"decoder.weight": DEC.flatten()}, "must be of shape"),
        ("AutoEncoderTopK", {7: torch.zeros(1)}, "a dictionary of tensors"),
    ],
)
def test_what_cannot_be_read_says_why(name, change, words, tmp_path):
    write(tmp_path, name, LINEAR | {"b_dec": B_DEC} | K | change)
    with pytest.raises(ValueError, match=words):
        load_published(tmp_path)


@pytest.mark.parametrize("setting", ["transcode", "skip_connection", "signed"])
def test_what_is_no_plain_topk_of_sparsify_is_refused(setting, tmp_path):
    sparsify(tmp_path, **{setting: True})
    with pytest.raises(ValueError, match=setting):
        load_published(tmp_path)


@pytest.mark.parametrize("size", [{"d_in": 7}, {"num_latents": 9}])
def test_sizes_that_the_settings_of_sparsify_tell_are_compared(size, tmp_path):
    sparsify(tmp_path, num_latents=0)  # their default: the width is told otherwise
    load_published(tmp_path)
    sparsify(tmp_path, **size)
    with pytest.raises(ValueError, match=r"must be \[latents, d_model\]"):
        load_published(tmp_path)


def test_a_folder_of_something_else_says_what_is_there(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(FileNotFoundError, match=r"found: \['notes\.txt'\]"):
        load_published(tmp_path)
