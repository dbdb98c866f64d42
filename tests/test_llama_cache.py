import copy
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

from ssae_kit.llama import Apply, cache, cache_hidden_states, hidden_states, run
from ssae_kit.llama.create import create_llama, create_tokenizer
from ssae_kit.llama.load import Llama
from ssae_kit.llama.rows import token_rows
from ssae_kit.storage import load_tensors

WORDS = ["the", "a", "king", "queen", "hat", "book", "saw", "."]
TEXTS = [" ".join(WORDS[(i + j) % 8] for j in range(1 + i % 6)) for i in range(23)]
LAYERS = [1, 3]


def make():
    """An untrained Llama; the same weights in every process."""
    model = create_llama(32, seed=0).eval().requires_grad_(False)
    return Llama("mine", model, create_tokenizer(WORDS, r"\w+|\."))


@pytest.fixture(scope="module")
def llama():
    return make()


@pytest.fixture
def counted(monkeypatch):
    """Number of texts that went through the model, but for the one that is compared."""
    calls = []

    def count(llama, texts, *args, **kwargs):
        calls.extend([len(texts)] if len(texts) > 1 else [])
        return hidden_states(llama, texts, *args, **kwargs)

    monkeypatch.setattr(cache, "hidden_states", count)
    return calls


def store(llama, folder, texts=TEXTS, layers=LAYERS, part="block"):
    return cache_hidden_states(llama, texts, layers, folder, part=part, texts_per_file=5)


def provenance(llama):
    return cache.describe(llama, token_rows(llama, TEXTS), LAYERS, 5, "block")


def test_cached_states_are_the_states(llama, tmp_path):
    cached = store(llama, tmp_path)
    alone = torch.stack([hidden_states(llama, TEXTS, layer) for layer in LAYERS])
    torch.testing.assert_close(cached.load(), alone, atol=1e-5, rtol=1e-5)
    assert [part.shape[1] for part in cached.files()] == [5, 5, 5, 5, 3]


def test_a_second_call_computes_nothing(llama, tmp_path, counted):
    first = store(llama, tmp_path)
    counted.clear()
    second = store(replace(llama, name="the same weights elsewhere"), tmp_path)
    assert counted == []
    assert torch.equal(first.load(), second.load())


def test_the_provenance_is_in_every_file(llama, tmp_path):
    cached = store(llama, tmp_path)
    for path in cached.folder.glob("*.safetensors"):
        found = load_tensors(path)[1]["provenance"]
        assert found["model"] == "mine"
        assert (found["layers"], found["position"], found["dtype"]) == (LAYERS, "last", "float32")
        assert found["n_texts"] == len(TEXTS)
        assert all(len(found[name]) == 64 for name in ("weights", "config", "texts"))


def test_other_texts_layers_weights_settings_or_tokens_are_other_states(llama, tmp_path):
    cached = store(llama, tmp_path)
    model = LlamaForCausalLM(llama.model.config).eval()
    model.load_state_dict(llama.model.state_dict())
    model.model.norm.weight.data[0] += 1e-4
    config = copy.deepcopy(llama.model.config)
    config.rope_parameters["rope_theta"] *= 2
    turned = LlamaForCausalLM(config).eval()
    turned.load_state_dict(llama.model.state_dict())
    others = [
        store(llama, tmp_path, texts=TEXTS[::-1]),
        store(llama, tmp_path, layers=LAYERS[::-1]),
        store(llama, tmp_path, layers=[1], part="block"),
        store(llama, tmp_path, layers=[1], part="mlp"),
        store(replace(llama, model=model), tmp_path),
        store(replace(llama, model=turned), tmp_path),
        store(replace(llama, tokenizer=create_tokenizer(WORDS[::-1], r"\w+|\.")), tmp_path),
    ]
    assert len({one.folder for one in [cached, *others]}) == 8


def test_the_same_model_read_from_a_folder_has_the_same_states(tmp_path):
    llama = make()
    made = provenance(llama)
    llama.model.save_pretrained(tmp_path)
    read = replace(llama, model=LlamaForCausalLM.from_pretrained(tmp_path).eval())
    assert provenance(read) == made


def test_states_are_not_kept_while_a_hook_may_edit_them(llama, tmp_path):
    for place in (llama.model.model.layers[0], llama.model.model.layers[0].self_attn.o_proj):
        for hang in (place.register_forward_hook, place.register_forward_pre_hook):
            handle = hang(lambda *_: None)
            with pytest.raises(RuntimeError, match="nothing must change the passes"):
                store(llama, tmp_path)
            handle.remove()
    store(llama, tmp_path)


def damage_cut(path):
    with path.open("r+b") as file:
        file.truncate(300)


def damage_flip(path):
    raw = bytearray(path.read_bytes())
    raw[-7] ^= 1
    path.write_bytes(raw)


def damage_replace(path):
    other = path.with_name("000000.safetensors")
    path.write_bytes(other.read_bytes())


def damage_foreign(path):
    save_file({"states": torch.zeros(2, 5, 128)}, path)


@pytest.mark.parametrize("damage", [damage_cut, damage_flip, damage_replace, damage_foreign])
def test_a_damaged_or_foreign_file_is_found_and_made_anew(llama, tmp_path, counted, damage):
    cached = store(llama, tmp_path)
    states = cached.load()
    damage(cached.folder / "000002.safetensors")
    with pytest.raises(ValueError, match=r"000002.*damaged.*cache_hidden_states"):
        cached.load()
    counted.clear()
    assert torch.equal(store(llama, tmp_path).load(), states)
    assert counted == [5]


def test_nothing_to_do_is_refused(llama, tmp_path):
    with pytest.raises(ValueError, match="one or more texts"):
        store(llama, tmp_path, texts=[])
    with pytest.raises(ValueError, match=r"0\.\.6 .*got 7"):
        store(llama, tmp_path, layers=[7])


KILLED = """
import os, signal
from pathlib import Path
import torch
from tests.test_llama_cache import make, store

torch.set_num_threads(1)
moves, rename = [], Path.replace

def replace(path, target):
    moves.append(path)
    if len(moves) == 3:  # the third file is written, but not yet in its place
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)

Path.replace = replace
store(make(), {folder!r})
"""


@pytest.mark.skipif(os.name != "posix", reason="a process kills itself by a POSIX signal")
def test_killed_half_way_it_goes_on_and_ends_the_same(llama, tmp_path, counted):
    code = KILLED.format(folder=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = sorted(path.name for path in (tmp_path / "killed").glob("*/*.safetensors"))
    assert left == ["000000.safetensors", "000001.safetensors"]
    resumed = store(llama, tmp_path / "killed")
    assert counted == [5, 5, 3]
    assert torch.equal(resumed.load(), store(llama, tmp_path / "whole").load())


def twice(llama, monkeypatch):
    mlp = llama.model.model.layers[0].mlp
    forward = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda x: 2 * forward(x))


def other_constant(llama, monkeypatch):
    monkeypatch.setattr(llama.model.model.layers[0].input_layernorm, "variance_epsilon", 1.0)


@pytest.mark.parametrize("change", [twice, other_constant])
def test_states_kept_of_other_code_than_the_models_are_refused(
    llama, tmp_path, monkeypatch, change
):
    with monkeypatch.context() as patch:
        change(llama, patch)
        store(llama, tmp_path)
    with pytest.raises(RuntimeError, match="computes other states than those kept"):
        store(llama, tmp_path)


def test_a_hook_on_all_modules_and_autocast_are_refused(tmp_path, llama):
    everywhere = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    with pytest.raises(RuntimeError, match="nothing must change the passes"):
        cache_hidden_states(llama, ["the king."], [1], tmp_path)
    everywhere.remove()
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(RuntimeError, match="or `torch"),
    ):
        cache_hidden_states(llama, ["the king."], [1], tmp_path)


def test_what_another_thread_reads_is_no_hook_of_ours(tmp_path, llama):
    reached, done = threading.Event(), threading.Event()

    def hold(hidden):
        reached.set()
        done.wait(20)
        return hidden

    def other():
        run(llama, ["the king."], keep=[2], edits={1: Apply(hold)})

    thread = threading.Thread(target=other)
    thread.start()
    assert reached.wait(20)
    try:
        cache_hidden_states(llama, ["the king."], [1], tmp_path)
    finally:
        done.set()
        thread.join()
