"""Vectors on disk come back as they were, for their model and layer only, and need no kit."""

from pathlib import Path

import pytest
import torch

from ssae_kit import llama, steering
from ssae_kit.metrics import Matching
from ssae_kit.storage import DATA, save_tensors
from tests.test_readme import blocks

DRAW = torch.Generator().manual_seed(0)
CONCEPTS = ("tense", "number")


@pytest.fixture(scope="module")
def model():
    return llama.load()


@pytest.fixture(scope="module")
def vectors():
    matching = Matching(torch.tensor([[0.9, 0.8]]), torch.tensor([[3, 1]]), torch.ones(1, 2))
    return steering.Vectors(3, CONCEPTS, torch.randn(2, 128, generator=DRAW), matching)


@pytest.fixture
def path(tmp_path, model, vectors):
    steering.save_vectors(tmp_path / "v.safetensors", vectors, model, strength=2.0, card="a card")
    return tmp_path / "v.safetensors"


def test_they_come_back_exactly_as_they_were(path, model, vectors):
    found = steering.load_vectors(path, model, layer=3)
    assert (found.layer, found.concepts) == (vectors.layer, vectors.concepts)
    assert torch.equal(found.directions, vectors.directions)
    for name in ("per_concept", "latent", "sign"):
        assert torch.equal(getattr(found.matching, name), getattr(vectors.matching, name))


def test_the_type_that_the_model_computes_in_does_not_matter(path):
    steering.load_vectors(path, llama.load(dtype=torch.bfloat16))


@pytest.mark.parametrize("other", ["llama_tiny/seed1", "untrained"])
def test_another_model_is_refused_in_words(path, model, other):
    one = llama.untrained(model, seed=0) if other == "untrained" else llama.load(other)
    with pytest.raises(ValueError, match=r"are for llama_tiny, layer 3; .* has other weights"):
        steering.load_vectors(path, one)


def test_another_layer_is_refused_in_words(path, model):
    with pytest.raises(ValueError, match="are for layer 3; got `layer` 4"):
        steering.load_vectors(path, model, layer=4)


def test_another_file_is_refused_in_words(tmp_path, model):
    save_tensors(tmp_path / "other", {"x": torch.zeros(1)}, {"format": "states"})
    with pytest.raises(ValueError, match="must hold vectors of `save_vectors`"):
        steering.load_vectors(tmp_path / "other", model)


def test_vectors_of_another_width_are_not_saved(tmp_path, model, vectors):
    narrow = steering.Vectors(3, CONCEPTS, vectors.directions[:, :64], vectors.matching)
    with pytest.raises(ValueError, match="must be 128 wide"):
        steering.save_vectors(tmp_path / "v", narrow, model)


def test_the_readmes_snippet_steers_with_nothing_of_ours_as_the_kit_does(path, model, vectors):
    *_, snippet = blocks("python")
    assert "ssae_kit" not in snippet
    folder = Path(DATA) / "llama_tiny" / "seed2"
    for written, meant in (("vectors.safetensors", path), ("folder/of/the/model", folder)):
        assert snippet.count(written) == 1
        snippet = snippet.replace(written, str(meant))
    # The hook stays on, to compare; and the model computes in the kit's type.
    snippet = snippet.replace("hook.remove()", "").replace(
        "(MODEL)\nblock", "(MODEL).float()\nblock"
    )
    names = {}
    exec(compile(snippet, "README.md", "exec"), names)
    texts = ["the kind king sees a castle"]
    ids = torch.tensor([model.tokenizer(texts[0])["input_ids"]])
    with torch.no_grad():
        found = names["model"](ids).logits
    push = {3: llama.Add(2 * vectors["tense"], at="all")}
    plain, pushed = (
        llama.run(model, texts, edits=edits, logits=True).logits.cpu() for edits in (None, push)
    )
    torch.testing.assert_close(found, pushed, rtol=1e-4, atol=1e-4)  # a GPU sums in another order
    assert not torch.allclose(found, plain)
