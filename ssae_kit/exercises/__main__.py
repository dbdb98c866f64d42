"""Student edition and grading: ``python -m ssae_kit.exercises release|grade``."""

import argparse
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ssae_kit.exercises.grade import Limits, grade
from ssae_kit.exercises.release import release
from ssae_kit.exercises.report import by_exercise
from ssae_kit.exercises.sandbox import confined


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the two commands, as the command line says by default; say what was done."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.exercises", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    student = commands.add_parser("release", help="write the student edition")
    student.add_argument("source", type=Path, help="notebooks with solutions")
    student.add_argument("target", type=Path, help="where the student edition goes")
    student.add_argument(
        "--with-solutions", action="store_true", help="keep them, folded, below each check"
    )
    student.add_argument("--keep", action="store_true", help="leave notebooks that are there alone")
    marks = commands.add_parser("grade", help="grade a folder of submissions")
    marks.add_argument("folder", type=Path, help="student/any_name.ipynb, or student.ipynb")
    marks.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="with solutions")
    marks.add_argument("--out", type=Path, default=Path("build/grades"), help="table and reports")
    marks.add_argument("--cell-seconds", type=int, default=Limits.cell_seconds)
    marks.add_argument("--seconds", type=int, default=Limits.seconds, help="for a submission")
    marks.add_argument("--memory-gib", type=float, default=Limits.memory_gib)
    marks.add_argument("--jobs", type=int, default=1, help="submissions at once")
    marks.add_argument("--roster", type=Path, help="all students' names, one in a line")
    given = parser.parse_args(arguments)
    try:
        print(_run(given))
    except (ValueError, OSError) as error:
        parser.error(str(error))


def _run(given: argparse.Namespace) -> str:
    if given.command == "release":
        how = {"with_solutions": given.with_solutions, "keep": given.keep}
        written = release(given.source, given.target, **how)
        return f"{len(written)} notebooks written to {given.target}"
    limits = Limits(given.cell_seconds, given.seconds, given.memory_gib)
    names = given.roster.read_text("utf-8-sig") if given.roster else ""
    lines = unicodedata.normalize("NFC", names).splitlines()
    roster = [name for name in map(str.strip, lines) if name]
    grades = grade(given.folder, given.notebooks, given.out, limits, jobs=given.jobs, roster=roster)
    lines = [
        f"{name}: {right} of {tried} passed. {remark}"
        for name, right, tried, remark in by_exercise(grades)
    ]
    if not confined():
        lines.append("No namespaces here: a submission can read what you can; see README.")
    trouble = sum(bool(one.trouble) for one in grades)
    summed = f"{len(grades)} students graded, {trouble} with trouble"
    return "\n".join([*lines, f"{summed}; see {given.out / 'grades.csv'}"])


if __name__ == "__main__":
    main()
