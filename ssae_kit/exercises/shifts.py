"""Checks of notebook 04: the Sparse Shift Autoencoder and its conditions."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ssae_kit.exercises.core import Exercise, Mistake, close, expect, number, shape
from ssae_kit.exercises.tensors import call, diagnose, seeded


def terms(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Error and sparsity of a batch of shifts under an affine autoencoder."""
    x = torch.randn(9, 4, generator=seeded(1))
    encoder, decoder = (torch.randn(*s, generator=seeded(2)) for s in ((3, 4), (4, 3)))
    given = (encoder, torch.randn(3, generator=seeded(3)), decoder, torch.arange(4.0))
    code = x @ encoder.T + given[1]
    missed = (code @ decoder.T + given[3] - x).square()
    relu = code.relu()
    both = call(answer, x, *given)
    if not isinstance(both, tuple | list) or len(both) != 2:
        raise Mistake(f"return two numbers, error and sparsity; got {shape(both)}.")
    error, sparsity = (torch.tensor(number(v), dtype=torch.float32) for v in both)
    usual: dict[str, Tensor | None] = {
        "the code passed a ReLU. Shifts go both ways, so the SSAE's code is affine.": relu.mean(),
        "positive and negative entries cancel: take absolute values.": code.mean(),
        "you summed over latents; the level bounds the *mean* of |r|.": code.abs().sum(1).mean(),
        "these are squares. The constraint is on |r|: squares would not make codes sparse.": (
            code.square().mean()
        ),
        "b_e is missing in the code.": (x @ encoder.T).abs().mean(),
    }
    diagnose(sparsity, code.abs().mean(), usual, "the sparsity must be the mean of |r|.")
    usual = {
        "you averaged over dimensions; sum over them, and average over pairs.": missed.mean(),
        "you summed over the pairs; take their mean.": missed.sum(),
        "b_d is missing in the reconstruction.": (code @ decoder.T - x).square().sum(1).mean(),
    }
    diagnose(error, missed.sum(1).mean(), usual, "the error must be the mean of |x' - x|².")


def dual(answer: Callable[[float, float, float, float], float]) -> None:
    """One step of the multiplier."""
    cases = ((0.5, 0.3, 0.2, 0.1), (0.5, 0.1, 0.2, 0.1), (0.01, 0.1, 0.9, 0.1))
    for multiplier, sparsity, level, rate in cases:
        step = rate * (sparsity - level)
        found = number(answer(multiplier, sparsity, level, rate))
        if close(found, max(0.0, multiplier + step)):
            continue
        expect(
            not close(found, multiplier + step),
            "it became negative: that would *reward* large codes. Stop it at zero.",
        )
        expect(
            not close(found, max(0.0, multiplier - step)),
            "turned round: while the code is *above* its level, the multiplier must grow.",
        )
        expect(
            not close(found, max(0.0, step)) and not close(found, step),
            "the multiplier starts afresh. It must remember: add the step to its last value.",
        )
        expect(
            step > 0 or not close(found, multiplier),
            "below its level the multiplier must fall: only then does it settle at the right size.",
        )
        raise Mistake("add rate times (sparsity - level) to the multiplier, then stop at zero.")


DESIGNS = {
    "every concept shifts alone somewhere": ("100 010 001", []),
    "two concepts always shift together": ("1100 0010 1110 0001 0011", [0, 1]),
    "concept 0 shifts only when 1 does": ("110 010 001 011", [0]),
    "no concept shifts alone, but none always brings another": ("110 011 101", []),
    "all always shift": ("111 111", [0, 1, 2]),
}
"""Supports, one text of zeros and ones for each pair, and the concepts that break the condition."""


def diversity(answer: Callable[[Tensor], Iterable[int]]) -> None:
    """Concepts that never shift without some other one."""
    for name, (rows, wanted) in DESIGNS.items():
        supports = torch.tensor([[digit == "1" for digit in row] for row in rows.split()])
        value = call(answer, supports)
        expect(value is not None, "your function returned None. Is a `return` missing?")
        found = sorted({int(k) for k in value})
        where = f"in a design where {name}"
        if found == wanted:
            continue
        if name.startswith("no concept"):
            raise Mistake(
                f"you ask that every concept shift alone. That is more than needed: {where}, the "
                "condition holds."
            )
        if len(found) == supports.shape[1] and not wanted:
            raise Mistake("every concept shifts with itself: leave out j = k.")
        if wanted == [0] and found == [0, 1]:
            raise Mistake(f"{where}, 1 also shifts without 0: only 0 breaks the condition.")
        if wanted == [0]:
            raise Mistake(
                f"{where}, you name {found}: look for a concept that never shifts *without* the "
                "other, even if the other shifts without it."
            )
        raise Mistake(f"{where} the concepts {wanted} break the condition; you name {found}.")


LEVELS = torch.tensor([0.1, 0.15, 0.2, 0.3, 0.4])
ELBOWS = (
    ([0.6, 0.3, 0.06, 0.04, 0.03], 0.05),
    ([0.7, 0.25, 0.23, 0.22, 0.21], 0.05),
    ([0.9, 0.5, 0.3, 0.25, 0.21], 0.2),
    ([0.7, 0.15, 0.06, 0.02, 0.12], 0.05),
)
"""Error at each of the levels, and the tolerance; in the last the slackest is not the lowest."""


def elbow(answer: Callable[[Tensor, Tensor, float], float]) -> None:
    """Smallest level whose error is the lowest, up to a tolerance."""
    for errors, tolerance in ELBOWS:
        error = torch.tensor(errors)
        _elbow(number(call(answer, LEVELS, error, tolerance)), error, tolerance)
    turn = torch.tensor([4, 0, 3, 1, 2])
    found = number(answer(LEVELS[turn], torch.tensor(ELBOWS[1][0])[turn], 0.05))
    expect(close(found, 0.15), "levels may come in any order: take the smallest that qualifies.")


def _elbow(found: float, error: Tensor, tolerance: float) -> None:
    """Raise `Mistake` unless this is the level to choose."""

    def smallest(limit: Tensor) -> float:
        return float(LEVELS[error <= limit].min())

    right = smallest(error.min() + tolerance)
    steepest = float(LEVELS[(error[:-1] - error[1:]).argmax() + 1])
    if close(found, right):
        return
    usual = (
        (
            float(LEVELS[error.argmin()]),
            "this is the level of the lowest error. A slack level always wins that, and identifies "
            "nothing: take the smallest level that is nearly as good.",
        ),
        (0.1, "too tight: this level loses most of the shifts."),
        (
            smallest(error.min() + 0.05),
            f"the tolerance is {tolerance} here: use the `tolerance` that is given.",
        ),
        (
            smallest(error[-1] + tolerance),
            "you compare with the error at the slackest level. It need not be the lowest.",
        ),
        (
            steepest,
            "the steepest fall is not yet the end of it: the error still falls after that level.",
        ),
    )
    for level, message in usual:
        expect(not close(found, level), message)
    expect(
        any(close(found, float(level)) for level in LEVELS),
        f"return one of the levels tried; {found:.3g} is none of them. Is it an index?",
    )
    raise Mistake(
        "compare errors with the *lowest error* plus the tolerance: what is left at the "
        "slackest level is noise that no level removes."
    )


def turned(answer: Callable[[float, float], float]) -> None:
    """Mean L1 norm of two concepts of one size in a basis turned by an angle."""
    root = math.sqrt(2)
    for p in (0.1, 0.3, 0.6):
        start = number(answer(0.0, p))
        expect(
            not close(start, 2 - p), "p is the share in which *both* shift; you swapped the cases."
        )
        expect(
            not close(start, 1.0),
            "in the true basis a joint pair costs 2, not 1: both of its latents are active.",
        )
        expect(close(start, 1 + p), f"in the true basis it must be 1 + p; you give {start:.3f}.")
        half = number(answer(math.pi / 4, p))
        expect(
            not close(half, 1 + p),
            "it does not change with the angle. Turn the pairs first, then take absolute values.",
        )
        expect(
            not close(half, (1 - p) * root + 2 * p)
            and not close(half, (1 - p) * root + 2 * root * p),
            "joint pairs: |cos a + sin a| + |cos a - sin a| is twice the larger of the two.",
        )
        expect(close(half, root), f"turned by 45° it must be √2 for any p; you give {half:.3f}.")
        quarter = number(answer(math.pi / 2, p))
        expect(
            close(quarter, 1 + p), "turned by 90° the two latents have swapped: nothing changed."
        )
        for angle in (0.2, 0.7, 1.3):
            c, s = math.cos(angle), math.sin(angle)
            wanted = (1 - p) * (c + s) + 2 * p * max(c, s)
            expect(close(number(answer(angle, p)), wanted), f"it is wrong at an angle of {angle}.")


EXERCISES = {
    "terms": Exercise(2, terms),
    "dual": Exercise(2, dual),
    "diversity": Exercise(2, diversity),
    "turned": Exercise(2, turned),
    "elbow": Exercise(2, elbow),
}
