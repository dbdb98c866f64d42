"""Grading a folder of submissions, each in a process of its own.

A submission is not trusted: neither its outputs nor its checks. Its answer cells, and nothing else,
are put beside the checks of the notebook with solutions, and that notebook is run.
"""

import ast
import contextlib
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssae_kit.exercises.core import MIME
from ssae_kit.exercises.release import Task, grade_id, read, tasks
from ssae_kit.exercises.report import Grade, report, write_table

FRESH = """import sys
for _name in [name for name in sys.modules if name.partition(".")[0] == "ssae_kit"]:
    del sys.modules[_name]
from ssae_kit import exercises
"""
"""Before every check: the kit as it is on disk, whatever an answer did to the one in memory."""
CONTROL = "exercises.check({!r}, lambda first, *others, **named: first)"
"""After all checks: a wrong answer. A check that accepts it was tampered with."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell_seconds: int = 20
    """Wall-clock time of one answer or check."""
    seconds: int = 180
    """Wall-clock time of the whole submission, start of the kernel included."""
    memory_gib: float = 6.0
    """Memory of the kernel's own, without libraries, of which CUDA's fill 4 GiB of addresses.
    Enforced on Linux only."""


def grade(folder: Path, notebooks: Path, out: Path, limits: Limits | None = None) -> list[Grade]:
    """Grade every notebook below a folder and write `grades.csv` and one report per student.

    Args:
        folder: Submissions: ``student/any_name.ipynb`` or ``student.ipynb``.
        notebooks: The notebooks with solutions.
        out: Where table and reports go. Files there are replaced.
        limits: Time and memory of each submission.

    Returns:
        One grade for each file, sorted by path.

    Raises:
        ValueError: if there is nothing to grade, or no notebook has exercises.
        ImportError: if papermill is not installed.
    """
    try:
        import papermill  # noqa: F401 - loaded here once, for all processes forked below
    except ImportError as error:
        raise ImportError("grading needs papermill: pip install 'ssae-kit[grade]'") from error
    paths = [p for p in sorted(folder.rglob("*.ipynb")) if ".ipynb_checkpoints" not in p.parts]
    if not paths:
        raise ValueError(f"there must be submissions (*.ipynb) below {folder}; found none.")
    course = {path.stem: read(path) for path in sorted(notebooks.glob("*.ipynb"))}
    course = {name: notebook for name, notebook in course.items() if tasks(notebook)}
    if not course:
        raise ValueError(f"{notebooks} must hold notebooks with exercises; found none.")
    grades = [grade_one(path, folder, course, limits or Limits()) for path in paths]
    out.mkdir(parents=True, exist_ok=True)
    write_table(grades, out / "grades.csv")
    for student in sorted({one.student for one in grades}):
        text = "\n\n".join(report(one) for one in grades if one.student == student)
        (out / f"{student}.md").write_text(f"# {student}\n\n{text}\n", encoding="utf-8")
    return grades


def grade_one(path: Path, folder: Path, course: dict[str, Any], limits: Limits) -> Grade:
    """Grade one file; whatever is wrong with it is said in the grade."""
    inside = path.relative_to(folder)
    student = inside.parts[0] if len(inside.parts) > 1 else path.stem
    result = Grade(student, inside.as_posix())
    try:
        cells = answers(read(path))
    except ValueError as error:
        result.trouble.append(str(error).splitlines()[0])
        return result
    shared = {name: len(tasks(notebook).keys() & cells.keys()) for name, notebook in course.items()}
    name = max(shared, key=lambda key: shared[key])
    if not shared[name]:
        result.trouble.append("no answer cell of this course was found in it")
        return result
    result.notebook = name
    if path.stem != name:
        result.trouble.append(f"the file was renamed; its cells are those of {name}")
    todo = tasks(course[name])
    result.worth = {task.name: task.points for task in todo.values()}
    result.points = dict.fromkeys(result.worth, 0)
    for key in todo.keys() - cells.keys():
        result.remarks[todo[key].name] = "the answer's cell is missing"
    todo = {key: task for key, task in todo.items() if key in cells}
    run(grading_notebook(course[name], todo, cells), todo, result, limits)
    return result


def answers(notebook: Any) -> dict[str, str]:
    """Source of every answer cell, by `grade_id`; copies of a cell count as one, in order."""
    found: dict[str, str] = {}
    for cell in notebook.cells:
        key = grade_id(cell)
        if cell.cell_type == "code" and key and cell.metadata.nbgrader.get("solution"):
            found[key] = f"{found[key]}\n{cell.source}" if key in found else str(cell.source)
    return found


def imports(notebook: Any) -> str:
    """Import lines of a notebook, but for the kit's own: what its answers may use."""
    lines = []
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        for node in ast.parse(cell.source).body:
            names = [getattr(node, "module", None) or ""]
            names += [alias.name for alias in getattr(node, "names", [])]
            kit = any(name.partition(".")[0] in ("ssae_kit", "IPython") for name in names)
            if isinstance(node, ast.Import | ast.ImportFrom) and not kit:
                lines.append(ast.unparse(node))
    return "\n".join(dict.fromkeys(lines))


def grading_notebook(source: Any, todo: dict[str, Task], cells: dict[str, str]) -> Any:
    """Answers of a submission beside our checks, and at the end a control for every check."""
    from nbformat.v4 import new_code_cell, new_notebook

    made = [new_code_cell(imports(source), id="imports")]
    for key, task in todo.items():
        made.append(new_code_cell(cells[key], id=f"{key}-answer"))
        made.append(new_code_cell(FRESH + task.check, id=f"{key}-check"))
    for key, task in todo.items():
        made.append(new_code_cell(FRESH + CONTROL.format(task.name), id=f"{key}-control"))
    for cell in made:
        cell.metadata["tags"] = ["raises-exception"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=made, metadata={"kernelspec": kernel})


def run(notebook: Any, todo: dict[str, Task], result: Grade, limits: Limits) -> None:
    """Run a grading notebook in a process of its own and enter what its checks say."""
    done, trouble = supervise(notebook, limits)
    result.trouble += [trouble] if trouble else []
    for key, task in todo.items():
        enter(task, done.get(f"{key}-answer"), done.get(f"{key}-check"), result)
    accused = [t.name for k, t in todo.items() if passed(done.get(f"{k}-control"))]
    if accused:
        names = ", ".join(accused)
        result.trouble.append(f"FORGED: a check was tampered with ({names}); no points")
        result.points = dict.fromkeys(result.points, 0)


def supervise(notebook: Any, limits: Limits) -> tuple[dict[str, Any], str]:
    """Run a notebook under limits; return its cells by id, and what stopped it, if anything."""
    import nbformat

    # A forked process has papermill loaded already; where forking is unsafe a fresh one loads it.
    method = "fork" if sys.platform == "linux" else "spawn"
    with tempfile.TemporaryDirectory() as scratch:
        path, ran = Path(scratch) / "todo.ipynb", Path(scratch) / "done.ipynb"
        nbformat.write(notebook, path)
        worker = multiprocessing.get_context(method).Process(  # type: ignore[attr-defined]
            target=execute, args=(path, ran, Path(scratch), limits)
        )
        worker.start()
        worker.join(limits.seconds)
        stopped = worker.is_alive()
        if stopped:
            kill(worker.pid)
            worker.join()
        done = {cell.id: cell for cell in read(ran).cells} if ran.exists() else {}
    if stopped:
        return done, f"it ran longer than {limits.seconds} s and was stopped"
    # Papermill skips empty cells, and adds markdown where a cell failed.
    code = [cell for cell in done.values() if cell.cell_type == "code" and cell.source.strip()]
    reached = all(cell.metadata.get("papermill", {}).get("start_time") for cell in code)
    died = "its kernel died: out of memory, or ended from within"
    return done, "" if done and reached else died


def execute(path: Path, ran: Path, folder: Path, limits: Limits) -> None:
    """Run a notebook by papermill under limits; the kernel inherits them."""
    import logging
    import os

    import papermill

    if sys.platform == "linux":
        import resource

        size = int(limits.memory_gib * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
    os.environ["OMP_NUM_THREADS"] = "1"
    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # the report says it better
    with contextlib.suppress(Exception):  # read again from the notebook that was run
        papermill.execute_notebook(
            path,
            ran,
            kernel_name="python3",
            language="python",
            cwd=folder,
            progress_bar=False,
            execution_timeout=limits.cell_seconds,
            interrupt_on_timeout=True,
            extra_arguments=["--log-level=CRITICAL"],
        )


def kill(pid: int | None) -> None:
    """End a process and everything it started, such as a kernel."""
    import psutil  # comes with ipykernel

    gone = contextlib.suppress(psutil.NoSuchProcess)  # it may end by itself at any moment
    with gone:
        first = psutil.Process(pid)
        for process in [first, *first.children(recursive=True)]:
            with gone:
                process.kill()


def records(cell: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Verdicts that a cell displayed, each with its text."""
    for output in cell.get("outputs", []) if cell else []:
        data = output.get("data", {})
        if isinstance(data.get(MIME), dict):
            yield data[MIME], str(data.get("text/plain", ""))


def passed(cell: Any) -> bool:
    """Whether any verdict that a cell displayed says that the answer passed."""
    return any(record.get("passed") for record, _ in records(cell))


def enter(task: Task, answer: Any, check: Any, result: Grade) -> None:
    """Enter points and remark of one exercise."""
    verdicts = list(records(check))
    if any(records(answer)):
        result.trouble.append(f"FORGED: the answer {task.name} displays a verdict of its own")
    if len(verdicts) == 1 and verdicts[0][0].get("name") == task.name:
        result.points[task.name] = task.points if verdicts[0][0].get("passed") else 0
        result.remarks[task.name] = verdicts[0][1].partition(": ")[2]
        return
    if verdicts:
        result.trouble.append(f"FORGED: more than one verdict for {task.name}")
    errors = [*failures(answer), *failures(check)]
    result.remarks[task.name] = explain(errors[0]) if errors else "it was not reached"


def failures(cell: Any) -> list[Any]:
    """Errors of a cell that ran."""
    return [out for out in (cell.outputs if cell else []) if out.output_type == "error"]


def explain(error: Any) -> str:
    """One sentence on an error that kept a check from its verdict."""
    if error.ename == "KeyboardInterrupt":
        return "it ran too long and was interrupted"
    if error.ename == "NameError":
        return f"{error.evalue}: was the function renamed, or does its cell fail?"
    return f"{error.ename}: {error.evalue}"
