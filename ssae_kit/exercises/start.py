"""Exercises of notebook 00. They need no torch: vectors are lists of numbers here."""

import math

from ssae_kit.exercises.core import Exercise

Vector = list[float]


def shift(source: Vector, target: Vector) -> Vector:
    """Target minus source, entry by entry."""
    return [after - before for before, after in zip(source, target, strict=True)]


def dot(first: Vector, second: Vector) -> float:
    """Sum of products."""
    return sum(a * b for a, b in zip(first, second, strict=True))


def cosine(first: Vector, second: Vector) -> float:
    """Dot product over both lengths."""
    return dot(first, second) / (math.hypot(*first) * math.hypot(*second))


# No accident in them: nothing is symmetric, of length 1 or orthogonal.
CASES = [
    ([1.0, 2.0, -3.0], [0.5, -1.0, 4.0]),
    ([2.0, 0.0], [-1.0, -3.0]),
    ([0.3, 0.4, 0.5, 0.6], [4.0, 3.0, 2.0, -1.0]),
]
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "shift": Exercise(1, shift, CASES, {
        "the sign is turned round: a shift is the target minus the source.":
            lambda s, t: shift(t, s),
        "you dropped the signs. A shift has a direction: up and down are not the same.":
            lambda s, t: [abs(x) for x in shift(s, t)],
        "you added the two. What changed is their difference.": "after - before -> after + before",
        "this is the target alone: take the source off.": lambda s, t: t,
        "one entry for each entry of the vectors, not one number: return a list.": "-> sum(right)",
    }, "entry i must be target[i] - source[i].", "a list of numbers", level="easy"),
    "cosine": Exercise(1, cosine, CASES, {
        "this is the dot product. Divide it by the lengths of both vectors.": dot,
        "you divided by the length of one vector only, the first.": "* math.hypot(*second) ->",
        "you divided by the length of one vector only, the second.": "math.hypot(*first) * ->",
        "you divided by squared lengths. The length is the square root of the sum of squares.":
            lambda a, b: dot(a, b) / (dot(a, a) * dot(b, b)),
        "you dropped the sign: opposite vectors have the cosine -1.": "-> abs(right)",
        "you added the lengths. Divide by their product.": ") * math -> ) + math",
        "divide by the lengths, not by the number of entries.": lambda a, b: dot(a, b) / len(a),
        "you divided by the first length and then multiplied by the second: put the product of both "
        "in brackets.": lambda a, b: dot(a, b) / math.hypot(*a) * math.hypot(*b),
        "these are sums of absolute values. The length is the root of the sum of squares.":
            lambda a, b: dot(a, b) / (sum(map(abs, a)) * sum(map(abs, b))),
        "this is a distance, 1 minus the cosine.": lambda a, b: 1 - cosine(a, b),
        "this is the angle; its cosine is asked for.": lambda a, b: math.acos(cosine(a, b)),
    }, "it must be the dot product over the product of both lengths.", level="easy"),
}
