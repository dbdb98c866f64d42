"""Parts of other libraries that they may change without notice: where one is gone, stop and say so."""

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
        place = getattr(owner, "__name__", type(owner).__name__)
        raise ImportError(
            f"{library} {version(library)} has no {', '.join(missing)} in {place}, which this kit "
            f"builds on. Install a version of {library} that the kit was tested with: "
            ".ci/constraints.txt in its repository names it."
        )
