"""Exercises of notebook 05: shifts of a language model."""

from collections.abc import Callable
from math import ceil, log2

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import alone, mean_shifts, normal, unit

measure = torch.cosine_similarity


def concept_directions(shifts: Tensor, changes: Tensor) -> Tensor:
    """Least-squares direction of each concept, from shifts and their changes."""
    solution: Tensor = torch.linalg.lstsq(changes, shifts).solution
    return solution


def share_explained(shifts: Tensor, changes: Tensor, directions: Tensor) -> Tensor:
    """Share of held-out shifts that a sum of directions explains."""
    return 1 - (shifts - changes @ directions).square().sum() / shifts.square().sum()


def code_of_shift(encode: Callable[[Tensor], Tensor], source: Tensor, target: Tensor) -> Tensor:
    """Difference of the codes of two states."""
    return encode(target) - encode(source)


def encode(states: Tensor) -> Tensor:
    """Code of states under an encoder that is not affine."""
    return (torch.as_tensor(states).float() @ normal(6, 3, 4).T - 0.5).relu()


def dimensions_of_swaps(n_values: int) -> int:
    """Dimensions spanned by the changes of one concept with n values, one-hot."""
    return n_values - 1


def steering_cosine(z: Tensor, goal: Tensor, push: Tensor) -> Tensor:
    """Steering cosine as the authors' first code has it: mean cosine of z/|Z| + v/|V| with the goal."""
    return measure(z / z.norm() + push / push.norm(), goal).mean()


def truth_direction(states: Tensor, is_true: Tensor, about: Tensor, asked: int) -> Tensor:
    """Mean state of true minus of false statements, about all relations but the one asked."""
    false, true = (states[(about != asked) & (is_true == value)].mean(0) for value in (0, 1))
    return true - false


def entangled() -> Tensor:
    """Changes of three concepts of which two often change together."""
    changes = torch.randint(-1, 2, (80, 3), generator=torch.Generator().manual_seed(2)).float()
    changes[:40, 1] = changes[:40, 0]
    return changes


def batch(seed: int, n_pairs: int, d_model: int) -> tuple[Tensor, Tensor, Tensor]:
    """States, goals near them, and pushes."""
    z, goal, push = normal(seed, 3, n_pairs, d_model)
    return z, goal + z, push


TRUTH, CHANGES = normal(1, 3, 5), entangled()
SHIFTS = CHANGES @ TRUTH + 0.1 * normal(3, 80, 5)
HELD_OUT = CHANGES @ TRUTH + normal(5, 80, 5) + 0.5
FEW = tensor([[1.0, 0.0], [1.0, 1.0], [0.0, -1.0], [1.0, 1.0]])
FEW_SHIFTS = tensor([[2.0], [5.0], [-1.0], [3.0]])
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "fit": Exercise(2, concept_directions, [(FEW_SHIFTS, FEW), (SHIFTS, CHANGES)], {
        "transposed: give one row per concept, [concepts, d_model].": ".solution -> .solution.T",
        "this is the difference of means. Where two concepts often change together each mean "
        "contains the other; fit all concepts at once.": mean_shifts,
        "this is Cᵀx: undo the overlap of the columns as well, by (CᵀC)⁻¹.": lambda x, c: c.T @ x,
        "you scaled the directions to length 1. Their lengths are part of the fit.":
            lambda x, c: unit(concept_directions(x, c), 1),
        "this predicts changes from shifts: turn the two arguments round.":
            lambda x, c: concept_directions(c, x).T,
        "you took off means or fitted a constant. No change must predict no shift: fit C alone.":
            lambda x, c: concept_directions(x - x.mean(0), c - c.mean(0)),
        "you averaged over pairs in which one concept changes. The others tell as much: use all.":
            alone,
    }, "fit all concepts at once, by least squares.", "directions [concepts, d_model]"),
    "explained": Exercise(2, share_explained, [
        (FEW_SHIFTS, FEW, tensor([[2.0], [1.0]])),
        (HELD_OUT, CHANGES, TRUTH),
        (HELD_OUT, CHANGES, -TRUTH),  # worse than nothing
    ], {
        "this is the share missed; what is asked for is the rest.": "1 - ->",
        "you fitted directions to the very shifts that grade them. Use the ones given.":
            lambda x, c, d: share_explained(x, c, concept_directions(x, c)),
        "this is the length of the prediction, not its success: it would be as high with wrong "
        "signs.": lambda x, c, d: (c @ d).square().sum() / x.square().sum(),
        "you averaged shares over pairs: a tiny shift would count as much as a large one. Sum "
        "first.": lambda x, c, d: 1 - ((x - c @ d).square().sum(1) / x.square().sum(1)).mean(),
        "these are lengths. Take their squares, |error|² / |shifts|².": "square().sum() -> norm()",
        "this is the cosine of prediction and shifts. A cosine does not see a wrong length.":
            lambda x, c, d: measure(x, c @ d).mean(),
        "a prediction that is worse than none must come out negative: do not stop at zero.":
            lambda x, c, d: share_explained(x, c, d).clamp(min=0),
        "you took the mean of the shifts off. No change must predict no shift: keep it.":
            lambda x, c, d: 1 - (x - c @ d).square().sum() / (x - x.mean(0)).square().sum(),
    }, "1 - |shifts - changes @ directions|² / |shifts|², both summed."),
    "code_shift": Exercise(1, code_of_shift, [
        (encode, tensor([[1.0, 0.0, 0.0, 0.0]]), tensor([[0.0, 0.0, 2.0, 0.0]])),
        (encode, normal(7, 10, 4), normal(8, 10, 4)),
    ], {
        "this is the code of the difference. The encoder was trained on states, and with its ReLU "
        "the two are not the same: encode each state first.": lambda encode, s, t: encode(t - s),
        "turned round: target minus source.": lambda encode, s, t: encode(s) - encode(t),
        "you dropped the signs: a latent that goes off is not one that comes on.": "-> right.abs()",
        "only the target's code is in it; take off the source's.": lambda encode, s, t: encode(t),
    }, "code of the target minus code of the source.", "[pairs, latents]", level="easy"),
    "swaps": Exercise(1, dimensions_of_swaps, [(4,), (10,), (2,)], {
        "the n columns of every change add up to zero, so they are not independent.": lambda n: n,
        "these are the swaps, but they depend on each other: red to blue and blue to green give "
        "red to green.": lambda n: n * (n - 1) / 2,
        "this counts the changes, and both ways. What is asked is how many are independent.":
            lambda n: n * (n - 1),
        "that many bits *name* n values. Here each value has a column of its own.":
            lambda n: ceil(log2(n)),
        "one too few: all columns together give one equation, and an equation takes one dimension "
        "off. Two values differ in one direction, not in none.": lambda n: n - 2,
        "more than there are columns: n columns span n dimensions at most.": lambda n: n + 1,
        "a change moves two columns, but not always the same two: red to blue and red to green share "
        "red.": lambda n: n // 2,
    } | {
        f"{n - 1} is right for {n} values, and you return it for any number of them.":
            lambda _, n=n: n - 1
        for n in (2, 3, 4, 10)
    }, "try n = 2 by hand, then n = 3."),
    "cosine": Exercise(2, steering_cosine, [batch(9, 2, 2), batch(8, 12, 5)], {
        "state and push must be scaled to the same size before they are added.":
            lambda z, g, v: measure(z + v, g).mean(),
        "scale by the norm of the whole batch (Frobenius), not row by row: long pushes stay long.":
            lambda z, g, v: measure(unit(z, 1) + unit(v, 1), g).mean(),
        "the push must be added to the state, not compared with the goal by itself.":
            lambda z, g, v: measure(v, g).mean(),
        "compare with the goal itself, not with the shift.": "goal) -> goal - z)",
        "take one cosine for each pair and then their mean.":
            lambda z, g, v: measure((z / z.norm() + v / v.norm()).flatten(), g.flatten(), dim=0),
        "the push is missing: this is the score of doing nothing.": "+ push / push.norm() ->",
        "the push is taken off, not added.": lambda z, g, v: steering_cosine(z, g, -v),
        "only the push is scaled. Scale the state as well, or a long state drowns it.":
            lambda z, g, v: measure(z + v / v.norm(), g).mean(),
        "only the state is scaled. Scale the push as well.": "push / push.norm() -> push",
        "the norm of a batch is one number: you took one for each dimension.":
            lambda z, g, v: measure(unit(z) + unit(v), g).mean(),
        "a pair is a row: take cosines along rows, `dim=1`.": "goal) -> goal, dim=0)",
        "this is a dot product. Divide by both lengths: a cosine does not see them.":
            lambda z, g, v: ((z / z.norm() + v / v.norm()) * g).sum(1).mean(),
        "you summed over pairs; take their mean.": ".mean() -> .sum()",
        "a push that leads away must lower the score: no absolute values.": ".mean -> .abs().mean",
        "this compares the push with the shift. Asked is where the pushed *state* ends, against the goal.":
            lambda z, g, v: measure(v, g - z).mean(),
    }, "mean over pairs of cos(z/|Z| + v/|V|, goal).", level="hard"),
    "truth": Exercise(2, truth_direction, [(FEW_SHIFTS, tensor([0, 1, 0, 1]), tensor([0, 0, 1, 1]), 1),
        (SHIFTS, (normal(10, 80) > 0).long(), torch.arange(80) % 3, 2)], {
        "leave the relation asked out: it tells its answers by heart.": lambda x, y, r, k: truth_direction(x, y, r, -1),
        "half of the relation asked is in it: it flatters.": lambda x, y, r, k: truth_direction(x[::2], y[::2], r[::2], -1),
        "turned round: fit on the *other* relations.": lambda x, y, r, k: truth_direction(x, y, r != k, 1),
        "this points to *false*: true minus false.": lambda x, y, r, k: -truth_direction(x, y, r, k),
        "take the mean of the false off: what all share is no truth.": lambda x, y, r, k: x[(r != k) & (y == 1)].mean(0),
    }, "mean of true minus mean of false, where about != asked.", "one direction, [d_model]"),
}
