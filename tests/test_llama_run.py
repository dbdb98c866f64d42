"""The one door: sites, edits, gradients, and what another transformers calls things."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ssae_kit import llama
from ssae_kit.llama import Add, Apply, Clamp, ProjectOut, Site, Swap, run

TEXTS = ["the queen in red was sad.", "this lady wept.", "the queen in blue was sad and wept."]


@pytest.fixture(scope="module")
def model():
    return llama.load(device="cpu")


def randn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_a_pass_keeps_the_order_of_its_texts_however_it_is_cut(model):
    sites = [Site(2), Site(3, "mlp"), Site(3, "attention"), Site(3, "head", 1)]
    whole = run(model, TEXTS, keep=sites, logits=True)
    cut = run(model, TEXTS, keep=sites, logits=True, tokens_per_batch=8)
    for site in sites:
        # Other batch shapes round differently.
        assert_close(cut.at_last(site), whole.at_last(site), atol=1e-4, rtol=1e-4)
    assert_close(cut.logits[cut.is_token], whole.logits[whole.is_token], atol=1e-3, rtol=1e-3)
    assert_close(
        whole.at_last(2), llama.hidden_states(model, TEXTS, np.int64(2)), atol=1e-4, rtol=1e-4
    )


def test_the_parts_of_a_block_add_up_to_it(model):
    kept = run(model, TEXTS, keep=[2, Site(3, "attention"), Site(3, "mlp"), 3])
    parts = kept[2] + kept[Site(3, "attention")] + kept[Site(3, "mlp")]
    assert_close(parts[kept.is_token], kept[3][kept.is_token], atol=1e-4, rtol=1e-4)


def test_a_head_without_output_takes_its_share_of_the_attention(model):
    site, width = Site(3, "head", 2), 16
    kept = run(model, TEXTS, keep=[site, Site(3, "attention")])
    without = run(model, TEXTS, keep=[Site(3, "attention")], edits={site: Apply(torch.zeros_like)})
    matrix = model.model.model.layers[2].self_attn.o_proj.weight[:, 2 * width : 3 * width]
    gap = (kept[Site(3, "attention")] - without[Site(3, "attention")])[kept.is_token]
    assert_close(gap, (kept[site] @ matrix.T)[kept.is_token], atol=1e-4, rtol=1e-4)


def test_an_edit_with_a_row_per_text_finds_its_text_in_a_reader_that_sorts(model):
    vectors = randn(3, 128)
    plain = llama.hidden_states(model, TEXTS, 3)
    moved = llama.hidden_states(model, TEXTS, 3, edits={3: Add(vectors)}, tokens_per_batch=8)
    assert_close(moved, plain + vectors, atol=1e-4, rtol=1e-4)


def test_edits_do_what_they_say_at_their_tokens(model):
    basis = torch.linalg.qr(randn(128, 3)).Q.mT
    sources = randn(3, 128)
    at = torch.tensor([2, 1, 0])
    plain = run(model, TEXTS, keep=[3])[3]
    rows = torch.arange(3)

    def after(edit):
        new = run(model, TEXTS, keep=[3], edits={3: edit})[3]
        changed = (new != plain).any(-1).nonzero().tolist()
        assert changed == [[0, 2], [1, 1], [2, 0]]
        return new[rows, at]

    close = {"atol": 1e-3, "rtol": 1e-3}
    assert_close(after(Swap(sources, at=at)), sources, **close)
    assert_close(after(Swap(sources, basis, at=at)) @ basis.mT, sources @ basis.mT, **close)
    assert_close(after(Clamp(torch.ones(1, 3), basis, at=at)) @ basis.mT, torch.ones(3, 3), **close)
    assert_close(after(ProjectOut(7 * basis, at=at)) @ basis.mT, torch.zeros(3, 3), **close)


def test_gradients_flow_to_an_edit(model):
    vectors = randn(3, 128).requires_grad_()
    run(model, TEXTS, edits={3: Add(vectors)}, logits=True).logits.sum().backward()
    assert vectors.grad.abs().sum(1).min() > 0


def test_a_vector_without_effect_and_an_edit_behind_all_that_is_read_are_errors(model):
    weak = torch.tensor([[1.0], [1e-30], [1.0]]).expand(3, 128)
    with pytest.raises(RuntimeError, match=r"changed nothing in the text\(s\) \[1\]"):
        run(model, TEXTS, keep=[4], edits={3: Add(weak)})
    with pytest.raises(ValueError, match="can change nothing"):
        run(model, TEXTS, keep=[2], edits={3: Add(torch.ones(1, 128))})
    with pytest.raises(ValueError, match="nothing is asked for"):
        run(model, TEXTS)
    with pytest.raises(ValueError, match="one row of `vectors` per text"):
        run(model, TEXTS, keep=[3], edits={3: Add(torch.ones(2, 128))})
    with pytest.raises(ValueError, match=r"`head` must lie in 0\.\.7"):
        run(model, TEXTS, keep=[Site(3, "head", 8)])


def test_states_behind_the_end_of_a_text_may_be_anything(model):
    def spoil(row):
        def function(states):
            states = states.clone()
            states[row, -1] = float("nan")
            return states

        return run(model, TEXTS, keep=[model.n_layers], edits={model.n_layers: Apply(function)})

    assert spoil(-1).at_last(model.n_layers).isfinite().all()
    with pytest.raises(ValueError, match="states must be finite"):
        spoil(0)  # the longest text stands first, the shortest last


def test_a_pass_goes_no_further_than_what_is_asked_for(model, monkeypatch):
    def fail(*_args, **_named):
        raise AssertionError("the last block was run")

    monkeypatch.setattr(Site(model.n_layers).module(model), "forward", fail)
    assert run(model, TEXTS, keep=[model.n_layers - 1])[model.n_layers - 1].isfinite().all()
    with pytest.raises(AssertionError, match="the last block was run"):
        run(model, TEXTS, keep=[model.n_layers])


def test_the_same_seed_gives_the_same_texts_however_they_are_cut(model):
    def write(texts, **options):
        return llama.generate(
            model, texts, max_new_tokens=8, generator=torch.Generator().manual_seed(1), **options
        )

    assert write(TEXTS) == write(TEXTS, batch_size=1)
    assert write(TEXTS) == write(TEXTS * 2, n_ways=2, batch_size=4)[3:]
    assert write(TEXTS[:2]) == write(TEXTS)[:2]


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_the_cache_is_handed_over_under_either_name(model, monkeypatch, name):
    ids = torch.tensor([[200, 210, 220]] * 3)
    expected = llama.next_token_log_probs(model, TEXTS, ids)
    forward = model.model.model.forward

    def other(input_ids, attention_mask, position_ids, cache=None, use_cache=None):
        return forward(input_ids, attention_mask, position_ids, cache, use_cache=use_cache)

    def older(input_ids, attention_mask, position_ids, past_key_values=None, use_cache=None):
        return other(input_ids, attention_mask, position_ids, past_key_values, use_cache)

    stub = {"cache": other, "past_key_values": older}[name]
    monkeypatch.setattr(model.model.model, "forward", stub)
    assert torch.equal(llama.next_token_log_probs(model, TEXTS, ids), expected)


def test_names_that_transformers_no_longer_has_are_said(model, monkeypatch):
    ids = torch.tensor([[200, 210]] * 3)
    with monkeypatch.context() as patch:
        patch.setattr(model.model.model, "forward", lambda *_given, **_named: None)
        with pytest.raises(RuntimeError, match=r"transformers \d.*does not have"):
            llama.next_token_log_probs(model, TEXTS, ids)
    monkeypatch.delitem(model.model.model.layers[0]._modules, "mlp")
    with pytest.raises(RuntimeError, match="`mlp` in LlamaDecoderLayer"):
        run(model, TEXTS, keep=[Site(1, "mlp")])


def test_unknown_words_are_told_and_texts_that_differ_in_them_only_refused(model):
    with pytest.warns(UserWarning, match="not known: 'zebra'"):
        llama.hidden_states(model, ["the zebra."], 1)
    with pytest.raises(ValueError, match="'zebra', 'gnu'"):
        llama.hidden_states(model, ["the zebra.", "the gnu."], 1)


def test_a_text_that_is_written_with_its_begin_token_gets_no_second_one(model):
    begin = model.tokenizer.bos_token
    states = llama.hidden_states(model, [begin + TEXTS[0], TEXTS[0]], 2)
    assert_close(states[0], states[1])


def test_a_device_or_type_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="'tpu'"):
        llama.load(device="tpu")
    with pytest.raises(ValueError, match="'float12'"):
        llama.load(dtype="float12")


@pytest.mark.parametrize("name", ["past_key_values", "cache"])
def test_an_edit_around_passes_that_are_not_the_kits_starts_at_its_token(model, monkeypatch, name):
    ids, seen = torch.tensor([[200, 210, 220]]), []
    forward = model.model.model.forward
    plain = forward(ids, use_cache=True)

    def either(input_ids, **named):
        return forward(input_ids, None, None, named.get(name), use_cache=True)

    def look(states):
        seen.append(states.shape[1])
        return states + 1

    monkeypatch.setattr(model.model.model, "forward", either)
    with llama.edit(model, 2, look, from_token=3):
        first = model.model.model(ids)
        model.model.model(ids[:, :1], **{name: first.past_key_values})
    assert seen == [0, 1]
    assert torch.equal(plain.last_hidden_state, first.last_hidden_state)
    assert torch.equal(model.model.model(ids).last_hidden_state, plain.last_hidden_state)


def test_an_edit_around_nothing_is_an_error(model):
    with pytest.raises(RuntimeError, match="no pass ran"), llama.edit(model, 2, torch.relu):
        pass


def test_an_intervention_is_short_for_an_edit(model):
    push = 5 * randn(1, 128)

    def write(**way):
        seeded = torch.Generator().manual_seed(4)
        return llama.generate(model, TEXTS, max_new_tokens=3, generator=seeded, **way)

    assert write(edits={2: Add(push)}) == write(intervention=llama.Intervention(2, push))
