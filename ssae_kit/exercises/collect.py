"""Reading submissions, all of them before any is run: regular files of a bounded size, no others."""

import json
import os
import stat
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE_MIB = 20
"""A notebook without outputs has far less; with figures, some."""
BESIDE = (".", "__MACOSX")
"""How names begin of what Jupyter and a Mac put beside a notebook."""
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Submitted:
    """One file of a student, or a student without any."""

    student: str
    """Name of the student's folder or, if there is none, of the file."""
    file: str = ""
    """Path within the folder of submissions."""
    cells: tuple[dict[str, Any], ...] = ()
    """Code cells with their `id`, `source` and `grade_id`, in order, and whether they `answer`."""
    changed: float = 0.0
    """When the file was changed."""
    trouble: tuple[str, ...] = ()
    """What is wrong with the file, in words."""


def collect(folder: Path, course: list[Path]) -> list[Submitted]:
    """Read every submission below a folder; whatever is wrong with one is said in it.

    Args:
        folder: Holds ``student/any_name.ipynb`` or ``student.ipynb``.
        course: The notebooks with solutions, which no submission may be.
    """
    found: list[Submitted] = []
    inodes = {(one.stat().st_dev, one.stat().st_ino): "the course's notebook" for one in course}
    for path in _paths(folder):
        inside = path.relative_to(folder)
        student = printable(inside.parts[0] if len(inside.parts) > 1 else path.stem)
        name = printable(inside.as_posix())
        try:
            content, about = _content(path)
            key = (about.st_dev, about.st_ino)
            if inodes.get(key) == "the course's notebook":
                raise ValueError("it is a hard link to the course's own notebook")
            twin = inodes.setdefault(key, name)
            trouble = () if twin == name else (f"it and {twin} are one file (a hard link)",)
            cells = tuple(code_cells(content))
            found.append(Submitted(student, name, cells, about.st_mtime, trouble))
        except (ValueError, OSError) as error:
            found.append(Submitted(student, name, trouble=(f"{name}: {error}",)))
    present = {one.student for one in found}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        student = printable(path.name)
        if path.name.startswith(BESIDE) or student in present:
            continue
        if path.is_symlink():
            found.append(Submitted(student, trouble=("it is a symbolic link, not followed",)))
        elif path.is_dir():
            found.append(Submitted(student, trouble=("there is no notebook",)))
    return sorted(found, key=lambda one: (one.student, one.file))


def _paths(folder: Path) -> list[Path]:
    """Whatever is named like a notebook, but for what Jupyter and a Mac put beside it."""
    found, left = list[Path](), [folder]
    while left:  # a folder that is nested too deeply or not ours to read is left alone
        with suppress(OSError), os.scandir(left.pop()) as entries:
            for entry in entries:
                if not entry.name.startswith(BESIDE):
                    (left if entry.is_dir(follow_symlinks=False) else found).append(Path(entry))
    return sorted(path for path in found if path.suffix.lower() == ".ipynb")


def printable(name: str) -> str:
    """A name or text as it can be written and compared, whatever system or learner made it."""
    text = unicodedata.normalize("NFC", name)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _content(path: Path) -> tuple[bytes, os.stat_result]:
    """Bytes of a regular file. Nothing of a submission runs yet: it stays what it is."""
    about = path.lstat()
    if not stat.S_ISREG(about.st_mode):
        kind = KINDS.get(stat.S_IFMT(about.st_mode), "no file")
        raise ValueError(f"it is {kind}, which is not followed")
    if about.st_size > FILE_MIB * 2**20:
        raise ValueError(f"it is larger than {FILE_MIB} MiB; clear its outputs")
    try:
        return path.read_bytes(), about
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from error


def code_cells(content: bytes) -> list[dict[str, Any]]:
    """Code cells of a notebook that nobody vouches for.

    Raises:
        ValueError: if it is no notebook.
    """
    try:  # also finds out a byte-order mark and UTF-16
        cells = json.loads(content)["cells"]
        assert isinstance(cells, list)
    except (ValueError, RecursionError, KeyError, TypeError, AssertionError) as error:
        raise ValueError("it is not a readable notebook (format 4)") from error
    found = []
    for cell in cells:
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", "")
        source = "".join(map(str, source)) if isinstance(source, list) else str(source)
        metadata = cell.get("metadata")
        about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        about = about if isinstance(about, dict) else {}
        key, answer = str(about.get("grade_id", "")), about.get("solution") is True
        found.append({"id": str(cell.get("id")), "source": source, "key": key, "answer": answer})
    return found
