"""Tables: rows in, HTML with a caption and headers out, and the same as text."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = "text-align: left; vertical-align: top"


def table(head: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
    """Display a table, which a screen reader can walk by its headers.

    Args:
        head: Names of the columns.
        rows: One cell per column. Text stands as it is; a number that is not whole, or a tensor of
            one, gets three decimals; write it as text for others.
        caption: Shown above.

    Raises:
        ValueError: if a row has not one cell per column.
    """
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    cells = [[_text(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(head):
            raise ValueError(
                f"a row must have {len(head)} cells, one per column; got {len(row)}: {row}."
            )
    bundle = {
        "text/html": as_html(head, cells, caption),
        "text/plain": as_text(head, cells, caption),
    }
    display(bundle, raw=True)


def as_html(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """Return texts as an HTML table, escaped; the first column holds the names of the rows."""
    title = f'<caption style="{STYLE}">{html.escape(caption)}</caption>' if caption else ""
    # A header without a name is none: a screen reader would announce it.
    names = "".join(
        f'<th scope="col" style="{STYLE}">{html.escape(name)}</th>' if name else "<td></td>"
        for name in head
    )
    body = "".join(f"<tr>{_row(row)}</tr>" for row in rows)
    return f"<table>{title}<thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Return texts in aligned columns, for a reader without HTML."""
    lines = [list(head), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    aligned = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([caption, *aligned] if caption else aligned)


def _row(cells: Sequence[str]) -> str:
    first, *rest = (html.escape(cell) for cell in cells)
    others = "".join(f'<td style="{STYLE}">{cell}</td>' for cell in rest)
    return f'<th scope="row" style="{STYLE}; font-weight: normal">{first}</th>{others}'


def _text(cell: Any) -> str:
    """Return a cell as text; anything with a fraction gets three decimals."""
    if isinstance(cell, str | int):
        return str(cell)
    return f"{float(cell):.3f}"
