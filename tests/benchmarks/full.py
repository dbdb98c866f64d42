"""Llama-3.1-8B in its full size on one GPU: 32 blocks of random weights in the published shape.

Torch may take no more than 24 GB of the card, whatever its size. The weights are made on it, so that
nothing of 16 GB is written or read. Nothing it prints speaks of what trained weights do.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ssae_kit import llama, steering
from ssae_kit.llama.examine import examine
from ssae_kit.pairs import dataset
from tests.test_llama_large import PUBLISHED, write_tokenizer

CARD = 24e9
"""Bytes that torch may take."""
N_TEXTS, N_SINGLE, N_WRITTEN, N_NEW = 512, 32, 64, 32


def run(
    shape: dict[str, Any] = PUBLISHED, device: str = "cuda", found: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return speed and memory of each step from texts to a steered text and its side effects.

    They stand in `found` as soon as they are known, so that a step without room spoils no other.
    """
    found = {} if found is None else found
    if device == "cuda":
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, CARD / whole))
    found["command"], found["weights"] = "python -m tests.benchmarks full --json", "random"
    found["torch"], found["transformers"] = torch.__version__, transformers.__version__
    found["card"] = torch.cuda.get_device_name(0) if device == "cuda" else device
    found["full.gb_allowed"] = CARD / 1e9

    def measured(name: str, call: Any, n: int = 0) -> Any:
        _start(device)
        start = time.perf_counter()
        result = call()
        if device == "cuda":
            torch.cuda.synchronize()
            found[f"full.peak_gb_{name}"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
            found[f"full.reserved_gb_{name}"] = round(torch.cuda.max_memory_reserved() / 1e9, 2)
        seconds = time.perf_counter() - start
        found[f"full.seconds_{name}"] = round(seconds, 2)
        if n:
            found[f"full.tokens_per_s_{name}"] = round(n / seconds)
        return result

    model = measured("make", lambda: _make(shape, device))
    found["full.n_parameters"] = sum(weight.numel() for weight in model.model.parameters())
    for step in (_extract, _steer):
        try:
            step(model, measured, found)
        except torch.OutOfMemoryError as error:
            found[f"full.no_room{step.__name__}"] = str(error)[:300]
    return found


def _start(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()


def _make(shape: dict[str, Any], device: str) -> llama.Llama:
    """The model on the device, in bfloat16, with a tokenizer of the published size."""
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            torch.manual_seed(0)
            model = LlamaForCausalLM(LlamaConfig(**shape))
    finally:
        torch.set_default_dtype(usual)
    with tempfile.TemporaryDirectory() as folder:
        write_tokenizer(Path(folder))
        tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    examine("random weights", model, tokenizer)
    return llama.Llama("random weights", model.eval().requires_grad_(False), tokenizer)


def _texts() -> list[str]:
    """Texts of mixed length: 1 to 24 of the sentences of a set, one after the other."""
    pairs = dataset("BINARY")
    sentences = list(pairs.source + pairs.target)
    rows = [
        [sentences[(7 * i + 3 * j) % len(sentences)] for j in range(1 + i % 24)]
        for i in range(N_TEXTS)
    ]
    return [" ".join(row) for row in rows]


def _extract(model: llama.Llama, measured: Any, found: dict[str, Any]) -> None:
    """The last layer's states: by the kit, by plain transformers in batches and text by text."""
    texts, depth = _texts(), model.n_layers
    lengths = [len(model.tokenizer(text)["input_ids"]) for text in texts]
    n_tokens = sum(lengths)
    found |= {"full.n_texts": len(texts), "full.n_tokens": n_tokens}
    llama.hidden_states(model, texts[:64], depth), _padded(model, texts[:64])  # warm-up
    states = measured("kit", lambda: llama.hidden_states(model, texts, depth), n_tokens)
    for size in (8192, 32768):
        name, options = f"kit_{size}_tokens_per_batch", {"tokens_per_batch": size}
        measured(name, lambda o=options: llama.hidden_states(model, texts, depth, **o), n_tokens)
    half = depth // 2
    measured("kit_half_way", lambda: llama.hidden_states(model, texts, half), n_tokens)
    bare = measured("transformers_padded", lambda: _padded(model, texts), n_tokens)
    few = slice(0, N_SINGLE)
    measured("transformers_singly", lambda: _padded(model, texts[few], 1), sum(lengths[few]))
    found["full.largest_difference_to_transformers"] = float((states - bare).abs().max())
    found["full.state_size"] = float(states.norm(dim=1).median())


@torch.no_grad()
def _padded(model: llama.Llama, texts: list[str], batch_size: int = 64) -> torch.Tensor:
    """Last token's final residual stream as plain transformers reads it, batches in this order."""
    kept: list[torch.Tensor] = []
    hook = model.model.model.layers[-1].register_forward_hook(
        lambda _module, _inputs, output: kept.append(output[:, -1].float().cpu())
    )
    for start in range(0, len(texts), batch_size):
        batch = texts[start : start + batch_size]
        inputs = model.tokenizer(batch, return_tensors="pt", padding=True).to(model.device)
        model.model.model(**inputs)
    hook.remove()
    return torch.cat(kept)


def _steer(model: llama.Llama, measured: Any, found: dict[str, Any]) -> None:
    """One whole training, steered texts, and what they do to other predictions."""
    pairs, layer = dataset("BINARY"), model.n_layers // 2
    vectors = measured("learn", lambda: steering.learn(model, pairs, layer=layer))
    found |= {"full.n_pairs": len(pairs), "full.directions_on": str(vectors.directions.device)}
    push = llama.Add(10 * vectors.directions[:1], at="all")
    prompts = [f"{text} and" for text in _texts()[:N_WRITTEN]]
    stream = torch.Generator().manual_seed(0)
    options = {"edits": {layer: push}, "max_new_tokens": N_NEW}
    n_tokens = N_WRITTEN * N_NEW
    llama.generate(model, prompts[:2], generator=stream, max_new_tokens=2)  # warm-up
    texts = measured(
        "generate", lambda: llama.generate(model, prompts, generator=stream, **options), n_tokens
    )
    ways = [steering.Prompted(prompts), steering.Prompted(prompts, {layer: push})]
    spans: list[list[tuple[int, int]]] = [[] for _ in prompts]
    kl = measured(
        "off_target_kl", lambda: steering.off_target_kl(model, prompts, texts, spans, ways)
    )
    found["full.kl"] = [round(float(row.nanmean()), 6) for row in kl]
