"""How much memory a Llama needs, and how much there is, before anything is loaded."""

import math
from pathlib import Path
from typing import Any

import psutil
import torch
from transformers import LlamaForCausalLM

SMALLER = {"meta-llama/Llama-3.2-1B": 2.5e9, "meta-llama/Llama-3.2-3B": 6.4e9}
"""Other published Llamas that the same code takes, and the bytes of their weights in bfloat16."""

RESERVE = 0.1
"""Share of the weights' size that is asked for on top, for states and buffers."""


def count_weights(config: Any) -> int:
    """Number of weights of a Llama of this configuration; tied embeddings count once.

    Builds it without any memory.
    """
    with torch.device("meta"):
        return int(LlamaForCausalLM(config).num_parameters())


def as_dtype(named: torch.dtype | str | None) -> torch.dtype | None:
    """Return the type of torch that is named, such as "bfloat16"; None stays None.

    Raises:
        ValueError: if torch has no such type, or it holds no fractions.
    """
    found = getattr(torch, str(named).removeprefix("torch."), None)
    if named is not None and not (isinstance(found, torch.dtype) and found.is_floating_point):
        raise ValueError(
            f"`dtype` must be a floating type of torch, such as torch.bfloat16; got {named!r}."
        )
    return found


def free_bytes(device: str) -> float | None:
    """Bytes free on a device, or None where the system does not say.

    Args:
        device: "cpu", "cuda", "cuda:1" or such; "auto" for all of them together.
    """
    if device == "auto":
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        return sum(free_bytes(one) or 0 for one in devices)
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    if device != "cpu":
        return None
    return min(int(psutil.virtual_memory().available), _free_in_group())


def _free_in_group() -> float:
    """What a container may still take; infinity where it has no limit."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text())
        return limit - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no limit, or not on Linux
        return math.inf


def check_memory(name: str, config: Any, dtype: torch.dtype | None, device: str) -> None:
    """Raise MemoryError, with what would fit, if a model is too large for a device.

    Args:
        name: The model, for the message.
        config: Its configuration.
        dtype: Type to load in; None for the checkpoint's own, float32 if it names none.
        device: As in `free_bytes`.
    """
    dtype = dtype or as_dtype(getattr(config, "dtype", None)) or torch.float32
    n_weights, free = count_weights(config), free_bytes(device)
    need = n_weights * dtype.itemsize * (1 + RESERVE)
    if free is None or free >= need:
        return
    options = []
    if dtype.itemsize > 2 and free >= n_weights * 2 * (1 + RESERVE):
        options.append("dtype=torch.bfloat16")
    together = free_bytes("auto") or 0
    if device != "auto" and together >= need:
        options.append(f"device_map='auto', all devices together ({together / 1e9:.1f} GB)")
    for smaller, size in reversed(SMALLER.items()):
        if free >= size * (1 + RESERVE):
            options.append(f"{smaller} ({size * (1 + RESERVE) / 1e9:.1f} GB)")
    options.append("the bundled model 'llama_tiny'")
    raise MemoryError(
        f"{name} has {n_weights / 1e9:.2f} billion weights and needs about {need / 1e9:.1f} GB in "
        f"{str(dtype).removeprefix('torch.')}; {device} has {free / 1e9:.1f} GB free. What would "
        f"fit: {'; '.join(options)}."
    )
