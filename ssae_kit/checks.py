"""What every public door asks of what comes in, in one way and in words: checked once, there."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

LARGEST = 1e15
"""What a value may be at most: squares, and sums of them, must stay within float32."""


def tensors(**given: tuple[Any, str]) -> list[Tensor]:
    """Return what was given as finite floats with the named axes, of one dtype, on one device.

    Everything becomes float32, or float64 if one is and the device has it; the device is that of
    the first tensor.

    Args:
        given: By name, values and their axes as in a jaxtyping string: an axis of one name has one
            size in all of them, and `*run` stands for any number of axes, the same wherever any are.

    Raises:
        TypeError: if something is not an array of real numbers.
        ValueError: if an axis is missing or has another size than elsewhere, an array is empty, or
            a value is not finite or beyond `LARGEST`.
    """
    found = {name: real(name, values) for name, (values, _) in given.items()}
    sizes: dict[str, tuple[Any, str]] = {}
    for name, (_, axes) in given.items():
        _check_axes(name, tuple(found[name].shape), axes.split(), sizes)
    device = next(iter(found.values())).device
    is_double = any(values.dtype is torch.float64 for values in found.values())
    dtype = widest(device) if is_double else torch.float32
    for name, values in found.items():
        found[name] = values.to(dtype).to(device)
        require_finite(name, found[name])
        _require_moderate(name, found[name])
    return list(found.values())


def widest(device: torch.device) -> torch.dtype:
    """Return float64, or float32 where a device has no doubles, as Apple's MPS."""
    try:
        return torch.zeros((), dtype=torch.float64, device=device).dtype
    except TypeError:
        return torch.float32


def mask(name: str, values: Tensor) -> Tensor:
    """Return zeros and ones as booleans; anything else, such as indices, is refused."""
    if ((values != 0) & (values != 1)).any():
        raise ValueError(
            f"`{name}` must be a mask, 0 or 1; it holds {values.unique()[:5].tolist()}. Of changes, "
            "use `changes != 0`; of indices, `torch.nn.functional.one_hot`."
        )
    return values != 0


def indices(name: str, values: Any, axes: str) -> Tensor:
    """Return whole numbers as int64; a mask is refused, as are fractions."""
    (numbers,) = tensors(**{name: (values, axes)})
    dtype = real(name, values).dtype
    if dtype is torch.bool or (numbers != numbers.round()).any():
        raise TypeError(
            f"`{name}` must hold whole numbers, no mask; got {dtype}. `mask.nonzero()` gives the "
            "places of a mask."
        )
    return numbers.long()


def is_finite(values: Tensor) -> bool:
    """Whether every value is finite: one pass that makes no mask, where all is well."""
    total = values.detach().sum()
    if type(total) is not Tensor or total.is_meta:  # pretended tensors hold no numbers
        return True
    return math.isfinite(total) or bool(values.isfinite().all())


def require_finite(name: str, values: Tensor, advice: str = "Look for where it diverged.") -> None:
    """Raise a ValueError that says how many values are not finite, and where the first is."""
    if not is_finite(values):
        bad = (~values.isfinite()).nonzero()
        raise ValueError(
            f"`{name}` must be finite; {len(bad)} of {values.numel()} values are not, the first at "
            f"{bad[0].tolist()}: it holds a value that is not finite. {advice}"
        )


def require_generator(generator: Any) -> None:
    """Raise a TypeError unless this is a generator: without one, no seed decides what is drawn."""
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"`generator` must be a torch.Generator; got {generator!r}. "
            "Give torch.Generator().manual_seed(0), or another seed."
        )


def whole(name: str, value: Any, least: int = 1, most: int | None = None, what: str = "") -> int:
    """Return a whole number within its bounds; those of NumPy and torch count.

    Raises:
        TypeError: if it is no whole number.
        ValueError: if it is out of bounds; `what` says what they are.
    """
    bounds = f"be at least {least}" if most is None else f"lie in {least}..{most}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or is_bool(value):
        raise TypeError(f"`{name}` must be a whole number and {bounds}{what}; got {value!r}.")
    if most is None and number > 2**62:
        bounds += f" and at most {2**62}, as torch counts no further"
    if number < least or number > (2**62 if most is None else most):
        raise ValueError(f"`{name}` must {bounds}{what}; got {number}.")
    return number


def require(name: str, value: Any, what: str, holds: Callable[[Any], Any]) -> None:
    """Raise a ValueError unless `holds` is true of a number, or of all of an array's."""
    try:
        if isinstance(value, str) or is_bool(value) or not holds(value):
            raise ValueError
        near = value.detach().cpu() if isinstance(value, Tensor) else value
        if LARGEST < float(torch.as_tensor(near, dtype=torch.float64).abs().max()) < math.inf:
            what = f"{what}, and at most {LARGEST:g}"
            raise ValueError
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise ValueError(f"`{name}` must be {what}; got {value!r}.") from None


def require_kind(name: str, value: Any, kind: Any, example: str = "") -> None:
    """Raise a TypeError, in words, unless a value is of the kind required."""
    if not isinstance(value, kind):
        example = example or f"{getattr(kind, '__name__', kind)}(...)"
        raise TypeError(
            f"`{name}` must be such as `{example}`; got {type(value).__name__} {value!r:.60}."
        )


def seeded(seed: Any) -> torch.Generator:
    """Return the random stream of a seed, a whole number at least 0."""
    return torch.Generator().manual_seed(whole("seed", seed, 0, 2**63 - 1))


def is_bool(value: Any) -> bool:
    """Whether a value is True or False, or an array of them: a mask is no number."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


def _require_moderate(name: str, values: Tensor) -> None:
    if type(values) is not Tensor:  # pretended tensors hold no numbers
        return
    least, most = values.detach().aminmax()
    if max(-float(least), float(most)) > LARGEST:
        raise ValueError(
            f"`{name}` must not hold values beyond {LARGEST:g}, or their squares leave float32; the "
            f"largest is {max(-float(least), float(most)):.3g}. Divide by their size first."
        )


def real(name: str, values: Any) -> Tensor:
    """Return real numbers as a dense tensor, of the type they have.

    Raises:
        TypeError: if they are none.
    """
    try:
        # A table of pandas is no sequence of its rows.
        found = values.to_numpy() if hasattr(values, "to_numpy") else values
        if isinstance(found, np.ndarray):  # torch takes none reversed, nor in another byte order
            found = np.asarray(found, found.dtype.newbyteorder("="), order="C")
        tensor = torch.as_tensor(found)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = f"{type(values).__name__} {getattr(values, 'dtype', '')}".rstrip()
        raise TypeError(f"`{name}` must be a tensor or an array of numbers; got {kind}.") from error
    if tensor.is_complex() or tensor.layout is not torch.strided:
        raise TypeError(f"`{name}` must hold real numbers, dense; got {tensor.dtype}.")
    if tensor.is_meta and type(tensor) is Tensor:
        raise TypeError(f"`{name}` must hold numbers; it is on the device meta, which holds none.")
    return tensor


def _check_axes(
    name: str, shape: tuple[int, ...], axes: list[str], sizes: dict[str, tuple[Any, str]]
) -> None:
    """Compare a shape with its axes and with the sizes of those seen before; note the new ones."""
    fixed = [axis for axis in axes if axis[0] != "*"]
    if len(shape) < len(fixed) or (len(fixed) == len(axes) and len(shape) != len(axes)):
        hint = " Add it: `values[None]`." if "run" in fixed and len(shape) == len(fixed) - 1 else ""
        raise ValueError(
            f"`{name}` must have the axes [{', '.join(axes)}]; got shape {list(shape)}.{hint}"
        )
    n_free = len(shape) - len(fixed)
    free = [(axes[0], list(shape[:n_free]))] if n_free else []
    for axis, size in [*free, *zip(fixed, shape[n_free:], strict=True)]:
        wanted, other = sizes.setdefault(axis, (size, name))
        if size != wanted:
            raise ValueError(
                f"`{name}` and `{other}` must have the same {axis}; got {size} and {wanted}. Take "
                "both from the same data and the same layer."
            )
    if 0 in shape:
        raise ValueError(f"`{name}` must not be empty; got shape {list(shape)}.")
