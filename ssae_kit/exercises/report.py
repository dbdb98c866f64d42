"""What became of the submissions: a table, a summary by exercise, and a text for each student."""

import csv
import hashlib
import html
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass
class Grade:
    """What became of one student's submissions."""

    student: str
    """Name of the student's folder or, if there is none, of the file."""
    file: str = ""
    """What counted: paths within the folder of submissions."""
    notebook: str = ""
    """Notebooks of the course that they answer, found by their cells; empty if none is."""
    points: dict[str, int] = field(default_factory=dict)
    """Points earned in each exercise."""
    worth: dict[str, int] = field(default_factory=dict)
    """Points that each exercise is worth."""
    remarks: dict[str, str] = field(default_factory=dict)
    """What the check said, or why there is no check."""
    trouble: list[str] = field(default_factory=list)
    """What went wrong, or should be looked at."""

    @property
    def score(self) -> int:
        """Sum of points."""
        return sum(self.points.values())

    @property
    def maximum(self) -> int:
        """Points that could be earned."""
        return sum(self.worth.values())


def write(grades: Sequence[Grade], out: Path) -> None:
    """Write `grades.csv`, `exercises.csv` and one report per student into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    names = sorted({name for one in grades for name in one.worth})
    head, rows = ["student", "file", "notebook", "score", "maximum", "trouble", *names], []
    for one in grades:
        told = [one.student, one.file, one.notebook, one.score, one.maximum]
        points = [one.points.get(name, "") for name in names]
        rows.append([*told, "; ".join(one.trouble), *points])
    _table(out / "grades.csv", head, rows)
    head = ["exercise", "passed", "submitted", "commonest remark on the others"]
    _table(out / "exercises.csv", head, by_exercise(grades))
    files = _file_names([one.student for one in grades])
    for one in grades:
        _write(out / f"{files[one.student]}.md", report(one))


def by_exercise(grades: Sequence[Grade]) -> list[tuple[str, int, int, str]]:
    """Name of each exercise, how many passed, of how many, and what most others were told."""
    rows = []
    for name in sorted({name for one in grades for name in one.worth}):
        tried = [one for one in grades if name in one.worth]
        missed = [one for one in tried if one.points[name] < one.worth[name]]
        said = Counter(one.remarks[name] for one in missed)
        commonest = max(said, key=lambda text: said[text], default="")
        rows.append((name, len(tried) - len(missed), len(tried), commonest))
    return rows


def report(one: Grade) -> str:
    """What a student reads about the submissions; their words are shown and never acted on."""
    lines = [f"# {_shown(one.student)}", ""]
    lines += [f"**{one.score} of {one.maximum} points.** {_shown(one.file)}", ""]
    lines += [f"- {_shown(trouble)}" for trouble in one.trouble]
    lines += ["", "| exercise | points | remark |", "|---|---|---|"] if one.worth else []
    for name, worth in one.worth.items():
        remark = _shown(one.remarks.get(name, ""))
        lines.append(f"| {name} | {one.points[name]} of {worth} | {remark} |")
    return "\n".join([*lines, ""])


def _shown(text: str) -> str:
    """Text that is neither HTML nor Markdown, whoever wrote it."""
    text = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*\[\]|#!~]|(?<!\w)_|_(?!\w))", r"\\\1", text).replace("://", ":\u200b//")


def _table(path: Path, head: list[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table in which no spreadsheet finds a formula."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\r\n")
    for row in [head, *rows]:
        # In full width, too, spreadsheets take them for formulas.
        texts = [unicodedata.normalize("NFKC", str(value)).lstrip() for value in row]
        formulas = [text.startswith(("=", "+", "-", "@")) for text in texts]
        table.writerow(["'" * f + str(value) for f, value in zip(formulas, row, strict=True)])
    _write(path, text.getvalue())


def _write(path: Path, text: str) -> None:
    """Write a file anew: one that lay there, or a link, is taken away first."""
    path.unlink(missing_ok=True)
    with path.open("x", newline="", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def _file_names(students: Sequence[str]) -> dict[str, str]:
    """Students' names as files can bear them, each its own where capitals make no difference."""
    safe = {student: re.sub(r'[\\/:*?"<>|]', "_", student) for student in students}
    shared = Counter(name.casefold() for name in safe.values())
    for student, name in safe.items():
        if name != student or len(name.encode()) > 200 or shared[name.casefold()] > 1:
            safe[student] = f"{name[:40]}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"
    return safe
