"""Concept pairs: two texts that differ in some concepts, with what is known about the difference."""

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ssae_kit import checks


@dataclass(frozen=True)
class ConceptPairs:
    """Texts in pairs. From source to target, one or more concepts change.

    Raises:
        ValueError: if the fields do not fit together.
        TypeError: if a text is not a string.
    """

    source: tuple[str, ...]
    """One text per pair, before the change."""
    target: tuple[str, ...]
    """One text per pair, after the change."""
    concepts: tuple[str, ...] = ()
    """Names of the columns of `changes`."""
    changes: tuple[tuple[int, ...], ...] = ()
    """Per pair, target value minus source value of each concept (-1, 0 or 1); empty if unknown."""

    def __post_init__(self) -> None:
        # As tuples, whatever sequences came: equal pairs are equal, and files hold all of them.
        for name in ("source", "target", "concepts"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        object.__setattr__(self, "changes", _rows(self.changes))
        if len(self.source) != len(self.target):
            raise ValueError(
                "every pair needs a source and a target text; got "
                f"{len(self.source)} sources and {len(self.target)} targets. "
                "Remove the texts that have no partner."
            )
        if not self.source:
            raise ValueError("at least one pair is required; got none.")
        if len(self.changes) and len(self.changes) != len(self.source):
            raise ValueError(
                f"`changes` needs one row per pair ({len(self.source)}); got {len(self.changes)}."
            )
        known = {-1, 0, 1}
        for i, row in enumerate(self.changes):
            if len(row) != len(self.concepts) or not known.issuperset(row):
                raise ValueError(
                    f"each row of `changes` needs one number per concept ({len(self.concepts)}: "
                    f"{', '.join(self.concepts) or 'none named'}), -1, 0 or 1; changes[{i}] is {row}."
                )

    def __len__(self) -> int:
        return len(self.source)

    @property
    def shifts(self) -> tuple[tuple[int, ...], ...]:
        """The old name of `changes`."""
        warnings.warn("`shifts` is now called `changes`.", DeprecationWarning, stacklevel=2)
        return self.changes

    def take(self, rows: Sequence[int]) -> "ConceptPairs":
        """Return the pairs at these positions, in this order; a mask is refused.

        Raises:
            TypeError: if a position is no whole number.
            ValueError: if there is no such pair.
        """
        rows = [checks.whole("rows", i, -len(self), len(self) - 1) for i in rows]
        return ConceptPairs(
            tuple(self.source[i] for i in rows),
            tuple(self.target[i] for i in rows),
            self.concepts,
            tuple(self.changes[i] for i in rows) if self.changes else (),
        )


def _texts(side: str, texts: Any) -> tuple[str, ...]:
    if isinstance(texts, str) or not isinstance(texts, Iterable):
        raise TypeError(f"`{side}` must be a list of texts; got {texts!r:.60}. Put it in [...].")
    found = tuple(texts)
    for i, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"{side}[{i}] must be a string; got {type(text).__name__}.")
        if not text.strip():
            raise ValueError(f"{side}[{i}] is empty. Give every text at least one word.")
    return found


def _whole(row: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(change) if change == int(change) else change for change in row)


def _rows(changes: Any) -> tuple[tuple[int, ...], ...]:
    """Rows of a table of changes as plain whole numbers."""
    table = changes.tolist() if hasattr(changes, "tolist") else changes
    try:
        rows = [tuple(row) for row in table]
        return tuple(row if {*map(type, row)} <= {int} else _whole(row) for row in rows)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"`changes` must be rows of -1, 0 or 1, one per pair; got {changes!r:.60}."
        ) from error
