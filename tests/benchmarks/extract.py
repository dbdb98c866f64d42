"""Hidden states of many texts: the kit's way against two plain loops, and its memory.

Texts of mixed length go through an untrained Llama of the bundled shape, at its middle layer.
The values do not depend on how long it trained, nor does the time.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

N_TEXTS = 2000
N_STREAMED = 1000
LAYER = 3


def run() -> dict[str, Any]:
    """Return tokens per second of three ways, their ratios, and the peak memory of two sizes."""
    llama, texts = make(N_TEXTS)
    n_tokens = sum(len(llama.tokenizer(text)["input_ids"]) for text in texts)
    kit(llama, texts[:64]), naive(llama, texts[:8]), padded(llama, texts[:64])  # warm-up
    seconds, states = {}, {}
    for way in (kit, padded, naive):
        seconds[way.__name__], states[way.__name__] = timed(lambda way=way: way(llama, texts))
    for name in ("padded", "naive"):
        torch.testing.assert_close(states["kit"], states[name], atol=1e-5, rtol=1e-5)
    small, large = peak_mb(N_STREAMED), peak_mb(10 * N_STREAMED)
    return {
        "extract.n_texts": N_TEXTS,
        "extract.n_tokens": n_tokens,
        **{f"extract.tokens_per_s_{name}": round(n_tokens / s) for name, s in seconds.items()},
        "extract.ratio_naive": round(seconds["naive"] / seconds["kit"], 2),
        "extract.ratio_padded": round(seconds["padded"] / seconds["kit"], 2),
        "extract.largest_difference": max(
            float((states["kit"] - states[name]).abs().max()) for name in ("padded", "naive")
        ),
        "extract.peak_mb_1000_texts": small,
        "extract.peak_mb_10000_texts": large,
        "extract.memory_ratio": round(large / small, 3),
        "extract.threads": torch.get_num_threads(),
    }


def make(n_texts: int) -> tuple[Any, list[str]]:
    """A Llama with weights from a seed, and texts of 3 to 72 words."""
    from ssae_kit.llama.create import create_llama, create_tokenizer
    from ssae_kit.llama.load import Llama

    words = [f"w{i}" for i in range(300)]
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(3, 73, (n_texts,), generator=generator).tolist()
    texts = []
    for length in lengths:
        drawn = torch.randint(len(words), (length,), generator=generator).tolist()
        texts.append(" ".join(words[i] for i in drawn))
    model = create_llama(320, seed=0).eval().requires_grad_(False)
    return Llama("untrained", model, create_tokenizer(words, r"\w+")), texts


def kit(llama: Any, texts: list[str]) -> Tensor:
    """The kit: sorted by length, padded little, stopped at the layer, the last token kept."""
    from ssae_kit.llama import hidden_states

    return hidden_states(llama, texts, LAYER)


@torch.no_grad()
def naive(llama: Any, texts: list[str]) -> Tensor:
    """Bare transformers, one text at a time."""
    rows = []
    for text in texts:
        inputs = llama.tokenizer(text, return_tensors="pt")
        rows.append(llama.model(**inputs, output_hidden_states=True).hidden_states[LAYER][0, -1])
    return torch.stack(rows)


@torch.no_grad()
def padded(llama: Any, texts: list[str], batch_size: int = 64) -> Tensor:
    """Bare transformers, batches in the given order, padded on the left."""
    parts = []
    for start in range(0, len(texts), batch_size):
        inputs = llama.tokenizer(
            texts[start : start + batch_size], return_tensors="pt", padding=True
        )
        parts.append(llama.model(**inputs, output_hidden_states=True).hidden_states[LAYER][:, -1])
    return torch.cat(parts)


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    """Processor seconds, which other programs on the machine do not change, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def peak_mb(n_texts: int) -> int:
    """Peak memory in MB of a process of its own that streams the states of texts to disk."""
    code = f"from tests.benchmarks.extract import stream; stream({n_texts})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def stream(n_texts: int) -> None:
    """Write states to disk and print this process's peak memory in MB."""
    from ssae_kit.llama import cache_hidden_states

    torch.set_num_threads(1)
    llama, texts = make(n_texts)
    with tempfile.TemporaryDirectory() as folder:
        cached = cache_hidden_states(llama, texts, [LAYER], folder)
        assert sum(part.shape[1] for part in cached.files()) == n_texts
        assert len(list(Path(folder).glob("*/*.safetensors"))) == -(-n_texts // 512)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kilobytes on Linux
    print(peak // 1024)


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
