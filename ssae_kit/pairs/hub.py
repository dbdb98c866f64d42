"""Pairs from TruthfulQA and Bias in Bios, read by the library `datasets` (extra `data`)."""

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

import torch

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
    options = {"split": "validation", **options}
    if path == "truthfulqa/truthful_qa":
        options = {"name": "multiple_choice", **options}
    return truth_pairs(_load(path, options))


def bias_in_bios(
    n_pairs: int,
    generator: torch.Generator,
    path: str = "LabHC/bias_in_bios",
    **options: Any,
) -> ConceptPairs:
    """Load Bias in Bios as pairs of a man's and a woman's biography.

    Args:
        n_pairs: Number of pairs.
        generator: Source of the pairing.
        path: Name on the hub, or a builder such as "json".
        options: For `datasets.load_dataset`, such as `data_files` for files of your own.

    Raises:
        ImportError: if `datasets` is not installed.
        ValueError: if a row is not of the schema, or there are no biographies of men or of women.

    Source: De-Arteaga et al. 2019 (arXiv 1901.09451), in the version of Ravfogel et al. 2020.
    """
    return bios_pairs(_load(path, {"split": "train", **options}), n_pairs, generator)


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
        labels = list(answers["labels"])
        if labels.count(1) != 1 or 0 not in labels or len(labels) != len(answers["choices"]):
            raise ValueError(
                f"row {i}: `mc1_targets` must label one choice 1 and the others 0; got {labels} "
                f"for {len(answers['choices'])} choices. Remove the row."
            )
        right, wrong = (answers["choices"][labels.index(label)] for label in (1, 0))
        sources.append(f"{question} {wrong}")
        targets.append(f"{question} {right}")
    return ConceptPairs(tuple(sources), tuple(targets), ("truth",), ((1,),) * len(sources))


def bios_pairs(
    rows: Iterable[Mapping[str, Any]], n_pairs: int, generator: torch.Generator
) -> ConceptPairs:
    """Pair biographies of men with biographies of women at random, each text used about equally.

    The two texts of a pair describe different people, so much more than the gender changes.
    `profession` is not matched, as in the published experiment.

    Args:
        rows: Each with `hard_text` and `gender`, 0 for a man and 1 for a woman.
        n_pairs: Number of pairs, at least 1.
        generator: Source of the pairing.

    Raises:
        ValueError: if a row is not of the schema, or there are no biographies of men or of women.
    """
    checks.require_generator(generator)
    texts: dict[int, list[str]] = {0: [], 1: []}
    for i, row in enumerate(rows):
        gender = _cell(row, i, "gender")
        if gender not in texts:
            raise ValueError(f"row {i}: `gender` must be 0 or 1; got {gender!r}.")
        texts[gender].append(_cell(row, i, "hard_text"))
    n_pairs = checks.whole("n_pairs", n_pairs)
    if not texts[0] or not texts[1]:
        raise ValueError(
            f"biographies of both genders are required; got {len(texts[0])} of men, "
            f"{len(texts[1])} of women."
        )
    source, target = (_shuffled(texts[gender], n_pairs, generator) for gender in (0, 1))
    return ConceptPairs(source, target, ("gender",), ((1,),) * n_pairs)


def _shuffled(texts: list[str], n: int, generator: torch.Generator) -> tuple[str, ...]:
    rounds = [torch.randperm(len(texts), generator=generator) for _ in range(-(-n // len(texts)))]
    return tuple(texts[int(i)] for i in torch.cat(rounds)[:n])


def _cell(row: Mapping[str, Any], index: int, name: str) -> Any:
    checks.require_kind(f"rows[{index}]", row, Mapping, '{"gender": 0, ...}')
    if name not in row:
        raise ValueError(f"row {index} must have a column {name!r}; it has {sorted(row)}.")
    return row[name]


def _load(path: str, options: dict[str, Any]) -> Any:
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise ImportError(
            "this needs the library `datasets`, which is not installed. "
            "Install the extra: pip install -e '.[data]'"
        ) from error
    return library.load_dataset(path, **options)
