"""Writing the outputs of a tested run back into its notebook, fit to be committed."""

import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ABSOLUTE = re.compile(
    r"(?<![\w.:/~<>-])/(?:home|Users|root|tmp|private|mnt|opt|usr|var)/[^\s'\"]*"
    r"|\b[A-Z]:\\+Users\\[^\s'\"]*"
)


def write_outputs(path: Path, notebook: Any, fresh: dict[str, Any], root: Path) -> None:
    """Put fresh outputs into ``notebook`` and save it at ``path``, whole or not at all.

    Args:
        path: The committed notebook.
        notebook: Its content; changed in place.
        fresh: Executed code cells by cell id.
        root: Folder of the repository, written as ``.`` in the outputs.

    Raises:
        OSError: if the file cannot be written; the old one is still whole then.
    """
    number = 0
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # JupyterLab's clock times
        if cell.cell_type != "code" or "nbval-skip" in cell.metadata.get("tags", []):
            continue
        number += bool(cell.source.strip())
        cell.execution_count = number if cell.source.strip() else None
        cell.outputs = committable(fresh[cell.id].outputs, number, root)
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    from ssae_kit.storage import replacing  # brings torch: 2 s that only a writing run should pay

    with replacing(path) as draft:
        draft.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def committable(outputs: list[Any], number: int, root: Path) -> list[Any]:
    """Outputs with adjacent prints merged, no dead widget views and no absolute paths."""
    kept: list[Any] = []
    for raw in outputs:
        output = nbformat.from_dict(portable(raw, root))
        stream = output.get("name") if output.output_type == "stream" else None
        if stream and kept and kept[-1].get("name") == stream:
            kept[-1].text += output.text  # how prints are cut into messages is chance
            continue
        if "execution_count" in output:
            output.execution_count = number
        data = output.get("data", {})
        if data.pop(WIDGET_VIEW, None) is None or data:  # a view without its kernel shows nothing
            kept.append(output)
    return kept


def portable(value: Any, root: Path) -> Any:
    """Copy of an output in which known folders are named by what they are, not where they are."""
    if isinstance(value, dict):
        return {k: v if is_picture(k) else portable(v, root) for k, v in value.items()}
    if isinstance(value, list):
        return [portable(item, root) for item in value]
    if not isinstance(value, str):
        return value
    if "ipykernel_" in value:  # in a figure's long data the pattern alone takes seconds
        value = re.sub(r"[^\s'\"]*ipykernel_\d+[/\\]\d+\.py", "<cell>", value)
    known = [(str(root), "."), (sys.prefix, "<python>"), (sys.base_prefix, "<python>")]
    known += [(str(Path.home()), "~"), (tempfile.gettempdir(), "<tmp>")]
    for folder, name in known:
        if folder != "/":
            value = re.sub(rf"(?<![\w.:/~>-]){re.escape(folder)}(?![\w.-])", name, value)
    return value


def is_picture(mime: str) -> bool:
    """Whether data of this kind are bytes in base64, not text."""
    return mime.startswith("image/") and mime != "image/svg+xml"


def absolute_path(outputs: list[Any], root: Path) -> str | None:
    """First absolute path that would be committed with these outputs, or None."""
    found = (ABSOLUTE.search(text) for text in texts(portable(outputs, root)))
    return next((match.group() for match in found if match), None)


def texts(value: Any) -> Iterator[str]:
    """Every text within an output."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from () if is_picture(key) else texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
