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
from typing import Any, Literal, NamedTuple

import numpy as np

from ssae_kit.exercises.slips import HINTS, slip
from ssae_kit.exercises.values import (
    TOO_LARGE,
    Mistake,
    Raised,
    agree,
    difference,
    kind,
    misshapen,
    numbers,
    plain,
    raised,
    read,
    show,
    slips_alike,
)

MIME = "application/vnd.ssae-check+json"
NOTEBOOKS = {
    "00": "start",
    "01": "superposition",
    "02": "dictionaries",
    "02b": "latents",
    "03": "identifiability",
    "04": "shifts",
    "05": "llama_shifts",
    "06": "steering",
    "07": "real_llama",
    "08": "probes",
    "09": "alternatives",
    "10": "algorithms",
}
"""Number of a notebook, and the module of this room that holds its exercises."""
STUB = Raised("NotImplementedError", "")
"""What the stub raises: `input` in a notebook raises a subclass, and torch gives a message."""
NO_ENTRY = "return one of the values given: not its index, and not what it reached."


def call(answer: Callable[..., Any], *case: Any) -> Any:
    """Try an answer on a case the plain way: the result is what it returns."""
    return answer(*case)


def one_of(answer: Callable[..., Any], *case: Any) -> Any:
    """Try an answer that must return an entry of its first argument; `Mistake` if it does not."""
    value = answer(*case)
    found, entries = plain(value, "one of the values given"), numbers(case[0])
    if isinstance(found, np.ndarray) and found.size == 1 and not np.isclose(entries, found).any():
        raise Mistake(f"{NO_ENTRY} Of {show(case[0])} you return {show(found)}.")
    return value


class Verdict(NamedTuple):
    """What was found out about one answer."""

    passed: bool | None
    """None if the exercise has not been attempted."""
    message: str = ""
    """What is likely wrong; empty if nothing is."""


@dataclass(frozen=True)
class Exercise:
    """One exercise of the course."""

    points: int
    """What a right answer earns, at least 1."""
    solution: Callable[..., Any]
    """A right answer; what carries on where the learner's is not."""
    cases: Sequence[tuple[Any, ...]]
    """Arguments to try an answer on; one of the cases is small enough to be shown."""
    mistakes: Mapping[str, Callable[..., Any] | str]
    """Sentence for the learner, and what someone writes who needs it: a function, or a `slip`."""
    otherwise: str
    """What to say where no usual mistake fits."""
    returns: str = "one number"
    """What an answer must return, in words."""
    use: Callable[..., Any] = call
    """Results of an answer on a case; raises `Mistake` where a property is missing."""
    level: Literal["easy", "medium", "hard"] = "medium"
    """How hard it is for whoever has read so far: minutes differ more than points do."""

    def __post_init__(self) -> None:
        slips = {k: slip(self.solution, m) for k, m in self.mistakes.items() if isinstance(m, str)}
        object.__setattr__(self, "mistakes", {**self.mistakes, **slips})

    def test(self, answer: Any) -> Verdict:
        """Try an answer on every case and judge what it gives."""
        if answer is ...:
            return Verdict(None)
        try:
            return self.judge(self.results(answer))
        except Mistake as mistake:
            return Verdict(False, str(mistake))

    def results(self, answer: Any) -> list[Any]:
        """Return what an answer gives in each case, as numbers, or `Raised`.

        Nothing here knows what is right: an answer that is not trusted is run by this, and judged
        elsewhere.

        Raises:
            Mistake: if it is no function, or the kit's own, changes what it was given, or returns
                no numbers.
        """
        if not callable(answer):
            raise Mistake(f"your answer must be a function; got {kind(answer)}.")
        if answer is self.solution:  # the cell of the check was run twice
            raise Mistake("the kit's version carries on instead: run your own cell again.")
        return [self._result(answer, case) for case in self.cases]

    def _result(self, answer: Callable[..., Any], case: tuple[Any, ...]) -> Any:
        try:
            return self._tried(answer, case)
        except Mistake as mistake:
            raise Mistake(f"{mistake} For {self._given(case)}.") from mistake
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also of what it returns, when that is read
            return raised(error)

    def _tried(self, answer: Callable[..., Any], case: tuple[Any, ...]) -> Any:
        given = copy.deepcopy(case)
        value = self.use(answer, *given)
        for name, before, after in zip(self._names(), case, given, strict=True):
            if not callable(before) and not agree(plain(after), plain(before)):
                raise Mistake(
                    f"your function changed `{name}` in place. It may be needed elsewhere: work on "
                    "a copy."
                )
        return STUB if value is ... else plain(value, self.returns)

    def judge(self, results: Sequence[Any]) -> Verdict:
        """Say whether results are right, and what is wrong with them.

        Raises:
            Mistake: if they are not of the kind wanted.
        """
        if any(isinstance(one, Raised) and one == STUB for one in results):
            return Verdict(None)
        found, wanted = self._read(results)
        wrong = [i for i in range(len(wanted)) if not agree(found[i], wanted[i])]
        return Verdict(False, self._finding(found, wanted, wrong)) if wrong else Verdict(True)

    def share(self, results: Sequence[Any]) -> float:
        """Share of the things to be returned that are right in every case.

        Raises:
            Mistake: if they are not of the kind wanted.
        """
        right: list[list[bool]] = []
        for found, wanted in zip(*self._read(results), strict=True):
            parts = wanted if isinstance(wanted, tuple) else (wanted,)
            given = found if isinstance(found, tuple) else (found,) * len(parts)
            right.append(list(map(agree, given, parts)))
        return sum(map(all, zip(*right, strict=True))) / len(right[0])

    def _read(self, results: Sequence[Any]) -> tuple[list[Any], list[Any]]:
        """What an answer gave, in the form of what is right, and what is right."""
        right = [self.use(self.solution, *copy.deepcopy(case)) for case in self.cases]
        wanted = [read(value, value) for value in right]
        return [read(*both, self.returns) for both in zip(results, wanted, strict=True)], wanted

    def _names(self) -> list[str]:
        """Names of what a case consists of."""
        names = list(inspect.signature(self.use).parameters)[1:]
        return list(inspect.signature(self.solution).parameters) if names == ["case"] else names

    def _finding(self, found: list[Any], wanted: list[Any], wrong: list[int]) -> str:
        """Say what is wrong with results, with the case that shows it in the fewest words."""
        sentence = self._usual(found, wanted, wrong)
        for i in () if sentence else wrong:
            gave = found[i]
            if isinstance(gave, Raised):
                hints = [hint for pattern, hint in HINTS.items() if re.search(pattern, gave.text)]
                said = " ".join([f"your code raised {show(gave)}.", *hints])
                return f"{said} For {self._given(self.cases[i])}: right is {show(wanted[i])}."
            if gave is None:
                sentence = "your function returned None. Is a `return` missing?"
        for i in reversed(wrong):  # in large cases no two sizes are the same
            sentence = sentence or misshapen(found[i], wanted[i], self.returns)
        examples = [
            f"For {self._given(self.cases[i])}: {difference(found[i], wanted[i])}." for i in wrong
        ]
        shortest = min(examples, key=lambda text: (TOO_LARGE in text, len(text)))
        return f"{sentence or self.otherwise} {shortest}"

    def _usual(self, found: list[Any], wanted: list[Any], wrong: list[int]) -> str:
        """Return the sentence of the mistake that most of the wrong results show, or nothing."""
        best, score = "", len(wrong) / 2  # at half a mistake may fit by accident
        for sentence, mistake in self.mistakes.items():
            try:
                usual = [read(*b) for b in zip(self.results(mistake), wanted, strict=True)]
            except Mistake:  # an answer that makes it has been told so already
                continue
            alike: float = sum(slips_alike(found[i], wanted[i], usual[i]) for i in wrong)
            alike += 0.5 * all(map(agree, found, usual))
            if alike > score:
                best, score = sentence, alike
        return best

    def _given(self, case: tuple[Any, ...]) -> str:
        named = zip(self._names(), case, strict=True)
        return ", ".join(f"{name} = {show(value)}" for name, value in named)


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
    return exercise(name).test(answer)


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
    from IPython.display import display  # 0.1 s, which only a notebook should pay

    one = exercise(name)
    passed, message = one.test(answer)
    told = f"{name}: {message}"
    if passed or passed is None:
        points = f"{one.points} point{'s' if one.points > 1 else ''}"
        told = f"{name} ({points}): {'passed' if passed else 'not attempted yet'}."
    record = {"name": name, "passed": bool(passed), "points": one.points}
    display({MIME: record, "text/plain": told}, raw=True)
    if not passed and "NBGRADER_EXECUTION" in os.environ:
        raise AssertionError(told)
    return answer if passed else one.solution
