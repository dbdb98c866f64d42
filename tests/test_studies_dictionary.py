"""The dictionary that is shipped: small, as its card says, and better than random directions."""

import json

import pytest
import torch

from ssae_kit import autoencoders, labs, llama
from ssae_kit.storage import DATA
from ssae_kit.studies import dictionary

FOLDER = DATA / "dictionary"
TEXTS = [
    "My brother took the old horse to the market and sold it for twelve silver coins.",
    "When the rain stopped, the children ran down to the river to look for their boat.",
    "The king was angry with his son, because he had not kept the promise he gave.",
]


@pytest.fixture(scope="module")
def card():
    return json.loads((FOLDER / "card.json").read_text("utf-8"))


def test_it_is_small_and_has_the_shape_that_is_told():
    assert (FOLDER / "smollm2_15.safetensors").stat().st_size < 8 * 2**20
    sae = dictionary.shipped()
    assert (sae.n_runs, sae.d_model, sae.n_latents, sae.k) == (1, 576, 2048, 32)


def test_it_is_better_than_its_control_by_each_measure(card):
    own, random = card["dictionary"], card["random directions"]
    loss = card["loss in nats per token"]
    assert own["l0"] <= 32
    assert own["fvu"] < random["fvu"]
    assert loss["clean"] <= loss["dictionary"] < loss["random directions"]
    blank = card["untrained model"]
    assert blank["dictionary"]["fvu"] < blank["random directions"]["fvu"]


def test_the_card_tells_the_same_numbers_as_the_file_and_names_the_licence(card):
    text = (FOLDER / "CARD.md").read_text("utf-8")
    for number in (
        kind["fvu"]
        for told in (card, card["untrained model"])
        for kind in (told["dictionary"], told["random directions"])
    ):
        assert f"{number:.3f}" in text
    for loss in card["loss in nats per token"].values():
        assert f"{loss:.2f}" in text
    assert "public domain" in text


def test_it_explains_other_english_of_the_real_llama(smollm2):
    states = llama.token_states(smollm2, TEXTS, dictionary.LAYER).states
    own = dictionary.measure(dictionary.shipped(), states)
    random = dictionary.measure(dictionary.before_training(states), states)
    assert own["fvu"] < 0.8 * random["fvu"]


def test_it_goes_to_saelens_and_comes_back(tmp_path):
    sae = dictionary.shipped()
    autoencoders.save_saelens(sae, tmp_path)
    back = autoencoders.load_saelens(tmp_path)
    states = torch.randn(8, 576, generator=torch.Generator().manual_seed(0)) * sae.scale[0]
    there, here = (autoencoders.reconstruct(one, states) for one in (back, sae))
    torch.testing.assert_close(there, here, rtol=1e-4, atol=1e-3)  # the scale is worked in


@torch.no_grad()
def test_saelens_itself_reads_it_and_computes_the_same(tmp_path):
    reason = "needs SAELens: pip install 'ssae-kit[bench]'"
    sae_lens = pytest.importorskip("sae_lens", reason=reason)
    sae = dictionary.shipped()
    autoencoders.save_saelens(sae, tmp_path)
    theirs = sae_lens.SAE.load_from_disk(tmp_path)
    states = torch.randn(8, 576, generator=torch.Generator().manual_seed(0)) * sae.scale[0]
    codes = theirs.encode(states)
    found = theirs.decode(codes), codes.to_dense() if codes.is_sparse else codes
    wanted = autoencoders.reconstruct(sae, states), sae.encode(states)[0] * sae.scale[0]
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)  # the scale is worked in


def test_the_latent_lab_takes_it(smollm2):
    made = labs.real_dictionary(TEXTS)
    assert made.codes.shape[1] == 2048
    assert len(made.search("The angry king")) > 0


def test_states_are_kept_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(dictionary, "LAYER", 2)
    small = llama.load()
    found = dictionary.states_of(small, ["the king", "the queen sees"], tmp_path)
    monkeypatch.setattr(llama, "token_states", None)
    assert torch.equal(dictionary.states_of(small, ["the king", "the queen sees"], tmp_path), found)


def test_the_measures_of_a_perfect_dictionary_are_known():
    sae = dictionary.before_training(torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        sae.decoder.zero_()[0, :, :8] = torch.cat([torch.eye(4), -torch.eye(4)], 1)
        sae.encoder.copy_(sae.decoder.mT)
    told = dictionary.measure(sae, torch.randn(50, 4, generator=torch.Generator().manual_seed(1)))
    assert told["fvu"] < 1e-10
    assert told["l0"] == pytest.approx(4)
    assert told["silent"] == pytest.approx(1 - 8 / dictionary.N_LATENTS)
