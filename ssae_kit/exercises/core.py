"""What a check is, and how its verdict is shown.

A check receives the learner's answer, nearly always a function, and tries properties of it: small
cases worked by hand, random cases whose answer it computes in its own way, shapes, invariances. It
says what is wrong by raising `Mistake`. `check` turns whatever happens into one line of text.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

MIME = "application/vnd.ssae-check+json"
NOTEBOOKS = {
    "00": "start",
    "01": "superposition",
    "02": "dictionaries",
    "03": "identifiability",
    "04": "shifts",
    "05": "llama_shifts",
    "06": "steering",
}
"""Number of a notebook, and the module of this room that holds its checks."""


class Mistake(Exception):  # noqa: N818 - a finding about an answer, not a fault
    """What is likely wrong with an answer, as one sentence for the learner."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of the course."""

    points: int
    """What a right answer earns, at least 1."""
    test: Callable[[Any], None]
    """Raises `Mistake` if the answer is wrong."""


@dataclass(frozen=True)
class Verdict:
    """What a check found out about one answer."""

    name: str
    """Notebook and exercise, such as ``01.loss``."""
    points: int
    """What a right answer earns."""
    passed: bool | None
    """None if the exercise has not been attempted."""
    message: str
    """What is likely wrong; empty if nothing is."""

    def record(self) -> dict[str, str | int | bool]:
        """Verdict as JSON can hold it."""
        return {"name": self.name, "passed": bool(self.passed), "points": self.points}

    def __str__(self) -> str:
        """One line for the learner."""
        worth = f"{self.points} point{'s' if self.points > 1 else ''}"
        if self.passed is None:
            return f"{self.name} ({worth}): not attempted yet."
        return f"{self.name} ({worth}): passed." if self.passed else f"{self.name}: {self.message}"


def exercises(notebook: str) -> dict[str, Exercise]:
    """Exercises of one notebook, by name.

    Args:
        notebook: Its number, such as ``"01"``.

    Raises:
        ValueError: if there is no such notebook.
    """
    if notebook not in NOTEBOOKS:
        raise ValueError(f"`notebook` must be one of {list(NOTEBOOKS)}; got {notebook!r}.")
    module = importlib.import_module(f"ssae_kit.exercises.{NOTEBOOKS[notebook]}")
    return {f"{notebook}.{name}": one for name, one in module.EXERCISES.items()}


def judge(name: str, answer: Any) -> Verdict:
    """Check an answer. Whatever the answer does, this returns a verdict.

    Args:
        name: Notebook and exercise, such as ``"01.loss"``.
        answer: What the learner wrote, nearly always a function.

    Raises:
        ValueError: if there is no such exercise: a fault of the notebook, not of the learner.
    """
    known = exercises(name.partition(".")[0])
    if name not in known:
        raise ValueError(f"`name` must be one of {list(known)}; got {name!r}.")
    passed, message = attempt(known[name].test, answer)
    return Verdict(name, known[name].points, passed, message)


def attempt(test: Callable[[Any], None], answer: Any) -> tuple[bool | None, str]:
    """Run one test on an answer: passed, failed or (None) not attempted, and what is wrong."""
    try:
        if answer is ...:
            raise NotImplementedError
        test(answer)
    except NotImplementedError:
        return None, ""
    except Mistake as mistake:
        return False, str(mistake)
    except Exception as error:
        return False, f"your code raised {type(error).__name__}: {error}"
    return True, ""


def check(name: str, answer: Any) -> None:
    """Say in one line whether an answer is right and, if not, what is likely wrong.

    Args:
        name: Notebook and exercise, such as ``"01.loss"``.
        answer: What the learner wrote, nearly always a function.

    Raises:
        ValueError: if there is no such exercise. No answer makes it raise.
    """
    verdict = judge(name, answer)
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    display({MIME: verdict.record(), "text/plain": str(verdict)}, raw=True)


def passes(name: str, answer: Any) -> bool:
    """Whether an answer is right. For nbgrader, whose hidden tests must raise to take points."""
    return bool(judge(name, answer).passed)


def expect(holds: Any, message: str) -> None:
    """Raise `Mistake` with a message unless the condition holds."""
    if not holds:
        raise Mistake(message)


def close(found: float, wanted: float | int, tolerance: float = 1e-4) -> bool:
    """Whether two numbers agree, relative to the larger of 1 and the wanted one."""
    return math.isfinite(found) and abs(found - wanted) <= tolerance * max(1.0, abs(wanted))


def number(value: Any, what: str = "your function") -> float:
    """Return the value as a number; `Mistake` says what came instead."""
    if value is None:
        raise Mistake(f"{what} returned None. Is a `return` missing?")
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = shape(value)
        raise Mistake(f"{what} must return one number; it returned {kind}.") from error


def shape(value: Any) -> str:
    """What a value is, in words: its shape if it has one, else its type."""
    if hasattr(value, "shape"):
        return f"a tensor of shape {list(value.shape)}"
    return f"a value of type {type(value).__name__}"
