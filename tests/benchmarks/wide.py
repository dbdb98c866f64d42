"""The path to Llama-3.1-8B at its full width: two blocks of random weights in the published format.

Needs 8 GB of memory and 4 GB of disk. Nothing it prints speaks of what trained weights do.
"""

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ssae_kit import llama, steering
from ssae_kit.pairs import dataset
from tests.test_llama_large import PUBLISHED, write_tokenizer

TWO_BLOCKS = PUBLISHED | {"num_hidden_layers": 2}
N_TEXTS = 128
PROMPTS = ["the king", "the queen"]


def run() -> dict[str, Any]:
    """Return seconds and memory of each step from files to a steered text."""
    found: dict[str, Any] = {"wide.threads": torch.get_num_threads()}
    pairs = dataset("BINARY")
    texts = list(dict.fromkeys(pairs.source + pairs.target))[:N_TEXTS]

    def timed(name: str, call: Any) -> Any:
        start = time.perf_counter()
        result = call()
        found[f"wide.seconds_{name}"] = round(time.perf_counter() - start, 1)
        return result

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(folder)
        model = timed("load", lambda: llama.load(folder, device="cpu"))
        ids = [model.tokenizer(text)["input_ids"] for text in texts]
        llama.hidden_states(model, texts[:8], 2)  # warm-up
        states = timed("extract_kit", lambda: llama.hidden_states(model, texts, 2))
        bare = timed("extract_transformers", lambda: _bare(model.model, ids))
        vectors = timed("learn", lambda: steering.learn(model, pairs, layer=1))
        steering.save_vectors(folder / "vectors", vectors, model)
        push = steering.load_vectors(folder / "vectors", model, layer=1).directions[:1]
        stream = torch.Generator().manual_seed(0)
        options = {"edits": {1: llama.Add(push, at="all")}, "max_new_tokens": 8}
        timed("generate", lambda: llama.generate(model, PROMPTS, generator=stream, **options))
    return found | {
        "wide.n_parameters": sum(weight.numel() for weight in model.model.parameters()),
        "wide.dtype": str(model.model.dtype),
        "wide.n_tokens": sum(map(len, ids)),
        "wide.n_pairs": len(pairs),
        "wide.largest_difference_to_transformers": float((states - bare).abs().max()),
        "wide.state_size": float(states.norm(dim=1).median()),
        "wide.peak_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 1),
    }


def _write(folder: Path) -> None:
    """A checkpoint as the hub has it: bfloat16 in shards, config.json, tokenizer files."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = LlamaForCausalLM(LlamaConfig(**TWO_BLOCKS))
    finally:
        torch.set_default_dtype(usual)
    model.save_pretrained(folder, max_shard_size="2GB")
    (folder / "config.json").write_text(json.dumps(TWO_BLOCKS))
    write_tokenizer(folder)


@torch.no_grad()
def _bare(model: Any, ids: list[list[int]]) -> torch.Tensor:
    """Last token's final residual stream, as plain transformers reads it, text by text."""
    kept: list[torch.Tensor] = []
    hook = model.model.layers[-1].register_forward_hook(
        lambda _module, _inputs, output: kept.append(output[0, -1].float())
    )
    for row in ids:
        model.model(torch.tensor([row]))
    hook.remove()
    return torch.stack(kept)
