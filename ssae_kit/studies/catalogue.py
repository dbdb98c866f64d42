"""The studies that run at length, each a function and the conditions it is called on."""

from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ssae_kit.studies.choices import KINDS, judge_choices
from ssae_kit.studies.phases import (
    LAWS,
    coshift_cell,
    method_cell,
    noise_cell,
    size_cell,
    width_cell,
)
from ssae_kit.studies.scale import SIZES, scale

Study = Callable[..., dict[str, Tensor]]
SEEDS = (0, 1, 2, 3, 4)


def _grid(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations of the axes' values, the last axis fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


STUDIES: dict[str, tuple[Study, list[dict[str, Any]]]] = {
    "size": (
        size_cell,
        [
            condition
            for condition in _grid(most=(1, 2, 4, 6, 8), n_concepts=(4, 6, 8), seeds=[SEEDS])
            if condition["most"] <= condition["n_concepts"]
        ],
    ),
    "noise": (
        noise_cell,
        _grid(noise=(0.0, 0.1, 0.2, 0.4), n_samples=(150, 500, 3000), seeds=[SEEDS]),
    ),
    "coshift": (
        coshift_cell,
        _grid(
            joint_share=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
            correlation=(0.0, 0.5, 0.8, 1.0),
            group=[2],
            free_signs=[False],
            seeds=[SEEDS],
        ),
    ),
    "signs": (
        coshift_cell,
        _grid(
            joint_share=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
            correlation=[1.0],
            group=[2],
            free_signs=[True],
            seeds=[SEEDS],
        ),
    ),
    "width": (
        width_cell,
        _grid(level=(0.25, 0.6, 0.9, 1.2, 2.0), n_latents=(4, 8, 16), seeds=[SEEDS]),
    ),
    "methods": (method_cell, _grid(law=range(len(LAWS)), seeds=[SEEDS])),
    "choices": (judge_choices, _grid(kind=range(len(KINDS)), seed=range(10))),
    "scale": (
        scale,
        [{"n_concepts": k, "d_model": d, "most": s, "seeds": SEEDS[:3]} for k, d, s in SIZES[:3]]
        + [{"n_concepts": 200, "d_model": 1024, "most": 4, "seeds": SEEDS[:1], "start": 3.0}],
    ),
    "scale_1000": (
        scale,
        [
            {
                "n_concepts": k,
                "d_model": d,
                "most": s,
                "steps": 20_000,
                "n_samples": 60_000,
                "checkpoint": ".cache/scale_1000.safetensors",
            }
            for k, d, s in SIZES[3:]
        ],
    ),
}
"""Name -> function and conditions. A condition holds only what JSON can hold."""


def collect(results: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack what every condition returned; where sizes differ, one tensor per condition."""
    collected: dict[str, Tensor] = {}
    for name in results[0]:
        values = [result[name] for result in results]
        if len({value.shape for value in values}) == 1:
            collected[name] = torch.stack(values)
        else:
            collected |= {f"{name}.{i}": value for i, value in enumerate(values)}
    return collected
