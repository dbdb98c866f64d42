"""Checks of notebook 02: sparse autoencoders."""

from collections.abc import Callable

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ssae_kit.exercises.core import Exercise, Mistake, expect, number, shape
from ssae_kit.exercises.tensors import call, diagnose, same, seeded, tensor


def encode(answer: Callable[..., Tensor]) -> None:
    """Code of a ReLU autoencoder: relu((x - b_d) W_eᵀ + b_e)."""
    x = torch.randn(6, 4, generator=seeded(1)) + 1
    weight = torch.randn(5, 4, generator=seeded(2))
    bias, centre = torch.randn(5, generator=seeded(3)), torch.randn(4, generator=seeded(4))
    before = (x - centre) @ weight.T + bias
    found = tensor(call(answer, x, weight, bias, centre), (6, 5), "[samples, latents]")
    usual: dict[str, Tensor | None] = {
        "the ReLU is missing: a code may not be negative.": before,
        "the decoder bias b_d is not taken off the input.": (x @ weight.T + bias).relu(),
        "b_d must be taken off the input, not added.": ((x + centre) @ weight.T + bias).relu(),
        "the encoder bias b_e is missing.": ((x - centre) @ weight.T).relu(),
        "b_e must be added before the ReLU: it sets the threshold.": (
            ((x - centre) @ weight.T).relu() + bias
        ),
    }
    diagnose(found, before.relu(), usual, "compare with relu((x - b_d) W_eᵀ + b_e).")


def dead(answer: Callable[[Tensor], Tensor]) -> None:
    """Latents that fire on no sample."""
    codes = torch.rand(50, 6, generator=seeded(5))
    codes[:, 1] = codes[:, 4] = 0
    codes[1:, 2] = 0  # fires once, and so is alive
    codes[:, 3] *= 1e-12  # weak, but fires always
    codes[::2, 0] = 0  # silent half of the time
    found = call(answer, codes)
    expect(found is not None, "your function returned None. Is a `return` missing?")
    if not isinstance(found, Tensor) or found.shape != (6,):
        raise Mistake(
            f"give one yes or no for each of the 6 latents (columns); got {shape(found)}."
        )
    wanted = torch.tensor([False, True, False, False, True, False])
    found = found.bool()
    expect(not torch.equal(found, ~wanted), "turned round: you mark the latents that live.")
    expect(
        not found[0],
        "a latent that is silent on some samples is not dead. Silent on all of them is.",
    )
    expect(
        not found[2], "a latent that fires once, on one sample, gets a gradient: it is not dead."
    )
    expect(
        not found[3], "a weak latent is not dead: what counts is that it fires, not how strongly."
    )
    expect(torch.equal(found, wanted), f"latents 1 and 4 are dead; you mark {found.tolist()}.")


def mmcs(answer: Callable[[Tensor, Tensor], float]) -> None:
    """Mean over true directions of the largest absolute cosine with any found one."""
    found = torch.randn(7, 4, generator=seeded(6)) * 2
    truth = torch.randn(3, 4, generator=seeded(7))
    truth[1] = truth[0] + 0.1 * truth[1]  # one latent is the best for both
    found[0] = -3 * truth[0]
    dots = found @ truth.T
    cosine = dots / (found.norm(dim=1)[:, None] * truth.norm(dim=1))
    one_to_one = linear_sum_assignment(cosine.abs().numpy(), maximize=True)
    value = torch.tensor(number(call(answer, found, truth)), dtype=torch.float32)
    usual: dict[str, Tensor | None] = {
        "lengths are still in it: a cosine does not change if a direction is made longer.": (
            dots.abs().amax(0).mean()
        ),
        "signs: a latent along the opposite direction has found it as well. Take absolute values.": (
            cosine.amax(0).mean()
        ),
        "you took, for each latent, the best true direction. Ask it the other way: is each true "
        "direction found by some latent?": cosine.abs().amax(1).mean(),
        "take the best latent for each true direction, not the average over latents.": (
            cosine.abs().mean()
        ),
        "take the mean over true directions, not the best of them.": cosine.abs().max(),
        "you matched one-to-one. That is the MCC; here one latent may be the best for several "
        "true directions.": cosine.abs()[one_to_one].mean(),
    }
    diagnose(
        value, cosine.abs().amax(0).mean(), usual, "for each true direction, the best |cosine|."
    )
    shuffled = found[torch.randperm(7, generator=seeded(8))]
    again = torch.tensor(number(answer(shuffled, truth)), dtype=torch.float32)
    expect(same(again, value), "the order of the latents must not matter.")


def unit(answer: Callable[[Tensor], Tensor]) -> None:
    """Every decoder direction (column) at length 1."""
    decoder = torch.randn(4, 6, generator=seeded(9))
    found = tensor(call(answer, decoder), (4, 6), "[d_model, latents]")
    usual: dict[str, Tensor | None] = {
        "you normalised rows; decoder directions are columns.": (
            decoder / decoder.norm(dim=1, keepdim=True)
        ),
        "you divided by the length of the whole matrix. Each column needs its own.": (
            decoder / decoder.norm()
        ),
        "you divided by the squared length.": decoder / decoder.square().sum(0),
        "you divided by the sum of absolute values: that is the L1 norm, not the length.": (
            decoder / decoder.abs().sum(0)
        ),
        "nothing changed.": decoder,
    }
    diagnose(found, decoder / decoder.norm(dim=0), usual, "every column must end at length 1.")


def tangent(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Gradient without the part that only changes lengths; columns are of length 1."""
    decoder = torch.randn(5, 3, generator=seeded(10))
    decoder = decoder / decoder.norm(dim=0)
    gradient = torch.randn(5, 3, generator=seeded(11))
    along = (gradient * decoder).sum(0)
    unit_gradient = gradient / gradient.norm(dim=0)
    found = tensor(call(answer, gradient, decoder), (5, 3), "[d_model, latents]")
    usual: dict[str, Tensor | None] = {
        "nothing was removed.": gradient,
        "this is the part along the directions: it is what must go.": along * decoder,
        "you added the part along the direction instead of removing it.": (
            gradient + along * decoder
        ),
        "you normalised the gradient. Its length matters; only its part along W must go.": (
            unit_gradient
        ),
        "the dot product must be taken down each column, not along rows.": (
            gradient - (gradient * decoder).sum(1, keepdim=True) * decoder
        ),
        "one number for the whole matrix is not enough: each column has its own.": (
            gradient - (gradient * decoder).sum() * decoder
        ),
    }
    wanted = gradient - along * decoder
    diagnose(found, wanted, usual, "what is left must be orthogonal to its direction, per column.")


EXERCISES = {
    "encode": Exercise(2, encode),
    "mmcs": Exercise(2, mmcs),
    "dead": Exercise(1, dead),
    "unit": Exercise(1, unit),
    "tangent": Exercise(2, tangent),
}
