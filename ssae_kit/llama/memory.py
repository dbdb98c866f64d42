"""How much memory a Llama needs, and how much there is, before anything is loaded."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from ssae_kit import checks

SMALLER = {"meta-llama/Llama-3.2-1B": 2.5e9, "meta-llama/Llama-3.2-3B": 6.4e9}
"""Other published Llamas that the same code takes, and the bytes of their weights in bfloat16."""

RESERVE = 0.1
"""Share of the weights' size that is asked for on top, for states and buffers."""


@dataclass(frozen=True)
class MemoryNeed:
    """What the weights of a model take."""

    n_parameters: int
    """Number of weights; tied embeddings count once."""
    dtype: torch.dtype
    """Type they are loaded in."""

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights."""
        return self.n_parameters * self.dtype.itemsize

    @property
    def total_bytes(self) -> int:
        """Bytes to have free before loading: the weights, and a tenth on top."""
        return int(self.weight_bytes * (1 + RESERVE))


def estimate_memory(config: Any, dtype: torch.dtype | None = None) -> MemoryNeed:
    """Return what a Llama of this configuration needs; builds it without any memory.

    Args:
        config: A transformers `LlamaConfig`.
        dtype: Type to load in; by default the checkpoint's own, float32 if it names none.
    """
    checks.require_kind("config", config, LlamaConfig, "llama.model.config")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    return MemoryNeed(model.num_parameters(), dtype or stored_dtype(config))


def stored_dtype(config: Any) -> torch.dtype:
    """Type of the checkpoint's weights, float32 if the configuration names none."""
    named = getattr(config, "dtype", None)
    if isinstance(named, str):
        named = getattr(torch, named.removeprefix("torch."), None)
    return named if isinstance(named, torch.dtype) else torch.float32


def free_bytes(device: str) -> int | None:
    """Bytes free on a device ("cpu", "cuda", "cuda:1"), or None where the system does not say."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device != "cpu":
        return None
    return min((n for n in (_free_memory(), _free_in_group()) if n is not None), default=None)


def _free_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _free_in_group() -> int | None:
    """What a container may still take."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return limit - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit, or not on Linux
        return None


def check_memory(name: str, config: Any, dtype: torch.dtype | None, device: str) -> None:
    """Raise MemoryError, with what would fit, if a model is too large for a device.

    Args:
        name: The model, for the message.
        config: Its configuration.
        dtype: Type to load in; None for the checkpoint's own.
        device: "cpu", "cuda" or such; "auto" for all of them together.
    """
    need = estimate_memory(config, dtype)
    free = _total_free() if device == "auto" else free_bytes(device)
    if free is None or free >= need.total_bytes:
        return
    raise MemoryError(
        f"{name} has {need.n_parameters / 1e9:.2f} billion weights and needs about "
        f"{need.total_bytes / 1e9:.1f} GB in {_short(need.dtype)}; {device} has "
        f"{free / 1e9:.1f} GB free. {_advice(need, free, device)}"
    )


def _advice(need: MemoryNeed, free: int, device: str) -> str:
    half = MemoryNeed(need.n_parameters, torch.bfloat16)
    options = []
    if need.dtype.itemsize > 2 and free >= half.total_bytes:
        options.append("dtype=torch.bfloat16")
    together = _total_free() or 0
    if device != "auto" and together >= need.total_bytes:
        options.append(f"device_map='auto', all devices together ({together / 1e9:.1f} GB)")
    options += [
        f"{name} ({size * (1 + RESERVE) / 1e9:.1f} GB)"
        for name, size in reversed(SMALLER.items())
        if free >= size * (1 + RESERVE)
    ]
    options.append("the bundled model 'llama_tiny'")
    return f"What would fit: {'; '.join(options)}."


def _total_free() -> int | None:
    devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    known = [n for n in map(free_bytes, devices) if n is not None]
    return sum(known) if known else None


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
