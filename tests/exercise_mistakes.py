"""Plausible wrong answers to every exercise, each with a part of the message it must get."""

import math

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment


def unit(x, dim=0):
    return x / x.norm(dim=dim, keepdim=True)


# ------------------------------------------------------------------------------------ notebook 00
def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def seedless_sample(p, n, k, g):
    return torch.rand(n, k) * (torch.rand(n, k) < p)


def one_draw_sample(p, n, k, g):
    values = torch.rand(n, k, generator=g)
    return values * (values < p)


def draw(p, n, k, g):
    return torch.rand(n, k, generator=g), torch.rand(n, k, generator=g)


def swapped_sample(p, n, k, g):
    values, chance = draw(p, n, k, g)
    return values * (chance > p)


def row_sample(p, n, k, g):
    values, chance = draw(p, n, k, g)
    return values * (chance[:, :1] < p)


def binary_sample(p, n, k, g):
    return (draw(p, n, k, g)[1] < p).float()


def constant_sample(p, n, k, g):
    return 0.5 * (draw(p, n, k, g)[1] < p)


def normal_sample(p, n, k, g):
    return torch.randn(n, k, generator=g) * (torch.rand(n, k, generator=g) < p)


def toy(x, w, b):
    return (x @ w.T @ w + b).relu()


def gram_over(w, first, second):
    gram = w.T @ w
    return w.norm(dim=0).square() / (gram / first[:, None] / second).square().sum(1)


def no_self(w):
    overlap = ((w.T @ w) / w.norm(dim=0)[:, None]).square()
    return w.norm(dim=0).square() / (overlap.sum(1) - overlap.diagonal())


def in_place_unit(w):
    w /= w.norm(dim=0)
    return w


def in_place_tangent(g, w):
    g -= (g * w).sum(0) * w
    return g


# ------------------------------------------------------------------------------------ notebook 03
def correlations(codes, concepts):
    codes, concepts = codes - codes.mean(0), concepts - concepts.mean(0)
    return unit(codes).T @ unit(concepts)


def assigned(scores, maximize=True):
    rows, columns = linear_sum_assignment(scores, maximize=maximize)
    return scores[rows, columns].mean()


# ------------------------------------------------------------------------------------ notebook 04
def never_without(held, keep_self=False):
    held = held.double()
    never = held.T @ (1 - held) == 0
    return never if keep_self else never.fill_diagonal_(False)


def hook_of(change):
    """Make a wrong answer to 06.hook from what it does with (output, vectors)."""
    return lambda vectors: lambda module, inputs, output: change(output, vectors)


def alone(shifts, changes):
    """Average over the pairs in which one concept changes."""
    kept = changes.abs().sum(1) == 1
    return changes[kept].T @ shifts[kept] / changes[kept].abs().sum(0)[:, None]


def within(tolerance, share=1.0):
    """Make an answer to 06.strength with another rule than "within 0.05 of the best"."""
    return lambda s, b: next(
        x for x, y in zip(s, b, strict=True) if y >= share * max(b) - tolerance
    )


def added(output, vectors, at):
    new = output.clone()
    new[:, at] = new[:, at] + vectors
    return new


def replaced(output, vectors):
    new = output.clone()
    new[:, -1] = vectors
    return new


def in_place(output, vectors):
    output[:, -1] += vectors
    return output


def silent(output, vectors):
    output = added(output, vectors, -1)


def own(changed, targets):
    return torch.nn.functional.one_hot(targets, changed.shape[1]).bool()


def effects(changed, targets):
    mask = own(changed, targets)
    return changed[mask].nanmean(), changed[~mask].nanmean()


MISTAKES = {
    "00.shift": [
        ("turned round", lambda s, t: [a - b for a, b in zip(s, t, strict=True)]),
        ("dropped the signs", lambda s, t: [abs(a - b) for a, b in zip(s, t, strict=True)]),
        ("added the two", lambda s, t: [a + b for a, b in zip(s, t, strict=True)]),
        ("list of", lambda s, t: sum(t) - sum(s)),
        ("returned None", lambda s, t: None),
        ("raised TypeError", lambda s, t: t - s),
    ],
    "00.cosine": [
        ("dot product", dot),
        ("one vector only", lambda a, b: dot(a, b) / math.hypot(*a)),
        ("squared lengths", lambda a, b: dot(a, b) / (dot(a, a) * dot(b, b))),
        ("dropped the sign", lambda a, b: abs(dot(a, b)) / math.hypot(*a) / math.hypot(*b)),
        ("one number", lambda a, b: [x * y for x, y in zip(a, b, strict=True)]),
    ],
    "01.sample": [
        ("comparison is turned round", swapped_sample),
        ("same seed gave different", seedless_sample),
        ("come and go together", row_sample),
        ("all 1", binary_sample),
        ("must lie between 0 and 1", normal_sample),
        ("same numbers", one_draw_sample),
        ("evenly", constant_sample),
    ],
    "01.loss": [
        ("ReLU is missing", lambda x, w, b, i: (i * (x @ w.T @ w + b - x).square()).sum(1).mean()),
        ("bias is missing", lambda x, w, b, i: (i * (toy(x, w, 0) - x).square()).sum(1).mean()),
        ("before the ReLU", lambda x, w, b, i: (i * (toy(x, w, 0) + b - x).square()).sum(1).mean()),
        ("importance is missing", lambda x, w, b, i: (toy(x, w, b) - x).square().sum(1).mean()),
        ("got squared", lambda x, w, b, i: (i * (toy(x, w, b) - x)).square().sum(1).mean()),
        ("averaged over features", lambda x, w, b, i: (i * (toy(x, w, b) - x).square()).mean()),
        ("summed over the samples", lambda x, w, b, i: (i * (toy(x, w, b) - x).square()).sum()),
        ("one number", lambda x, w, b, i: (i * (toy(x, w, b) - x).square()).sum(1)),
        (
            "no gradient",
            lambda x, w, b, i: (
                (i * (toy(x, w, b) - x).square()).sum(1).mean().item() + torch.zeros(())
            ),
        ),
    ],
    "01.even": [
        ("other way round", lambda n, m: n / m),
        ("not one", lambda n, m: 1 / n),
        ("in a plane", lambda n, m: 2 / n if m > 1 else 1 / n),
        ("cannot exceed 1", lambda n, m: m / n),
    ],
    "01.dimensionality": [
        ("denominator must have length 1", lambda w: gram_over(w, torch.ones(6), torch.ones(6))),
        ("includes the feature itself", no_self),
        (
            "must be squared",
            lambda w: w.norm(dim=0).square() / (w.T @ w / w.norm(dim=0)[:, None]).sum(1),
        ),
        ("only direction i", lambda w: gram_over(w, w.norm(dim=0), w.norm(dim=0))),
        ("numerator", lambda w: gram_over(w, w.norm(dim=0), torch.ones(6)) / w.norm(dim=0)),
        ("not its rows", lambda w: w.norm(dim=1)),
    ],
    "01.shrink": [
        ("hard threshold", lambda c, t: torch.where(c.abs() > t, c, 0.0)),
        ("negative entries are lost", lambda c, t: (c - t).relu()),
        ("sign is lost", lambda c, t: (c.abs() - t).relu()),
        ("overshoot", lambda c, t: c.sign() * (c.abs() - t)),
        ("away from zero", lambda c, t: c.sign() * (c.abs() + t)),
    ],
    "02.encode": [
        ("ReLU is missing", lambda x, w, b, c: (x - c) @ w.T + b),
        ("not taken off", lambda x, w, b, c: (x @ w.T + b).relu()),
        ("not added", lambda x, w, b, c: ((x + c) @ w.T + b).relu()),
        ("b_e is missing", lambda x, w, b, c: ((x - c) @ w.T).relu()),
        ("before the ReLU", lambda x, w, b, c: ((x - c) @ w.T).relu() + b),
        ("shape [5, 6]", lambda x, w, b, c: (w @ (x - c).T + b[:, None]).relu()),
    ],
    "02.mmcs": [
        ("lengths are still in it", lambda f, t: (f @ t.T).abs().amax(0).mean()),
        ("signs", lambda f, t: (unit(f, 1) @ unit(t, 1).T).amax(0).mean()),
        ("Ask it the other way", lambda f, t: (unit(f, 1) @ unit(t, 1).T).abs().amax(1).mean()),
        ("not the average over latents", lambda f, t: (unit(f, 1) @ unit(t, 1).T).abs().mean()),
        ("not the best of them", lambda f, t: (unit(f, 1) @ unit(t, 1).T).abs().max()),
        ("matched one-to-one", lambda f, t: assigned((unit(f, 1) @ unit(t, 1).T).abs())),
    ],
    "02.dead": [
        ("turned round", lambda c: (c > 0).any(0)),
        ("silent on some samples", lambda c: (c == 0).any(0)),
        ("fires once", lambda c: (c > 0).float().mean(0) < 0.05),
        ("weak latent", lambda c: c.max(0).values < 1e-5),
        ("6 latents", lambda c: (c == 0).all(1)),
    ],
    "02.unit": [
        ("normalised rows", lambda w: unit(w, 1)),
        ("whole matrix", lambda w: w / w.norm()),
        ("squared length", lambda w: w / w.square().sum(0)),
        ("L1 norm", lambda w: w / w.abs().sum(0)),
        ("in place", in_place_unit),
    ],
    "02.tangent": [
        ("it is what must go", lambda g, w: (g * w).sum(0) * w),
        ("nothing was removed", lambda g, w: g),
        ("added the part", lambda g, w: g + (g * w).sum(0) * w),
        ("normalised the gradient", lambda g, w: unit(g)),
        ("not along rows", lambda g, w: g - (g * w).sum(1, keepdim=True) * w),
        ("whole matrix", lambda g, w: g - (g * w).sum() * w),
        ("in place", in_place_tangent),
    ],
    "03.unexplained": [
        (
            "share explained",
            lambda x, y: 1 - (x - y).square().sum() / (x - x.mean(0)).square().sum(),
        ),
        ("not a variance", lambda x, y: (x - y).square().sum() / x.square().sum()),
        ("mean of its own", lambda x, y: (x - y).square().sum() / (x - x.mean()).square().sum()),
        (
            "averaged the shares",
            lambda x, y: ((x - y).square().sum(0) / (x - x.mean(0)).square().sum(0)).mean(),
        ),
        ("mean squared error", lambda x, y: (x - y).square().mean()),
        ("error per sample", lambda x, y: (x - y).square().sum(1).mean()),
    ],
    "03.rotate": [
        ("solution you were given", lambda c, w, r: (c, w)),
        ("codes only", lambda c, w, r: (c @ r, w)),
        ("directions only", lambda c, w, r: (c, w @ r)),
        ("opposite ways", lambda c, w, r: (c @ r.T, w @ r)),
        ("two things", lambda c, w, r: c @ r @ r.T @ w.T),
        ("must be W R", lambda c, w, r: (c @ r.T, w @ r.T)),
    ],
    "03.floor": [
        ("distance from the floor", lambda s, f: s - f),
        ("ratio of scores", lambda s, f: s / f),
        ("room that there is", lambda s, f: (s - f) / f),
        ("must come out negative", lambda s, f: max(0.0, (s - f) / (1 - f))),
        ("turned round", lambda s, f: (1 - s) / (1 - f)),
    ],
    "03.mcc": [
        ("one latent served two", lambda c, t: correlations(c, t).abs().amax(0).mean()),
        ("one concept served two", lambda c, t: correlations(c, t).abs().amax(1).mean()),
        ("sign of a latent", lambda c, t: assigned(correlations(c, t))),
        ("centred", lambda c, t: assigned((unit(c).T @ unit(t)).abs())),
        ("order is arbitrary", lambda c, t: correlations(c, t).diagonal().abs().mean()),
        ("minimises", lambda c, t: assigned(correlations(c, t).abs(), maximize=False)),
    ],
    "04.diversity": [
        (
            "shift alone",
            lambda s: [k for k in range(s.shape[1]) if not (s[s[:, k]].sum(1) == 1).any()],
        ),
        ("with itself", lambda s: never_without(s, True).any(1).nonzero().flatten().tolist()),
        (
            "only 0 breaks",
            lambda s: (lambda n: n | n.T)(never_without(s)).any(1).nonzero().flatten(),
        ),
        (
            "*without*",
            lambda s: (lambda n: n & n.T)(never_without(s)).any(1).nonzero().flatten().tolist(),
        ),
        ("break the condition; you name []", lambda s: s.all(0).nonzero().flatten().tolist()),
    ],
    "04.terms": [
        ("passed a ReLU", lambda x, e, b, d, c: (0.0, (x @ e.T + b).relu().mean())),
        ("cancel", lambda x, e, b, d, c: (0.0, (x @ e.T + b).mean())),
        ("summed over latents", lambda x, e, b, d, c: (0.0, (x @ e.T + b).abs().sum(1).mean())),
        ("squares", lambda x, e, b, d, c: (0.0, (x @ e.T + b).square().mean())),
        ("b_e is missing", lambda x, e, b, d, c: (0.0, (x @ e.T).abs().mean())),
        (
            "averaged over dimensions",
            lambda x, e, b, d, c: (
                ((x @ e.T + b) @ d.T + c - x).square().mean(),
                (x @ e.T + b).abs().mean(),
            ),
        ),
        (
            "b_d is missing",
            lambda x, e, b, d, c: (
                ((x @ e.T + b) @ d.T - x).square().sum(1).mean(),
                (x @ e.T + b).abs().mean(),
            ),
        ),
        ("two numbers", lambda x, e, b, d, c: (x @ e.T + b).abs().mean()),
    ],
    "04.dual": [
        ("turned round", lambda m, s, level, r: max(0.0, m + r * (level - s))),
        ("reward", lambda m, s, level, r: m + r * (s - level)),
        ("starts afresh", lambda m, s, level, r: max(0.0, r * (s - level))),
        ("must fall", lambda m, s, level, r: m + max(0.0, r * (s - level))),
        ("add rate times", lambda m, s, level, r: max(0.0, m + (s - level))),
    ],
    "04.elbow": [
        ("level of the lowest error", lambda v, e, t: v[e.argmin()]),
        ("Is it an index", lambda v, e, t: int((e <= e.min() + t).nonzero()[0])),
        ("too tight", lambda v, e, t: v.min()),
        ("steepest fall", lambda v, e, t: v[(e[:-1] - e[1:]).argmax() + 1]),
        ("*lowest error*", lambda v, e, t: v[e <= t].min()),
        ("tolerance is 0.2", lambda v, e, t: v[e <= e.min() + 0.05].min()),
        ("at the slackest level. It", lambda v, e, t: v[e <= e[v.argmax()] + t].min()),
        ("any order", lambda v, e, t: v[(e <= e.min() + t).nonzero()[0, 0]]),
    ],
    "04.turned": [
        (
            "swapped the cases",
            lambda a, p: p * (np.cos(a) + np.sin(a)) + (1 - p) * 2 * max(np.cos(a), np.sin(a)),
        ),
        ("costs 2, not 1", lambda a, p: np.cos(a) + np.sin(a)),
        ("does not change", lambda a, p: 1 + p),
        ("twice the larger", lambda a, p: (1 - p) * (np.cos(a) + np.sin(a)) + 2 * p),
        (
            "swapped: nothing changed",
            lambda a, p: (1 - p) * (np.cos(a) + np.sin(a)) + 2 * p * np.cos(a),
        ),
    ],
    "05.fit": [
        ("transposed", lambda x, c: torch.linalg.lstsq(c, x).solution.T),
        ("undo the overlap", lambda x, c: c.T @ x),
        ("each mean contains the other", lambda x, c: c.T @ x / c.abs().sum(0)[:, None]),
        ("length 1", lambda x, c: unit(torch.linalg.lstsq(c, x).solution, 1)),
        ("turn the two arguments round", lambda x, c: torch.linalg.lstsq(x, c).solution.T),
        ("use all", alone),
        ("returned None", lambda x, c: None),
    ],
    "05.explained": [
        ("share missed", lambda x, c, d: (x - c @ d).square().sum() / x.square().sum()),
        (
            "Use the ones given",
            lambda x, c, d: (
                1 - (x - c @ torch.linalg.lstsq(c, x).solution).square().sum() / x.square().sum()
            ),
        ),
        ("length of the prediction", lambda x, c, d: (c @ d).square().sum() / x.square().sum()),
        (
            "averaged shares",
            lambda x, c, d: 1 - ((x - c @ d).square().sum(1) / x.square().sum(1)).mean(),
        ),
        ("does not see a wrong length", lambda x, c, d: torch.cosine_similarity(x, c @ d).mean()),
    ],
    "05.code_shift": [
        ("code of the difference", lambda encode, s, t: encode(t - s)),
        ("turned round", lambda encode, s, t: encode(s) - encode(t)),
        ("dropped the signs", lambda encode, s, t: (encode(t) - encode(s)).abs()),
        ("only the target", lambda encode, s, t: encode(t)),
    ],
    "05.swaps": [
        ("add up to zero", lambda n: n),
        ("depend on each other", lambda n: n * (n - 1) // 2),
        ("both ways", lambda n: n * (n - 1)),
        ("try n = 2", lambda n: n - 2),
    ],
    "05.cosine": [
        ("same size", lambda z, g, v: torch.cosine_similarity(z + v, g).mean()),
        ("Frobenius", lambda z, g, v: torch.cosine_similarity(unit(z, 1) + unit(v, 1), g).mean()),
        ("by itself", lambda z, g, v: torch.cosine_similarity(v, g).mean()),
        (
            "not with the shift",
            lambda z, g, v: torch.cosine_similarity(z / z.norm() + v / v.norm(), g - z).mean(),
        ),
        (
            "one cosine for each pair",
            lambda z, g, v: torch.cosine_similarity(
                (z / z.norm() + v / v.norm()).flatten(), g.flatten(), dim=0
            ),
        ),
        ("doing nothing", lambda z, g, v: torch.cosine_similarity(z, g).mean()),
    ],
    "06.means": [
        ("cancel", lambda x, c: c.abs().T @ x / c.abs().sum(0)[:, None]),
        ("not by all pairs", lambda x, c: c.T @ x / len(x)),
        ("this is a sum", lambda x, c: c.T @ x),
        (
            "left out",
            lambda x, c: (c > 0).float().T @ x / (c > 0).sum(0)[:, None],
        ),
        ("shape [3, 2]", lambda x, c: x.T @ c / c.abs().sum(0)),
    ],
    "06.strength": [
        ("strength of the best balance", lambda s, b: s[b.index(max(b))]),
        ("Is it an index", lambda s, b: max(b) - 0.05),
        ("strongest push", lambda s, b: s[-1]),
        ("more than 0.05 below", lambda s, b: next(x for x, y in zip(s, b, strict=True) if y > 0)),
        ("a difference, not a share", within(0, 0.9)),
        ("comes within 0.05", within(0.04)),
        ("more than 0.05 below", within(0.1)),
    ],
    "06.isolate": [
        ("first the effect", lambda c, t: effects(c, t)[::-1]),
        ("NaN spread", lambda c, t: (c[own(c, t)].mean(), c[~own(c, t)].mean())),
        ("among the concepts", lambda c, t: (c[own(c, t)].nanmean(), c.nanmean())),
        ("its own target", lambda c, t: (c[own(c, t)].mean(), c[~own(c, t)].nanmean())),
        (
            "nothing about its target",
            lambda c, t: (c[own(c, t)].nan_to_num(0).mean(), c[~own(c, t)].nanmean()),
        ),
        (
            "hides side effects",
            lambda c, t: (c[own(c, t)].nanmean(), c.nan_to_num(0.0)[~own(c, t)].mean()),
        ),
        ("at each own target", lambda c, t: (c.nanmean(), c[~own(c, t)].nanmean())),
    ],
    "06.hook": [
        ("every token", hook_of(lambda output, v: output + v[:, None])),
        ("first token", hook_of(lambda output, v: added(output, v, 0))),
        ("replaced", hook_of(replaced)),
        ("in place", hook_of(in_place)),
        ("None has no effect", hook_of(silent)),
        ("taken off", hook_of(lambda output, v: added(output, -v, -1))),
        ("first prompt", hook_of(lambda output, v: added(output, v[:1], -1))),
        ("return a function", lambda vectors: vectors),
    ],
}
