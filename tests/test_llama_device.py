"""Reading, editing and writing on a GPU, pretended or real: nothing is left on the CPU, all is the same."""

import pytest
import torch
from torch.testing import assert_close

from ssae_kit import llama
from ssae_kit.llama import Add, Apply, Clamp, ProjectOut, Site, Swap, sampling
from tests.pretend import DEVICES, GpuGenerator, Pretend, moved, on

TEXTS = ["the queen in red was sad.", "this lady wept."]
IDS = torch.tensor([[200, 210, 220], [230, 240, 250]])
CLOSE = {"atol": 1e-4, "rtol": 1e-4}  # attention is summed in another order where no kernel fits


@pytest.fixture(scope="module", params=DEVICES)
def models(request):
    """The same weights on the CPU and on a GPU."""
    here, there = llama.load(device="cpu"), llama.load(device="cpu")
    with on(request.param):
        moved(there.model, request.param)
    return here, there


@pytest.fixture(autouse=True)
def _no_autocast_on_meta(monkeypatch):
    """torch 2.6 knows no autocast for "meta", and transformers asks about it in every pass."""
    asked = torch.is_autocast_enabled
    monkeypatch.setattr(
        torch, "is_autocast_enabled", lambda kind="cpu": kind != "meta" and asked(kind)
    )


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


BASIS = torch.linalg.qr(randn(128, 2)).Q.mT
READERS = {
    "hidden states": lambda m, e: llama.hidden_states(m, TEXTS, [2, 4], edits=e),
    "token states": lambda m, e: llama.token_states(m, TEXTS, 4, edits=e).states,
    "losses": lambda m, e: llama.text_losses(m, TEXTS, edits=e),
    "log-probabilities": lambda m, e: llama.next_token_log_probs(m, TEXTS, IDS, edits=e),
    "a pass": lambda m, e: llama.run(m, TEXTS, keep=[4], edits=e, logits=True).logits,
    "direct logits": lambda m, e: llama.direct_logits(m, randn(2, 128)),
}
EDITS = {
    "nothing": {},
    "add": {2: Add(randn(2, 128))},
    "add at places": {2: Add(randn(1, 128), at=torch.tensor([1, 2]))},
    "swap": {2: Swap(randn(2, 128), at=slice(1, None))},
    "swap in a subspace": {2: Swap(randn(2, 128), BASIS)},
    "clamp": {2: Clamp(randn(2, 2), BASIS, at="all")},
    "project out": {2: ProjectOut(randn(2, 128), at="all")},
    "a head": {Site(2, "head", 1): Apply(torch.zeros_like)},
}


def same(models, read):
    """Read on both, with fields on the CPU, then on the GPU."""
    here, there = models
    expected = read(here)
    with on(there.device.type):
        assert_close(read(there).cpu(), expected, **CLOSE)


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_gives_on_the_gpu_what_it_gives_on_the_cpu(models, reader):
    same(models, lambda model: READERS[reader](model, None))


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("reader", ["hidden states", "log-probabilities"])
def test_an_edit_goes_to_the_gpu(models, edit, reader):
    same(models, lambda model: READERS[reader](model, EDITS[edit]))


def test_an_edit_whose_rows_are_on_the_gpu_stays_there(models):
    here, there = models
    expected = llama.hidden_states(here, TEXTS, 4, edits=EDITS["add"])
    with on(there.device.type):
        far = {2: Add(randn(2, 128).to(there.device))}
        assert far[2].vectors.device.type == there.device.type
        assert_close(llama.hidden_states(there, TEXTS, 4, edits=far), expected, **CLOSE)


def test_texts_are_written_on_the_gpu(models, monkeypatch):
    if models[1].device.type != "meta":
        pytest.skip("a real GPU draws other random numbers than the CPU: see test_gpu.py")
    options = {"max_new_tokens": 6, "edits": {2: Add(5 * randn(2, 128), at="all")}}
    written = []
    monkeypatch.setattr(sampling.torch, "Generator", GpuGenerator)
    for model in models:
        with Pretend():
            stream = torch.Generator().manual_seed(1)
            written.append(llama.generate(model, TEXTS, generator=stream, **options))
    assert written[0] == written[1]


def test_a_vector_left_on_the_cpu_is_seen(models, monkeypatch):
    monkeypatch.setattr(Add, "change", lambda self, states: states + self.vectors[:, None])
    if models[1].device.type == "cpu":
        pytest.skip("on the CPU all is on one device")
    with on(models[1].device.type), pytest.raises(RuntimeError, match="same device"):
        llama.hidden_states(models[1], TEXTS, 4, edits=EDITS["add"])
