"""Pairs from TruthfulQA, read by the library `datasets` (extra `data`)."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from ssae_kit import checks
from ssae_kit.pairs.core import ConceptPairs


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
