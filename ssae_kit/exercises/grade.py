"""Grading a folder of submissions.

A submission is not trusted: neither its outputs nor its checks. Its answers and the cells that its
learner added are put, in their order, beside the checks of the notebook with solutions, and run in
a sandbox. What comes of it is written here, after all have run.
"""

import ast
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ssae_kit.exercises import sandbox
from ssae_kit.exercises.collect import Submitted, collect
from ssae_kit.exercises.release import Task, grade_id, read, tasks
from ssae_kit.exercises.report import Grade, write
from ssae_kit.exercises.sandbox import Limits

__all__ = ["Limits", "grade"]

READ_IT = re.compile(
    r"\b(_getframe|currentframe|f_back|f_locals|settrace|setprofile|get_objects|get_referrers"
    r"|ctypes|_exit|__subclasses__|ssae-check|SSAE_SUBMISSION|/proc/|sys\.modules|fork)\b|inspect\.stack"
)
"""What no answer needs, and what a forged one may: whoever grades should read it."""


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
        ValueError: if there is nothing to grade, or no notebook has exercises.
    """
    paths = sorted(notebooks.glob("*.ipynb"))
    course = {path.stem: read(path) for path in paths}
    course = {name: notebook for name, notebook in course.items() if tasks(notebook)}
    if not course:
        raise ValueError(f"{notebooks} must hold notebooks with exercises; found none.")
    found = collect(folder, paths)
    if not found:
        raise ValueError(f"there must be submissions (*.ipynb) below {folder}; found none.")
    grades = {one.student: Grade(one.student) for one in found}
    for name in roster:
        grades.setdefault(name, Grade(name, trouble=["on the roster, but nothing was handed in"]))
    for name in grades.keys() - set(roster) if roster else ():
        grades[name].trouble.append("not on the roster")
    counted = choose(found, course, grades)
    files = sandbox.kit()
    with ThreadPoolExecutor(jobs) as pool:
        work = [(plan(course[name], one), files, limits or Limits()) for name, one in counted]
        results = list(pool.map(lambda job: sandbox.execute(*job), work))
    for (name, one), (records, trouble) in zip(counted, results, strict=True):
        enter(tasks(course[name]), one, records, trouble, grades[one.student])
    ordered = [grades[name] for name in sorted(grades)]
    write(ordered, out)
    return ordered


def choose(
    found: list[Submitted], course: dict[str, Any], grades: dict[str, Grade]
) -> list[tuple[str, Submitted]]:
    """Notebook and file of every submission that counts; says what becomes of the others."""
    counted: dict[tuple[str, str], Submitted] = {}
    for one in sorted(found, key=lambda one: (one.changed, one.file)):
        result = grades[one.student]
        result.trouble += one.trouble
        own = {cell["key"] for cell in one.cells if cell["answer"]}
        shared = {name: len(tasks(notebook).keys() & own) for name, notebook in course.items()}
        name = max(shared, key=lambda key: shared[key])
        if not shared[name]:
            if one.file and not one.trouble:
                result.trouble.append(f"{one.file}: no answer cell of this course was found in it")
            result.file = result.file or one.file
            continue
        if (earlier := counted.pop((one.student, name), None)) is not None:
            result.trouble.append(
                f"two files for {name}: {one.file}, changed last, counts; {earlier.file} does not"
            )
        counted[one.student, name] = one
    for (student, name), one in sorted(counted.items()):
        result = grades[student]
        if Path(one.file).stem != name:
            result.trouble.append(f"the file was renamed; its cells are those of {name}")
        kept = [result.notebook] if result.notebook else []
        result.notebook = "; ".join([*kept, name])
        result.file = "; ".join([result.file, one.file] if kept else [one.file])
    return [(name, one) for (_, name), one in sorted(counted.items())]


def plan(notebook: Any, one: Submitted) -> dict[str, Any]:
    """What is run of a submission: its own cells, its answers and our checks, in its order."""
    todo = tasks(notebook)
    given = [cell for cell in notebook.cells if cell.cell_type == "code" and not grade_id(cell)]
    known = {cell.id for cell in given} | {cell.source for cell in given}
    course = [str(cell.source) for cell in given]
    place: list[tuple[float, dict[str, Any]]] = []
    for number, cell in enumerate(one.cells):
        if cell["key"]:
            continue
        if cell["id"] not in known and cell["source"] not in known:
            place.append((number, {"kind": "own", "source": cell["source"]}))
        elif cell["source"] not in known:
            course.append(cell["source"])  # the learner changed it, such as by an import
    for key, task in todo.items():
        answer, check = places(one, key)
        source = one.cells[answer]["source"] if answer >= 0 else ""
        place.append((answer, {"kind": "answer", "key": key, "source": source}))
        test = {"kind": "check", "key": key, "name": task.name, "source": task.check}
        place.append((max(answer, check) + 0.5, test))
    last = max(number for number, step in place if step["kind"] == "check")
    steps = [step for number, step in sorted(place, key=lambda it: it[0]) if number <= last]
    answers = [name for task in todo.values() for name in written(task)]
    numbers = sorted({task.name.partition(".")[0] for task in todo.values()})
    return {"course": course, "steps": steps, "answers": answers, "numbers": numbers}


def places(one: Submitted, key: str) -> tuple[int, int]:
    """Where a submission has an answer and its check: as in a notebook, the last above counts."""
    checks = [n for n, cell in enumerate(one.cells) if cell["key"] == f"{key}-check"]
    check = checks[-1] if checks else len(one.cells)
    copies = [n for n, cell in enumerate(one.cells) if cell["key"] == key and cell["answer"]]
    above = [n for n in copies if n < check] or copies
    return (above[-1] if above else -1), check


def written(task: Task) -> list[str]:
    """Names of the functions that an exercise asks for."""
    body = ast.parse(task.solution).body
    return [n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)]


def enter(
    todo: dict[str, Task],
    one: Submitted,
    records: list[dict[str, Any]],
    trouble: list[str],
    result: Grade,
) -> None:
    """Enter what the steps of a submission gave: points, remarks, and what is not in order."""
    said = {(str(r.get("key")), str(r.get("kind"))): r for r in records}
    result.trouble += trouble
    for key, task in todo.items():
        result.worth[task.name] = task.points
        copies = [c for c in one.cells if c["key"] == key and c["answer"]]
        answer, check = (said.get((key, kind), {}) for kind in ("answer", "check"))
        right, remark, forged = judge(task, answer, check, bool(copies))
        result.points[task.name] = task.points if right else 0
        result.remarks[task.name] = remark
        result.trouble += forged
        if len(copies) > 1:
            result.trouble.append(
                f"{len(copies)} cells answer {task.name}; the last above its check counts"
            )
    words = sorted({found[0] for c in one.cells for found in READ_IT.finditer(c["source"])})
    if words:
        result.trouble.append(f"READ IT: no answer needs {', '.join(words)}")
    accused = [t.name for k, t in todo.items() if passed(said.get((k, "control"), {}))]
    accused += sorted({str(name) for r in records for name in r.get("tampered") or ()})
    if accused:
        names = ", ".join(accused[:5])
        result.trouble.append(f"FORGED: a check was tampered with ({names}); no points")
    if accused or any("the kit on disk" in text for text in trouble):
        result.points |= dict.fromkeys((task.name for task in todo.values()), 0)


def judge(
    task: Task, answer: dict[str, Any], check: dict[str, Any], present: bool
) -> tuple[bool, str, list[str]]:
    """Whether one exercise is right, the remark on it, and what looks forged."""
    shown = check.get("verdicts") or []
    error = str(check.get("error") or "")
    forged = []
    if answer.get("verdicts"):
        forged.append(f"FORGED: the answer {task.name} displays a verdict of its own")
    if len(shown) > 1:
        forged.append(f"FORGED: more than one verdict for {task.name}")
    elif shown and error:
        forged.append(f"FORGED: a verdict for {task.name}, and then {error}")
    elif shown and shown[0]["name"] == task.name:
        return shown[0]["passed"], shown[0]["text"].partition(": ")[2], forged
    if not present:
        return False, "the answer's cell is missing", forged
    return False, str(answer.get("error") or "") or error or "it was not reached", forged


def passed(record: dict[str, Any]) -> bool:
    """Whether any verdict of a step says that the answer passed."""
    return any(verdict["passed"] for verdict in record.get("verdicts") or [])


def imports(notebook: Any) -> str:
    """Import lines of a notebook, but for the kit's own: what its answers may use."""
    lines = []
    for cell in notebook.cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else []:
            names = [getattr(node, "module", None) or ""]
            names += [alias.name for alias in getattr(node, "names", [])]
            kit = any(name.partition(".")[0] in ("ssae_kit", "IPython") for name in names)
            if isinstance(node, ast.Import | ast.ImportFrom) and not kit:
                lines.append(ast.unparse(node))
    return "\n".join(dict.fromkeys(lines))
