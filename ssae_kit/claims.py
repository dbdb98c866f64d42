"""Claims that a notebook makes before it runs, and the table of what became of them.

A claim passes when its value meets the threshold *and* its control, if it has one, does not: a
measure that a control also meets has shown nothing. `Register` holds the claims as they were
written down, `Register.settle` displays the table of verdicts and emits it for programs as
`application/vnd.ssae-claims+json`.
"""

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

MIME = "application/vnd.ssae-claims+json"
HEAD = ("Claim", "Metric", "Needed", "Found", "Control", "Control fails as it should", "Verdict")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, its threshold written down before the run and its value taken from it.

    Raises:
        ValueError: if the threshold is no number, the direction unknown, a text empty, or a
            control has a name without a value or a value without a name.
    """

    id: str
    """Short and stable, such as ``06.codes``; programs find the claim by it."""
    claim: str
    """The claim as a sentence."""
    metric: str
    """What is measured, with its unit or "unitless"."""
    direction: Literal[">=", "<="]
    """Side of the threshold on which the claim holds."""
    threshold: float
    """In the metric's unit."""
    value: float
    """What the run gave, in the metric's unit."""
    control: str = ""
    """What was measured in the same way and must fail, such as "shuffled pairs"."""
    control_value: float | None = None
    """What the control gave, in the metric's unit."""

    def __post_init__(self) -> None:
        for name in ("id", "claim", "metric"):
            if not getattr(self, name).strip():
                raise ValueError(f"`{name}` of a claim must be a text; got an empty one.")
        if self.direction not in (">=", "<="):
            raise ValueError(f"`direction` must be '>=' or '<='; got {self.direction!r}.")
        if not math.isfinite(self.threshold):
            raise ValueError(f"`threshold` must be a finite number; got {self.threshold}.")
        if bool(self.control.strip()) != (self.control_value is not None):
            raise ValueError(
                "a control needs both `control` (its name) and `control_value`; got "
                f"{self.control!r} and {self.control_value}. Give both, or neither."
            )

    @property
    def control_fails(self) -> bool | None:
        """Whether the control misses the threshold, as it should; None without a control.

        A control that gave no finite number has not failed: it was not measured.
        """
        if self.control_value is None:
            return None
        return math.isfinite(self.control_value) and not self._meets(self.control_value)

    @property
    def passed(self) -> bool:
        """Whether the value meets the threshold and the control, if any, does not."""
        return self._meets(self.value) and self.control_fails is not False

    def _meets(self, value: float) -> bool:
        if not math.isfinite(value):  # a mean of nothing and a division by zero prove nothing
            return False
        return value >= self.threshold if self.direction == ">=" else value <= self.threshold

    def record(self) -> dict[str, str | float | bool | None]:
        """Claim as JSON can hold it; a value that is no finite number becomes None."""
        return {
            "id": self.id,
            "claim": self.claim,
            "metric": self.metric,
            "threshold": f"{self.direction} {self.threshold:g}",
            "value": float(self.value) if math.isfinite(self.value) else None,
            "control": self._control_text(),
            "passed": self.passed,
        }

    def _control_text(self) -> str:
        return "" if self.control_value is None else f"{self.control}: {self.control_value:.3g}"

    def cells(self) -> tuple[str, ...]:
        """Row of the table, one text for each entry of `HEAD`."""
        fails = {None: "no control", True: "yes", False: "no"}[self.control_fails]
        return (
            f"{self.id}: {self.claim}",
            self.metric,
            f"{self.direction} {self.threshold:g}",
            f"{self.value:.3g}",
            self._control_text() or "none",
            fails,
            "PASS" if self.passed else "FAIL",
        )


class Register:
    """Claims of one notebook, each with its threshold and its control, before anything ran.

    A cell that ends in the register displays it as a table.
    """

    def __init__(self, notebook: str, table: str) -> None:
        """Read the claims.

        Args:
            notebook: Two digits, such as "06"; the ids of the claims begin with them.
            table: One claim a line, ``key | claim | metric | >= 0.9 | control``. The control is
                left empty where there is none.

        Raises:
            ValueError: if a line does not have these five parts, a key is no name or comes twice,
                or there is no line.
        """
        self.notebook = notebook
        self.rows: dict[str, tuple[str, str, Literal[">=", "<="], float, str]] = {}
        for line in filter(str.strip, table.splitlines()):
            parts = [part.strip() for part in line.split("|")]
            bound = re.fullmatch(r"(>=|<=) *(-?[\d.]+)", parts[3]) if len(parts) == 5 else None
            if bound is None or not parts[0].isidentifier() or parts[0] in self.rows:
                raise ValueError(
                    "a claim must read `key | claim | metric | >= 0.9 | control` with a key of "
                    f"its own; got {line.strip()!r}."
                )
            side: Literal[">=", "<="] = ">=" if bound[1] == ">=" else "<="
            self.rows[parts[0]] = (parts[1], parts[2], side, float(bound[2]), parts[4])
        if not self.rows:
            raise ValueError("`table` must hold at least one claim; it holds none.")

    def settle(self, **found: tuple[float, float] | float) -> None:
        """Display what became of the claims.

        Args:
            found: For each key, the value and the control's value; the value alone where the claim
                has no control.

        Raises:
            ValueError: if a claim is left out, unknown, or its control is.
        """
        if found.keys() != self.rows.keys():
            raise ValueError(
                "every claim made must be settled, and no other; left out: "
                f"{sorted(self.rows.keys() - found.keys())}, unknown: "
                f"{sorted(found.keys() - self.rows.keys())}."
            )
        claims([self._settled(key, found[key]) for key in self.rows])

    def _settled(self, key: str, found: tuple[float, float] | float) -> Claim:
        claim, metric, direction, threshold, control = self.rows[key]
        value, other = found if isinstance(found, tuple) else (found, None)
        return Claim(
            id=f"{self.notebook}.{key}",
            claim=claim,
            metric=metric,
            direction=direction,
            threshold=threshold,
            value=float(value),
            control=control,
            control_value=None if other is None else float(other),
        )

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (f"{self.notebook}.{key}", claim, f"{metric} {side} {bound:g}", control or "none")
            for key, (claim, metric, side, bound, control) in self.rows.items()
        ]

    def __repr__(self) -> str:
        head = f"{len(self.rows)} claims, not settled yet"
        blocks = [f"{i}: {c}\n  Needed: {n}\n  Control: {o}" for i, c, n, o in self._cells()]
        return "\n".join([head, *blocks])

    def _repr_html_(self) -> str:
        head = ("Id", "Claim", "Needed", "Control that must fail")
        return html_table(f"{len(self.rows)} claims, not settled yet", head, self._cells())


def claims(rows: Sequence[Claim]) -> None:
    """Display the table of claims, passed and failed alike.

    Args:
        rows: All claims of the notebook, each with an `id` of its own.

    Raises:
        ValueError: if there is no claim or two share an `id`.
    """
    ids = [row.id for row in rows]
    if not ids or len(set(ids)) < len(ids):
        raise ValueError(f"`rows` must hold claims with an `id` each of its own; got {ids}.")
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    records = [row.record() for row in rows]
    display({MIME: records, "text/html": as_html(rows), "text/plain": as_text(rows)}, raw=True)


def summary(rows: Sequence[Claim]) -> str:
    """One line: how many claims passed."""
    return f"{sum(row.passed for row in rows)} of {len(rows)} claims passed"


def as_text(rows: Sequence[Claim]) -> str:
    """Table as plain text, one block for each claim."""
    blocks = []
    for row in rows:
        head, *values = row.cells()
        lines = [f"  {name}: {value}" for name, value in zip(HEAD[1:-1], values, strict=False)]
        blocks.append("\n".join([f"{values[-1]}  {head}", *lines]))
    return "\n".join([*blocks, summary(rows)])


def as_html(rows: Sequence[Claim]) -> str:
    """Table as HTML; the verdict is a word, so it needs no colour."""
    return html_table(summary(rows), HEAD, [claim.cells() for claim in rows])


def html_table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Texts as an HTML table, escaped."""

    def line(tag: str, cells: Sequence[str]) -> str:
        style = 'style="text-align:left"'
        return "<tr>" + "".join(f"<{tag} {style}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"

    title = f'<caption style="text-align:left">{html.escape(caption)}</caption>'
    body = "".join(line("td", cells) for cells in rows)
    return f"<table>{title}<thead>{line('th', head)}</thead><tbody>{body}</tbody></table>"
