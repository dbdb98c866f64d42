"""Exercises of notebook 01: the toy model and its geometry."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, tensor

from ssae_kit.exercises.core import Exercise, Verdict
from ssae_kit.exercises.tensors import CUT_OFF, normal, norms, with_gradient
from ssae_kit.exercises.values import Mistake, misshapen, read


def sample(density: float, n_samples: int, n_features: int, generator: Generator) -> Tensor:
    """Features that are absent, or present with a value between 0 and 1."""
    size = (n_samples, n_features)
    return rand(generator, *size) * (rand(generator, *size) < density)


class Drawn:
    """What an answer drew."""

    def __init__(self, p: float, draws: Tensor) -> None:
        """Take the first draw apart.

        Args:
            p: Density that was asked for.
            draws: With seed 1, again with seed 1, with seed 2, and once more with the first
                generator.
        """
        self.p, self.draws, self.x = p, draws, draws[0]
        self.present = self.x != 0
        self.values = self.x[self.present]

    def one_mask(self) -> bool:
        """Whether in every draw all samples have the same features present, some but not all."""
        masks = self.draws != 0
        return bool((masks == masks[:, :1]).all() and masks.any() and not masks.all())

    def __str__(self) -> str:
        """What was drawn, in numbers."""
        v = self.values if self.present.any() else torch.zeros(1)
        return (
            f"Of {list(self.x.shape)} numbers with density = {self.p}, "
            f"{self.present.double().mean():.0%} are present; their values reach from {v.min():.2f} "
            f"to {v.max():.2f}, with mean {v.mean():.2f} and variance {v.var(correction=0):.3f}."
        )


def near(x: Tensor, mean: float, variance: float) -> bool:
    """Whether numbers have this mean, up to five standard errors."""
    return abs(x.double().mean().item() - mean) <= 5 * math.sqrt(variance / x.numel())


def draws(answer: Callable[..., Any], density: float, n_samples: int, n_features: int) -> Any:
    """Try an answer to 01.sample four times; see `Drawn`."""
    first, again, other = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    made = [answer(density, n_samples, n_features, g) for g in (first, again, other, first)]
    if any(one is None or one is ... for one in made):
        return made[0]
    returns, wanted = "[samples, features]", np.zeros((n_samples, n_features))
    samples = [read(one, wanted, returns) for one in made]
    if text := misshapen(samples[0], wanted, returns):
        raise Mistake(text)
    return samples


class Sampling(Exercise):
    """An exercise whose answers have nothing in common but their properties."""

    def judge(self, results: Sequence[Any]) -> Verdict:
        """Name the first property that what was drawn has not."""
        density, *size = self.cases[0]
        if not isinstance(results[0], np.ndarray) or results[0].shape != (4, *size):
            return super().judge(results)
        drawn = Drawn(density, torch.from_numpy(results[0]))
        for sentence, (holds, _) in SAMPLE.items():  # a later one may need what an earlier one asks
            if not holds(drawn):
                return Verdict(False, f"{sentence} {drawn}")
        return Verdict(True)


def rand(g: Generator | None, *size: int) -> Tensor:
    """Uniform numbers between 0 and 1."""
    return torch.rand(*size, generator=g)


def loss(x: Tensor, weight: Tensor, bias: Tensor, importance: Tensor) -> Tensor:
    """The toy model's loss."""
    read_back = (x @ weight.T @ weight + bias).relu()
    return (importance * (read_back - x).square()).sum(1).mean()


NO_GRADIENT = "no gradient reaches W: return a tensor, and stay in torch until the end."


def even(n_features: int, n_dimensions: int) -> float:
    """Dimensionality of each of n features that share m dimensions evenly."""
    return min(1.0, n_dimensions / n_features)


def sharing_ends(importance: float) -> float:
    """Density above which an antipodal pair is no longer the cheapest way."""
    least = min(importance, 1.0)  # the feature left out costs least (p/3 - p²/4)
    return least / 3 / ((1 + importance) / 6 + least / 4)


def dimensionality(weight: Tensor) -> Tensor:
    """Share of a dimension that each feature has to itself; columns are directions."""
    overlap = weight.T @ weight / norms(weight)[:, None]
    return norms(weight).square() / overlap.square().sum(1)


def soft_threshold(code: Tensor, threshold: float) -> Tensor:
    """Every entry moves towards zero by the threshold, and stops there."""
    return code.sign() * (code.abs() - threshold).clamp(min=0)


# fmt: off
# What must hold, and who breaks it.
SAMPLE: dict[str, tuple[Callable[[Drawn], Any], Callable[..., Tensor] | str]] = {
    "all samples have the same features present. Draw presence anew for each sample.":
        (lambda d: not d.one_mask(), lambda p, n, k, g: rand(g, n, k) * (rand(g, k) < p)),
    "the comparison is turned round: features are present with probability 1 - p.":
        (lambda d: not near(d.present, 1 - d.p, d.p * (1 - d.p)), lambda p, n, k, g: sample(1 - p, n, k, g)),
    "two generators with the same seed gave different samples: draw from the `generator`.":
        (lambda d: torch.equal(d.x, d.draws[1]), lambda p, n, k, g: sample(p, n, k, torch.default_generator)),
    "generators with different seeds, or one used twice, gave the same sample: draw from the "
    "`generator` that is given, not from one of your own.":
        (lambda d: not any(torch.equal(d.x, other) for other in d.draws[2:]),
         lambda p, n, k, g: sample(p, n, k, torch.Generator().manual_seed(0))),
    "all features of a sample come and go together. Draw presence for each feature.":
        (lambda d: d.present.all() or not (d.present == d.present[:, :1]).all(),
         lambda p, n, k, g: rand(g, n, k) * (rand(g, n, 1) < p)),
    "every sample has as many features present. Each is present by its own chance: sometimes none "
    "is, sometimes all are.":  # the variance of counts is k p (1 - p); half of it is far away
        (lambda d: d.present.all()
         or d.present.double().sum(1).var() > 0.5 * d.x.shape[1] * d.p * (1 - d.p),
         lambda p, n, k, g: rand(g, n, k) * (rand(g, n, k).argsort(1) < round(p * k))),
    "the share of features that are present is not p.":
        (lambda d: near(d.present, d.p, d.p * (1 - d.p)), lambda p, n, k, g: sample(p / 2, n, k, g)),
    "present features are all 1. Their values vary between 0 and 1.":
        (lambda d: not (d.values == 1).all(), lambda p, n, k, g: (rand(g, n, k) < p).float()),
    "values must lie between 0 and 1.":
        (lambda d: d.values.min() >= 0 and d.values.max() <= 1,
         lambda p, n, k, g: torch.randn(n, k, generator=g) * (rand(g, n, k) < p)),
    "all samples have the same values. Draw values anew for each sample.":
        (lambda d: (d.x.amax(0) > d.x.where(d.present, 1).amin(0)).any() or not d.values.var(),
         lambda p, n, k, g: rand(g, k) * (rand(g, n, k) < p)),
    "present values must be uniform, with mean 0.5. Were presence and value drawn from the same "
    "numbers?":
        (lambda d: near(d.values, 1 / 2, 1 / 12),
         lambda p, n, k, g: (lambda v: v * (v < p))(rand(g, n, k))),
    "present values must fill 0 to 1 evenly, with variance 1/12 = 0.083.":
        (lambda d: near((d.values - 0.5).square(), 1 / 12, 1 / 180), "-> 0.5 * (right > 0)"),
    "the features of a sample share one value. Draw a value for each.":
        (lambda d: (d.x.amax(1) > d.x.where(d.present, 1).amin(1)).any(),
         lambda p, n, k, g: rand(g, n, 1) * (rand(g, n, k) < p)),
}
EXERCISES = {  # a sentence, then what someone writes who needs it
    "sample": Sampling(1, sample, [(0.2, 2000, 5)],
        {sentence: wrong for sentence, (_, wrong) in SAMPLE.items()},
        "each feature is present with probability `density`, and then uniform between 0 and 1.",
        use=draws, level="easy"),
    "loss": Exercise(2, loss, [
        (tensor([[1.0, 0.5]]), tensor([[1.0, -0.5]]), tensor([0.2, 0.3]), tensor([1.0, 0.5])),
        (normal(2, 7, 5).abs(), normal(3, 2, 5), 0.3 * normal(4, 5), 0.5 ** torch.arange(5.0)),
    ], {
        "the ReLU is missing: without it the model is linear.": ".relu() ->",
        "the bias is missing.": lambda x, w, b, i: loss(x, w, 0 * b, i),
        "the bias must be added before the ReLU.": "+ bias).relu() -> ).relu() + bias",
        "the importance is missing.": lambda x, w, b, i: loss(x, w, b, i**0),
        "the importance got squared: it weighs the squared error, not the error.":
            "importance * -> importance**2 *",
        "you averaged over features. Sum over features; average over samples only.": ".sum(1) ->",
        "you summed over the samples; take their mean.": ".mean() -> .sum()",
        "the hidden numbers passed a ReLU as well. It is applied to what is read back only.":
            lambda x, w, b, i: (i * (((x @ w.T).relu() @ w + b).relu() - x).square()).sum(1).mean(),
        "the ReLU stands in the wrong place: it is applied to what is read back, not to the layer.":
            lambda x, w, b, i: (i * ((x @ w.T).relu() @ w + b - x).square()).sum(1).mean(),
        "the bias is added, not taken off.": lambda x, w, b, i: loss(x, w, -b, i),
        "these are absolute errors. Square them.": "square -> abs",
        "you summed over samples and averaged over features. Sum along a sample, `.sum(1)`; then "
        "average over samples.": lambda x, w, b, i: len(x) * loss(x, w, b, i) / len(b),
        "the importance must multiply each feature's error before the sum over features.":
            lambda x, w, b, i: i.sum() * loss(x, w, b, i**0),
        NO_GRADIENT: lambda *case: loss(*case).item(),
        CUT_OFF: lambda x, w, b, i: loss(x, w.detach(), b, i) + 0 * w.sum(),
    }, "it is not the mean over x of sum_i I_i (x_i - x'_i)².", use=partial(with_gradient, NO_GRADIENT, loss)),
    "even": Exercise(1, even, [(2, 1), (5, 2), (8, 3), (60, 12), (3, 7)], {
        "this is features per dimension; D is the other way round.": lambda n, m: n / m,
        "the features share m dimensions, not one: the shares add up to m.": lambda n, m: 1 / n,
        "2/n is right in a plane; here there are m dimensions.": lambda n, m: 2 / n,
        "with more dimensions than features each has one to itself: D cannot exceed 1.":
            lambda n, m: m / n,
    }, "the shares must add up to the number of dimensions.", level="easy"),
    "dimensionality": Exercise(2, dimensionality, [
        (tensor([[1.0, -1.0]]),),  # a digon
        (tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.5]]),), (normal(5, 3, 6),),
    ], {
        "the direction in the denominator must have length 1: divide W_i by its norm.":
            "/ norms(weight)[:, None] ->",
        "the sum in the denominator includes the feature itself.": "sum( -> fill_diagonal_(0).sum(",
        "the dot products in the denominator must be squared.": "overlap.square() -> overlap",
        "only direction i has length 1; direction j keeps its own length.":
            "overlap.square() -> (overlap / norms(weight)).square()",
        "it is direction i that must have length 1, not direction j.": "[:, None] ->",
        "the numerator is the squared length of W_i.": lambda w: dimensionality(w) / w.norm(dim=0),
        "`weight.norm()` is the length of the whole matrix: each column has its own, `.norm(dim=0)`.":
            lambda w: dimensionality(w) * w.square().sum() / norms(w).square(),
        "square every dot product, then sum: before it is squared one can cancel another.":
            "square().sum(1) -> sum(1).square()",
        "these are absolute dot products. Square them.": "overlap.square() -> overlap.abs()",
        "you gave one number per dimension: features are the columns of W, not its rows.":
            lambda w: dimensionality(w.T),
    }, "compare with the formula: |W_i|² over a sum for each feature i.",
        "one number for each feature", level="hard"),
    "boundary": Exercise(2, sharing_ends, [(1.0,), (0.5,), (2.0,), (0.1,), (5.0,)], {
        "the cheaper way to leave one out counts. If the extra feature matters more than the first "
        "(r > 1), it is the first that is left out, and its importance is 1.": "1.0 -> math.inf",
        "the cheaper way to leave one out counts. If the extra feature matters less than the first "
        "(r < 1), it is the extra one that is left out, and its importance is r.":
            "min(importance, 1.0) -> 1.0",
        "you compared with the dearer of the two ways to leave a feature out.": "min -> max",
        "a feature that is left out is read back as its mean: what it costs is its variance, "
        "p/3 - p²/4, not its mean square p/3.": "+ least / 4 ->",
        "the square of the mean is taken off, -p²/4: it came to the wrong side.":
            "+ least -> - least",
        "where both are present, the pair misses both: the weight is 1 + r, not r.": "(1 + -> (",
        "where both are present, the pair misses both: the weight is 1 + r, not 1.":
            "(1 + importance) -> 1",
        "the pair misses the *smaller* of the two values. Its mean square is 1/6, not 1/3.":
            "/ 6 -> / 3",
        "the variance of a uniform number is 1/12, but this feature is absent most of the time: its "
        "variance is p/3 - p²/4.": lambda r: min(r, 1.0) / 12 / ((1 + r) / 6),
        "this is the sparsity 1 - p. The density p is asked for.": lambda r: 1 - sharing_ends(r),
    }, "set the cost of the pair equal to that of the cheaper way to leave a feature out.",
        level="hard"),
    "shrink": Exercise(1, soft_threshold, [
        (tensor([[2.0, -2.0, 0.3, -0.3, 0.0], [0.5, -0.7, 4.0, -1.1, 0.45]]), 0.4),
    ], {
        "large entries keep their full value: that is a hard threshold. The soft one takes the "
        "threshold off.": lambda c, t: c * (c.abs() > t),
        "negative entries are lost: they must move up towards zero.": lambda c, t: (c - t).relu(),
        "the sign is lost: shrink the magnitude, then give the sign back.": "code.sign() * ->",
        "small entries overshoot: they cross zero and change sign. Stop them at zero.":
            lambda c, t: c.sign() * (c.abs() - t),
        "entries move away from zero.": lambda c, t: c.sign() * (c.abs() + t),
        "every entry moved down. Negative ones must move up.": lambda c, t: c - t,
        "this is what the step must take off: every entry, cut off at the threshold.":
            lambda c, t: c.clamp(-t, t),
    }, "every entry must move towards zero by the threshold, and stop.", "[samples, latents]",
        level="easy"),
}
