"""What usually goes wrong: hints to errors, and mistakes that are a change of the right answer."""

import inspect
from collections.abc import Callable
from typing import Any

HINTS = {
    r"mat1 and mat2|size mismatch|inconsistent tensor size|matmul": (
        "Samples are rows: rows x pass a layer with rows W by x @ W.T."
    ),
    r"'list' and '(list|float|int)'": "Vectors are lists here: compute entry by entry.",
    r"not implemented for '(Long|Bool|Int)'|with a bool tensor|same dtype": "Whole numbers and flags: convert by .float().",
    r"return_types": "`.max(dim)` returns values and places: take `.amax(dim)` or `.values`.",
    r"Boolean value of Tensor": "`not`, `and`, `or` take one yes or no: for tensors write ~, &, |.",
    r"must match the size": "Was an axis reduced? `keepdim=True` keeps it, and so does `[:, None]`.",
    r"must be real number, not list": "`math.hypot(*vector)`: the star hands over single numbers.",
    r"call numpy\(\)": "Stay in torch: what leaves it cannot be trained.",
    r"in-place operation": "Compute a new tensor instead of changing the one you were given.",
}
"""Pattern in the message of an error, and what may have caused it."""


def slip(solution: Callable[..., Any], change: str) -> Callable[..., Any]:
    """A right answer as whoever slips writes it.

    Args:
        solution: A right answer.
        change: ``"a -> b"`` puts b for each a in its source; ``"-> 1 - right"`` makes something else
            of what it returns, `right`, and of what it was given, by its own names.

    Raises:
        ValueError: if there is no a in the source.
    """
    old, _, new = map(str.strip, change.partition("->"))
    source, scope = inspect.getsource(solution), {**inspect.unwrap(solution).__globals__}
    if not old:
        names = inspect.signature(solution).parameters
        return lambda *case: eval(
            new, scope | dict(zip(names, case, strict=True)) | {"right": solution(*case)}
        )
    if old not in source:
        raise ValueError(f"a slip must change {solution.__name__}; no {old!r} stands in it.")
    exec(source.replace(old, new), scope)
    slipped: Callable[..., Any] = scope[solution.__name__]
    return slipped
