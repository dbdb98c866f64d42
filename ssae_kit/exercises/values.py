"""What learners return, read as numbers whatever its type, compared, and shown in few words."""

from typing import Any

import numpy as np

LONGEST = 20
"""Arrays of more entries are not shown whole."""
TOO_LARGE = "numbers of shape"
"""What is said of such an array, before its shape."""


class Mistake(Exception):  # noqa: N818 - a finding about an answer, not a fault
    """What is likely wrong with an answer, in one or two sentences for the learner."""


def numbers(value: Any) -> Any:
    """Return a tensor, array, number, or nested list of these as one NumPy array of floats."""
    if hasattr(value, "detach"):  # a tensor; this module must load without torch
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=float)


def read(value: Any, like: Any, returns: str = "the same kind of value") -> Any:
    """Return a value in the form of another: one number, an array, or a tuple or set of such.

    Raises:
        Mistake: if it cannot be read so; says what must be returned.
    """
    if value is None:
        return None
    try:
        if isinstance(like, tuple):
            return tuple(read(*both, returns) for both in zip(value, like, strict=True))
        if isinstance(like, set):
            return {int(entry) for entry in value}
        found = numbers(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise Mistake(f"your function must return {returns}; got {kind(value)}.") from error
    return found.reshape(()) if numbers(like).ndim == 0 and found.size == 1 else found


def agree(found: Any, wanted: Any) -> bool:
    """Whether two results are the same numbers; errors agree if they are of one type."""
    if isinstance(found, tuple) and isinstance(wanted, tuple):
        return all(map(agree, found, wanted))
    if isinstance(found, np.ndarray) and isinstance(wanted, np.ndarray):
        # Answers in float32, summed in another order, err by 1e-6.
        same = found.shape == wanted.shape
        return same and np.allclose(found, wanted, rtol=1e-4, atol=1e-4, equal_nan=True)
    if isinstance(found, Exception):
        return type(found) is type(wanted)
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


def kind(value: Any) -> str:
    """What a value is, in words: its shape if it has one, else its type."""
    if hasattr(value, "shape"):
        name = "tensor" if hasattr(value, "detach") else "NumPy array"
        return f"a {name} of shape {list(value.shape)}"
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
    if isinstance(value, Exception):
        return f"{type(value).__name__}: {str(value)[:300]}".rstrip(": .")
    if value is None:
        return "None"
    array = numbers(value)
    if array.size > LONGEST:
        return f"{TOO_LARGE} {list(array.shape)}"
    return _nested(array.tolist())


def _nested(value: Any) -> str:
    return (
        f"[{', '.join(map(_nested, value))}]" if isinstance(value, list) else f"{value + 0.0:.4g}"
    )


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
