"""What became of a submission, as a row of a table and as a text for its student."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Grade:
    """What became of one submission."""

    student: str
    """Name of the student's folder or, if there is none, of the file."""
    file: str
    """Path within the folder of submissions."""
    notebook: str = ""
    """Notebook of the course that it answers, found by its cells; empty if none is."""
    points: dict[str, int] = field(default_factory=dict)
    """Points earned in each exercise."""
    worth: dict[str, int] = field(default_factory=dict)
    """Points that each exercise is worth."""
    remarks: dict[str, str] = field(default_factory=dict)
    """What the check said, or why there is no check."""
    trouble: list[str] = field(default_factory=list)
    """What went wrong with the submission as a whole."""

    @property
    def score(self) -> int:
        """Sum of points."""
        return sum(self.points.values())


def write_table(grades: Sequence[Grade], path: Path) -> None:
    """Write one row for each submission, one column for each exercise."""
    names = sorted({name for one in grades for name in one.worth})
    head = ["student", "file", "notebook", "score", "maximum", "trouble", *names]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(head)
        for one in grades:
            row = [one.student, one.file, one.notebook, one.score, sum(one.worth.values())]
            earned = [one.points.get(name, "") for name in names]
            table.writerow([*row, "; ".join(one.trouble), *earned])


def report(one: Grade) -> str:
    """What a student reads about one submission."""
    lines = [f"## {one.notebook or one.file}", ""]
    lines += [f"**{one.score} of {sum(one.worth.values())} points.**", ""]
    lines += [f"- {trouble}" for trouble in one.trouble]
    lines += ["", "| exercise | points | remark |", "|---|---|---|"] if one.worth else []
    for name, worth in one.worth.items():
        remark = one.remarks.get(name, "").replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {name} | {one.points[name]} of {worth} | {remark} |")
    return "\n".join(lines)
