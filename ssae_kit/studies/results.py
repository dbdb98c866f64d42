"""Results of the studies that ran at length, read from their files."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ssae_kit import checks
from ssae_kit.storage import DATA, load_tensors

RESULTS = DATA / "results"
"""The results that come with the course."""


@dataclass(frozen=True)
class StudyResult:
    """What a study found, and how it was made."""

    tensors: dict[str, Tensor]
    """Results by name, one row per condition; `name.i` where conditions differ in size."""
    conditions: list[dict[str, Any]]
    """What the study was called on."""
    command: str
    """The command that made the file."""
    cpu_seconds: float
    """What it cost."""
    device: str = "CPU"
    """What it ran on, beside that core."""

    def axis(self, name: str) -> list[Any]:
        """Values that a condition's entry takes, ascending."""
        return sorted({condition[name] for condition in self.conditions})

    def grid(
        self, method: str, rows: str, columns: str, *, score: int = 1
    ) -> Float[ndarray, "rows columns"]:
        """Mean over seeds of a method's score, by two entries of the condition.

        Args:
            method: Name of a tensor `[conditions, seeds, 2]`.
            rows: Entry along the rows, ascending.
            columns: Entry along the columns, ascending.
            score: 0 for code MCC, 1 for direction MCC.

        Returns:
            NaN where there was no such condition.
        """
        down, across = self.axis(rows), self.axis(columns)
        found = np.full((len(down), len(across)), np.nan)
        for condition, values in zip(self.conditions, self.tensors[method], strict=True):
            place = down.index(condition[rows]), across.index(condition[columns])
            found[place] = float(values[:, score].mean())
        return found

    def returned(self, index: int) -> dict[str, Tensor]:
        """Return what the study returned on one condition, by name.

        Args:
            index: Place in `conditions`.
        """
        found = {}
        for name, values in self.tensors.items():
            root, _, place = name.rpartition(".")
            if not root:
                found[name] = values[index]
            elif int(place) == index:
                found[root] = values
        return found

    def note(self) -> str:
        """Say where the numbers come from, in Markdown."""
        beside = "" if self.device == "CPU" else f" and an {self.device}"
        return f"*Numbers from* `{self.command}` *({self.cpu_seconds:.0f} s of one core{beside}).*"


def file_of(name: str, folder: str | Path = RESULTS) -> Path:
    """Return the file of a study's result."""
    return Path(folder) / f"{'' if name.startswith('real_') else 'shifts_'}{name}.safetensors"


def load_study(name: str, folder: str | Path = RESULTS) -> StudyResult:
    """Read a study's file; by default one that comes with the course.

    Raises:
        FileNotFoundError: if it has not been run.
        ValueError: if the file is damaged, or of something else.
    """
    checks.require_kind("name", name, str, "method")
    path = file_of(name, folder)
    tensors, metadata = load_tensors(path)
    told = ("conditions", "command", "cpu_seconds")
    if not isinstance(metadata, dict) or not metadata.keys() >= set(told):
        raise ValueError(
            f"{path} must be the result of a study, which says how it was made; it is of something "
            f"else. Make it anew: `python -m ssae_kit.studies {name}`."
        )
    own = {word: metadata[word] for word in (*told, "device") if word in metadata}
    return StudyResult(tensors, **own)
