"""Exercises of notebook 04: the Sparse Shift Autoencoder and its conditions."""

from math import cos, pi, sin

import torch
from torch import Tensor

from ssae_kit.exercises.core import NO_ENTRY, Exercise, one_of
from ssae_kit.exercises.tensors import normal, unit


def affine(
    x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, decoder_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared errors and codes of a batch of shifts under an affine autoencoder."""
    code = x @ encoder.T + encoder_bias
    return (code @ decoder.T + decoder_bias - x).square(), code


def affine_after(x: Tensor, w: Tensor, b: Tensor, d: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """Wrong squared errors and codes: the decoder's bias is taken off the input first."""
    code = (x - c) @ w.T + b
    return (code @ d.T + c - x).square(), code


def loss_terms(
    x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder: Tensor, decoder_bias: Tensor
) -> tuple[Tensor, Tensor]:
    """Error and sparsity."""
    missed, code = affine(x, encoder, encoder_bias, decoder, decoder_bias)
    return missed.sum(1).mean(), code.abs().mean()


def dual_step(multiplier: float, sparsity: float, level: float, rate: float) -> float:
    """One step of the multiplier."""
    return max(0.0, multiplier + rate * (sparsity - level))


def never_without(supports: Tensor) -> Tensor:
    """Whether concept j shifts wherever concept i does, itself included."""
    held = supports.double()
    return held.T @ (1 - held) == 0


def violators(supports: Tensor) -> set[int]:
    """Concepts that never shift without some other one."""
    return named(never_without(supports).fill_diagonal_(False))


def named(never: Tensor) -> set[int]:
    """Rows of a matrix that hold a true entry."""
    return set(never.any(1).nonzero().flatten().tolist())


def both_ways(supports: Tensor, *, either: bool) -> set[int]:
    """Wrong violators: the condition is read without its direction."""
    never = never_without(supports).fill_diagonal_(False)
    return named(never | never.T if either else never & never.T)


def neighbours(supports: Tensor) -> set[int]:
    """Wrong violators: each concept is held against the next ones only."""
    never = never_without(supports).fill_diagonal_(False)
    return named(never.triu(-1).tril(1))


def at_risk(supports: Tensor) -> tuple[set[int], set[int]]:
    """Concepts whose code, and those whose direction, the supports leave open."""
    never = never_without(supports).fill_diagonal_(False)
    return named(never.T), named(never)


def active_latents(mixing: Tensor, supports: Tensor) -> Tensor:
    """Mean number of active latents of the code `mixing @ changes`, magnitudes being free."""
    return (supports.double() @ (mixing != 0).double().T > 0).double().sum(1).mean()


def elbow(levels: Tensor, errors: Tensor, tolerance: float) -> Tensor:
    """Smallest level whose error is the lowest, up to a tolerance."""
    return levels[errors <= errors.min() + tolerance].min()


def whole_code(codes: Tensor, directions: Tensor, latent: int) -> Tensor:
    """Code of a latent and of its copies, in its own direction's sense."""
    cosine = directions @ directions[latent]
    return codes @ (cosine.sign() * (cosine.abs() > 0.95))


def turned_l1(angle: float, p: float) -> float:
    """Mean L1 norm of two concepts of one size in a basis turned by an angle."""
    return (1 - p) * (cos(angle) + sin(angle)) + 2 * p * max(cos(angle), sin(angle))


def supports(*rows: str) -> list[tuple[Tensor]]:
    """Cases from texts of zeros and ones, one for each pair."""
    return [(torch.tensor([[digit == "1" for digit in row] for row in r.split()]),) for r in rows]


EVEN = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]]).bool()
LEVELS = torch.tensor([0.1, 0.15, 0.2, 0.3, 0.4])
COPIED = unit(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.1], [1.0, 0.1], [0.8, 0.6]]), 1)
TURN = torch.tensor([4, 0, 3, 1, 2])
NOISY = torch.tensor([0.7, 0.25, 0.23, 0.22, 0.21])
# fmt: off
EXERCISES = {  # a sentence, then the function of someone who needs it
    "terms": Exercise(2, loss_terms, [
        (torch.tensor([[1.0, 2.0], [1.0, -1.0]]), torch.tensor([[1.0, 0.5], [0.0, 1.0]]),
         torch.tensor([0.5, -1.0]), torch.tensor([[1.0, 0.0], [-1.0, 1.0]]),
         torch.tensor([0.0, 0.5])),
        (normal(1, 9, 4), normal(2, 3, 4), normal(3, 3), normal(4, 4, 3), torch.arange(4.0)),
    ], {
        "the code passed a ReLU. Shifts go both ways, so the SSAE's code is affine.":
            lambda *w: (loss_terms(*w)[0], affine(*w)[1].relu().mean()),
        "positive and negative entries cancel: take absolute values.":
            lambda *w: (loss_terms(*w)[0], affine(*w)[1].mean()),
        "you summed over latents; the level bounds the *mean* of |r|.":
            lambda *w: (loss_terms(*w)[0], affine(*w)[1].abs().sum(1).mean()),
        "these are squares. The constraint is on |r|: squares would not make codes sparse.":
            lambda *w: (loss_terms(*w)[0], affine(*w)[1].square().mean()),
        "b_e is missing in the code.":
            lambda x, w, b, *d: (loss_terms(x, w, b, *d)[0], (x @ w.T).abs().mean()),
        "you counted the entries that are not zero. A count has no gradient: take the mean of |r|.":
            lambda *w: (loss_terms(*w)[0], (affine(*w)[1] != 0).double().sum(1).mean()),
        "these are lengths of codes. The constraint is on the mean of |r|, entry by entry.":
            lambda *w: (loss_terms(*w)[0], affine(*w)[1].norm(dim=1).mean()),
        "the error is a length. Take its square.":
            lambda *w: (affine(*w)[0].sum(1).sqrt().mean(), loss_terms(*w)[1]),
        "you averaged over dimensions; sum over them, and average over pairs.":
            lambda *w: (affine(*w)[0].mean(), loss_terms(*w)[1]),
        "you summed over the pairs; take their mean.":
            lambda *w: (affine(*w)[0].sum(), loss_terms(*w)[1]),
        "b_d is missing in the reconstruction.":
            lambda x, w, b, d, c: loss_terms(x, w, b, d, 0 * c),
        "b_d was taken off the shifts. An SSAE does not do that: its code is W_e x + b_e.":
            lambda x, w, b, d, c: (affine_after(x, w, b, d, c)[0].sum(1).mean(),
                                   affine_after(x, w, b, d, c)[1].abs().mean()),
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
        "it became negative: that would *reward* large codes. Stop it at zero.":
            lambda m, s, level, rate: m + rate * (s - level),
        "turned round: while the code is *above* its level, the multiplier must grow.":
            lambda m, s, level, rate: dual_step(m, level, s, rate),
        "the level is missing: the multiplier must fall once the code is small enough.":
            lambda m, s, level, rate: m + rate * s,
        "the multiplier starts afresh. It must remember: add the step to its last value.":
            lambda m, s, level, rate: dual_step(0, s, level, rate),
        "below its level the multiplier must fall: only then does it settle at the right size.":
            lambda m, s, level, rate: m + max(0.0, rate * (s - level)),
        "the rate is missing: add rate times (sparsity - level).":
            lambda m, s, level, rate: dual_step(m, s, level, 1.0),
        "this is the kit's violation, a share of the level. Here it is the plain difference "
        "sparsity - level.": lambda m, s, level, rate: max(0.0, m + rate * (s / level - 1)),
        "the step is added to the multiplier, not multiplied: from 0 it could never rise.":
            lambda m, s, level, rate: max(0.0, m * (1 + rate * (s - level))),
        "`min` keeps the smaller of the two: it is zero that must be the least.":
            lambda m, s, level, rate: min(0.0, m + rate * (s - level)),
        "an absolute value turns a negative multiplier round. Stop it at zero.":
            lambda m, s, level, rate: abs(m + rate * (s - level)),
        "the multiplier has no upper end: as long as the code is too large it grows.":
            lambda m, s, level, rate: min(1.0, dual_step(m, s, level, rate)),
    }, "add rate times (sparsity - level) to the multiplier, then stop at zero."),
    "diversity": Exercise(2, violators,
        supports("100 010 001", "1100 0010 1110 0001 0011", "110 010 001 011", "110 011 101",
                 "111 111", "101 001 010 111", "111 010 001"), {
        "you ask that every concept shift alone. That is more than needed.":
            lambda s: {k for k in range(s.shape[1]) if not (s[s[:, k]].sum(1) == 1).any()},
        "every concept shifts with itself: leave out j = k.": lambda s: named(never_without(s)),
        "if 0 shifts only with 1, but 1 also without 0, only 0 breaks the condition.":
            lambda s: both_ways(s, either=True),
        "look for a concept that never shifts *without* the other, even if the other shifts "
        "without it.": lambda s: both_ways(s, either=False),
        "hold every concept against all the others, not only against its neighbours.": neighbours,
        "turned round: j breaks the condition if *it* never shifts without another; you name the "
        "other.": lambda s: named(never_without(s).fill_diagonal_(False).T),
        "one other concept is enough: you ask that it never shifts without *any* of the others.":
            lambda s: set((never_without(s).all(1)).nonzero().flatten().tolist()),
        "hold every concept against the earlier ones, too.":
            lambda s: named(never_without(s).triu(1)),
        "name the concepts by their numbers, such as [0, 2]: not a yes or no for each.":
            lambda s: {int(k in violators(s)) for k in range(s.shape[1])},
        "concepts are columns: you held pairs of texts against each other.":
            lambda s: violators(s.T),
        "turned round: you name the concepts that do not break the condition.":
            lambda s: set(range(s.shape[1])) - violators(s),
        "you name the concepts that shift in every pair. A rarer one can break the condition: if "
        "it never shifts without another.": lambda s: set(s.all(0).nonzero().flatten().tolist()),
    },
        "name the concepts that never shift without some other one.",
        "a list of the concepts that break the condition", level="hard"),
    "risk": Exercise(2, at_risk, supports("110 011 101", "11000 01000 00110 00100 00001", "110 001"), {
        "turned round: where j never shifts without k, the *code of k* and the *direction of j* are "
        "open.": lambda s: at_risk(s)[::-1],
        "you name the same concepts twice. If j never shifts without k, the code of k may hold j, and "
        "the direction of j pays.": lambda s: (violators(s),) * 2,
        "every concept shifts with itself: leave out j = k.":
            lambda s: (named(never_without(s)),) * 2,
    }, "codes: every k without which some j never shifts. Directions: every such j.",
        "two lists of concepts: codes at risk, directions at risk"),
    "copies": Exercise(2, whole_code, [
        (torch.tensor([[1.0, 5.0, -2.0, 3.0, 7.0]]), COPIED, 0), (normal(7, 6, 5), COPIED, 2),
    ], {
        "a copy may point the other way: its code counts with the sign of the cosine.":
            lambda r, w, j: r @ (abs(w @ w[j]) > 0.95).to(r.dtype),
        "a copy may point the other way: ask for the *absolute* cosine.":
            lambda r, w, j: r @ (w @ w[j] > 0.95).to(r.dtype),
        "this is its own code. Add the codes of the copies.": lambda r, w, j: r[:, j],
        "a direction that is only near is no copy: add the codes whose |cosine| is above .95.":
            lambda r, w, j: r @ w @ w[j],
        "add the copies' codes, do not average them: each holds a part.":
            lambda r, w, j: whole_code(r, w, j) / (abs(w @ w[j]) > 0.95).sum(),
    }, "sum the codes of all latents whose |cosine| with this one is above .95, each with its sign.",
        "one code per pair, [pairs]"),
    "active": Exercise(2, active_latents, [
        (torch.eye(3), EVEN),
        (torch.tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), EVEN),
        (torch.tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 0.3], [2.0, 0.0, 0.0]]), EVEN),
        (normal(5, 4, 4).triu(), torch.eye(4).bool()),
    ], {
        "entries cancelled. Magnitudes are free: a latent is active wherever one of its concepts "
        "shifts, whatever the signs.":
            lambda m, s: ((s.float() @ m.T).abs() > 1e-6).double().sum(1).mean(),
        "a latent that mixes two concepts is still *one* active latent: do not count it twice.":
            lambda m, s: (s.double() @ (m != 0).double().T).sum(1).mean(),
        "entries of M may be negative: ask whether they are zero, not whether they are positive.":
            lambda m, s: (s.double() @ m.double().T > 0).double().sum(1).mean(),
        "a negative entry mixes a concept as well: ask for `mixing != 0`, not for `mixing > 0`.":
            lambda m, s: active_latents(m.clamp(min=0), s),
        "this is the share of pairs in which some latent is active. Count the latents of each pair.":
            lambda m, s: (s.double() @ (m != 0).double().T > 0).any(1).double().mean(),
        "you counted the pairs of each latent. Sum over latents, `.sum(1)`, then average over pairs.":
            lambda m, s: active_latents(m, s) * len(s) / len(m),
        "turned round: row i of the matrix says which concepts *latent i* mixes.":
            lambda m, s: active_latents(m.T, s),
        "one of its concepts is enough: you ask that all concepts of a latent shift.":
            lambda m, s: (~(~s.double().bool()).double().matmul((m != 0).double().T).bool())
            .double().sum(1).mean(),
        "these are the concepts that shift. Count the *latents* that are active.":
            lambda m, s: s.double().sum(1).mean(),
        "count the latents of each pair, and average over pairs: you did not average.":
            lambda m, s: active_latents(m, s) * len(s),
        "a count for each pair, not a share of the latents.":
            lambda m, s: active_latents(m, s) / len(m),
    },
        "a latent is active in a pair if one of its concepts shifts there. Count such latents "
        "in each pair, and average over pairs."),
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
        "turned by 90° the two latents have swapped: nothing changed.":
            lambda a, p: (1 - p) * (cos(a) + sin(a)) + 2 * p * cos(a),
    }, "weigh the L1 norms of a turned single and a turned joint pair by 1 - p and p.",
        level="hard"),
    "elbow": Exercise(2, elbow, [
        (LEVELS, torch.tensor([0.6, 0.3, 0.06, 0.04, 0.03]), 0.05),
        (LEVELS, NOISY, 0.05),
        (LEVELS, torch.tensor([0.9, 0.5, 0.3, 0.25, 0.21]), 0.2),
        (LEVELS, torch.tensor([0.7, 0.15, 0.06, 0.02, 0.12]), 0.05),
        (LEVELS, torch.tensor([1.0, 0.75, 0.5, 0.25, 0.25]), 0.25),  # exact in float32
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
        "levels may come in any order: take the smallest that qualifies.":
            lambda v, e, t: v[(e <= e.min() + t).nonzero()[0, 0]],
        "compare with the *lowest error* plus the tolerance, not with the tolerance alone.":
            lambda v, e, t: v[e <= t].min(),
        "an error of exactly the lowest plus the tolerance is good enough: use <=.":
            lambda v, e, t: v[e < e.min() + t].min(),
        "the tolerance is a difference between errors, not a share of the lowest one.":
            lambda v, e, t: elbow(v, e, t * e.min()),
    },
        "compare errors with the *lowest error* plus the tolerance: what is left at the slackest "
        "level is noise that no level removes.", "one of the levels", one_of),
}
