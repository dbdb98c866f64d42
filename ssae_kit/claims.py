"""Claims that a notebook makes before it runs, and the table of what became of them.

A claim passes when its value meets the threshold *and* its control, if it has one, does not: a
measure that a control also meets has shown nothing. `Register` holds the claims as they were
written down, folded so that they give no prediction away, under a seal; `Register.settle` displays
the table of verdicts with the same seal and emits it for programs as
`application/vnd.ssae-claims+json`.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

MIME = "application/vnd.ssae-claims+json"
_HEAD = (
    "Claim",
    "Metric",
    "You predicted",
    "Needed",
    "Found",
    "Control",
    "Control fails as it should",
    "Verdict",
)
_OPEN = ("Id", "Claim", "Needed", "Control that must fail")


@dataclass(frozen=True)
class _Claim:
    """One claim as it was registered."""

    id: str
    claim: str
    metric: str
    side: str
    bound: float
    control: str

    def meets(self, value: float) -> bool:
        """Whether a value is on the claim's side; what is no finite number proves nothing."""
        above = value >= self.bound if self.side == ">=" else value <= self.bound
        return math.isfinite(value) and above

    def settle(
        self, value: float, other: float | None, predicted: str
    ) -> tuple[dict[str, object], list[str]]:
        """Record for programs, and row of the table for people."""
        # A control that gave no finite number has not failed: it was not measured.
        fails = other is None or (math.isfinite(other) and not self.meets(other))
        passed = self.meets(value) and fails
        control = "" if other is None else f"{self.control}: {other:.3g}"
        needed = f"{self.side} {self.bound:g}"
        record: dict[str, object] = {
            "id": self.id,
            "claim": self.claim,
            "metric": self.metric,
            "threshold": needed,
            "value": value if math.isfinite(value) else None,
            "control": control,
            "passed": passed,
        }
        told = "no control" if other is None else "yes" if fails else "no"
        row = [f"{self.id}: {self.claim}", self.metric, predicted, needed, f"{value:.3g}"]
        return record, [*row, control or "none", told, "PASS" if passed else "FAIL"]


class Register:
    """Claims of one notebook, each with its threshold and its control, before anything ran.

    A cell that ends in the register displays it as a table, folded.
    """

    def __init__(self, notebook: str, table: str) -> None:
        """Read the claims.

        Args:
            notebook: Its number, such as "06"; the ids of the claims begin with it.
            table: One claim a line, ``key | claim | metric | >= 0.9 | control``. The control is
                left empty where there is none.

        Raises:
            TypeError: if an argument is no text.
            ValueError: if a line does not have these five parts, one that is needed is empty, a
                key is no name or comes twice, or there is no line.
        """
        if not (isinstance(notebook, str) and isinstance(table, str)):
            raise TypeError(f"both must be texts; got {notebook!r} and {table!r:.60}.")
        self._claims: dict[str, _Claim] = {}
        for line in filter(str.strip, table.splitlines()):
            parts = [part.strip() for part in line.split("|")]
            bound = re.fullmatch(r"(>=|<=) *(-?\d+\.?\d*)", parts[3]) if len(parts) == 5 else None
            key = parts[0]
            if bound is None or not key.isidentifier() or key in self._claims or "" in parts[:4]:
                raise ValueError(
                    "a claim must read `key | claim | metric | >= 0.9 | control` with a key of "
                    f"its own; got {line.strip()!r}."
                )
            self._claims[key] = _Claim(
                f"{notebook}.{key}", parts[1], parts[2], bound[1], float(bound[2]), parts[4]
            )
        if not self._claims:
            raise ValueError("`table` must hold at least one claim; it holds none.")

    def settle(
        self, predicted: Mapping[str, str] | None = None, /, **found: tuple[float, float] | float
    ) -> None:
        """Display what became of the claims.

        Args:
            predicted: What the learner predicted, in words (`exercises.Predictions.made`). A
                prediction stands beside the claim whose key is the first word of its name.
            found: For each key, the value and the control's value; the value alone where the claim
                has no control.

        Raises:
            TypeError: if a value is no number.
            ValueError: if a claim is left out, unknown, or its control is.
        """
        if found.keys() != self._claims.keys():
            raise ValueError(
                "every claim made must be settled, and no other; left out: "
                f"{sorted(self._claims.keys() - found.keys())}, unknown: "
                f"{sorted(found.keys() - self._claims.keys())}."
            )
        said: dict[str, list[str]] = {}
        for name, words in (predicted or {}).items():
            said.setdefault(name.split()[0], []).append(words)
        settled = [
            claim.settle(*_numbers(key, found[key], claim), "; ".join(said.get(key, ["nothing"])))
            for key, claim in self._claims.items()
        ]
        records, rows = [record for record, _ in settled], [row for _, row in settled]
        n_passed = sum(bool(record["passed"]) for record in records)
        title = f"{n_passed} of {len(rows)} claims passed (seal {self.seal})"
        # 0.1 s and 1 s, which only a notebook should pay
        from IPython.display import display

        from ssae_kit.plots.table import as_html

        blocks = []
        for head, *values, verdict in rows:
            lines = [f"  {name}: {text}" for name, text in zip(_HEAD[1:-1], values, strict=True)]
            blocks.append("\n".join([f"{verdict}  {head}", *lines]))
        plain, page = "\n".join([*blocks, title]), as_html(_HEAD, rows, title)
        display({MIME: records, "text/html": page, "text/plain": plain}, raw=True)

    @property
    def seal(self) -> str:
        """First 12 hexadecimal digits of the SHA-256 of all claims, thresholds and controls.

        The same at the top of a notebook and under its verdicts: nothing was changed in between.
        """
        text = "\n".join(" | ".join(row) for row in self._open())
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _open(self) -> list[tuple[str, ...]]:
        return [
            (c.id, c.claim, f"{c.metric} {c.side} {c.bound:g}", c.control or "none")
            for c in self._claims.values()
        ]

    def _sealed(self) -> str:
        return f"{len(self._claims)} claims, not settled yet (seal {self.seal})"

    def __repr__(self) -> str:
        return f"{self._sealed()}. They stand in this cell's code; predict before you read them."

    def _repr_html_(self) -> str:
        from ssae_kit.plots.table import as_html

        table = as_html(_OPEN, self._open(), "Claims, thresholds and controls")
        fold = "Predict first, then open them here."
        return f"<details><summary>{self._sealed()}. {fold}</summary>{table}</details>"


def _numbers(key: str, found: object, claim: _Claim) -> tuple[float, float | None]:
    """Value and control's value of a claim, each one number."""
    given = found if isinstance(found, tuple) else (found,)
    if len(given) != 1 + bool(claim.control):
        wanted = f"(value, {claim.control})" if claim.control else "the value alone"
        raise ValueError(f"`{key}` needs {wanted}; got {found!r}. A control needs both.")
    try:
        value, *other = (float(number) for number in given)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"`{key}` must be settled by numbers; got {found!r}.") from None
    return value, other[0] if other else None
