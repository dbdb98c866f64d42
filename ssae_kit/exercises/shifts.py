"""Exercises of notebook 04: the Sparse Shift Autoencoder and its conditions."""

from math import cos, pi, sin, sqrt

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import NO_ENTRY, Exercise, one_of
from ssae_kit.exercises.supports import ON_SUPPORTS
from ssae_kit.exercises.tensors import centred, normal, unit


def loss_terms(
    x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, decoder_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Error and sparsity."""
    code = x @ encoder.T + encoder_bias
    missed = (code @ decoder.T + decoder_bias - x).square()
    return missed.sum(1).mean(), code.abs().mean()


def dual_step(multiplier: float, sparsity: float, level: float, rate: float) -> float:
    """One step of the multiplier."""
    return max(0.0, multiplier + rate * (sparsity - level))


def elbow(levels: Tensor, errors: Tensor, tolerance: float) -> Tensor:
    """Smallest level whose error is the lowest, up to a tolerance."""
    return levels[errors <= errors.min() + tolerance].min()


def whole_code(codes: Tensor, directions: Tensor, latent: int) -> Tensor:
    """Code of a latent and of its copies, in its own direction's sense."""
    cosine = directions @ directions[latent]
    return codes @ (cosine.sign() * (cosine.abs() > 0.95))


def dependence(first: Tensor, second: Tensor) -> list[Tensor]:
    """Correlation of two changes, and of their squares."""
    both = (first, second), (first**2, second**2)
    return [torch.corrcoef(torch.stack(pair))[0, 1] for pair in both]


def normed(codes: Tensor, eps: float) -> Tensor:
    """Layer norm of every code, without gain and shift."""
    away = codes - codes.mean(1, keepdim=True)
    return away / (away.square().mean(1, keepdim=True) + eps).sqrt()


def dense_over_true(n_concepts: int, at_once: float) -> float:
    """How many times the true level a dense code stands at, magnitudes being Gaussian."""
    return sqrt(n_concepts / at_once)


def turned_l1(angle: float, p: float) -> float:
    """Mean L1 norm of two concepts of one size in a basis turned by an angle."""
    return (1 - p) * (cos(angle) + sin(angle)) + 2 * p * max(cos(angle), sin(angle))


LEVELS = tensor([0.1, 0.15, 0.2, 0.3, 0.4])
COPIED = unit(tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [1.0, 0.1], [0.8, 0.6]]), 1)
TURN = tensor([4, 0, 3, 1, 2])
SIZE = normal(21, 300).abs() + 0.2
PARTNERS = SIZE * normal(22, 300).sign() + 0.4, SIZE * normal(23, 300).sign() - 0.5
FEW_PARTNERS = tensor([1.0, -2.0, 3.0, 0.5]), tensor([-1.0, 2.0, 2.0, -0.5])
UNEVEN = normal(24, 8, 5) * tensor([1.0, 3.0, 0.3, 1.0, 2.0]) + 2
NOISY = tensor([0.7, 0.25, 0.23, 0.22, 0.21])
# fmt: off
EXERCISES = ON_SUPPORTS | {  # a sentence, then what someone writes who needs it
    "terms": Exercise(2, loss_terms, [
        (tensor([[1.0, 2.0], [1.0, -1.0]]), tensor([[1.0, 0.5], [0.0, 1.0]]), tensor([0.5, -1.0]),
         tensor([[1.0, 0.0], [-1.0, 1.0]]), tensor([0.0, 0.5])),
        (normal(1, 9, 4), normal(2, 3, 4), normal(3, 3), normal(4, 4, 3), torch.arange(4.0)),
    ], {
        "the code passed a ReLU. Shifts go both ways, so the SSAE's code is affine.": "abs -> relu",
        "positive and negative entries cancel: take absolute values.": "code.abs() -> code",
        "you summed over latents; the level bounds the *mean* of |r|.": "abs() -> abs().sum(1)",
        "these are squares. The constraint is on |r|: squares would not make codes sparse.":
            "abs -> square",
        "b_e is missing in the code.": "code.abs() -> (x @ encoder.T).abs()",
        "you counted the entries that are not zero. A count has no gradient: take the mean of |r|.":
            "code.abs() -> (code != 0).double().sum(1)",
        "these are lengths of codes. The constraint is on the mean of |r|, entry by entry.":
            "code.abs() -> code.norm(dim=1)",
        "the error is a length. Take its square.": "missed.sum(1) -> missed.sum(1).sqrt()",
        "you averaged over dimensions; sum over them, and average over pairs.": ".sum(1) ->",
        "you summed over the pairs; take their mean.": "missed.sum(1).mean() -> missed.sum()",
        "b_d is missing in the reconstruction.": "+ decoder_bias ->",
        "b_d was taken off the shifts. An SSAE does not do that: its code is W_e x + b_e.":
            "x @ -> (x - decoder_bias) @",
        "turned round: first the error, then the sparsity.": lambda *w: loss_terms(*w)[::-1],
    },
        "the error must be the mean of |x' - x|², the sparsity the mean of |r|.",
        "two numbers, error and sparsity"),
    "dual": Exercise(2, dual_step, [
        (0.5, 0.3, 0.2, 0.1),
        (0.5, 0.1, 0.2, 0.1),
        (0.01, 0.1, 0.9, 0.1),
        (0.98, 0.9, 0.1, 0.1),
        (3.0, 0.9, 0.1, 0.5),
    ], {
        "it became negative: that would *reward* large codes. Stop it at zero.": "max(0.0, -> (",
        "turned round: while the code is *above* its level, the multiplier must grow.":
            lambda m, s, level, rate: dual_step(m, level, s, rate),
        "the level is missing: the multiplier must fall once the code is small enough.":
            lambda m, s, level, rate: m + rate * s,
        "the multiplier starts afresh. It must remember: add the step to its last value.":
            lambda m, s, level, rate: dual_step(0, s, level, rate),
        "below its level the multiplier must fall: only then does it settle at the right size.":
            lambda m, s, level, rate: m + max(0.0, rate * (s - level)),
        "the rate is missing: add rate times (sparsity - level).": "rate * ->",
        "this is the kit's violation, a share of the level. Here it is the plain difference "
        "sparsity - level.": lambda m, s, level, rate: max(0.0, m + rate * (s / level - 1)),
        "the step is added to the multiplier, not multiplied: from 0 it could never rise.":
            lambda m, s, level, rate: max(0.0, m * (1 + rate * (s - level))),
        "`min` keeps the smaller of the two: it is zero that must be the least.": "max -> min",
        "an absolute value turns a negative multiplier round. Stop it at zero.": "max(0.0, -> abs(",
        "the multiplier has no upper end: as long as the code is too large it grows.":
            "-> min(1.0, right)",
    }, "add rate times (sparsity - level) to the multiplier, then stop at zero."),
    "copies": Exercise(2, whole_code, [
        (tensor([[1.0, 5.0, -2.0, 3.0, 7.0]]), COPIED, 0), (normal(7, 6, 5), COPIED, 2),
    ], {
        "a copy may point the other way: its code counts with the sign of the cosine.":
            lambda r, w, j: r @ (abs(w @ w[j]) > 0.95).to(r.dtype),
        "a copy may point the other way: ask for the *absolute* cosine.": "cosine.abs() -> cosine",
        "this is its own code. Add the codes of the copies.": lambda r, w, j: r[:, j],
        "a direction that is only near is no copy: add the codes whose |cosine| is above .95.":
            lambda r, w, j: r @ w @ w[j],
        "add the copies' codes, do not average them: each holds a part.":
            lambda r, w, j: whole_code(r, w, j) / (abs(w @ w[j]) > 0.95).sum(),
    }, "sum the codes of all latents whose |cosine| with this one is above .95, each with its sign.",
        "one code per pair, [pairs]"),
    "turned": Exercise(2, turned_l1,
        [(a, p) for a in (0.0, 0.2, 0.7, pi / 4, 1.3, pi / 2) for p in (0.1, 0.3, 0.6)], {
        "p is the share in which *both* shift; you swapped the cases.":
            lambda a, p: turned_l1(a, 1 - p),
        "in the true basis a joint pair costs 2, not 1: both of its latents are active.":
            lambda a, p: cos(a) + sin(a),
        "it does not change with the angle. Turn the pairs first, then take absolute values.":
            lambda a, p: 1 + p,
        "a joint pair has two coordinates, cos a + sin a and cos a - sin a: count both.":
            lambda a, p: (1 - p) * (cos(a) + sin(a)) + p * max(cos(a), sin(a)),
        "take absolute values of every coordinate before you add.":
            lambda a, p: (1 - p) * (cos(a) - sin(a)) + 2 * p * cos(a),
        "these are lengths, the L2 norm: no turn changes them. Add absolute coordinates.":
            lambda a, p: 1 - p + p * 2**0.5,
        "`angle` is in radians already.": lambda a, p: turned_l1(a * pi / 180, p),
        "a lone concept costs 1 in the true basis only. Turned, it has two coordinates.":
            lambda a, p: 1 - p + 2 * p * max(cos(a), sin(a)),
        "√2 is what a joint pair costs at 45° only. Its coordinates are cos a + sin a and cos a - sin a.":
            lambda a, p: (1 - p) * (cos(a) + sin(a)) + p * 2**0.5,
        "the weights are missing: 1 - p for a lone concept, p for a joint pair.":
            lambda a, p: cos(a) + sin(a) + 2 * max(cos(a), sin(a)),
        "1 + p is the mean cost in the true basis. In the turned one lone and joint pairs change by "
        "factors of their own.": lambda a, p: (1 + p) * (cos(a) + sin(a)),
        "joint pairs: |cos a + sin a| + |cos a - sin a| is twice the larger of the two.":
            lambda a, p: (1 - p) * (cos(a) + sin(a)) + 2 * p,
        "turned by 90° the two latents have swapped: nothing changed.": ", sin -> , 0 * sin",
    }, "weigh the L1 norms of a turned single and a turned joint pair by 1 - p and p.",
        level="hard"),
    "elbow": Exercise(2, elbow, [
        (LEVELS, tensor([0.6, 0.3, 0.06, 0.04, 0.03]), 0.05),
        (LEVELS, NOISY, 0.05),
        (LEVELS, tensor([0.9, 0.5, 0.3, 0.25, 0.21]), 0.2),
        (LEVELS, tensor([0.7, 0.15, 0.06, 0.02, 0.12]), 0.05),
        (LEVELS, tensor([1.0, 0.75, 0.5, 0.25, 0.25]), 0.25),  # exact in float32
        (LEVELS[TURN], NOISY[TURN], 0.05),
    ], {
        "this is the level of the lowest error, or the largest that is good enough. A slack level "
        "identifies nothing: take the smallest level that is nearly as good.": lambda v, e, t: v[e.argmin()],
        NO_ENTRY: lambda v, e, t: int((v == elbow(v, e, t)).nonzero()[0]),
        "too tight: this level loses most of the shifts.": lambda v, e, t: v.min(),
        "the tolerance is 0.2 in one case: use the `tolerance` that is given.":
            lambda v, e, t: elbow(v, e, 0.05),
        "you compare with the error at the slackest level. It need not be the lowest.":
            lambda v, e, t: v[e <= e[v.argmax()] + t].min(),
        "the steepest fall is not yet the end of it: the error still falls after that level.":
            lambda v, e, t: v[(e[:-1] - e[1:]).argmax() + 1],
        "levels may come in any order: take the smallest that qualifies.": "].min() -> ][0]",
        "compare with the *lowest error* plus the tolerance, not with the tolerance alone.":
            lambda v, e, t: v[e <= t].min(),
        "an error of exactly the lowest plus the tolerance is good enough: use <=.": "<= -> <",
        "the tolerance is a difference between errors, not a share of the lowest one.":
            lambda v, e, t: elbow(v, e, t * e.min()),
    },
        "compare errors with the *lowest error* plus the tolerance: what is left at the slackest "
        "level is noise that no level removes.", "one of the levels", one_of),
    "dependent": Exercise(2, dependence, [FEW_PARTNERS, PARTNERS], {
        "means are still in it. A correlation takes them off, and squares have a mean of their own.":
            "corrcoef(torch.stack(pair))[0, 1] -> cosine_similarity(*pair, dim=0)",
        "these are covariances. Divide by both standard deviations.":
            "corrcoef(torch.stack(pair)) -> cov(torch.stack(pair), correction=0)",
        "this is the square of the correlation. Asked is the correlation of the squares.":
            "-> [right[0], right[0] ** 2]",
        "turned round: first the correlation of the changes, then that of their squares.":
            "-> right[::-1]",
        "these are absolute values. The exercise asks for squares.": "**2 -> .abs()",
        "a correlation has a sign: no absolute value.": "-> [one.abs() for one in right]",
        "you squared one of the two only.": ", second**2 -> , second",
        "you took the means off before you squared. Square the changes as they are.":
            lambda a, b: [dependence(a, b)[0], dependence(centred(a), centred(b))[1]],
    }, "two correlations: of first with second, and of first**2 with second**2.",
        "two numbers: correlation of the changes, and of their squares"),
    "normed": Exercise(1, normed, [
        (tensor([[1.0, 3.0], [2.0, 6.0]]), 0.5), (tensor([[3.0], [-2.0]]), 0.1), (UNEVEN, 1e-5),
    ], {
        "this norms every latent over the pairs, a batch norm. A layer norm looks at one code at a time.":
            lambda r, eps: normed(r.T, eps).T,
        "every code has a mean and a spread of its own: you took those of the whole batch.":
            lambda r, eps: (r - r.mean()) / (r.var(correction=0) + eps).sqrt(),
        "take the mean of the code off first.": "- codes.mean(1, keepdim=True) ->",
        "the mean is off in the spread only: take it off the code as well.": "away / -> codes /",
        "divide by the *root* of the variance.": ".sqrt() ->",
        "`.var` divides by the number of latents minus one; a layer norm by all: `correction=0`.":
            "mean(1, keepdim=True) + eps -> sum(1, keepdim=True) / (codes.shape[1] - 1) + eps",
        "these codes have length 1. A layer norm gives them a *spread* of 1.":
            lambda r, eps: normed(r, eps) / r.shape[1] ** 0.5,
        "only the mean is gone. Divide by the spread.": lambda r, eps: centred(r.T).T,
        "eps is added under the root.": "+ eps).sqrt() -> ).sqrt().add(eps)",
        "eps is missing: with one latent this divides zero by zero.": "+ eps ->",
    }, "each code minus its mean, over the root of its variance plus eps.",
        "codes [pairs, latents]", level="easy"),
    "dense": Exercise(2, dense_over_true, [(9, 1.0), (10, 2.0), (50, 50.0), (200, 2.5)], {
        "a ratio of mean *squares* would be K / s. Levels are means of |r|: take the root.":
            lambda k, s: k / s,
        "turned round, or the true mean was taken over active latents only. The level averages over "
        "all, and silent ones count 0.": lambda k, s: (s / k) ** 0.5,
        "`at_once` is missing: the more concepts shift at once, the higher the true level.":
            lambda k, s: k**0.5,
        "this is the dense level. Divide it by the true one.": lambda k, s: (2 / (pi * k)) ** 0.5,
        "this is the true level. Asked is the dense one over it.":
            lambda k, s: (2 * s / pi) ** 0.5 / k,
        "shifts have a mean square length of 1. So where s concepts shift, each change has the mean "
        "square 1/s, not 1.": lambda k, s: k**0.5 / s,
        "a Gaussian change has a mean size of √(2/π) of its root mean square, in the truth as in the "
        "dense code.": lambda k, s: (2 * k / (pi * s)) ** 0.5,
        "√(2/π) stands in both levels: it cancels.": lambda k, s: (pi * k / (2 * s)) ** 0.5,
    }, "√(2 / (πK)) over the true level: s of K latents active, each with a mean size of √(2 / (πs)).",
        level="hard"),
}
