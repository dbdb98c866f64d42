"""Grading a folder of submissions.

A submission is not trusted: neither its outputs nor its checks. Its answers and the cells that its
learner added are run in their order, in a sandbox, and each answer is tried on its exercise's cases.
Only what it gave comes back; whether that is right is found out here, where nothing of it runs.
"""

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ssae_kit.checks import whole
from ssae_kit.exercises import sandbox
from ssae_kit.exercises.collect import Submitted, collect, printable
from ssae_kit.exercises.core import Exercise, exercise
from ssae_kit.exercises.release import grade_id, read, tasks
from ssae_kit.exercises.report import Grade, write
from ssae_kit.exercises.sandbox import Limits
from ssae_kit.exercises.values import Mistake, Raised, plain

READ_IT = re.compile(
    r"\b(_getframe|currentframe|f_back|f_locals|settrace|setprofile|get_objects|get_referrers"
    r"|ctypes|_exit|__subclasses__|ssae-check|SSAE_SUBMISSION|/proc/|sys\.modules|fork"
    r"|ssae_kit\.exercises|exercises\.(?!check\b|Predictions\b)\w+|inspect\.stack)\b"
)
"""What no answer needs, and what one that looks for the solution may; whoever grades reads it."""

EARLY = "its process ended early: out of memory, or ended from within"


def grade(
    folder: Path,
    notebooks: Path,
    out: Path,
    limits: Limits | None = None,
    *,
    jobs: int = 1,
    roster: Sequence[str] = (),
) -> list[Grade]:
    """Grade every notebook below a folder and write a table, a summary and a report per student.

    Args:
        folder: Submissions: ``student/any_name.ipynb`` or ``student.ipynb``.
        notebooks: The notebooks with solutions.
        out: Where `grades.csv`, `exercises.csv` and reports go. Files there are replaced.
        limits: Time and memory of each submission.
        jobs: How many submissions run at once.
        roster: Names of all students, each of whom gets a row.

    Returns:
        One grade for each student, sorted by name.

    Raises:
        ValueError: if there is nothing to grade, or no notebook has exercises of this kit.
    """
    paths = sorted(notebooks.glob("*.ipynb"))
    course = {path.stem: notebook for path in paths if tasks(notebook := read(path))}
    # Before anything is run that may change a file of the kit.
    checks = {t.name: exercise(t.name) for one in course.values() for t in tasks(one).values()}
    if not course:
        raise ValueError(f"{notebooks} must hold notebooks with exercises; found none.")
    found = collect(folder, paths)
    if not found:
        raise ValueError(f"there must be submissions (*.ipynb) below {folder}; found none.")
    grades = enrolled(found, roster)
    counted = choose(found, course, grades)
    files = sandbox.kit()
    with ThreadPoolExecutor(whole("jobs", jobs)) as pool:
        work = [(plan(course[name], one), files, limits or Limits()) for name, one in counted]
        results = list(pool.map(lambda job: sandbox.execute(*job), work))
    told = [record.get("kind") for records, _ in results for record in records]
    if results and "ready" not in told:  # no answer has run yet: it is none's fault
        raise OSError(
            "no submission could be started, so none is graded. Give more memory or time, or see "
            f"what `echo '{{}}' | python -m {sandbox.RUNNER}` says."
        )
    for (name, one), (records, stopped) in zip(counted, results, strict=True):
        if sum(record.get("kind") == "check" for record in records) < len(tasks(course[name])):
            stopped = stopped or [EARLY]
        grades[one.student].trouble += stopped
        enter(course[name], checks, one, records, grades[one.student])
    write(ordered := [grades[name] for name in sorted(grades)], out)
    return ordered


def enrolled(found: list[Submitted], roster: Sequence[str]) -> dict[str, Grade]:
    """Row of everybody who handed something in or is on the roster."""
    grades = {one.student: Grade(one.student) for one in found}
    for name in roster:
        grades.setdefault(name, Grade(name, trouble=["on the roster, but nothing was handed in"]))
    for name in grades.keys() - set(roster) if roster else ():
        grades[name].trouble.append("not on the roster")
    return grades


def choose(
    found: list[Submitted], course: dict[str, Any], grades: dict[str, Grade]
) -> list[tuple[str, Submitted]]:
    """Notebook and file of every submission that counts; says what becomes of the others."""
    counted: dict[tuple[str, str], Submitted] = {}
    for one in sorted(found, key=lambda one: (one.changed, one.file)):
        trouble = grades[one.student].trouble
        trouble += one.trouble
        own = {cell["key"] for cell in one.cells if cell["answer"]}
        name = max(course, key=lambda key: len(tasks(course[key]).keys() & own))
        if not tasks(course[name]).keys() & own:
            grades[one.student].file = grades[one.student].file or one.file
            if one.file and not one.trouble:
                trouble.append(f"{one.file}: no answer cell of this course was found in it")
            continue
        if (earlier := counted.pop((one.student, name), None)) is not None:
            trouble.append(
                f"two files for {name}: {one.file}, changed last, counts; {earlier.file} does not"
            )
        counted[one.student, name] = one
    for student, result in grades.items():
        files = {name: one.file for (who, name), one in sorted(counted.items()) if who == student}
        result.notebook = "; ".join(files)
        result.file = "; ".join(files.values()) or result.file
        for name, file in files.items():
            if Path(file).stem != name:
                result.trouble.append(f"the file was renamed; its cells are those of {name}")
    return [(name, one) for (_, name), one in sorted(counted.items())]


def plan(notebook: Any, one: Submitted) -> dict[str, Any]:
    """What is run of a submission: its own cells, its answers and our checks, in its order."""
    todo = tasks(notebook)
    given = [cell for cell in notebook.cells if cell.cell_type == "code" and not grade_id(cell)]
    course = [str(cell.source) for cell in given]
    known = {cell.id for cell in given}
    place: list[tuple[float, dict[str, Any]]] = []
    for number, cell in enumerate(one.cells):
        if cell["key"] or cell["source"] in course:
            continue
        if cell["id"] in known:
            course.append(cell["source"])  # the learner changed it, such as by an import
        else:
            place.append((number, {"key": "", "kind": "own", "source": cell["source"]}))
    for key, task in todo.items():
        answers, check = places(one, key)
        test = {"key": key, "kind": "check", "name": task.name, "function": task.function}
        place.append((max([*answers, check]) + 0.5, test))
        for answer in answers:
            source = one.cells[answer]["source"]
            place.append((answer, {"key": key, "kind": "answer", "source": source}))
    last = max(number for number, step in place if step["kind"] == "check")
    steps = [step for number, step in sorted(place, key=lambda it: it[0]) if number <= last]
    functions = {task.function: task.name for task in todo.values()}
    return {"course": course, "steps": steps, "answers": functions}


def places(one: Submitted, key: str) -> tuple[list[int], int]:
    """Where a submission has its check, and the cells of the answer above it.

    They are several if a cell was copied, or split: each part then has the name of the whole.
    """
    checks = [n for n, cell in enumerate(one.cells) if cell["key"] == f"{key}-check"]
    check = checks[-1] if checks else len(one.cells)
    copies = [n for n, cell in enumerate(one.cells) if cell["key"] == key and cell["answer"]]
    return [n for n in copies if n < check] or copies, check


def enter(
    notebook: Any,
    checks: dict[str, Exercise],
    one: Submitted,
    records: list[dict[str, Any]],
    result: Grade,
) -> None:
    """Enter what the steps of a submission gave: points, remarks, and what is not in order."""
    said = {(str(r.get("key")), str(r.get("kind"))): r for r in records}
    for key, task in tasks(notebook).items():
        copies = sum(cell["key"] == key and cell["answer"] for cell in one.cells)
        answer, check = (said.get((key, kind), {}) for kind in ("answer", "check"))
        share, remark = 0.0, "the answer's cell is missing"
        if "results" in check:
            share, remark = verdict(checks[task.name], check["results"])
        elif copies:
            said_of_it = (check.get("mistake"), answer.get("error"), check.get("error"))
            remark = next((str(text) for text in said_of_it if text), "it was not reached")
        result.worth[task.name] = task.points
        result.points[task.name] = int(task.points * share)
        result.remarks[task.name] = printable(" ".join(remark.split()))
        if copies > 1:
            result.trouble.append(
                f"{copies} cells answer {task.name}; all above its check were run"
            )
    ours = {cell.source for cell in notebook.cells}
    own = [cell["source"] for cell in one.cells if cell["answer"] or not cell["key"]]
    found = (word[0] for text in own if text not in ours for word in READ_IT.finditer(text))
    if words := sorted(set(found)):
        result.trouble.append(f"READ IT: no answer needs {', '.join(words)}")


def verdict(one: Exercise, results: Any) -> tuple[float, str]:
    """Share of the points that an answer earned by what it gave, and the remark on it."""
    try:
        given = [Raised(**r) if isinstance(r, dict) else plain(r) for r in results]
        passed, message = one.judge(given)
        share = 0.0 if passed is None else one.share(given)
    except Mistake as mistake:
        return 0.0, str(mistake)
    except Exception as error:  # whatever was sent, it harms nobody else
        return 0.0, f"what it gave cannot be read: {type(error).__name__}"
    return share, message or ("passed." if passed else "not attempted yet.")
