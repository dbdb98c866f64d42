"""Exercises of notebook 03: what is identifiable, and scores with their floors."""

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import centred, correlations, matched, normal, unit


def unexplained(x: Tensor, decoded: Tensor) -> Tensor:
    """Share of variance that a reconstruction misses."""
    return (x - decoded).square().sum() / centred(x).square().sum()


def rotated(codes: Tensor, directions: Tensor, rotation: Tensor) -> tuple[Tensor, Tensor]:
    """Another solution with the same reconstruction."""
    return codes @ rotation, rotation.T @ directions


def halves(codes: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Two latents for each: one for its positive codes, one for its negative ones."""
    return torch.cat([codes.relu(), (-codes).relu()], 1), torch.cat([directions, -directions])


def mcc(codes: Tensor, concepts: Tensor) -> Tensor:
    """Mean absolute correlation of one-to-one matched latents and concepts."""
    scores = correlations(codes, concepts).abs()
    return matched(scores)


def above_floor(score: float, floor: float) -> float:
    """Score on a scale where the floor is 0 and a perfect score is 1."""
    return (score - floor) / (1 - floor)


DATA = tensor([1.0, 5.0, 0.2]) * normal(1, 40, 3) + tensor([2.0, -1.0, 4.0])
CONCEPTS = normal(6, 60, 3) * tensor([1.0, 4.0, 0.5])
MIXING = tensor([[1.0, 0.9, 0.2], [0.8, 0.6, -0.7], [0.0, 0.3, 1.0]])
CODES = CONCEPTS @ MIXING + tensor([3.0, -2.0, 5.0])
CODES = CODES[:, [2, 0, 1]] * tensor([-1.0, 1.0, 2.0])
ROTATION = torch.linalg.qr(normal(5, 3, 3)).Q
QUARTER = tensor([[0.0, -1.0], [1.0, 0.0]])
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "unexplained": Exercise(2, unexplained, [
        (tensor([[1.0, 0], [3, 4], [2, 5]]), tensor([[1.0, 1], [2, 4], [2, 7]])),
        (DATA, DATA + 0.5 * normal(2, 40, 3) + 0.3),
        (DATA, DATA.mean(0).repeat(40, 1)),  # decoding the mean must give 1
    ], {
        "this is the share explained; what is asked for is the rest.": "-> 1 - right",
        "the denominator is not a variance: take the mean of the data off first, or a constant "
        "shift makes any reconstruction look good.": "centred(x) -> x",
        "you took one mean over all entries. Every dimension has a mean of its own.":
            "centred(x) -> (x - x.mean())",
        "you averaged the shares of the dimensions. Sum over dimensions first: a dimension that "
        "hardly varies must hardly count.":
            lambda x, y: ((x - y).square().sum(0) / centred(x).square().sum(0)).mean(),
        "you averaged the shares of the samples. Sum over samples first.":
            lambda x, y: ((x - y).square().sum(1) / centred(x).square().sum(1)).mean(),
        "the mean that was taken off is the reconstruction's. Take off the data's own.":
            "centred(x) -> (x - decoded.mean(0))",
        "you divided by the variance of the reconstruction. Divide by that of the data.":
            "centred(x) -> centred(decoded)",
        "squares are missing: a variance is a mean of squares, and so must the error be.":
            lambda x, y: (x - y).norm() / centred(x).norm(),
        "these are absolute deviations. Square them.": "square -> abs",
        "the mean goes over samples, `x.mean(0)`: you took that of each sample.":
            "centred(x) -> (x - x.mean(1, keepdim=True))",
        "this is the variance of what is missed: an error that is the same everywhere is an error, "
        "too. Do not take its mean off.": "(x - decoded) -> centred(x - decoded)",
        "`x.var()` takes one mean over all entries. Every dimension has a mean of its own.":
            lambda x, y: (x - y).square().mean() / x.var(),
        "`x.var(0)` divides by the number of samples minus one, your error by all of them.":
            lambda x, y: (x - y).square().mean(0).sum() / x.var(0).sum(),
        "the reconstruction may vary as much as the data and still be wrong: take squared errors.":
            lambda x, y: 1 - centred(y).square().sum() / centred(x).square().sum(),
        "this is the mean squared error. Divide it by what there was to explain.":
            lambda x, y: (x - y).square().mean(),
        "this is the error per sample. Divide it by what there was to explain.":
            lambda x, y: (x - y).square().sum(1).mean(),
    }, "error over variance, both summed."),
    "rotate": Exercise(1, rotated, [
        (tensor([[1.0, 2.0]]), tensor([[3.0, 0.0], [0.0, 1.0]]), QUARTER),
        (normal(3, 30, 3), normal(4, 3, 5), ROTATION),
    ], {
        "this is the solution you were given. Rotate it.": lambda c, w, r: (c, w),
        "you rotated the codes only.": lambda c, w, r: (c @ r, w),
        "you rotated the codes only, and by Rᵀ.": lambda c, w, r: (c @ r.T, w),
        "you rotated the directions only.": lambda c, w, r: (c, r.T @ w),
        "codes and directions turn in opposite ways: one of the two needs the transpose. Codes "
        "stand left of the directions, so R and Rᵀ must meet between them: (r R)(Rᵀ W).":
            lambda c, w, r: (c @ r, r @ w),
        "codes and directions turned round: the codes must be r R, the directions Rᵀ W. What you "
        "have is a solution as well, the one for the rotation Rᵀ.":
            lambda c, w, r: (c @ r.T, r @ w),
        "directions are rows, one per latent: R mixes the rows, so it must stand on their left, "
        "as Rᵀ W.": lambda c, w, r: (c @ r, w @ r),
    }, "the reconstruction `codes @ directions` must stay, and the codes must be r R.",
        "two things, codes [samples, latents] and directions [latents, d_model]", level="easy"),
    "halves": Exercise(2, halves, [
        (tensor([[2.0, -1.0]]), tensor([[1.0, 0.0], [0.6, 0.8]])),
        (normal(7, 20, 3), normal(8, 3, 5)),
    ], {
        "the second half of the codes is negative: a ReLU gives none. Turn the sign before it: "
        "(-codes).relu().": lambda c, w: (torch.cat([c.relu(), -(-c).relu()], 1), w.repeat(2, 1)),
        "the negative codes are lost: the second half of the latents needs (-codes).relu().":
            lambda c, w: (torch.cat([c.relu(), c.relu()], 1), torch.cat([w, -w])),
        "both halves write the same way: the latents of the second must write -directions, or the "
        "reconstruction changes.": "-directions -> directions",
        "the second half of the codes is negative, (-codes).relu() is not. Its latents write "
        "-directions already.": "(-codes).relu() -> -(-codes).relu()",
        "-codes.relu() turns the sign after the ReLU. Turn it before: (-codes).relu().":
            lambda c, w: (torch.cat([c.relu(), -c.relu()], 1), torch.cat([w, -w])),
        "the ReLU is for codes only: directions may have negative entries.":
            lambda c, w: (halves(c, w)[0], torch.cat([w.relu(), (-w).relu()])),
        "the signs of the directions are turned round: positive codes write W, negative ones -W.":
            lambda c, w: (halves(c, w)[0], torch.cat([-w, w])),
        "you took absolute values: then each code is written along both directions, and they cancel.":
            lambda c, w: (torch.cat([c.abs(), c.abs()], 1), halves(c, w)[1]),
        "the codes are still signed: a ReLU autoencoder has no negative code.":
            lambda c, w: (torch.cat([c, c], 1) / 2, torch.cat([w, w])),
        "the two halves stand in turn round: first all latents for positive codes, then all for "
        "negative ones.": lambda c, w: halves(-c, -w),
    }, "codes must be relu(r) and then relu(-r), directions W and then -W.",
        "two things, codes [samples, 2 latents] and directions [2 latents, d_model]"),
    "floor": Exercise(1, above_floor, [(0.84, 0.79), (0.84, 0.6), (0.3, 0.4), (0.95, 0.2)], {
        "this is the distance from the floor, but a perfect score must come out as 1.":
            lambda s, f: s - f,
        "this is a ratio of scores: the floor itself must come out as 0, not as 1.":
            lambda s, f: s / f,
        "you divided by the score. Divide by the room that there is above the floor.":
            lambda s, f: (s - f) / s,
        "you divided by the floor. Divide by the room that there is above it.": "(1 - -> (",
        "a score below the floor must come out negative: it says that something is wrong.":
            lambda s, f: max(0.0, above_floor(s, f)),
        "brackets are missing: divide the whole difference, (score - floor).":
            lambda s, f: s - f / (1 - f),
        "brackets are missing: divide by the whole of (1 - floor).": lambda s, f: (s - f) / 1 - f,
        "the sign is turned round: a score above its floor must come out positive.": "-> -right",
        "turned round: the floor must give 0 and the score 1 must give 1.": "-> 1 - right",
    }, "a straight line through (floor, 0) and (1, 1).", level="easy"),
    "mcc": Exercise(2, mcc, [
        (tensor([[2.0, 1], [0, 3], [1, 1]]), tensor([[1.0, 0], [2, 1], [0, 0]])),
        (CODES, CONCEPTS), (torch.cat([CODES, normal(9, 60, 2)], 1), CONCEPTS),
    ], {
        "each concept took its best latent, so one latent served two. Match one-to-one "
        "(scipy.optimize.linear_sum_assignment).": "matched(scores) -> scores.amax(0).mean()",
        "each latent took its best concept, so one concept served two. Match one-to-one.":
            "matched(scores) -> scores.amax(1).mean()",
        # With a power as weight the best pair outweighs all that is left, as does the first in turn.
        "this matching is greedy: the best pair first, then the best of what is left. Two good pairs may "
        "be worth more than the best one: `linear_sum_assignment` finds the best sum.":
            "(scores) -> (scores, scores**20)",
        "this matching is greedy: each concept in turn takes the best latent left, so their order "
        "decides. `linear_sum_assignment` finds the best sum.":
            "(scores) -> (scores, scores / 99 ** torch.arange(scores.shape[1]))",
        "this matching is greedy: each latent in turn takes the best concept left, so their order "
        "decides. `linear_sum_assignment` finds the best sum.":
            "(scores) -> (scores, scores / 99 ** torch.arange(len(scores))[:, None])",
        "the sign of a latent is arbitrary: match and average absolute correlations.": ".abs() ->",
        "you averaged absolute values, but matched signed ones: take them before the matching.":
            "(scores) -> (scores, correlations(codes, concepts))",
        "you matched absolute values, but averaged signed ones: average the absolute ones.":
            "(scores) -> (correlations(codes, concepts), scores)",
        "this is the sum over concepts. Average.": "return -> return concepts.shape[1] *",
        "you averaged over latents. Average over concepts: a latent without one counts for nothing.":
            "-> right * concepts.shape[1] / codes.shape[1]",
        "these are covariances. Divide by both standard deviations.":
            lambda c, t: matched((centred(c).T @ centred(t) / len(c)).abs()),
        "these are squares, as of R². The MCC averages correlations themselves.": "abs -> square",
        "this is the mean of all correlations. Average only those of matched pairs.":
            "matched(scores) -> scores.mean()",
        "means are still in it: a correlation is a cosine of *centred* columns.":
            lambda c, t: matched((unit(c).T @ unit(t)).abs()),
        "latent i is compared with concept i, but their order is arbitrary: match them first.":
            "matched(scores) -> scores.diagonal().mean()",
        "the matching minimises: `linear_sum_assignment` needs maximize=True.":
            "(scores) -> (scores, -scores)",
    }, "match one-to-one, average |correlation|.", level="hard"),
}
