"""Checks of notebook 01: the toy model and its geometry."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ssae_kit.exercises.core import Exercise, close, expect, number
from ssae_kit.exercises.tensors import call, diagnose, same, seeded, tensor


def sample(answer: Callable[..., Tensor]) -> None:
    """Features that are absent, or present with a value between 0 and 1."""
    density, size = 0.2, (2000, 5)
    found = tensor(answer(density, *size, seeded(1)), size, "[samples, features]")
    again = tensor(answer(density, *size, seeded(1)), size, "[samples, features]")
    present = found != 0
    share = present.double().mean().item()
    error = 5 * math.sqrt(density * (1 - density) / found.numel())  # five standard errors
    expect(
        abs(share - (1 - density)) > error,
        f"features are present in {share:.0%} of the cases, which is 1 - p: the comparison is "
        "turned round.",
    )
    expect(
        torch.equal(found, again),
        "two generators with the same seed gave different samples: draw from the `generator`.",
    )
    expect(
        (present.double().mean(1) > 0).double().mean() > 1 - 2 * (1 - density) ** 5
        and not (present == present[:, :1]).all(),
        "all features of a sample come and go together. Draw presence for each feature.",
    )
    expect(
        abs(share - density) <= error,
        f"with p = {density} a share of {share:.2f} of the features is present.",
    )
    _values(found[present])


def _values(values: Tensor) -> None:
    """Raise `Mistake` unless present features are uniform between 0 and 1."""
    expect(
        not (values == 1).all(), "present features are all 1. Their values vary between 0 and 1."
    )
    expect(
        values.min() >= 0 and values.max() <= 1,
        f"values must lie between 0 and 1; yours reach from {values.min():.1f} to {values.max():.1f}.",
    )
    expect(
        abs(values.mean().item() - 0.5) < 5 * math.sqrt(1 / 12 / len(values)),
        f"present values must be uniform, with mean 0.5; yours have {values.mean():.2f}. Were "
        "presence and value drawn from the same numbers?",
    )
    spread = 5 * math.sqrt(1 / 180 / len(values))  # five standard errors of the variance
    expect(
        abs(values.var().item() - 1 / 12) < spread,
        f"present values must fill 0 to 1 evenly, with variance 1/12; yours have {values.var():.3f}.",
    )


def loss(answer: Callable[..., Tensor]) -> None:
    """The toy model's loss, from x, W, b and the importance of each feature."""
    x = torch.rand(7, 5, generator=seeded(2))
    weight = torch.randn(2, 5, generator=seeded(3))
    bias = 0.3 * torch.randn(5, generator=seeded(4))
    importance = 0.5 ** torch.arange(5.0)
    read = x @ weight.T @ weight
    error = ((read + bias).relu() - x).square()
    linear, without_bias = (read + bias - x).square(), (read.relu() - x).square()
    wanted = (error * importance).sum(1).mean()
    found = torch.tensor(number(call(answer, x, weight, bias, importance)))
    usual: dict[str, Tensor | None] = {
        "the ReLU is missing: without it the model is linear.": (linear * importance).sum(1).mean(),
        "the bias is missing.": (without_bias * importance).sum(1).mean(),
        "the bias must be added before the ReLU.": (
            ((read.relu() + bias - x).square() * importance).sum(1).mean()
        ),
        "the importance is missing.": error.sum(1).mean(),
        "the importance got squared: it weighs the squared error, not the error.": (
            (error * importance**2).sum(1).mean()
        ),
        "you averaged over features. Sum over features; average over samples only.": (
            (error * importance).mean()
        ),
        "you summed over the samples; take their mean.": (error * importance).sum(),
    }
    diagnose(found, wanted, usual, "it is not the mean over x of sum_i I_i (x_i - x'_i)².")
    weight.requires_grad_()
    value = answer(x, weight, bias, importance)
    expect(value.requires_grad, "no gradient reaches W: stay in torch until the end.")


def even(answer: Callable[[int, int], float]) -> None:
    """Dimensionality of each of n features that share m dimensions evenly."""
    for n, m in ((2, 1), (5, 2), (8, 3), (60, 12)):
        found = number(answer(n, m))
        expect(not close(found, n / m), "this is features per dimension; D is the other way round.")
        expect(
            m == 1 or not close(found, 1 / n),
            f"{n} features share {m} dimensions, not one: the shares add up to {m}.",
        )
        expect(
            not close(found, 2 / n) or close(found, m / n),
            f"2/n is right in a plane; here there are {m} dimensions.",
        )
        expect(
            close(found, m / n),
            f"for {n} features in {m} dimensions you say {found:.3f}. The shares must add up to {m}.",
        )
    expect(
        close(number(answer(3, 7)), 1.0),
        "with more dimensions than features each has one to itself: D cannot exceed 1.",
    )


def dimensionality(answer: Callable[[Tensor], Tensor]) -> None:
    """Share of a dimension that each feature has to itself; columns are directions."""
    weight = torch.randn(3, 6, generator=seeded(5))
    gram = weight.T @ weight
    squared = gram.diagonal()
    right = squared / (gram.square() / squared[:, None]).sum(1)
    others = gram.square() / squared[:, None]
    found = call(answer, weight)
    expect(
        not (isinstance(found, Tensor) and found.shape == (3,)),
        "you gave one number per dimension: features are the columns of W, not its rows.",
    )
    found = tensor(found, (6,), "[features]")
    usual: dict[str, Tensor | None] = {
        "the direction in the denominator must have length 1: divide W_i by its norm.": squared
        / gram.square().sum(1),
        "the sum in the denominator includes the feature itself.": squared
        / (others - torch.diag(others.diagonal())).sum(1),
        "the dot products in the denominator must be squared.": squared
        / (gram / squared.sqrt()[:, None]).sum(1),
        "only direction i has length 1; direction j keeps its own length.": squared
        / (gram.square() / (squared[:, None] * squared)).sum(1),
        "the numerator is the squared length of W_i.": squared.sqrt() / others.sum(1),
    }
    diagnose(found, right, usual, "compare with the formula: |W_i|² over a sum for each feature i.")
    digon = torch.tensor([[1.0, -1.0]])
    expect(same(call(answer, digon), torch.full((2,), 0.5)), "a digon must give 1/2 and 1/2.")


def shrink(answer: Callable[[Tensor, float], Tensor]) -> None:
    """Soft threshold: every entry moves towards zero by the threshold, and stops there."""
    code = torch.tensor([[2.0, -2.0, 0.3, -0.3, 0.0], [0.5, -0.7, 4.0, -1.1, 0.45]])
    threshold = 0.4
    magnitude = code.abs()
    wanted = code.sign() * (magnitude - threshold).clamp(min=0)
    found = tensor(call(answer, code, threshold), (2, 5), "[samples, latents]")
    usual: dict[str, Tensor | None] = {
        "large entries keep their full value: that is a hard threshold. The soft one takes the "
        "threshold off.": torch.where(magnitude > threshold, code, 0.0),
        "negative entries are lost: they must move up towards zero.": (code - threshold).relu(),
        "the sign is lost: shrink the magnitude, then give the sign back.": wanted.abs(),
        "small entries overshoot: they cross zero and change sign. Stop them at zero.": code.sign()
        * (magnitude - threshold),
        "entries move away from zero.": code.sign() * (magnitude + threshold),
    }
    diagnose(found, wanted, usual, "every entry must move towards zero by the threshold, and stop.")


EXERCISES = {
    "sample": Exercise(1, sample),
    "loss": Exercise(2, loss),
    "even": Exercise(1, even),
    "dimensionality": Exercise(2, dimensionality),
    "shrink": Exercise(1, shrink),
}
