"""Concept pairs as CSV: the columns `source` and `target`, then one column per concept.

A concept's cell holds the target's value minus the source's: 1 (or +1), 0 or -1. The concept
columns may be left out altogether; then what changes is unknown. The file is UTF-8, with commas,
and quotes around a text that holds a comma, a quote or a line break, or begins or ends with a
space. Spaces around the quotes do no harm.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from ssae_kit import checks
from ssae_kit.pairs.core import ConceptPairs
from ssae_kit.storage import at_home, replacing

TEXTS = ("source", "target")
CELL = re.compile(r'[ \t]*+(?:"((?:[^"]+|"")*+)"[ \t]*|((?!")[^,\r\n]*))(,|\r\n|\n|\r|\Z)')
"""A cell in quotes or without, then what ends it. Python's `csv` does not tell which it was."""
CHANGES = {"1": 1, "+1": 1, "0": 0, "-1": -1, "−1": -1}
"""What a concept's cell may hold; a typographic minus sign counts too."""


def load_pairs(path: str | Path) -> ConceptPairs:
    """Read concept pairs from a CSV file.

    Args:
        path: A file of the format above, your own or one of `data/pairs/`.

    Returns:
        The pairs in the order of the file; spaces around a text are removed,
        those inside quotes stay.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is not of the format; names the line and the column.
    """
    path = at_home(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file. Check the path of the pairs.")
    lines = _lines(path)
    _, header = next(lines, (1, []))
    _check_header(path, header)
    rows = [_row(path, number, header, cells) for number, cells in lines]
    if not rows:
        raise ValueError(f"{path} has a header but no pairs. Add one line per pair.")
    concepts = tuple(name for name in header if name not in TEXTS)
    return ConceptPairs(
        tuple(row["source"] for row in rows),
        tuple(row["target"] for row in rows),
        concepts,
        tuple(tuple(CHANGES[row[name]] for name in concepts) for row in rows) if concepts else (),
    )


def save_pairs(pairs: ConceptPairs, path: str | Path) -> None:
    """Write concept pairs as CSV, whole or not at all; `load_pairs` reads the same pairs back.

    Args:
        pairs: With or without known changes.
        path: The file; missing folders are made, an older file is replaced.

    Raises:
        ValueError: if a concept has no name of its own ("source" and "target" are the texts'), or
            a text does not fit UTF-8, or concepts are named whose changes are unknown.
        OSError: if the file cannot be written.
    """
    checks.require_kind("pairs", pairs, ConceptPairs)
    _check_header(Path(path), [*TEXTS, *pairs.concepts])
    if pairs.concepts and not pairs.changes:
        raise ValueError(
            f"pairs with concepts ({', '.join(pairs.concepts):.60}) must bring their `changes`, or a "
            "file cannot hold the names. Leave the concepts out."
        )
    changes = pairs.changes or ((),) * len(pairs)
    rows = [[*TEXTS, *pairs.concepts]]
    for source, target, changed in zip(pairs.source, pairs.target, changes, strict=True):
        rows.append([source, target, *map(str, changed)])
    try:
        content = "".join(",".join(map(_quoted, row)) + "\n" for row in rows).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"every text must fit UTF-8; {error}. Remove that character.") from error
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _quoted(text: str) -> str:
    """Put quotes around what would not be read back as it is without them."""
    plain = text == text.strip() and not set(text) & set('",\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of every line that is not empty."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} must be text in UTF-8; {error}. Save it as UTF-8 in your editor."
        ) from error
    at, number, cells = 0, 1, list[str]()
    while at < len(text):
        found = CELL.match(text, at)
        if found is None:
            raise ValueError(
                f"{path}, line {number}: not CSV. Look for a quote that is opened and never "
                "closed, or for text behind a closing quote."
            )
        quoted, plain, end = found.groups()
        cells.append(plain.strip() if quoted is None else quoted.replace('""', '"'))
        at, number = found.end(), number + found[0].replace("\r\n", "\n").count("\n")
        if end != ",":
            if any(cell.strip() for cell in cells):
                yield number - (end != ""), cells
            cells = []
    if cells:  # the file ends behind a comma
        yield number, [*cells, ""]


def _check_header(path: Path, names: list[str]) -> None:
    missing = [name for name in TEXTS if name not in names]
    if missing:
        raise ValueError(
            f"{path} must have the columns 'source' and 'target' in its first line; "
            f"{missing[0]!r} is missing. Its columns are {names}. Name them so, with commas between."
        )
    bad = [name for i, name in enumerate(names) if not name.strip() or name in names[:i]]
    if bad:
        raise ValueError(
            f"{path} must give every column a name of its own; {bad[0]!r} is empty or occurs twice "
            f"in {names}. Rename it."
        )


def _row(path: Path, number: int, names: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(names):
        raise ValueError(
            f"{path}, line {number}: {len(names)} cells are required ({', '.join(names)}); got "
            f"{len(cells)}. Put quotes around a text that holds a comma."
        )
    row = dict(zip(names, cells, strict=True))
    for name, cell in row.items():
        if name in TEXTS and not cell.strip():
            raise ValueError(
                f"{path}, line {number}, column {name!r}: the text is empty. Fill it in or remove "
                "the line."
            )
        if name not in TEXTS and cell not in CHANGES:
            raise ValueError(
                f"{path}, line {number}, column {name!r}: a change must be -1, 0 or 1 (target value "
                f"minus source value); got {cell!r}."
            )
    return row
