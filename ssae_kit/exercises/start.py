"""Checks of notebook 00. They need no torch: vectors are lists of numbers here."""

import math
from collections.abc import Callable, Sequence

from ssae_kit.exercises.core import Exercise, Mistake, close, expect, number, shape

Vector = list[float]
CASES = (
    ([1.0, 2.0, -3.0], [0.5, -1.0, 4.0]),
    ([2.0, 0.0], [-1.0, -3.0]),
    ([0.3, 0.4, 0.5, 0.6], [4.0, 3.0, 2.0, -1.0]),
)
"""Pairs of vectors with no accident in them: nothing is symmetric, of length 1 or orthogonal."""


def shift(answer: Callable[[Vector, Vector], Sequence[float]]) -> None:
    """Target minus source, entry by entry."""
    for source, target in CASES:
        found = _vector(answer(list(source), list(target)), len(source))
        pairs = list(zip(source, target, strict=True))
        expect(
            not _equal(found, [s - t for s, t in pairs]),
            "the sign is turned round: a shift is the target minus the source.",
        )
        expect(
            not _equal(found, [abs(t - s) for s, t in pairs]),
            "you dropped the signs. A shift has a direction: up and down are not the same.",
        )
        expect(
            not _equal(found, [t + s for s, t in pairs]),
            "you added the two. What changed is their difference.",
        )
        expect(_equal(found, [t - s for s, t in pairs]), "entry i must be target[i] - source[i].")


def cosine(answer: Callable[[Vector, Vector], float]) -> None:
    """Dot product over both lengths."""
    for first, second in CASES:
        dot = sum(a * b for a, b in zip(first, second, strict=True))
        lengths = math.hypot(*first), math.hypot(*second)
        wanted = dot / (lengths[0] * lengths[1])
        found = number(answer(list(first), list(second)))
        expect(
            not close(found, dot),
            "this is the dot product. Divide it by the lengths of both vectors.",
        )
        expect(
            not any(close(found, dot / length) for length in lengths),
            "you divided by the length of one vector only.",
        )
        expect(
            not close(found, dot / (lengths[0] * lengths[1]) ** 2),
            "you divided by squared lengths. The length is the square root of the sum of squares.",
        )
        expect(
            not close(found, abs(wanted)) or close(found, wanted),
            "you dropped the sign: opposite vectors have the cosine -1.",
        )
        expect(close(found, wanted), "it must be the dot product over the product of both lengths.")


def _vector(value: object, size: int) -> Vector:
    expect(value is not None, "your function returned None. Is a `return` missing?")
    if not isinstance(value, Sequence) or len(value) != size:
        raise Mistake(f"your function must return a list of {size} numbers; got {shape(value)}.")
    return [number(entry, "each entry") for entry in value]


def _equal(first: Vector, second: Vector) -> bool:
    return all(close(a, b) for a, b in zip(first, second, strict=True))


EXERCISES = {"shift": Exercise(1, shift), "cosine": Exercise(1, cosine)}
