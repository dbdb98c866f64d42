"""What learners return, read as numbers whatever its type, compared, and shown in few words."""

from collections.abc import Set
from dataclasses import dataclass
from typing import Any

import numpy as np

LONGEST = 20
"""Arrays of more entries are not shown whole."""
TOO_LARGE = "numbers of shape"
"""What is said of such an array, before its shape."""
ENTRY: Any = {"float": "{:.4g}".format}
"""How an entry is written."""


class Mistake(Exception):  # noqa: N818 - a finding about an answer, not a fault
    """What is likely wrong with an answer, in one or two sentences for the learner."""


@dataclass(frozen=True)
class Raised:
    """What an answer raised in place of a result."""

    kind: str
    text: str


def raised(error: BaseException) -> Raised:
    """What is told of an error; its text may itself raise one."""
    try:
        text = str(error)[:300]
    except BaseException:
        text = "its text cannot be shown"
    return Raised(type(error).__name__, text)


def numbers(value: Any) -> Any:
    """Return a tensor, array, number, or nested list of these as one NumPy array of floats."""
    if hasattr(value, "detach"):  # a tensor; this module must load without torch
        value = value.detach().cpu().double().numpy()
    return np.array(value, dtype=float)


def plain(value: Any, wanted: str = "numbers") -> Any:
    """Return a copy of a value as one array of numbers or, where it is none, a list or set of such.

    Raises:
        Mistake: if there are no numbers in it; says what is wanted.
    """
    if value is None:
        return None
    try:
        return numbers(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        if isinstance(value, list | tuple):
            return [plain(one, wanted) for one in value]
        if isinstance(value, Set):
            return set(value)
        raise Mistake(f"your function must return {wanted}; got {kind(value)}.") from error


def read(value: Any, like: Any, wanted: str = "numbers") -> Any:
    """Return a value in the form of another: one number, an array, or a tuple or set of such.

    Raises:
        Mistake: if it cannot be read so; says what is wanted.
    """
    if value is None or isinstance(value, Raised):
        return value
    try:
        if isinstance(like, tuple):
            return tuple(read(*both, wanted) for both in zip(value, like, strict=True))
        if isinstance(like, set):
            return {int(entry) for entry in value}
        found = numbers(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Mistake(f"your function must return {wanted}; got {kind(value)}.") from error
    return found.reshape(()) if numbers(like).ndim == 0 and found.size == 1 else found


def agree(found: Any, wanted: Any) -> bool:
    """Whether two results are the same numbers; errors agree if they are of one type."""
    if isinstance(found, tuple) and isinstance(wanted, tuple):
        return len(found) == len(wanted) and all(map(agree, found, wanted))
    if isinstance(found, np.ndarray) and isinstance(wanted, np.ndarray):
        # Answers in float32, summed in another order, err by 1e-6.
        same = found.shape == wanted.shape
        return same and np.allclose(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)
    if isinstance(found, Raised) and isinstance(wanted, Raised):
        return found.kind == wanted.kind
    return type(found) is type(wanted) and bool(found == wanted)


def slips_alike(found: Any, wanted: Any, usual: Any) -> bool:
    """Whether a result is wrong as a usual mistake is.

    Of several things that were to be returned only those count in which the mistake shows. Arrays
    of one wrong shape are alike whatever they hold.
    """
    if all(isinstance(one, tuple) for one in (found, wanted, usual)):
        shows = [(f, u) for f, w, u in zip(found, wanted, usual, strict=True) if not agree(u, w)]
        return bool(shows) and all(agree(f, u) for f, u in shows)
    if all(isinstance(one, np.ndarray) for one in (found, wanted, usual)):
        return bool(found.shape == usual.shape != wanted.shape) or agree(found, usual)
    return agree(found, usual)


def misshapen(found: Any, wanted: Any, returns: str) -> str:
    """Say what is wrong with the shape of a result, or that it is not finite; empty if nothing."""
    if isinstance(wanted, tuple):
        parts = [misshapen(*both, returns) for both in zip(found, wanted, strict=True)]
        return next(filter(None, parts), "")
    if not isinstance(wanted, np.ndarray) or found is None:
        return ""
    if found.shape == wanted.shape:
        return "" if np.isfinite(found).all() else "your result holds values that are not finite."
    size = f", of shape {list(wanted.shape)}" if wanted.ndim else ""
    turned = " It is transposed." * (found.shape == wanted.shape[::-1] and wanted.ndim > 1)
    return f"your function must return {returns}{size}; got {kind(found)}.{turned}"


def kind(value: Any) -> str:
    """What a value is, in words: its shape if it has one, else its type."""
    if hasattr(value, "shape"):
        return f"{TOO_LARGE} {list(value.shape)}"
    length = f" of length {len(value)}" if hasattr(value, "__len__") else ""
    return f"a value of type {type(value).__name__}{length}"


def show(value: Any) -> str:
    """Return a value in few words."""
    if callable(value):
        return "a function"
    if isinstance(value, set):
        return str(sorted(value))
    if isinstance(value, tuple):
        return f"({', '.join(map(show, value))})"
    if isinstance(value, Raised):
        return f"{value.kind}: {value.text}".rstrip(": .")
    if value is None:
        return "None"
    array = numbers(value) + 0.0  # no -0
    if array.size > LONGEST:
        return kind(array)
    return " ".join(np.array2string(array, separator=", ", formatter=ENTRY).split())


def difference(found: Any, wanted: Any) -> str:
    """Say what was returned and what is right; of large arrays, one entry that differs."""
    large = isinstance(wanted, np.ndarray) and wanted.size > LONGEST
    if large and isinstance(found, np.ndarray) and found.shape == wanted.shape:
        gaps = np.nan_to_num(np.abs(found - wanted), nan=np.inf)
        place = np.unravel_index(gaps.argmax(), gaps.shape)
        return (
            f"entry {[int(i) for i in place]} of yours is {found[place]:.4g}; "
            f"right is {wanted[place]:.4g}"
        )
    return f"you return {show(found)}; right is {show(wanted)}"
