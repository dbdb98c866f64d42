"""Parts of other libraries that they may change without notice: where one is gone, stop and say so."""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import Any


def require(library: str, owner: Any, *names: str) -> None:
    """Check that a module or class still has what the kit builds on.

    Args:
        library: Its name for pip.
        owner: The module or class.
        names: What must be in it.

    Raises:
        ImportError: if anything is gone; names the library, its version and what to do.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise gone(library, missing, owner)


def require_parameters(library: str, function: Callable[..., Any], *names: str) -> None:
    """Check that a function or class still takes parameters of these names, in this order.

    Raises:
        ImportError: as `require`.
    """
    known = inspect.signature(function).parameters
    if [name for name in known if name in names] != list(names):
        raise gone(library, [f"parameters {', '.join(names)} in this order"], function)


def gone(library: str, what: list[str], owner: Any) -> ImportError:
    """Return the error for parts of a library that are gone, which names them and their place."""
    place = getattr(owner, "__qualname__", getattr(owner, "__name__", type(owner).__name__))
    return ImportError(
        f"{library} {version(library)} has no {', '.join(what)} in {place}, which this kit builds "
        f"on. Install a version of {library} that the kit was tested with: .ci/constraints.txt in "
        "its repository names it."
    )
