"""Checks of notebook 03: what is identifiable, and scores with their floors."""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ssae_kit.exercises.core import Exercise, Mistake, expect, number, shape
from ssae_kit.exercises.tensors import call, diagnose, same, seeded, tensor


def unexplained(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Share of variance that a reconstruction misses."""
    spread = torch.tensor([1.0, 5.0, 0.2])
    x = spread * torch.randn(40, 3, generator=seeded(1)) + torch.tensor([2.0, -1.0, 4.0])
    decoded = x + 0.5 * torch.randn(40, 3, generator=seeded(2))
    missed = (x - decoded).square()
    centred = (x - x.mean(0)).square()
    found = torch.tensor(number(call(answer, x, decoded)), dtype=torch.float32)
    usual: dict[str, Tensor | None] = {
        "this is the share explained; what is asked for is the rest.": 1
        - missed.sum() / centred.sum(),
        "the denominator is not a variance: take the mean of the data off first, or a constant "
        "shift makes any reconstruction look good.": missed.sum() / x.square().sum(),
        "you took one mean over all entries. Every dimension has a mean of its own.": missed.sum()
        / (x - x.mean()).square().sum(),
        "you averaged the shares of the dimensions. Sum over dimensions first: a dimension that "
        "hardly varies must hardly count.": (missed.sum(0) / centred.sum(0)).mean(),
        "this is the mean squared error. Divide it by what there was to explain.": missed.mean(),
        "this is the error per sample. Divide it by what there was to explain.": (
            missed.sum(1).mean()
        ),
    }
    diagnose(found, missed.sum() / centred.sum(), usual, "error over variance, both summed.")
    mean = number(answer(x, x.mean(0).expand(40, -1)))
    expect(abs(mean - 1) < 1e-4, f"decoding the mean must give 1, not {mean:.3f}.")


def rotate(answer: Callable[..., tuple[Tensor, Tensor]]) -> None:
    """Another solution with the same reconstruction."""
    codes = torch.randn(30, 3, generator=seeded(3))
    directions = torch.randn(5, 3, generator=seeded(4))
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=seeded(5))).Q
    found = call(answer, codes, directions, rotation)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise Mistake(f"return two things, codes and directions; got {shape(found)}.")
    new_codes = tensor(found[0], (30, 3), "[samples, latents]")
    new_directions = tensor(found[1], (5, 3), "[d_model, latents]")
    expect(
        not same(new_codes, codes) or not same(new_directions, directions),
        "this is the solution you were given. Rotate it.",
    )
    expect(not same(new_directions, directions), "you rotated the codes only.")
    expect(not same(new_codes, codes), "you rotated the directions only.")
    expect(
        not same(new_codes, codes @ rotation.T) or not same(new_directions, directions @ rotation),
        "codes and directions turn in opposite ways: one of the two needs the transpose. Rows of "
        "`codes` are codes, so Rᵀr for every row r is `codes @ R`.",
    )
    expect(
        same(new_codes @ new_directions.T, codes @ directions.T),
        "the reconstruction `codes @ directions.T` changed; the two rotations must cancel.",
    )
    expect(same(new_directions, directions @ rotation), "the directions must be W R.")


def mcc(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Mean absolute correlation of one-to-one matched latents and concepts."""
    concepts = torch.randn(60, 3, generator=seeded(6)) * torch.tensor([1.0, 4.0, 0.5])
    mixing = torch.tensor([[1.0, 0.9, 0.2], [0.8, 0.6, -0.7], [0.0, 0.3, 1.0]])
    codes = concepts @ mixing + torch.tensor([3.0, -2.0, 5.0])
    codes = codes[:, [2, 0, 1]] * torch.tensor([-1.0, 1.0, 2.0])
    correlation = _correlation(codes - codes.mean(0), concepts - concepts.mean(0))
    uncentred = _correlation(codes, concepts)
    value = torch.tensor(number(call(answer, codes, concepts)), dtype=torch.float32)
    usual: dict[str, Tensor | None] = {
        "each concept took its best latent, so one latent served two. Match one-to-one "
        "(scipy.optimize.linear_sum_assignment).": correlation.abs().amax(0).mean(),
        "each latent took its best concept, so one concept served two. Match one-to-one.": (
            correlation.abs().amax(1).mean()
        ),
        "the sign of a latent is arbitrary: match and average absolute correlations.": _matched(
            correlation
        ),
        "means are still in it: a correlation is a cosine of *centred* columns.": _matched(
            uncentred.abs()
        ),
        "latent i is compared with concept i, but their order is arbitrary: match them first.": (
            correlation.diagonal().abs().mean()
        ),
        "the matching minimises: `linear_sum_assignment` needs maximize=True.": -_matched(
            -correlation.abs()
        ),
    }
    diagnose(value, _matched(correlation.abs()), usual, "match one-to-one, average |correlation|.")


def _correlation(codes: Tensor, concepts: Tensor) -> Tensor:
    product: Tensor = (codes / codes.norm(dim=0)).T @ (concepts / concepts.norm(dim=0))
    return product


def _matched(scores: Tensor) -> Tensor:
    rows, columns = linear_sum_assignment(scores.numpy(), maximize=True)
    mean: Tensor = scores[rows, columns].mean()
    return mean


def floor(answer: Callable[[float, float], float]) -> None:
    """Score on a scale where the floor is 0 and a perfect score is 1."""
    for score, base in ((0.84, 0.79), (0.84, 0.6), (0.3, 0.4), (0.95, 0.2)):
        found = torch.tensor(number(answer(score, base)))
        usual: dict[str, Tensor | None] = {
            "this is the distance from the floor, but a perfect score must come out as 1.": (
                torch.tensor(score - base)
            ),
            "this is a ratio of scores: the floor itself must come out as 0, not as 1.": torch.tensor(
                score / base
            ),
            "you divided by the floor. Divide by the room that there is above it.": torch.tensor(
                (score - base) / base
            ),
            "a score below the floor must come out negative: it says that something is wrong.": (
                torch.tensor(max(0.0, (score - base) / (1 - base)))
            ),
            "turned round: the floor must give 0 and the score 1 must give 1.": torch.tensor(
                (1 - score) / (1 - base)
            ),
        }
        wanted = torch.tensor((score - base) / (1 - base))
        diagnose(found, wanted, usual, "a straight line through (floor, 0) and (1, 1).")


EXERCISES = {
    "unexplained": Exercise(2, unexplained),
    "rotate": Exercise(1, rotate),
    "floor": Exercise(1, floor),
    "mcc": Exercise(2, mcc),
}
