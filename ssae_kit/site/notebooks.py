"""A notebook with its outputs as one page of MyST Markdown."""

import base64
import html
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssae_kit.claims import MIME as CLAIMS
from ssae_kit.exercises.release import BADGE, SOLUTION, STUB, read
from ssae_kit.plots.show import PLOTLY_MIME

ANSI = re.compile(r"\x1b\[[0-9;]*m")
FOLD = "<details><summary>{}</summary>\n\n{}\n\n</details>"


@dataclass
class Page:
    """One notebook, ready for the site."""

    name: str
    """Stem of its file."""
    text: str = ""
    """All of it as Markdown."""
    title: str = ""
    """Its first heading."""
    figures: dict[str, str] = field(default_factory=dict)
    """Cell id → the first figure of that cell, as HTML."""
    claims: list[dict[str, Any]] = field(default_factory=list)
    """What became of its claims."""

    @property
    def number(self) -> str:
        """What its file's name begins with, such as "02b"."""
        return self.name.partition("_")[0]


def page(path: Path, pictures: Path) -> Page:
    """Read a notebook.

    Args:
        path: The notebook.
        pictures: Folder that its pictures go to, as PNG; pages find it at `_static/figures`.

    Raises:
        ValueError: if it is no notebook.
    """
    made = Page(path.stem)
    for cell in read(path).cells:
        if "colab" in cell.metadata.get("tags", []):
            continue
        if cell.cell_type == "markdown":
            made.text += BADGE.sub("", cell.source) + "\n\n"
            continue
        made.text += _code(cell) + "\n\n"
        for number, output in enumerate(cell.outputs):
            made.text += _output(output, made, cell.id, number, pictures) + "\n\n"
    made.title = re.search(r"(?m)^# (.+)", made.text)[1]  # type: ignore[index]
    return made


def _code(cell: Any) -> str:
    """Code of a cell; a solution, and what the notebook folds, is folded."""
    solved = SOLUTION.search(cell.source)
    shown = fence(SOLUTION.sub(STUB, cell.source), "python")
    if solved:
        return shown + "\n\n" + FOLD.format("Solution", fence(solved["lines"].rstrip(), "python"))
    folded = cell.metadata.get("jupyter", {}).get("source_hidden")
    return FOLD.format("Code of this cell", shown) if folded else shown


def fence(text: str, kind: str) -> str:
    """Return a text as it stands, in a block that no text ends."""
    return f"``````{{code-block}} {kind}\n{text}\n``````"


def raw(text: str) -> str:
    """Return HTML as a block of Markdown."""
    return f"``````{{raw}} html\n{text}\n``````"


def embedded(value: Any) -> str:
    """Return data for a page's script; a page opened from a disk may fetch none."""
    told = json.dumps(value, separators=(",", ":")).replace("</", r"<\/")
    return f'<script type="application/json">{told}</script>'


def _output(output: Any, made: Page, cell: str, number: int, pictures: Path) -> str:
    data = output.get("data", {})
    made.claims += data.get(CLAIMS, [])
    if "image/png" in data or PLOTLY_MIME in data:
        drawn = figure(data, f"{cell}-{number}.png", pictures)
        place = "" if cell in made.figures else f'<span id="cell-{cell}"></span>'
        made.figures.setdefault(cell, drawn)
        return raw(place + drawn)
    if "text/html" in data:
        return raw(f'<div class="scroll" role="group" aria-label="Table">{data["text/html"]}</div>')
    if "text/markdown" in data:
        return str(data["text/markdown"])
    text = output.get("text") or data.get("text/plain") or "\n".join(output.get("traceback", []))
    return fence(ANSI.sub("", text).rstrip(), "text") if text.strip() else ""


def figure(data: Any, name: str, pictures: Path) -> str:
    """Return a figure as HTML: its picture, and the live figure that takes its place, where held.

    The output says in `text/plain` what can be seen.
    """
    alt, held = html.escape(data["text/plain"]), data.get(PLOTLY_MIME)
    inside = ""
    if "image/png" in data:
        png = base64.b64decode(data["image/png"])
        (pictures / name).write_bytes(png)
        wide, high = (int.from_bytes(png[start : start + 4]) for start in (16, 20))
        size = f'width="{wide}" height="{high}" loading="lazy"'  # so that nothing jumps
        inside = f'<img src="_static/figures/{name}" alt="{alt}" {size}>'
    if held:
        inside += embedded({"data": held["data"], "layout": held["layout"]})
    live = f' data-live="{alt}"' if held else ""
    return f'<div class="figure scroll" role="group" aria-label="Figure"{live}>{inside}</div>'
