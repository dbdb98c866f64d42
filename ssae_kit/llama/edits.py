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
    """Base of all edits: `change` says what becomes of states, `at` at which tokens.

    Raises:
        TypeError: if a field holds no numbers.
        ValueError: if `at` is unknown, or a field has other axes, is not finite, or is a subspace
            whose rows are not orthonormal.
    """

    at: At = field(default="last", kw_only=True)
    """Tokens that are edited."""
    axes: ClassVar[dict[str, str]] = {}
    """Axes of each field that holds numbers; "texts": one row per text, or one row for all."""

    def __post_init__(self) -> None:
        _check_at(self.at)
        given = {name: (getattr(self, name), axes) for name, axes in self.axes.items()}
        given = {name: pair for name, pair in given.items() if pair[0] is not None}
        for name, rows in zip(given, checks.tensors(**given) if given else (), strict=True):
            # A tensor stays itself, gradient and all.
            is_float = isinstance(given[name][0], Tensor) and given[name][0].is_floating_point()
            object.__setattr__(self, name, given[name][0] if is_float else rows)
            if name == "subspace":
                _check_orthonormal(rows)

    def change(
        self, states: Float[Tensor, "texts tokens width"]
    ) -> Float[Tensor, "texts tokens width"]:
        """Return what becomes of the states of tokens that are edited."""
        raise NotImplementedError(f"an edit such as {type(self).__name__} must bring a `change`")

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
            stop = positions.max() + 1 if self.at.stop is None else self.at.stop
            return (positions >= (self.at.start or 0)) & (positions < stop)
        if self.at == "last":
            raise ValueError("an edit at 'last' must be told which token is the last of each text.")
        return None

    def _by_text(self) -> dict[str, Tensor]:
        """Everything that has one row per text, or one for all."""
        at = {"at": self.at} if isinstance(self.at, Tensor) else {}
        return at | {n: getattr(self, n) for n, axes in self.axes.items() if axes[:5] == "texts"}

    def rows(self, chosen: Int[Tensor, " chosen"] | slice) -> "Edit":
        """Return the edit for some of the texts, so that a reader may sort them."""
        own: dict[str, Any] = {
            n: v if len(v) == 1 else v[chosen] for n, v in self._by_text().items()
        }
        return replace(self, **own)

    def require_rows(self, n_texts: int) -> None:
        """Raise a ValueError unless there is one row per text, or one for all."""
        for name, rows in self._by_text().items():
            if len(rows) not in (1, n_texts):
                raise ValueError(
                    f"one row of `{name}` per text is required ({n_texts}), or one for all; got "
                    f"{len(rows)}."
                )

    def on(self, last: Int[Tensor, " texts"]) -> "Edit":
        """Return the edit with "last" made a position.

        Raises:
            ValueError: if a position lies outside its text, or there is not one row per text.
        """
        self.require_rows(len(last))
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
        for name, axes in self.axes.items():
            rows = getattr(self, name)
            if axes.endswith("width") and rows is not None and rows.shape[1] != states.shape[-1]:
                raise ValueError(
                    f"`{name}` must have rows as wide as the states at this site, "
                    f"{states.shape[-1]}; got {list(rows.shape)}."
                )


@dataclass(frozen=True)
class Add(Edit):
    """Steering: add a vector. One that is not zero and leaves a text as it was is an error."""

    vectors: Float[Tensor, "texts d_model"]
    """What is added, in the units of the states."""
    axes: ClassVar[dict[str, str]] = {"vectors": "texts width"}

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
    """States of other texts at the same site, one per text: `pass.at_last(site)`."""
    subspace: Float[Tensor, "k d_model"] | None = None
    """Orthonormal rows; None for all of the space. Gradients flow to it."""
    axes: ClassVar[dict[str, str]] = {"sources": "texts width", "subspace": "k width"}

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
    axes: ClassVar[dict[str, str]] = {"values": "texts k", "subspace": "k width"}

    def change(self, states: Tensor) -> Tensor:
        """Return the states with these coordinates."""
        rows = self.subspace.to(states)
        return states + (self.values[:, None].to(states) - states @ rows.mT) @ rows


@dataclass(frozen=True)
class ProjectOut(Edit):
    """Take all that lies along some directions out of the state."""

    directions: Float[Tensor, "k d_model"]
    """Rows, independent, of any length and at any angle."""
    axes: ClassVar[dict[str, str]] = {"directions": "k width"}

    def change(self, states: Tensor) -> Tensor:
        """Return the states without their part in the directions' span."""
        basis: Tensor = torch.linalg.qr(self.directions.to(states).float().mT).Q.to(states)
        return states - (states @ basis) @ basis.mT


@dataclass(frozen=True)
class Erase(Edit):
    """Erase what a reader reads: move each state along a vector until it reads there as the mean.

    With the concept's covariance with the state as vector, whitened as reader, this is LEACE for a
    concept of two values; with one direction of length 1 as both, it projects the direction out.

    Source: Belrose et al. 2023 (arXiv 2306.03819).
    """

    vectors: Float[Tensor, "texts d_model"]
    """Along which a state moves."""
    readers: Float[Tensor, "texts d_model"]
    """What reads it; its product with the vector is 1, or something is left."""
    means: Float[Tensor, "texts d_model"]
    """States that are left as they are: the mean of those that the eraser was fitted to."""
    axes: ClassVar[dict[str, str]] = dict.fromkeys(("vectors", "readers", "means"), "texts width")

    def change(self, states: Tensor) -> Tensor:
        """Return the states without what is read."""
        read = (states - self.means[:, None].to(states)) * self.readers[:, None].to(states)
        return states - read.sum(-1, keepdim=True) * self.vectors[:, None].to(states)


@dataclass(frozen=True)
class Apply(Edit):
    """Any function of the states `[texts, tokens, width]` that keeps their shape."""

    function: Callable[[Tensor], Tensor]
    """While text is generated, it sees the whole prompt once, and then one token at a time."""
    at: At = field(default="all", kw_only=True)

    def change(self, states: Tensor) -> Tensor:
        """Return what the function makes of the states.

        Raises:
            ValueError: if it has another shape.
        """
        new = self.function(states)
        if new.shape != states.shape:
            raise ValueError(
                f"`function` must return the shape it is given, {list(states.shape)}; it returned "
                f"{list(new.shape)}."
            )
        return new


def _check_at(at: At) -> None:
    if isinstance(at, slice):
        if at.step or min(at.start or 0, at.stop or 0) < 0:
            raise ValueError(
                f"a slice `at` must count from the first token, without steps; got {at}."
            )
    elif isinstance(at, Tensor):
        checks.tensors(at=(at, "places"))
    elif str(at) not in ("last", "all"):  # an array would compare place by place
        raise ValueError(
            f"`at` must be 'last', 'all', a slice or one position per text; got {at!r}."
        )


def _check_orthonormal(subspace: Tensor) -> None:
    rows = subspace.detach().float()
    # Rows of an orthogonal parametrisation in float32 or bfloat16 come this close.
    off = float((rows @ rows.mT - torch.eye(len(rows), device=rows.device)).abs().max())
    if not off < 1e-2:
        raise ValueError(
            f"`subspace` must have orthonormal rows [k, d_model]; their products differ from those "
            f"by {off:.2g}. Take the columns of torch.linalg.qr(rows.mT).Q, transposed."
        )
