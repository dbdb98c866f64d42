"""How soon a lab answers: every control of every lab is moved a few times, without a browser.

First feedback is when the lab says "Computing…", final is when its figure stands. Wall-clock
seconds depend on what else the machine does, so processor seconds are given beside them. The memory
of a served lab is measured by `visitors`.
"""

import time
from typing import Any

import numpy as np
import torch

from ssae_kit import labs
from ssae_kit.labs.__main__ import NAMES as LABS


def run() -> dict[str, Any]:
    """Measure everything; see the module's text."""
    torch.set_num_threads(1)
    rows = [row for name in LABS for row in _controls(name)]
    found = {
        key: round(float(np.quantile([row[column] for row in rows], 0.95)), 3)
        for column, key in enumerate(("p95_ms_to_first_feedback", "p95_s_to_final", "p95_cpu_s_to_final"), 2)
    }  # fmt: skip
    return {
        **{f"labs.{key}": value for key, value in found.items()},
        "labs.controls": {
            f"{lab}.{control}": {"ms_to_first_feedback": ms, "s_to_final": s, "cpu_s_to_final": cpu}
            for lab, control, ms, s, cpu in rows
        },
        "labs.real_llama": _real(),
        "labs.settings": {"changes_per_control": 2, "threads": 1},
    }


def _controls(name: str) -> list[tuple[str, str, float, float, float]]:
    """Per control: lab, control, and the slowest of a few changes in ms, s and processor s."""
    lab = getattr(labs, name)()
    lab.start()
    lab.wait(600.0)
    start = {key: control.value for key, control in lab.controls.items()}
    rows = []
    for key, control in lab.controls.items():
        times = [_change(lab, control, value) for value in (_other(control), start[key])]
        rows.append((name, key, *(round(max(column), 3) for column in zip(*times, strict=True))))
    lab.close()
    return rows


def _real() -> dict[str, dict[str, float]]:
    """Per control of the Steering lab on the real Llama: when its texts of 20 tokens stand, and all."""
    lab = labs.SteeringLab(labs.real(), everywhere=True)
    lab.start()
    lab.wait(600.0)
    shown: list[tuple[float, float]] = []
    lab.texts.observe(lambda _: shown.append((time.perf_counter(), time.process_time())), "value")
    found = {}
    for key, value in (("strength", 2.25), ("concepts", ("tense",)), ("seed", 1), ("layer", 20)):
        shown.clear()
        begun, before = time.perf_counter(), time.process_time()
        _, final, used = _change(lab, lab.controls[key], value)
        times = {"s_to_texts": shown[0][0] - begun, "cpu_s_to_texts": shown[0][1] - before}
        times |= {"s_to_final": final, "cpu_s_to_final": used}
        found[key] = {name: round(seconds, 3) for name, seconds in times.items()}
    lab.close()
    return found


def _change(lab: Any, control: Any, value: Any) -> tuple[float, float, float]:
    begun, used = time.perf_counter(), time.process_time()
    control.value = value
    assert lab.busy or lab.error
    answered = time.perf_counter()
    lab.wait(600.0)
    return (
        1000 * (answered - begun),
        time.perf_counter() - begun,
        time.process_time() - used,
    )


def _other(control: Any) -> Any:
    """Return a value next to the present one."""
    if isinstance(control.value, bool):
        return not control.value
    if isinstance(control.value, tuple):
        return tuple(control.options[:2])
    if hasattr(control, "options"):
        return control.options[1]
    if isinstance(control.value, str):
        return "the queen"
    up = control.value + control.step
    return up if up <= control.max else control.value - control.step
