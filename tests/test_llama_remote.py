"""A nudge sent through nnsight does what the kit's own hook does."""

import sys

import pytest
import torch

from ssae_kit import llama, world
from ssae_kit.llama import Intervention, intervene
from ssae_kit.llama.remote import generate_elsewhere

N_NEW = 12


@pytest.fixture(scope="module")
def model():
    return llama.load()


@pytest.fixture(scope="module")
def prompts():
    return world.prompts(8, torch.Generator().manual_seed(0))[0]


def nudge(model, n_texts, layer=3, at="last"):
    """A push twice as long as a hidden state: far longer ones give one text in every layer."""
    vectors = 15 * torch.randn(n_texts, model.d_model, generator=torch.Generator().manual_seed(1))
    return Intervention(layer, vectors, at)


def by_hook(model, prompts, intervention):
    """What the hook gives, greedily, one text at a time."""
    texts = []
    for i, prompt in enumerate(prompts):
        inputs = model.tokenizer(prompt, return_tensors="pt")["input_ids"]
        with intervene(model, intervention.rows(i, i + 1)):
            out = model.model.generate(inputs, max_new_tokens=N_NEW, do_sample=False)
        texts.append(model.tokenizer.decode(out[0, inputs.shape[1] :], skip_special_tokens=True))
    return [text.strip() for text in texts]


def test_a_nudge_through_nnsight_is_the_hooks_nudge(model, prompts):
    pytest.importorskip("nnsight")
    intervention = nudge(model, len(prompts))
    told = generate_elsewhere(model, prompts, max_new_tokens=N_NEW, intervention=intervention)
    assert told == by_hook(model, prompts, intervention)
    assert told != by_hook(model, prompts, nudge(model, len(prompts), layer=4))
    assert told != generate_elsewhere(model, prompts, max_new_tokens=N_NEW)


@pytest.mark.parametrize(
    ("layer", "at", "n_vectors", "words"),
    [(3, "all", 8, "at='last'"), (7, "last", 8, "1..6"), (3, "last", 2, "one vector per prompt")],
)
def test_what_cannot_be_sent_is_refused(model, prompts, layer, at, n_vectors, words):
    pytest.importorskip("nnsight")
    intervention = nudge(model, n_vectors, layer, at)
    with pytest.raises(ValueError, match=words):
        generate_elsewhere(model, prompts, max_new_tokens=2, intervention=intervention)


def test_without_nnsight_the_error_says_what_to_install(model, prompts, monkeypatch):
    monkeypatch.setitem(sys.modules, "nnsight", None)
    with pytest.raises(ImportError, match=r"\.\[remote\]"):
        generate_elsewhere(model, prompts, max_new_tokens=2)
