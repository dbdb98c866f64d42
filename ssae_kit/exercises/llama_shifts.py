"""Checks of notebook 05: shifts of a language model."""

from collections.abc import Callable

import torch
from torch import Tensor

from ssae_kit.exercises.core import Exercise, close, expect, number
from ssae_kit.exercises.tensors import call, diagnose, seeded, tensor


def fit(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Least-squares direction of each concept, from shifts and their changes."""
    truth = torch.randn(3, 5, generator=seeded(1))
    changes = torch.randint(-1, 2, (80, 3), generator=seeded(2)).float()
    changes[:40, 1] = changes[:40, 0]  # entangled: both often change together
    shifts = changes @ truth + 0.1 * torch.randn(80, 5, generator=seeded(3))
    wanted = torch.linalg.lstsq(changes, shifts).solution
    found = call(answer, shifts, changes)
    expect(
        not (isinstance(found, Tensor) and found.shape == (5, 3)),
        "transposed: give one row per concept, [concepts, d_model].",
    )
    found = tensor(found, (3, 5), "[concepts, d_model]")
    backwards = torch.linalg.lstsq(shifts, changes).solution.T
    alone = changes.abs().sum(1) == 1
    means = (changes.T @ shifts) / changes.abs().sum(0)[:, None]
    usual: dict[str, Tensor | None] = {
        "this is the difference of means. Where two concepts often change together each mean "
        "contains the other; fit all concepts at once.": means,
        "this is Cᵀx: undo the overlap of the columns as well, by (CᵀC)⁻¹.": changes.T @ shifts,
        "you scaled the directions to length 1. Their lengths are part of the fit.": (
            wanted / wanted.norm(dim=1, keepdim=True)
        ),
        "you fitted each concept alone. Where two change together each takes the other's share.": (
            (changes.T @ shifts) / changes.square().sum(0)[:, None]
        ),
        "this predicts changes from shifts: turn the two arguments round.": backwards,
        "you averaged over pairs in which one concept changes. The others tell as much: use all.": (
            (changes[alone].T @ shifts[alone]) / changes[alone].abs().sum(0)[:, None]
        ),
    }
    diagnose(found, wanted, usual, "fit all concepts at once, by least squares.")


def explained(answer: Callable[[Tensor, Tensor, Tensor], float]) -> None:
    """Share of held-out shifts that a sum of directions explains."""
    directions = torch.randn(3, 5, generator=seeded(3))
    changes = torch.randint(-1, 2, (40, 3), generator=seeded(4)).float()
    shifts = changes @ directions + torch.randn(40, 5, generator=seeded(5)) + 0.5
    missed = (shifts - changes @ directions).square()
    refit = torch.linalg.lstsq(changes, shifts).solution
    found = torch.tensor(number(call(answer, shifts, changes, directions)), dtype=torch.float32)
    usual: dict[str, Tensor | None] = {
        "this is the share missed; what is asked for is the rest.": missed.sum()
        / shifts.square().sum(),
        "you fitted directions to the very shifts that grade them. Use the ones given.": 1
        - (shifts - changes @ refit).square().sum() / shifts.square().sum(),
        "this is the length of the prediction, not its success: it would be as high with wrong "
        "signs.": (changes @ directions).square().sum() / shifts.square().sum(),
        "you averaged shares over pairs: a tiny shift would count as much as a large one. Sum first.": 1
        - (missed.sum(1) / shifts.square().sum(1)).mean(),
        "this is the cosine of prediction and shifts. A cosine does not see a wrong length.": (
            torch.cosine_similarity(shifts, changes @ directions).mean()
        ),
    }
    wanted = 1 - missed.sum() / shifts.square().sum()
    diagnose(found, wanted, usual, "1 - |shifts - changes @ directions|² / |shifts|², both summed.")


def code_shift(answer: Callable[..., Tensor]) -> None:
    """Difference of the codes of two states, under an encoder that is not affine."""
    weight = torch.randn(6, 4, generator=seeded(6))
    source, target = torch.randn(2, 10, 4, generator=seeded(7))

    def encode(states: Tensor) -> Tensor:
        return (states @ weight.T - 0.5).relu()

    found = tensor(answer(encode, source.clone(), target.clone()), (10, 6), "[pairs, latents]")
    before, after = encode(source), encode(target)
    usual: dict[str, Tensor | None] = {
        "this is the code of the difference. The encoder was trained on states, and with its ReLU "
        "the two are not the same: encode each state first.": encode(target - source),
        "turned round: target minus source.": before - after,
        "you dropped the signs: a latent that goes off is not one that comes on.": (
            (after - before).abs()
        ),
        "only the target's code is in it; take off the source's.": after,
    }
    diagnose(found, after - before, usual, "code of the target minus code of the source.")


def swaps(answer: Callable[[int], int]) -> None:
    """Dimensions spanned by the changes of one concept with n values, one-hot."""
    for n in (4, 10, 2):
        found = number(answer(n))
        expect(
            not close(found, n),
            f"the {n} columns of every change add up to zero, so they are not independent.",
        )
        expect(
            n == 2 or not close(found, n * (n - 1) / 2),
            f"there are {n * (n - 1) // 2} swaps, but they depend on each other: red to blue and "
            "blue to green give red to green.",
        )
        expect(
            n == 2 or not close(found, n * (n - 1)),
            "this counts the changes, and both ways. What is asked is how many are independent.",
        )
        expect(close(found, n - 1), f"for {n} values you say {found:g}; try n = 2 by hand.")


def cosine(answer: Callable[[Tensor, Tensor, Tensor], float]) -> None:
    """Steering cosine as published: mean cosine of z/|Z| + v/|V| with the goal."""
    z, goal, push = torch.randn(3, 12, 5, generator=seeded(8))
    goal = goal + z
    unit = torch.nn.functional.normalize
    measure = torch.cosine_similarity
    found = torch.tensor(number(call(answer, z, goal, push)), dtype=torch.float32)
    usual: dict[str, Tensor | None] = {
        "state and push must be scaled to the same size before they are added.": (
            measure(z + push, goal).mean()
        ),
        "scale by the norm of the whole batch (Frobenius), not row by row: long pushes stay long.": (
            measure(unit(z) + unit(push), goal).mean()
        ),
        "the push must be added to the state, not compared with the goal by itself.": (
            measure(push, goal).mean()
        ),
        "compare with the goal itself, not with the shift.": (
            measure(z / z.norm() + push / push.norm(), goal - z).mean()
        ),
        "take one cosine for each pair and then their mean.": (
            measure((z / z.norm() + push / push.norm()).flatten(), goal.flatten(), dim=0)
        ),
        "the push is missing: this is the score of doing nothing.": measure(z, goal).mean(),
    }
    wanted = measure(z / z.norm() + push / push.norm(), goal).mean()
    diagnose(found, wanted, usual, "mean over pairs of cos(z/|Z| + v/|V|, goal).")


EXERCISES = {
    "fit": Exercise(2, fit),
    "explained": Exercise(2, explained),
    "code_shift": Exercise(1, code_shift),
    "swaps": Exercise(1, swaps),
    "cosine": Exercise(2, cosine),
}
