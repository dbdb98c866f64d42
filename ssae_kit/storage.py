"""Files that are written whole or not at all, and tensors that are checked when read back.

Tensors are kept as safetensors, so reading them never runs code. Metadata is JSON.
"""

import errno
import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

CHUNK = 1 << 24
"""Bytes hashed at a time, so that a mapped file is never held as a whole."""

_INSTALLED = Path(__file__).with_name("_data")
DATA = _INSTALLED if _INSTALLED.is_dir() else Path(__file__).resolve().parents[1] / "data"
"""What comes with the course: models, pairs, results. A wheel brings it; a clone has it beside the
package."""


def at_home(path: str | Path) -> Path:
    """Return a path in which `~` is the home folder.

    Raises:
        ValueError: if there is no such home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        what = f"a path with ~ needs a home folder; got {str(path)!r}"
        raise ValueError(f"{what}. Write the path as a whole.") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file or folder whole or not at all.

    Use as `with replacing(path) as temporary: ...`. What the block writes to `temporary`, which no
    other writer has, takes the place of `path` when the block ends. After an error, an interrupt
    or a kill, what stood at `path` is as it was.

    Args:
        path: Where to write; missing folders are made, `~` is the home folder.

    Yields:
        A path in the same folder; nothing is there yet.

    Raises:
        OSError: if nothing can be written there (read-only, disk full).
        ValueError: if the path names nothing, or something that is neither file nor folder.
    """
    path = at_home(path)
    # Moved over a device or a pipe, a file would take its place for everybody.
    is_other = path.exists() and not (path.is_file() or path.is_dir())
    if not path.name or "\0" in path.name or is_other:
        what = f"a file or a folder, no device or pipe; got {str(path)!r}"
        raise ValueError(f"`path` must name {what}. Choose another name.")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        kinds = (errno.EROFS, errno.EACCES, errno.EPERM)  # safetensors tells them as text only
        told = [f"(os error {kind})" in str(error) for kind in kinds]
        forbidden = any(told) or getattr(error, "errno", None) in kinds
        advice = "That folder is not yours to write to:" if forbidden else "Free some disk space or"
        if path.is_dir() and temporary.is_file():
            advice = "It is a folder: name a file in it, or"
        raise OSError(
            f"could not write {path}: {error}. Nothing was changed there. "
            f"{advice} choose another folder."
        ) from error
    finally:
        with suppress(OSError):  # what cannot be written to cannot be tidied up either
            shutil.rmtree(temporary) if temporary.is_dir() else temporary.unlink(missing_ok=True)


def save_tensors(path: str | Path, tensors: Mapping[str, Tensor], metadata: Any) -> None:
    """Write tensors and metadata to one file, whole or not at all, with a checksum.

    Args:
        path: Where to write; see `replacing`.
        tensors: Named tensors of any shape and dtype.
        metadata: Anything JSON can hold.

    Raises:
        TypeError: if a value is no tensor, or JSON cannot hold the metadata.
        OSError: if the file cannot be written (disk full, no permission).
    """
    _require_tensors(tensors)
    try:
        text = json.dumps(metadata)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"`metadata` must be what JSON can hold (texts, numbers, lists, dictionaries): {error}."
        ) from error
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    if len({tensor.untyped_storage().data_ptr() for tensor in whole.values()}) < len(whole):
        whole = {name: tensor.clone() for name, tensor in whole.items()}  # safetensors shares none
    with replacing(path) as temporary:
        save_file(whole, temporary, metadata={"json": text, "sha256": digest(whole, text)})


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], Any]:
    """Read what `save_tensors` wrote.

    Args:
        path: The file; `~` is the home folder.

    Returns:
        The tensors by name, and the metadata.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, damaged, or was written by something else.
    """
    path = at_home(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file. Check the path, or save it first.")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            told = file.metadata() or {}
            metadata = json.loads(told["json"])
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a complete file of this kit ({type(error).__name__}: {error}). "
            "Delete it and make it anew."
        ) from error
    # Files of before 2026-12 have no checksum.
    if told.get("sha256") not in (None, digest(tensors, told["json"])):
        raise ValueError(
            f"{path} is not as it was written: its checksum differs. Delete it and make it anew."
        )
    return tensors, metadata


def _require_tensors(tensors: Any) -> None:
    wrong: Any = type(tensors).__name__
    if isinstance(tensors, Mapping):
        wrong = {n: _kind(t) for n, t in tensors.items() if _kind(t) or not isinstance(n, str)}
    if wrong:
        raise TypeError(
            f"`tensors` must map names to dense tensors; got {wrong}. `torch.as_tensor` converts an "
            "array."
        )


def _kind(value: Any) -> str:
    """What a value is that no file can hold; empty for a dense tensor with numbers in it."""
    if not isinstance(value, Tensor):
        return type(value).__name__
    is_held = value.layout is torch.strided and not value.is_meta
    return "" if is_held else f"{value.layout} on {value.device}"


def digest(tensors: Mapping[str, Tensor], text: str = "") -> str:
    """SHA-256 of tensors: names, dtypes, shapes and values, wherever they are.

    Args:
        tensors: Named tensors, in any order. A mapped file is read in chunks.
        text: Hashed with them.

    Raises:
        TypeError: if a value is no tensor.
    """
    _require_tensors(tensors)
    found = hashlib.sha256(str(text).encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        found.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        rows = tensor.detach().reshape(-1)
        for part in rows.split(CHUNK // rows.element_size()):
            found.update(part.cpu().contiguous().view(torch.uint8).numpy())
    return found.hexdigest()
