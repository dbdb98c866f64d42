"""What importing costs: processor seconds over those of importing torch, in fresh processes."""

import statistics
import subprocess
import sys
from typing import Any

ROOMS = ("", ".autoencoders", ".metrics", ".pairs", ".synthetic", ".superposition", ".training")
COST = """
import importlib, sys, time
import torch
start = time.process_time()
for name in sys.argv[1:]:
    importlib.import_module(name)
print(time.process_time() - start)
"""
N_REPEATS = 5


def run() -> dict[str, Any]:
    """Measure the package alone, each of the rooms that need no Llama, and all of these at once."""
    names = [f"ssae_kit{room}" for room in ROOMS]
    found = {name: _cost(name) for name in names}
    return {
        "imports.cpu_s_over_torch": found["ssae_kit"]["median"],
        "imports.cpu_s_over_torch_all": _cost(*names)["median"],
        "imports.detail": found,
        "imports.settings": {"repeats": N_REPEATS},
    }


def _cost(*names: str) -> dict[str, float]:
    command = [sys.executable, "-c", COST, *names]
    costs = [
        float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        for _ in range(N_REPEATS)
    ]
    middle = statistics.median(costs)
    return {"min": round(min(costs), 3), "median": round(middle, 3), "max": round(max(costs), 3)}
