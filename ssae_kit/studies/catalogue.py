"""The studies that run at length, each a function and the conditions it is called on."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ssae_kit.pairs import DATASETS
from ssae_kit.studies import real_league
from ssae_kit.studies.choices import KINDS, score_choices
from ssae_kit.studies.league import compose, league
from ssae_kit.studies.persons import persons
from ssae_kit.studies.phases import (
    LAWS,
    coshift_cell,
    lead_cell,
    method_cell,
    noise_cell,
    size_cell,
    width_cell,
)
from ssae_kit.studies.protocol import SHIPPED, protocol
from ssae_kit.studies.ravel import ravel
from ssae_kit.studies.real import SITES, STREAMS, WIDTHS, score_site, train_shifts
from ssae_kit.studies.real_erasure import ERASED, erase_concept
from ssae_kit.studies.real_sets import score_set
from ssae_kit.studies.real_steering import (
    LATER_WAYS,
    LEAST,
    WAYS,
    choose_layer,
    directions,
    layer_directions,
    next_words,
    write_texts,
)
from ssae_kit.studies.scale import SIZES, scale
from ssae_kit.studies.sweep import Study

SEEDS = (0, 1, 2, 3, 4)
NEW = tuple(range(10, 26))
"""Worlds that nobody had seen when the thresholds of `turn`, `lead` and `start` were written."""


def _grid(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """All combinations of the axes' values, the last axis fastest."""
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _worlds(**axes: Sequence[Any]) -> list[dict[str, Any]]:
    """The same, each on five worlds."""
    return [condition | {"seeds": SEEDS} for condition in _grid(**axes)]


JOINT_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
LARGE = [{"n_concepts": k, "d_model": d, "most": s} for k, d, s in SIZES]

STUDIES: dict[str, tuple[Study, list[dict[str, Any]]]] = {
    "size": (
        size_cell,
        [
            c
            for c in _worlds(most=(1, 2, 4, 6, 8), n_concepts=(4, 6, 8))
            if c["most"] <= c["n_concepts"]
        ],
    ),
    "noise": (noise_cell, _worlds(noise=(0.0, 0.1, 0.2, 0.4), n_samples=(150, 500, 3000))),
    "coshift": (
        coshift_cell,
        _worlds(joint_share=JOINT_SHARES, correlation=(0.0, 0.5, 0.8, 1.0), free_signs=[False]),
    ),
    "signs": (
        coshift_cell,
        _worlds(joint_share=JOINT_SHARES, correlation=[1.0], free_signs=[True]),
    ),
    "turn": (
        coshift_cell,
        _grid(joint_share=(0.36, 0.47), correlation=[1.0], free_signs=[True], seeds=[NEW]),
    ),
    "lead": (lead_cell, _grid(correlation=(0.0, 0.8, 0.95, 0.98, 1.0), seeds=[NEW[:8]])),
    "width": (width_cell, _worlds(level=(0.25, 0.6, 0.9, 1.2, 2.0), n_latents=(4, 8, 16))),
    "methods": (method_cell, _worlds(law=range(len(LAWS)))),
    "choices": (score_choices, _grid(kind=range(len(KINDS)), seed=range(10))),
    "persons": (persons, _grid(stream=range(4))),
    "protocol": (protocol, _grid(model=SHIPPED, stream=range(20))),
    "ravel": (ravel, _grid(stream=STREAMS)),
    "league": (
        league,
        _grid(concept=("sentiment", "gender"), n_texts=(10, 100, 1000), stream=(0, 1, 2)),
    ),
    "compose": (compose, _grid(n_texts=[10], stream=(0, 1, 2))),
    "full_prompt": (compose, _grid(n_texts=[10], n_sentences=[5], stream=(0, 1, 2))),
    "scale": (
        scale,
        [size | {"seeds": SEEDS[:3]} for size in LARGE[:3]]
        + [LARGE[2] | {"seeds": SEEDS[:1], "start": 3.0}],
    ),
    "start": (
        scale,
        [
            LARGE[1] | {"seeds": NEW[:8]} | start | multiplier
            for start in ({}, {"start": 1.0})
            for multiplier in ({}, {"dual_rate": 0.2})
        ],
    ),
    "scale_1000": (
        scale,
        [
            size
            | {"steps": 20_000, "n_samples": 60_000, "checkpoint": ".cache/scale_1000.safetensors"}
            for size in LARGE[3:]
        ],
    ),
}
"""Name -> function and conditions. A condition holds only what JSON can hold."""

REAL: dict[str, tuple[Study, list[dict[str, Any]]]] = {
    "real_shifts": (train_shifts, _grid(stream=STREAMS)),
    "real_directions": (directions, _grid(stream=STREAMS)),
    "real_layers": (layer_directions, _grid(stream=[0])),
    "real_sites": (score_site, SITES + WIDTHS),
    "real_sets": (score_set, _grid(name=list(DATASETS), stream=STREAMS)),
    "real_words": (next_words, _grid(strength=[0.5], stream=STREAMS)),
    "real_chosen": (choose_layer, _grid(stream=STREAMS, concept=LEAST)),
    "real_texts": (write_texts, WAYS),
    "real_later": (write_texts, LATER_WAYS),
    "real_erasure": (erase_concept, _grid(concept=ERASED, stream=STREAMS)[:7]),
    "real_league": (
        real_league.score_way,
        _grid(stream=STREAMS, concept=("sentiment", "gender"), way=real_league.WAYS)
        + _grid(stream=range(4), concept=["sentiment"], way=["random"]),  # of no concept
    ),
}
"""Parts of the study `real`, each a file of its own."""
STUDIES |= REAL


def collect(results: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Stack what every condition returned; where sizes differ, one tensor for each that has it."""
    collected: dict[str, Tensor] = {}
    for name in {name: None for result in results for name in result}:
        values = {i: result[name] for i, result in enumerate(results) if name in result}
        if len(values) == len(results) and len({value.shape for value in values.values()}) == 1:
            collected[name] = torch.stack(list(values.values()))
        else:
            collected |= {f"{name}.{i}": value for i, value in values.items()}
    return collected
