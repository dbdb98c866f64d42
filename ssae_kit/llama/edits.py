"""What is done to the states of a site: small frozen values, one row per text or one for all."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks

At = Literal["last", "all"] | slice | Int[Tensor, " places"]
"""Tokens of a text: its last (of a prompt that is continued: the prompt's last), all of them, a
slice of positions such as `slice(1, None)`, or one position per text. Position 0 is the begin token;
new tokens have the positions that follow the prompt."""


@dataclass(frozen=True)
class Edit:
    """Base of all edits: `change` says what becomes of states, `at` at which tokens."""

    at: At = field(default="last", kw_only=True)
    """Tokens that are edited."""
    per_text: ClassVar[tuple[str, ...]] = ()
    """Fields with one row per text, or one row for all."""

    def __post_init__(self) -> None:
        if isinstance(self.at, str) and self.at not in ("last", "all"):
            raise ValueError(
                f"`at` must be 'last', 'all', a slice or one position per text; got {self.at!r}."
            )
        if isinstance(self.at, slice) and (
            self.at.step or min(self.at.start or 0, self.at.stop or 0) < 0
        ):
            raise ValueError(
                f"a slice `at` must count from the first token, without steps; got {self.at}."
            )
        for name in self.per_text:
            _hold_rows(self, name, "texts d_model")

    def change(
        self, states: Float[Tensor, "texts tokens width"]
    ) -> Float[Tensor, "texts tokens width"]:
        """Return what becomes of the states of tokens that are edited."""
        raise NotImplementedError

    def __call__(
        self,
        states: Float[Tensor, "texts tokens width"],
        positions: Int[Tensor, "#texts tokens"],
    ) -> Float[Tensor, "texts tokens width"]:
        """Return the states, those at the tokens meant changed.

        Args:
            states: Of one pass.
            positions: Of its tokens, each in its text.

        Raises:
            ValueError: if the edit does not fit these states.
        """
        where = self.where(positions)
        if where is not None and not where.any():
            return states
        self._check(states)
        new = self.change(states).to(states.dtype)
        return new if where is None else torch.where(where[..., None].to(new.device), new, states)

    def where(self, positions: Int[Tensor, "#texts tokens"]) -> Bool[Tensor, "texts tokens"] | None:
        """Return which tokens are edited; None for all."""
        if isinstance(self.at, Tensor):
            return positions == self.at.to(positions)[:, None]
        if isinstance(self.at, slice):
            at = self.at
            stop = positions.max() + 1 if at.stop is None else at.stop
            return (positions >= (at.start or 0)) & (positions < stop)
        if self.at == "last":
            raise ValueError("an edit at 'last' must be told which token is the last of each text.")
        return None

    def rows(self, chosen: Int[Tensor, " chosen"] | slice) -> "Edit":
        """Return the edit for some of the texts, so that a reader may sort them."""
        own: dict[str, Any] = {}
        for name in self.per_text:
            rows = getattr(self, name)
            own[name] = rows if len(rows) == 1 else rows[chosen]
        if isinstance(self.at, Tensor):
            own["at"] = self.at if len(self.at) == 1 else self.at[chosen]
        return replace(self, **own)

    def on(self, last: Int[Tensor, " texts"]) -> "Edit":
        """Return the edit with "last" made a position.

        Raises:
            ValueError: if a position lies outside its text, or there is not one row per text.
        """
        for name in (*self.per_text, "at"):
            rows = getattr(self, name)
            if isinstance(rows, Tensor) and len(rows) not in (1, len(last)):
                raise ValueError(
                    f"one row of `{name}` per text is required ({len(last)}), or one for all; got "
                    f"{len(rows)}."
                )
        if isinstance(self.at, Tensor) and ((self.at < 0) | (self.at > last)).any():
            raise ValueError(
                "positions in `at` must lie in their texts, 0 to the last token; got "
                f"{self.at.tolist()} for last tokens {last.tolist()}."
            )
        return replace(self, at=last) if self.at == "last" else self

    def must_move(self, n_texts: int) -> Bool[Tensor, " texts"]:
        """Return for which texts an edit without effect would be an error."""
        return torch.zeros(n_texts, dtype=torch.bool)

    def _check(self, states: Tensor) -> None:
        for name in self.per_text:
            rows = getattr(self, name)
            if rows.shape[1] != states.shape[-1] or len(rows) not in (1, len(states)):
                raise ValueError(
                    f"`{name}` must be [{len(states)}, {states.shape[-1]}] for this batch; got "
                    f"{list(rows.shape)}."
                )


@dataclass(frozen=True)
class Add(Edit):
    """Steering: add a vector. One that is not zero and leaves a text as it was is an error."""

    vectors: Float[Tensor, "texts d_model"]
    """What is added, in the units of the states."""
    per_text: ClassVar[tuple[str, ...]] = ("vectors",)

    def change(self, states: Tensor) -> Tensor:
        """Return the states plus the vectors."""
        return states + self.vectors[:, None].to(states)

    def must_move(self, n_texts: int) -> Tensor:
        """Return which vectors are not zero."""
        return self.vectors.detach().abs().sum(1).ne(0).cpu().expand(n_texts)


@dataclass(frozen=True)
class Swap(Edit):
    """Interchange: the state, or its part in a subspace, comes from elsewhere.

    Source: Geiger et al. 2021 (arXiv 2106.02997); with a subspace that is trained, distributed
    alignment search: Geiger et al. 2024 (arXiv 2303.02536).
    """

    sources: Float[Tensor, "texts d_model"]
    """States of other texts at the same site."""
    subspace: Float[Tensor, "k d_model"] | None = None
    """Orthonormal rows; None for all of the space. Gradients flow to it."""
    per_text: ClassVar[tuple[str, ...]] = ("sources",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.subspace is not None:
            _check_orthonormal(self)

    def change(self, states: Tensor) -> Tensor:
        """Return the states with the sources' part in the subspace."""
        away = self.sources[:, None].to(states) - states
        if self.subspace is None:
            return states + away
        rows = self.subspace.to(states)
        return states + (away @ rows.mT) @ rows


@dataclass(frozen=True)
class Clamp(Edit):
    """Set the coordinates of the state in a subspace to given values."""

    values: Float[Tensor, "texts k"]
    """Coordinates along the rows of the subspace."""
    subspace: Float[Tensor, "k d_model"]
    """Orthonormal rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _hold_rows(self, "values", "texts k")
        _check_orthonormal(self)
        if self.values.dim() != 2 or self.values.shape[1] != len(self.subspace):
            raise ValueError(
                f"`values` must be [texts or 1, {len(self.subspace)}], one per row of the "
                f"subspace; got {list(self.values.shape)}."
            )

    def rows(self, chosen: Int[Tensor, " chosen"] | slice) -> "Edit":
        """Return the edit for some of the texts."""
        own = self.values if len(self.values) == 1 else self.values[chosen]
        at = self.at[chosen] if isinstance(self.at, Tensor) and len(self.at) > 1 else self.at
        return replace(self, values=own, at=at)

    def change(self, states: Tensor) -> Tensor:
        """Return the states with these coordinates."""
        rows = self.subspace.to(states)
        return states + (self.values[:, None].to(states) - states @ rows.mT) @ rows


@dataclass(frozen=True)
class ProjectOut(Edit):
    """Take all that lies along some directions out of the state."""

    directions: Float[Tensor, "k d_model"]
    """Rows, independent, of any length and at any angle."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _hold_rows(self, "directions", "k d_model")

    def change(self, states: Tensor) -> Tensor:
        """Return the states without their part in the directions' span."""
        basis: Tensor = torch.linalg.qr(self.directions.to(states).float().mT).Q.to(states)
        return states - (states @ basis) @ basis.mT


@dataclass(frozen=True)
class Apply(Edit):
    """Any function of the states `[texts, tokens, width]` that keeps their shape."""

    function: Callable[[Tensor], Tensor]
    """While text is generated, it sees the whole prompt once, and then one token at a time."""
    at: At = field(default="all", kw_only=True)

    def change(self, states: Tensor) -> Tensor:
        """Return what the function makes of the states."""
        return same_shape(self.function, states)


def same_shape(change: Callable[[Tensor], Tensor], states: Tensor) -> Tensor:
    """Return `change(states)`.

    Raises:
        ValueError: if it has another shape.
    """
    new = change(states)
    if new.shape != states.shape:
        raise ValueError(
            f"`change` must return the shape it is given, {list(states.shape)}; it returned "
            f"{list(new.shape)}."
        )
    return new


def _hold_rows(edit: Edit, name: str, axes: str) -> None:
    """Check a field, and make a tensor of it; one that is a tensor stays itself, gradient and all."""
    given = getattr(edit, name)
    (rows,) = checks.tensors(**{name: (given, axes)})
    is_float = isinstance(given, Tensor) and given.is_floating_point()
    object.__setattr__(edit, name, given if is_float else rows)


def _check_orthonormal(edit: Any) -> None:
    _hold_rows(edit, "subspace", "k d_model")
    rows = edit.subspace
    gram = rows.detach().float() @ rows.detach().float().mT
    # Rows of an orthogonal parametrisation in float32 or bfloat16 come this close.
    off = float((gram - torch.eye(len(rows), device=gram.device)).abs().max())
    if not off < 1e-2:
        raise ValueError(
            f"`subspace` must have orthonormal rows [k, d_model]; their products differ from those "
            f"by {off:.2g}. Take the columns of torch.linalg.qr(rows.mT).Q, transposed."
        )
