"""What an exercise is, and how its verdict is shown.

An exercise is data: a right answer, cases to try answers on, and the usual mistakes as functions,
each with the sentence that helps whoever made it. A wrong answer gets the sentence of the mistake
that gives the same results, and one case with its result and the right one.
"""

import copy
import importlib
import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssae_kit.exercises.values import (
    TOO_LARGE,
    Mistake,
    agree,
    difference,
    kind,
    read,
    show,
    slips_alike,
)

MIME = "application/vnd.ssae-check+json"
NOTEBOOKS = {
    "00": "start",
    "01": "superposition",
    "02": "dictionaries",
    "03": "identifiability",
    "04": "shifts",
    "05": "llama_shifts",
    "06": "steering",
    "07": "real_llama",
}
"""Number of a notebook, and the module of this room that holds its exercises."""
HINTS = {
    r"mat1 and mat2|size mismatch|inconsistent tensor size|matmul": (
        "Samples are rows: rows x pass a layer with rows W by x @ W.T."
    ),
    r"'list' and '(list|float|int)'": "Vectors are lists here: compute entry by entry.",
    r"not implemented for '(Long|Bool|Int)'": "Whole numbers and flags: convert by .float().",
    r"in-place operation": "Compute a new tensor instead of changing the one you were given.",
}
"""Pattern in the message of an error, and what may have caused it."""


def call(answer: Callable[..., Any], *case: Any) -> Any:
    """Try an answer on a case the plain way: the result is what it returns."""
    return answer(*case)


@dataclass(frozen=True)
class Exercise:
    """One exercise of the course."""

    points: int
    """What a right answer earns, at least 1."""
    solution: Callable[..., Any]
    """A right answer; what carries on where the learner's is not."""
    cases: Sequence[tuple[Any, ...]]
    """Arguments to try an answer on; one of the cases is small enough to be shown."""
    mistakes: Mapping[str, Callable[..., Any]]
    """Sentence for the learner, and what someone writes who needs it."""
    otherwise: str
    """What to say where no usual mistake fits."""
    returns: str = "one number"
    """What an answer must return, in words."""
    use: Callable[..., Any] = call
    """Results of an answer on a case; raises `Mistake` where a property is missing."""

    def test(self, answer: Any) -> None:
        """Raise `Mistake`, or what the answer raised, unless it is right in every case."""
        if not callable(answer):
            raise Mistake(f"your answer must be a function; got {kind(answer)}.")
        wanted = [self._right(case) for case in self.cases]
        found = [self._result(answer, case, right) for case, right in self._zip(wanted)]
        wrong = [i for i in range(len(wanted)) if not agree(found[i], wanted[i])]
        if not wrong:
            return
        sentence = self._usual(found, wanted, wrong) or self._unusual(found, wanted, wrong)
        examples = [self._example(self.cases[i], found[i], wanted[i]) for i in wrong]
        shortest = min(examples, key=lambda text: (TOO_LARGE in text, len(text)))
        raise Mistake(f"{sentence} {shortest}")

    def _zip(self, wanted: Sequence[Any]) -> Sequence[tuple[tuple[Any, ...], Any]]:
        return list(zip(self.cases, wanted, strict=True))

    def _right(self, case: tuple[Any, ...]) -> Any:
        value = self.use(self.solution, *copy.deepcopy(case))
        return read(value, value)

    def _result(self, answer: Callable[..., Any], case: tuple[Any, ...], like: Any) -> Any:
        """Return what an answer gives on a copy of a case; what it raised is returned as well."""
        given = copy.deepcopy(case)
        try:
            value = self.use(answer, *given)
        except Mistake:
            raise
        except Exception as error:
            return error
        if value is ...:
            return NotImplementedError()
        for name, before, after in zip(self._names(), case, given, strict=True):
            if not callable(before) and not agree(read(after, after), read(before, before)):
                raise Mistake(
                    f"your function changed `{name}` in place. It may be needed elsewhere: work on "
                    "a copy."
                )
        return read(value, like, self.returns)

    def _names(self) -> list[str]:
        """Names of what a case consists of."""
        if self.use is call:
            return list(inspect.signature(self.solution).parameters)
        return list(inspect.signature(self.use).parameters)[1:]

    def _usual(self, found: list[Any], wanted: list[Any], wrong: list[int]) -> str:
        """Return the sentence of the mistake that most of the wrong results show, or nothing."""
        best, score = "", len(wrong) / 2  # at half a mistake may fit by accident
        for sentence, mistake in self.mistakes.items():
            usual: list[Any] = []
            for case, right in self._zip(wanted):
                try:
                    usual.append(self._result(mistake, case, right))
                except Mistake as error:
                    usual.append(error)
            alike: float = sum(slips_alike(found[i], wanted[i], usual[i]) for i in wrong)
            alike += 0.5 * all(map(agree, found, usual))
            if alike > score:
                best, score = sentence, alike
        return best

    def _unusual(self, found: list[Any], wanted: list[Any], wrong: list[int]) -> str:
        """Return what can be said of results that no usual mistake gives."""
        for i in wrong:
            if isinstance(found[i], Exception):
                found[i].add_note(f"For {self._given(self.cases[i])}.")
                raise found[i]
            if found[i] is None:
                raise Mistake("your function returned None. Is a `return` missing?")
        for i in reversed(wrong):  # in the large cases no two sizes are the same
            _require_shape(found[i], wanted[i], self.returns)
        return self.otherwise

    def _example(self, case: tuple[Any, ...], found: Any, wanted: Any) -> str:
        return f"For {self._given(case)}: {difference(found, wanted)}."

    def _given(self, case: tuple[Any, ...]) -> str:
        named = zip(self._names(), case, strict=True)
        return ", ".join(f"{name} = {show(value)}" for name, value in named)


def _require_shape(found: Any, wanted: Any, returns: str) -> None:
    """Raise `Mistake` unless a result has the right shape and is finite."""
    if isinstance(wanted, tuple):
        for one, right in zip(found, wanted, strict=True):
            _require_shape(one, right, returns)
    if not isinstance(wanted, np.ndarray) or found is None:
        return
    if found.shape != wanted.shape:
        size = f", of shape {list(wanted.shape)}" if wanted.ndim else ""
        turned = " It is transposed." * (found.shape == wanted.shape[::-1] and wanted.ndim > 1)
        raise Mistake(
            f"your function must return {returns}{size}; got numbers of shape "
            f"{list(found.shape)}.{turned}"
        )
    if not np.isfinite(found).all():
        raise Mistake("your result holds values that are not finite.")


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


def exercise(name: str) -> Exercise:
    """Return the exercise of a name such as ``"01.loss"``.

    Raises:
        ValueError: if there is none: a fault of the notebook, not of the learner.
    """
    known = exercises(name.partition(".")[0])
    if name not in known:
        raise ValueError(f"`name` must be one of {list(known)}; got {name!r}.")
    return known[name]


def judge(name: str, answer: Any) -> Verdict:
    """Check an answer. Whatever the answer does, this returns a verdict.

    Args:
        name: Notebook and exercise, such as ``"01.loss"``.
        answer: What the learner wrote: a function.

    Raises:
        ValueError: if there is no such exercise: a fault of the notebook, not of the learner.
    """
    one = exercise(name)
    passed, message = attempt(one, answer)
    return Verdict(name, one.points, passed, message)


def attempt(one: Exercise, answer: Any) -> tuple[bool | None, str]:
    """Test an answer: passed, failed or (None) not attempted, and what is wrong."""
    if answer is ...:
        return None, ""
    try:
        one.test(answer)
    except Mistake as mistake:
        return False, str(mistake)
    except Exception as error:
        # The stub raises it bare; torch gives a message, and `input` in a notebook a subclass.
        if type(error) is NotImplementedError and not error.args:
            return None, ""
        hints = [hint for pattern, hint in HINTS.items() if re.search(pattern, str(error))]
        notes = getattr(error, "__notes__", [])
        return False, " ".join([f"your code raised {show(error)}.", *hints, *notes])
    return True, ""


def check(name: str, answer: Any) -> Any:
    """Say in one line whether an answer is right and, if not, what is likely wrong.

    Args:
        name: Notebook and exercise, such as ``"01.loss"``.
        answer: What the learner wrote: a function.

    Returns:
        The answer if it is right, else the kit's own version, so that a notebook goes on.

    Raises:
        ValueError: if there is no such exercise.
        AssertionError: for a wrong answer where nbgrader runs the notebook: so it takes points.
    """
    one, verdict = exercise(name), judge(name, answer)
    if answer is one.solution:  # the cell of the check was run twice
        told = "the kit's version carries on in place of yours: run your own cell again."
        verdict = Verdict(name, one.points, False, told)
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    display({MIME: verdict.record(), "text/plain": str(verdict)}, raw=True)
    if not verdict.passed and "NBGRADER_EXECUTION" in os.environ:
        raise AssertionError(str(verdict))
    return answer if verdict.passed else one.solution


def passes(name: str, answer: Any) -> bool:
    """Whether an answer is right."""
    return bool(judge(name, answer).passed)
