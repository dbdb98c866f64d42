import copy
import threading

import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError
from jaxtyping import TypeCheckError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ssae_kit.llama import (
    Add,
    Apply,
    Llama,
    Site,
    generate,
    hidden_states,
    load,
    run,
    text_losses,
    token_states,
)
from ssae_kit.llama.load import _explained
from ssae_kit.llama.predict import next_token_log_probs

WORDS = ["the", "king", "queen", "saw", "found", "a", "small", "large", "hat", "book", ".", ","]
TEXTS = ["the king saw a hat .", "the queen found", "a", "the small king found a large book ."]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Llama checkpoint with random weights, in the published format."""
    path = tmp_path_factory.mktemp("llama")
    vocabulary = {w: i for i, w in enumerate(["<s>", "</s>", "<pad>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="</s>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocabulary), hidden_size=16, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=4, num_key_value_heads=2, bos_token_id=0, eos_token_id=None,
        pad_token_id=2, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def llama(folder):
    return load(folder, device="cpu")


@pytest.fixture
def broken(folder, tmp_path):
    """A copy of the checkpoint, to be damaged."""
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_hidden_states_equal_those_of_each_text_alone(llama):
    for layer in (0, 1, 2):
        states = hidden_states(llama, TEXTS, layer, tokens_per_batch=12)
        for text, state in zip(TEXTS, states, strict=True):
            ids = torch.tensor([llama.tokenizer(text)["input_ids"]])
            alone = llama.model(ids, output_hidden_states=True).hidden_states[layer][0, -1]
            torch.testing.assert_close(state, alone, atol=1e-5, rtol=1e-5)


def test_several_layers_in_one_pass_equal_one_pass_each(llama):
    together = hidden_states(llama, TEXTS, [2, 0, 3], tokens_per_batch=12)
    for layer, states in zip([2, 0, 3], together, strict=True):
        torch.testing.assert_close(states, hidden_states(llama, TEXTS, layer), atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="at least one layer"):
        hidden_states(llama, TEXTS, [])
    with pytest.raises(ValueError, match=r"0\.\.3 .*got 4"):
        hidden_states(llama, TEXTS, [1, 4])


def test_the_last_layer_is_the_output_of_the_last_block(llama):
    state = hidden_states(llama, TEXTS[:1], 3)
    ids = torch.tensor([llama.tokenizer(TEXTS[0])["input_ids"]])
    normed = llama.model(ids, output_hidden_states=True).hidden_states[-1][:, -1]
    torch.testing.assert_close(llama.model.model.norm(state), normed)


@pytest.mark.parametrize("layer", [-1, 4])
def test_a_layer_that_does_not_exist_is_named(llama, layer):
    with pytest.raises(ValueError, match=rf"0\.\.3 .*got {layer}"):
        hidden_states(llama, TEXTS, layer)


def test_an_empty_text_is_named_by_its_index(llama):
    with pytest.raises(ValueError, match=r"texts\[1\] is empty"):
        hidden_states(llama, ["the king", " "], 1)


@pytest.mark.parametrize("texts", [[], "the king"])
def test_no_text_or_one_string_for_a_list_of_texts_is_refused(llama, texts):
    ids = torch.ones(len(texts), 2, dtype=torch.int64)
    for call in (
        lambda: hidden_states(llama, texts, 1),
        lambda: token_states(llama, texts, 1),
        lambda: text_losses(llama, texts),
        lambda: next_token_log_probs(llama, texts, ids),
        lambda: generate(llama, texts, max_new_tokens=2, generator=seeded()),
    ):
        with pytest.raises(ValueError, match=r"a list of one or more texts is required; got"):
            call()


def test_a_text_longer_than_the_model_reads_is_refused(llama):
    longest = llama.model.config.max_position_embeddings
    with pytest.raises(ValueError, match=rf"texts\[1\] has .* reads at most {longest}"):
        hidden_states(llama, [TEXTS[0], "the " * (longest + 1)], 1)


def test_a_continuation_beyond_what_the_model_reads_is_refused(llama):
    longest = llama.model.config.max_position_embeddings
    with pytest.raises(ValueError, match=rf"the {longest} tokens .* got a prompt of 1 "):
        generate(llama, ["a"], max_new_tokens=longest, generator=seeded())


def test_a_hidden_state_that_is_not_finite_is_named_by_its_text(folder):
    llama = load(folder, device="cpu")
    llama.model.model.embed_tokens.weight[3 + WORDS.index("queen")] = float("nan")
    with pytest.raises(ValueError, match=r"texts\[1\]: 'the queen'"):
        hidden_states(llama, ["the king", "the queen"], 1)


def test_a_name_that_is_nothing_known_is_refused_without_network():
    with pytest.raises(FileNotFoundError, match="'llama_tiny', an existing folder, or a hub name"):
        load("lama")


def test_a_gated_model_says_how_to_get_access(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("no") from GatedRepoError.__new__(GatedRepoError)

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(PermissionError, match=r"gated.*hf auth login"):
        load("meta-llama/Llama-3.1-8B")


def test_a_hub_name_without_network_says_so(monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError("We couldn't connect") from LocalEntryNotFoundError("offline")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(ConnectionError, match=r"Check the network.*folder"):
        load("meta-llama/Llama-3.1-8B")


def test_a_folder_without_config_or_weights_is_refused(broken):
    (broken / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="safetensors weights"):
        load(broken)
    (broken / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        load(broken)


def test_truncated_weights_are_refused(broken):
    with (broken / "model.safetensors").open("r+b") as file:
        file.truncate(2000)
    with pytest.raises(ValueError, match="truncated"):
        load(broken)


def test_missing_weights_are_refused_rather_than_made_up(broken):
    weights = load_file(broken / "model.safetensors")
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"1 missing, first model\.layers\.0\.mlp\.up_proj"):
        load(broken)


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(broken):
    config = AutoConfig.from_pretrained(broken)
    config.vocab_size = 8
    LlamaForCausalLM(config).save_pretrained(broken)
    with pytest.raises(ValueError, match="must fit its weights"):
        load(broken)


def test_an_unknown_failure_in_a_folder_still_explains(folder):
    assert "truncated" in str(_explained(RuntimeError("boom"), str(folder)))


def test_a_failure_without_words_still_explains():
    assert "Check the network" in str(_explained(OSError(), "owner/model"))


@pytest.mark.parametrize("name", ["owner/model", "llama_tiny"])
def test_a_full_device_is_no_broken_file(monkeypatch, name):
    def overflow(*_args, **_kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.\nDetails")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", overflow)
    with pytest.raises(MemoryError, match=r"not fit on the device \(CUDA out of memory\.\)"):
        load(name)


def test_a_zero_vector_leaves_the_text_unchanged_and_a_large_one_changes_it(llama):
    prompts = TEXTS[:2]
    zero = {2: Add(torch.zeros(2, 16))}
    large = {2: Add(30 * torch.randn(2, 16, generator=seeded()))}
    texts = [
        generate(llama, prompts, max_new_tokens=8, generator=seeded(1), edits=edits)
        for edits in (None, zero, large)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_sampling_is_reproducible_and_leaves_the_global_generator_alone(llama):
    before = torch.random.get_rng_state()
    first, second = (
        generate(llama, TEXTS, max_new_tokens=6, generator=seeded(3), batch_size=2)
        for _ in range(2)
    )
    assert first == second
    assert torch.equal(before, torch.random.get_rng_state())


def test_several_ways_at_once_write_what_each_writes_alone(llama):
    vectors = 30 * torch.randn(8, 16, generator=seeded())
    alone = [
        generate(
            llama, TEXTS, max_new_tokens=6, generator=seeded(3),
            edits={1: Add(vectors[way])},
        )
        for way in (slice(0, 4), slice(4, 8))
    ]  # fmt: skip
    options = {"max_new_tokens": 6, "edits": {1: Add(vectors)}, "n_ways": 2}
    assert alone[0] + alone[1] == generate(llama, TEXTS * 2, generator=seeded(3), **options)
    assert alone[0] != alone[1]
    with pytest.raises(ValueError, match="equal length"):
        generate(llama, TEXTS, max_new_tokens=6, generator=seeded(), n_ways=3)


def test_batches_draw_other_numbers_but_the_ways_of_a_text_the_same(llama):
    texts = ["a"] * 8
    options = {"max_new_tokens": 6, "generator": seeded(3), "batch_size": 4}
    first, second = (row := generate(llama, texts, n_ways=2, **options))[:4], row[4:]
    assert first == second
    assert len(set(first)) == 4


def test_tokens_come_as_often_as_the_softmax_says(llama):
    n = 4000
    written = generate(llama, ["a"] * n, max_new_tokens=1, generator=seeded(4), temperature=0.7)
    ids = torch.tensor([llama.tokenizer("a")["input_ids"]])
    expected = (llama.model(ids).logits[0, -1] / 0.7).softmax(-1)
    for token, share in enumerate(expected.tolist()):
        word = llama.tokenizer.decode([token], skip_special_tokens=True)
        if word:
            error = (share * (1 - share) / n) ** 0.5
            assert written.count(word) / n == pytest.approx(share, abs=4 * error)


def logits_of(llama, ids=((3, 4),), edits=None):
    return run(llama, [list(row) for row in ids], edits=edits, logits=True).logits


def test_one_nudge_touches_only_the_last_token_of_the_prompt(llama):
    vector = torch.randn(1, 16, generator=seeded())
    plain = logits_of(llama, [(3, 4, 5, 6)])
    for at, untouched in (("last", slice(0, -1)), ("all", slice(0, 0))):
        steered = logits_of(llama, [(3, 4, 5, 6)], {1: Add(vector, at=at)})
        assert torch.equal(plain[:, untouched], steered[:, untouched])
        assert not torch.equal(plain[:, -1], steered[:, -1])


def test_the_vector_takes_the_type_of_the_layer(llama):
    vector = torch.randn(1, 16, generator=seeded())
    expected = logits_of(llama, edits={1: Add(vector)})
    assert torch.equal(logits_of(llama, edits={1: Add(vector.double())}), expected)


def test_the_hook_is_gone_after_an_exception_and_after_an_interrupt(llama):
    plain = logits_of(llama)
    for error in (ValueError, KeyboardInterrupt):

        def stop(_states, error=error):
            raise error

        with pytest.raises(error):
            logits_of(llama, edits={1: Add(torch.ones(1, 16)), 2: Apply(stop)})
        assert torch.equal(plain, logits_of(llama))


def test_reading_in_the_background_disturbs_no_pass(llama):
    """Layer 3 is read by this thread when the other one passes: it must neither stop nor be kept."""
    ids, seen = torch.tensor([[3, 4]]), []

    def read(hidden):
        seen.append(hidden)
        if len(seen) == 1:
            other = threading.Thread(target=lambda: seen.append(llama.model(ids).logits))
            other.start()
            other.join()
        return hidden

    run(llama, [[3, 4, 5], [3, 4, 6]], keep=[3], edits={1: Apply(read), 3: Apply(read)})
    logits = [tensor for tensor in seen if tensor.shape[:2] == (1, 2)]
    assert len(seen) == 3
    assert torch.equal(logits[0], llama.model(ids).logits)


def test_the_check_of_the_logits_is_that_of_its_own_thread(llama):
    """The other thread's pass, in the middle of this one, is neither edited nor looked at."""
    seen = []

    def look(states):
        if not seen:
            seen.append(None)
            other = threading.Thread(target=lambda: seen.append(logits_of(llama, [(3,)])))
            other.start()
            other.join()
        return states

    edits = {Site(1): Add(torch.ones(1, 16)), Site(1, "mlp"): Apply(look)}
    logits_of(llama, edits=edits)
    assert torch.equal(seen[1], logits_of(llama, [(3,)]))


def test_a_vector_that_does_not_reach_the_logits_is_an_error(llama):
    deaf = Llama(llama.name, copy.deepcopy(llama.model), llama.tokenizer)
    deaf.model.model.norm.weight.zero_()  # whatever the hidden state is, all logits are 0
    edits = {1: Add(torch.tensor([[0.0], [1.0]]).expand(2, 16))}
    ids = [(3, 4), (4, 3)]
    logits_of(llama, ids, edits)
    with pytest.raises(RuntimeError, match="not the logits"):
        logits_of(deaf, ids, edits)
    with pytest.raises(RuntimeError, match="not the logits"):
        generate(deaf, TEXTS[:2], max_new_tokens=2, generator=seeded(), edits=edits)


def test_vectors_that_do_not_fit_are_refused(llama):
    edits = {1: Add(torch.ones(2, 16))}
    with pytest.raises(ValueError, match=r"one row of `vectors` per text is required \(4\)"):
        generate(llama, TEXTS, max_new_tokens=2, generator=seeded(), edits=edits)
    with pytest.raises(ValueError, match=r"as wide as the states at this site, 16; got \[1, 8\]"):
        logits_of(llama, edits={1: Add(torch.ones(1, 8))})
    # With shape checks on, as in these tests, the type checker speaks first.
    for at in ("middle", 3):
        with pytest.raises((ValueError, TypeError, TypeCheckError), match=r"'last'.*'all'"):
            Add(torch.ones(1, 16), at=at)
    with pytest.raises(ValueError, match="finite"):
        Add(torch.full((1, 16), float("nan")))
