"""Every token of a text: states, losses, edits, direct logits; and a Llama without training."""

import pytest
import torch
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from ssae_kit.llama import (
    Apply,
    Llama,
    Site,
    direct_logits,
    hidden_states,
    next_token_log_probs,
    run,
    text_losses,
    token_states,
)
from ssae_kit.llama.create import create_llama, create_tokenizer, save_llama, untrained

TEXTS = ["the king saw a hat .", "the queen found", "the small king found a large book ."]


@pytest.fixture(scope="module")
def llama():
    words = sorted({word for text in TEXTS for word in text.split()})
    tokenizer = create_tokenizer(words, r"\w+|\.")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    return Llama("tiny", model, tokenizer)


def ids_of(llama, text):
    return torch.tensor([llama.tokenizer(text)["input_ids"]])


@pytest.mark.parametrize("part", ["block", "mlp"])
def test_the_last_token_of_each_text_has_the_state_that_hidden_states_gives(llama, part):
    found = token_states(llama, TEXTS, 2, part=part, tokens_per_batch=12)
    last = [int((found.text == i).nonzero().max()) for i in range(len(TEXTS))]
    assert_close(found.states[last], hidden_states(llama, TEXTS, 2, part=part))
    assert found.ids.tolist() == [i for t in TEXTS for i in llama.tokenizer(t)["input_ids"][1:]]


def test_the_mlp_is_what_it_adds_to_the_residual_stream(llama):
    silent = {Site(2, "mlp"): Apply(torch.zeros_like)}
    without = hidden_states(llama, TEXTS, 2, edits=silent)
    with_it, mlp = hidden_states(llama, TEXTS, 2), hidden_states(llama, TEXTS, 2, part="mlp")
    assert_close(with_it - without, mlp)


@pytest.mark.parametrize(("layer", "part"), [(0, "mlp"), (1, "head"), (0, "attention"), (4, "mlp")])
def test_a_part_that_does_not_exist_is_refused(llama, layer, part):
    with pytest.raises(Exception, match=r"part|layer"):
        hidden_states(llama, TEXTS, layer, part=part)


def test_text_losses_are_those_of_transformers_without_the_first_word(llama):
    found = text_losses(llama, TEXTS, tokens_per_batch=12)
    for text, loss in zip(TEXTS, found, strict=True):
        ids = ids_of(llama, text)
        labels = ids.clone()
        labels[:, :2] = -100
        assert_close(loss, llama.model(ids, labels=labels).loss)
    with pytest.raises(ValueError, match=r"at least 3 tokens; texts\[0\] has 2"):
        text_losses(llama, ["the"])


def test_an_edit_that_changes_nothing_costs_nothing_and_zeros_cost_something(llama):
    plain = text_losses(llama, TEXTS)
    for part in ("block", "mlp"):
        idle = {Site(3, part): Apply(lambda states: states, at=slice(1, None))}
        assert torch.equal(text_losses(llama, TEXTS, edits=idle), plain)
        zeros = {Site(3, part): Apply(torch.zeros_like, at=slice(1, None))}
        assert not torch.allclose(text_losses(llama, TEXTS, edits=zeros), plain)
    assert torch.equal(text_losses(llama, TEXTS), plain)  # the hook is gone


def test_an_edit_starts_at_the_token_it_is_told(llama):
    zeros = {3: Apply(torch.zeros_like, at=slice(4, None))}
    plain, edited = (
        run(llama, TEXTS[:1], edits=edits, logits=True).logits for edits in (None, zeros)
    )
    assert torch.equal(plain[:, :4], edited[:, :4])
    assert edited[:, 4:].abs().max() == 0  # the norm and the unembedding of nothing


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_an_edit_starts_at_the_same_token_where_the_text_is_read_in_parts(llama, cut):
    row = ids_of(llama, TEXTS[0])[0].tolist()
    turned = {2: Apply(torch.neg, at=slice(4, None))}
    whole = run(llama, [row], edits=turned, logits=True).logits.log_softmax(-1)
    rest = next_token_log_probs(llama, [row[:cut]], torch.tensor([row[cut:]]), edits=turned)
    assert_close(rest, whole[:, cut - 1 : -1])


def test_an_edit_of_another_shape_is_an_error(llama):
    with pytest.raises(ValueError, match="must return the shape"):
        run(llama, TEXTS, keep=[2], edits={1: Apply(lambda states: states[:1, :2])})


def test_direct_logits_are_what_the_last_layer_adds_to_the_logits_up_to_its_size(llama):
    directions = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    found = direct_logits(llama, directions)
    for direction, logits in zip(directions, found, strict=True):
        alone = {3: Apply(lambda states, d=direction: d.expand_as(states))}
        alone = run(llama, TEXTS[:1], edits=alone, logits=True).logits[0, -1]
        size = direction.square().mean().add(llama.model.config.rms_norm_eps).sqrt()
        assert_close(logits / size, alone)


def test_an_untrained_llama_has_the_shape_and_other_weights(llama):
    before = torch.random.get_rng_state()
    one, same, other = untrained(llama, 1), untrained(llama, 1), untrained(llama, 2)
    assert torch.equal(torch.random.get_rng_state(), before)
    states = [hidden_states(m, TEXTS, 2) for m in (llama, one, same, other)]
    assert all(s.shape == states[0].shape for s in states)
    assert torch.equal(states[1], states[2])
    assert not torch.allclose(states[1], states[3])
    assert not torch.allclose(states[0], states[1])


def test_making_and_saving_a_llama_leaves_generators_and_the_model_as_they_were(
    llama, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda _seed: pytest.fail("GPU seeded"))
    before, config = torch.random.get_rng_state(), llama.model.config.to_dict()
    assert untrained(llama, 1).model.config is not llama.model.config
    create_llama(32, 1)
    save_llama(llama.model, llama.tokenizer, tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert llama.model.config.to_dict() == config
