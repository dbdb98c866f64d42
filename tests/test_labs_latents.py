"""The Latent lab's own: what it says of a latent against the kit's numbers, search, clamping."""

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import autoencoders, llama
from ssae_kit.labs import LatentLab, TokenDictionary, latents, subjects
from ssae_kit.labs.latents import PICK, LatentSettings
from ssae_kit.labs.texts import linked, shaded
from tests import labs as small
from tests.labs import finished, plain

LAB = "LatentLab"


def test_figure_and_texts_show_the_kits_own_numbers(lab):
    dictionary = small.dictionary()
    latent = dictionary.clearest
    lab.set(latent=latent, search="", strength=2.0, seed=5)
    result = finished(lab)
    with torch.no_grad():
        codes = dictionary.autoencoder.encode(dictionary.tokens.states)[0, :, latent]
    torch.testing.assert_close(result.codes, codes)
    bars, promoted, near = lab.fig.data
    assert sum(bars.y) == int((codes > 0).sum())
    directions = dictionary.autoencoder.directions[0]
    raised = llama.direct_logits(dictionary.llama, directions[latent][None])[0]
    np.testing.assert_allclose(promoted.x, raised.topk(8).values)
    cosines = directions @ directions[latent]
    np.testing.assert_allclose(near.x, cosines.topk(9).values[1:], rtol=1e-5)
    words, strengths = result.texts[0]
    assert max(strengths) == pytest.approx(float(codes.max()))
    row = dictionary.tokens.text == dictionary.tokens.text[codes.argmax()]
    assert " ".join(words) in plain(lab.examples.value)
    assert len(words) == int(row.sum())


def test_the_clamped_texts_are_those_of_the_kits_clamp(lab):
    dictionary = small.dictionary()
    latent = dictionary.clearest
    lab.set(latent=latent, search="", strength=4.0, seed=5)
    result = finished(lab)
    value = 4.0 * float(dictionary.codes[:, latent].max())
    clamped = llama.Apply(
        lambda states: autoencoders.clamp(dictionary.autoencoder, states, latent, value)
    )
    written = llama.generate(
        dictionary.llama, [lab.controls["prompt"].value] * 2, max_new_tokens=6,
        generator=torch.Generator().manual_seed(5), temperature=0.5, edits={3: clamped},
    )  # fmt: skip
    assert result.clamped == written
    assert result.written != written


def test_a_dead_latent_is_called_dead_and_clamping_it_changes_nothing(lab):
    lab.set(latent=23, search="")
    result = finished(lab)
    assert result.clamped == result.written
    assert "dead" in lab.words_shown.text
    assert result.texts == []


def test_search_finds_the_latents_that_fire_most_on_the_words(lab):
    dictionary = small.dictionary()
    text = dictionary.texts[3]
    lab.set(search=f"  {text} ")
    result = finished(lab)
    tokens = llama.token_states(dictionary.llama, [text], 3)
    with torch.no_grad():
        codes = dictionary.autoencoder.encode(tokens.states)[0]
    first = int((codes.amax(0) - dictionary.codes.mean(0)).argmax())
    assert result.found[0][:2] == (first, pytest.approx(float(codes[:, first].max())))
    lab.found.value = lab.found.options[1]
    finished(lab)
    assert lab.settings().latent == first
    assert lab.found.value == lab.found.options[1]  # what was picked stays picked


def test_words_that_the_model_does_not_know_are_explained(lab):
    lab.controls["search"].value = "zzz"
    lab.wait()
    assert "knows no word of 'zzz'" in lab.words_shown.text == lab.error
    lab.controls["search"].value = ""
    finished(lab)
    assert lab.found.options == (PICK,)


def test_without_a_dictionary_it_trains_one_and_shows_its_clearest_latent(short, monkeypatch):
    monkeypatch.setattr(subjects, "STEPS", 2)
    monkeypatch.setattr(subjects, "BATCH", 16)
    lab = LatentLab()
    assert not lab.given  # is shown at once, and trains when it is seen
    assert [len(trace.y) for trace in lab.fig.data] == [30, 1, 1]
    lab.start()
    finished(lab)
    assert lab.settings().latent == lab.given["dictionary"].clearest == lab.result.settings.latent
    assert "dictionary = labs.token_dictionary()\n" in lab.code()
    lab.close()


def test_a_latent_that_is_chosen_while_the_dictionary_trains_stays_chosen(short, monkeypatch):
    dictionary, go_on = small.dictionary(), threading.Event()
    monkeypatch.setattr(latents, "token_dictionary", lambda: go_on.wait(60.0) and dictionary)
    lab = LatentLab()
    lab.start()
    lab.controls["latent"].value = 7
    go_on.set()
    assert finished(lab).settings.latent == lab.settings().latent == 7
    lab.close()


def test_a_dictionary_of_several_runs_is_refused():
    sae = autoencoders.TopKSAE(2, 4, 8, generator=torch.Generator(), k=2)
    with pytest.raises(ValueError, match=r"one run is required; got 2.*select"):
        TokenDictionary(small.subject().llama, 3, sae, ["the queen"])


def test_codes_with_signs_are_refused():
    model = small.subject().llama
    signed = autoencoders.ShiftAutoencoder(1, model.d_model, 4, generator=torch.Generator())
    with pytest.raises(ValueError, match=r"codes of 0 or more are required; got -"):
        TokenDictionary(model, 3, signed, small.dictionary().texts[:3]).codes  # noqa: B018


@pytest.mark.parametrize("latent", [-1, 24])
def test_a_latent_that_does_not_exist_is_refused(latent):
    with pytest.raises(ValueError, match=rf"`latent` must lie in 0\.\.23; got {latent}"):
        latents.LatentOutcome.measure(small.dictionary(), LatentSettings("the queen", latent))


def test_a_narrow_dictionary_can_be_searched():
    model = small.subject().llama
    sae = autoencoders.TopKSAE(1, model.d_model, 4, generator=torch.Generator(), k=2)
    texts = small.dictionary().texts[:3]
    dictionary = TokenDictionary(model, 3, sae, texts)
    assert 0 < len(dictionary.search(texts[0])) <= 4


def test_words_of_the_figure_are_linked_as_whole_words_and_never_inside_tags():
    text = "<mark style='x'>l'ami</mark> ran &lt;b&gt; <b>mark</b> b"
    one = "<span class='ssae-word' tabindex='0'>{}</span>".format
    want = f"<mark style='x'>l'ami</mark> ran &lt;{one('b')}&gt; <b>{one('mark')}</b> {one('b')}"
    assert linked(text, ["mark", "b", "style", "am", " "]) == want
    assert linked(text, [""]) == text


def test_tokens_are_shaded_by_their_codes_and_the_strongest_stands_out():
    text = shaded(["<s>", "king", "ran"], [0.0, 1.0, 2.0], 2.0)
    assert text.startswith("&lt;s&gt; <mark")
    assert text.count("<mark") == 2
    assert "0.60)' title='2.00' data-code='2' tabindex='0'><b>ran</b></mark>" in text
    assert plain(text) == "<s> king ran"


@small.randomly
@given(st.integers(0, 23), st.integers(0, 16).map(lambda n: n / 4), st.integers(0, 999))
def test_random_settings_are_what_is_computed(lab, latent, strength, seed):
    lab.set(latent=latent, strength=strength, seed=seed, search="")
    result = finished(lab)
    assert result.settings == lab.settings()
    assert (result.settings.latent, result.settings.strength) == (latent, strength)
    assert lab.words_shown.text == result.words()
    assert len(result.clamped) == len(result.written) == latents.N_TEXTS
