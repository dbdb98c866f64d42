"""The published experiments' data sets, with our own words: `dataset("LANG")` and the like.

NAME(n, m): n concepts vary somewhere in the set, at most m of them in one pair. TruthfulQA itself
is read by the library `datasets` (extra `data`).
"""

import importlib
from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from ssae_kit import checks
from ssae_kit.pairs.core import ConceptPairs
from ssae_kit.pairs.files import load_pairs
from ssae_kit.storage import DATA

FOLDER = DATA / "pairs"

DATASETS = {
    "LANG": "(1,1) English words and their French translations",
    "GENDER": "(1,1) English words for males and for females",
    "BINARY": "(2,2) words in which the gender, the language or both change",
    "CORR": "(2,1) English words translated into French or into German",
    "CAT": "(135,3) 'round red hat' with one to three of its words replaced",
    "TRUTH": "(1,1) questions with a wrong and with the right answer",
}
"""Name, then number of concepts and of changes in one pair, and what the texts are."""

CATEGORIES = {
    name: words.split()
    for name, words in {
        "shape": "round square oval triangular hexagonal curved flat hollow pointed crooked",
        "colour": "red blue green yellow purple orange white black brown pink",
        "object": "hat box lamp chair plate cup table ring mirror clock",
    }.items()
}
"""Attributes of CAT in the order in which a text states them, each with its ten values."""

N_CATEGORY_PAIRS = 30_000


def dataset(name: str) -> ConceptPairs:
    """Return one of the data sets by name.

    All but CAT are files in `data/pairs/`, whose README says how each was made. CAT is drawn by
    `category_pairs` from a fixed seed.

    Args:
        name: A key of `DATASETS`, in capitals or not.

    Raises:
        ValueError: if there is no such data set.
        FileNotFoundError: if the data folder is missing.
    """
    key = str(name).upper()
    if key not in DATASETS:
        raise ValueError(
            f"a data set must be one of {', '.join(DATASETS)}; got {name!r}. "
            "For a file of your own, use `load_pairs`."
        )
    if key == "CAT":
        return category_pairs(N_CATEGORY_PAIRS, torch.Generator().manual_seed(0))
    return load_pairs(FOLDER / f"{key.lower()}.csv")


def category_pairs(n_pairs: int, generator: torch.Generator) -> ConceptPairs:
    """Draw pairs of short texts in which one, two or all three attributes take another value.

    Every unordered swap of two values of an attribute is a concept, such as "colour: red-blue":
    +1 from red to blue, -1 from blue to red. Ten values make 45 swaps, three attributes 135.

    Args:
        n_pairs: Number of pairs, at least 1.
        generator: Source of every choice; how many attributes change is equally likely.

    Raises:
        ValueError: if `n_pairs` is below 1.

    Source: Joshi et al. 2025 (arXiv 2502.12179), data set CAT.
    """
    checks.require_generator(generator)
    shape = (checks.whole("n_pairs", n_pairs), len(CATEGORIES))
    sizes = torch.tensor([len(values) for values in CATEGORIES.values()])
    before = (torch.rand(shape, generator=generator) * sizes).long()
    n_changed = torch.randint(1, len(CATEGORIES) + 1, (n_pairs, 1), generator=generator)
    changes = torch.rand(shape, generator=generator).argsort(1).argsort(1) < n_changed
    step = 1 + (torch.rand(shape, generator=generator) * (sizes - 1)).long()
    after = (before + step * changes) % sizes
    return ConceptPairs(_say(before), _say(after), *_swaps(before, after))


def _swaps(before: Tensor, after: Tensor) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    """Names of all swaps, and which of them each pair makes in which direction."""
    names, columns = [], []
    for (name, values), old, new in zip(CATEGORIES.items(), before.T, after.T, strict=True):
        for i, j in combinations(range(len(values)), 2):
            names.append(f"{name}: {values[i]}-{values[j]}")
            columns.append(((old == i) & (new == j)).int() - ((old == j) & (new == i)).int())
    return tuple(names), tuple(map(tuple, torch.stack(columns, 1).tolist()))


def _say(states: Tensor) -> tuple[str, ...]:
    """The words of each row of values."""
    lists = list(CATEGORIES.values())
    return tuple(
        " ".join(values[i] for values, i in zip(lists, row, strict=True)) for row in states.tolist()
    )


def truthful_qa(path: str = "truthfulqa/truthful_qa", **options: Any) -> ConceptPairs:
    """Load TruthfulQA as pairs: each question with a wrong and with the right answer.

    Args:
        path: Name on the hub, or a builder such as "json".
        options: For `datasets.load_dataset`, such as `data_files` for files of your own.

    Raises:
        ImportError: if `datasets` is not installed.
        ValueError: if a row is not of the schema.

    Source: Lin et al. 2021 (arXiv 2109.07958), its multiple-choice task with one right answer.
    """
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError(
            "this needs the library `datasets`, which is not installed. "
            "Install the extra: pip install -e '.[data]'"
        ) from error
    if path == "truthfulqa/truthful_qa":
        options = {"name": "multiple_choice", **options}
    return truth_pairs(library.load_dataset(path, **{"split": "validation", **options}))


def truth_pairs(rows: Iterable[Mapping[str, Any]]) -> ConceptPairs:
    """Turn rows of TruthfulQA's schema into pairs, from the first wrong to the right answer.

    Args:
        rows: Each with `question` and `mc1_targets`: `choices`, and `labels`, 1 for the one right
            choice and 0 for the others.

    Raises:
        ValueError: if a row is not of the schema; names the row.
    """
    sources, targets = [], []
    for i, row in enumerate(rows):
        question, answers = _cell(row, i, "question"), _cell(row, i, "mc1_targets")
        labels, choices = list(answers["labels"]), answers["choices"]
        if labels.count(1) != 1 or 0 not in labels or len(labels) != len(choices):
            raise ValueError(
                f"row {i}: `mc1_targets` must label one choice 1 and the others 0; got {labels} "
                f"for {len(choices)} choices. Remove the row."
            )
        sources.append(f"{question} {choices[labels.index(0)]}")
        targets.append(f"{question} {choices[labels.index(1)]}")
    return ConceptPairs(tuple(sources), tuple(targets), ("truth",), ((1,),) * len(sources))


def _cell(row: Mapping[str, Any], index: int, name: str) -> Any:
    checks.require_kind(f"rows[{index}]", row, Mapping, '{"question": "...", ...}')
    if name not in row:
        raise ValueError(f"row {index} must have a column {name!r}; it has {sorted(row)}.")
    return row[name]
