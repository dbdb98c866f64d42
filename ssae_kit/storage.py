"""Tensors on disk: written whole or not at all, checked when read back.

Every file is safetensors, so reading one never runs code. Metadata is JSON.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

_INSTALLED = Path(__file__).with_name("_data")
DATA = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "data"
"""What comes with the course: models, pairs, results. A wheel brings it; a clone has it beside the
package."""


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Any) -> None:
    """Write tensors and metadata to one file, atomically.

    The bytes go to a temporary file in the same folder first, so a full disk or an interrupt
    leaves an older file at `path` as it was.

    Args:
        path: Where to write; missing folders are made.
        tensors: Named tensors of any shape and dtype.
        metadata: Anything JSON can hold.

    Raises:
        OSError: if the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        contiguous = {key: value.detach().contiguous() for key, value in tensors.items()}
        save_file(contiguous, temporary, metadata={"json": json.dumps(metadata)})
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        raise OSError(
            f"could not write {path}: {error}. Nothing was changed there. "
            "Free some disk space or choose another folder."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Read what `save_tensors` wrote.

    Args:
        path: The file.

    Returns:
        The tensors by name, and the metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, or was written by something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file. Check the path, or save it first.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            metadata = json.loads((file.metadata() or {})["json"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a complete file of this kit ({type(error).__name__}: {error}). "
            "Delete it and make it anew."
        ) from error
    return tensors, metadata
