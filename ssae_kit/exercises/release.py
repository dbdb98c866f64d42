"""The student edition: the same notebooks without their solutions.

The notebooks with solutions are the source. A solution stands between nbgrader's delimiters in a
cell with nbgrader's metadata; a check cell may hold tests that only the grader runs.
"""

import ast
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat  # comes with JupyterLab
from nbformat.v4 import new_markdown_cell

SOLUTION = re.compile(
    r"(?ms)^(?P<indent>[ \t]*)### BEGIN SOLUTION[^\n]*\n(?P<lines>.*?)^[ \t]*### END SOLUTION[^\n]*"
)
HIDDEN = re.compile(r"(?ms)\n?^### BEGIN HIDDEN TESTS[^\n]*\n.*?^### END HIDDEN TESTS[^\n]*")
DELIMITER = re.compile(r"### (BEGIN|END) (SOLUTION|HIDDEN TESTS)")
BADGE = re.compile(r"^\[!\[Open in Colab\].*\n+")
STUB = r"\g<indent># YOUR CODE HERE\n\g<indent>raise NotImplementedError"
FOLDED = "<details><summary>Solution</summary>\n\n```python\n{}\n```\n\n</details>"


@dataclass(frozen=True)
class Task:
    """One exercise as a notebook holds it."""

    name: str
    """Such as ``01.loss``."""
    points: int
    """What a right answer earns."""
    solution: str
    """Source of the answer's cell, delimiters included."""

    @property
    def function(self) -> str:
        """Name of the function that is asked for."""
        body = ast.parse(self.solution).body
        return next(node.name for node in body if isinstance(node, ast.FunctionDef))


def read(path: Path) -> Any:
    """Read a notebook of format 4.

    Raises:
        ValueError: if the file is no notebook; says which.
    """
    try:
        return nbformat.read(path, 4)
    except Exception as error:  # nbformat raises many kinds
        raise ValueError(f"{path.name} is not a readable notebook: {error}") from error


def grade_id(cell: Any) -> str:
    """Name of a cell for nbgrader, such as ``01-loss``; empty if it has none."""
    return str(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def tasks(notebook: Any) -> dict[str, Task]:
    """Exercises of a notebook with solutions, by the `grade_id` of the answer's cell.

    Raises:
        ValueError: if an answer has no check.
    """
    cells = {grade_id(cell): cell for cell in notebook.cells if grade_id(cell)}
    answers = {k: cell for k, cell in cells.items() if cell.metadata.nbgrader.get("solution")}
    for key in answers:
        if f"{key}-check" not in cells:
            raise ValueError(f"the answer {key!r} needs a cell with grade_id '{key}-check'.")
    points = {key: int(cells[f"{key}-check"].metadata.nbgrader.points) for key in answers}
    names = {key: key.replace("-", ".", 1) for key in answers}
    return {key: Task(names[key], points[key], cell.source) for key, cell in answers.items()}


def release(
    folder: Path, target: Path, *, with_solutions: bool = False, keep: bool = False
) -> list[Path]:
    """Write the student edition of every notebook of a folder.

    Args:
        folder: Holds the notebooks with solutions.
        target: Where the student edition goes; same names. Files there are replaced.
        with_solutions: Add each solution, folded, below its check: for people who learn alone.
        keep: Leave a notebook that is there as it is: somebody works in it.

    Returns:
        What was written.

    Raises:
        ValueError: if there is no notebook, the two folders are one, or a notebook cannot be
            released; names the cell.
    """
    paths = sorted(folder.glob("*.ipynb"))
    if not paths:
        raise ValueError(f"there must be notebooks in {folder}; found none.")
    if folder.resolve() == target.resolve():
        raise ValueError(f"`target` must be another folder than the notebooks' own; got {target}.")
    target.mkdir(parents=True, exist_ok=True)
    above = Path(os.path.relpath(folder.resolve().parent, target.resolve())).as_posix()
    paths = [path for path in paths if not (keep and (target / path.name).exists())]
    for path in paths:
        notebook = student_edition(read(path), path.name, with_solutions, above)
        nbformat.write(notebook, target / path.name)
    return [target / path.name for path in paths]


def student_edition(notebook: Any, name: str, with_solutions: bool, above: str = "..") -> Any:
    """Take solutions, hidden tests and outputs out of a notebook, in place, and return it."""
    cells, solved = [], {}
    for cell in notebook.cells:
        if with_solutions and cell.cell_type == "code" and SOLUTION.search(cell.source):
            solution = SOLUTION.sub(r"\g<lines>", cell.source).rstrip()
            lines = "\n".join(line.rstrip() for line in solution.splitlines())
            folded = new_markdown_cell(FOLDED.format(lines), id=f"{cell.id}-solution")
            solved[f"{grade_id(cell)}-check"] = folded
        cells.append(_for_students(cell, name, above))
        if grade_id(cell) in solved:
            cells.append(solved[grade_id(cell)])
    notebook.cells = cells
    return notebook


def _for_students(cell: Any, name: str, above: str) -> Any:
    if cell.cell_type == "markdown":
        cell.source = cell.source.replace("](../", f"]({above}/")
        cell.source = BADGE.sub("", cell.source)  # it opens the notebook with the solutions
    if cell.cell_type != "code":
        return cell
    cell.outputs, cell.execution_count = [], None
    cell.metadata.pop("execution", None)
    cell.source = HIDDEN.sub("", SOLUTION.sub(STUB, cell.source))
    if DELIMITER.search(cell.source):
        raise ValueError(
            f"{name}, cell {cell.id}: every '### BEGIN …' needs its '### END …', not indented for "
            "hidden tests. Something of the solution would have been released."
        )
    if cell.metadata.get("nbgrader", {}).get("solution"):
        cell.metadata.pop("jupyter", None)  # in the source the solution is folded away
    return cell
