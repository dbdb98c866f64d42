"""Exercises of notebook 02: sparse autoencoders."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import CUT_OFF, matched, normal, norms, unit, with_gradient
from ssae_kit.exercises.values import Mistake


def encode(x: Tensor, encoder: Tensor, encoder_bias: Tensor, decoder_bias: Tensor) -> Tensor:
    """Code of a ReLU autoencoder."""
    return ((x - decoder_bias) @ encoder.T + encoder_bias).relu()


def sae_loss(
    x: Tensor, codes: Tensor, decoder: Tensor, decoder_bias: Tensor, weight: float
) -> Tensor:
    """Objective of a sparse autoencoder; directions are the decoder's columns."""
    missed = x - codes @ decoder.T - decoder_bias
    return missed.square().sum(1).mean() + weight * codes.sum(1).mean()


NO_GRADIENT = "no gradient reaches the codes: return a tensor, and stay in torch until the end."


UNTRAINED = "the encoder gets no gradient: it is trained below, so stay in torch, without `detach`."


def encoding(answer: Callable[..., Any], *case: Tensor) -> Any:
    """Try an answer to 02.encode; `Mistake` if the encoder gets no gradient."""
    x, encoder, *biases = case
    value = answer(x, encoder.clone().requires_grad_(), *biases)
    if isinstance(value, Tensor | np.ndarray) and not getattr(value, "requires_grad", False):
        raise Mistake(UNTRAINED)
    return value


NO_TENSOR = "the training below needs a tensor: stay in torch."


def as_tensor(answer: Callable[..., Any], decoder: Tensor) -> Any:
    """Try an answer to 02.unit; `Mistake` if it is an array of another kind."""
    value = answer(decoder)
    if isinstance(value, np.ndarray | list):
        raise Mistake(NO_TENSOR)
    return value


def code_sizes(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean sum of the code: with a latent for each value, and with one for each combination."""
    return values.abs().sum(1).mean(), norms(values, 1).mean()


def dead(codes: Tensor) -> Tensor:
    """Latents that fire on no sample."""
    return ~(codes > 0).any(0)


def cosines(found: Tensor, truth: Tensor) -> Tensor:
    """Cosine of each found direction with each true one."""
    return unit(found, 1) @ unit(truth, 1).T


def mean_best_cosine(found: Tensor, truth: Tensor) -> Tensor:
    """Mean over true directions of the largest absolute cosine with any found one."""
    return cosines(found, truth).abs().amax(0).mean()


def unit_columns(decoder: Tensor) -> Tensor:
    """Every decoder direction (column) at length 1."""
    units: Tensor = decoder / decoder.norm(dim=0)
    return units


def remove_parallel(gradient: Tensor, decoder: Tensor) -> Tensor:
    """Gradient without the part that only changes lengths; columns are of length 1."""
    return gradient - (gradient * decoder).sum(0) * decoder


def codes() -> Tensor:
    """Latents 1 and 4 of 6 are dead."""
    made = normal(5, 50, 6).abs()
    made[:, 1] = made[:, 4] = 0
    made[1:, 2] = 0  # fires once, and so is alive
    made[:, 3] *= 1e-12  # weak, but fires always
    made[::2, 0] = 0  # silent half of the time
    return made


FOUND, TRUTH = 2 * normal(6, 7, 4), normal(7, 3, 4)
TRUTH[1] = TRUTH[0] + 0.1 * TRUTH[1]  # one latent is the best for both
FOUND[0] = -3 * TRUTH[0]
SHORT = tensor([1.0, 0.2, 0.1, 1.0, 2.0, 0.3])
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "encode": Exercise(2, encode, [
        (tensor([[2.0, 1.0]]), tensor([[1.0, 0.0], [0.5, 1.0], [1.0, -2.0]]),
         tensor([0.5, -0.25, 0.1]), tensor([0.5, -1.0])),
        (normal(1, 6, 4) + 1, normal(2, 5, 4), normal(3, 5), normal(4, 4)),
    ], {
        "the ReLU is missing: a code may not be negative.": lambda x, w, b, c: (x - c) @ w.T + b,
        "the decoder bias b_d is not taken off the input.": "x - decoder_bias -> x",
        "b_d must be taken off the input, not added.": lambda x, w, b, c: encode(x, w, b, -c),
        "the encoder bias b_e is missing.": lambda x, w, b, c: encode(x, w, 0 * b, c),
        "b_e must be added before the ReLU: it sets the threshold.":
            "+ encoder_bias).relu() -> ).relu() + encoder_bias",
        "b_e is added, not taken off.": lambda x, w, b, c: encode(x, w, -b, c),
        "these are absolute values: a ReLU sets what is negative to 0.": "relu -> abs",
        UNTRAINED: lambda *case: encode(*case).detach(),
    }, "compare with relu((x - b_d) W_eᵀ + b_e).", "codes [samples, latents]", use=encoding),
    "loss": Exercise(2, sae_loss, [
        (tensor([[1.0, 2.0]]), tensor([[0.5, 2.0, 0.2]]), tensor([[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]]),
         tensor([0.25, -0.5]), 0.1),
        (normal(21, 7, 4), normal(22, 7, 6).abs(), unit(normal(23, 4, 6)), normal(24, 4), 0.3),
    ], {
        "the penalty is missing: nothing asks for a sparse code.": "weight * -> 0 *",
        "the error is missing: the code is small, but reconstructs nothing.":
            "missed.square() -> 0 * missed",
        "the weight multiplies the penalty, not the error.": "+ weight * -> * weight +",
        "the decoder's bias b_d is not in the reconstruction.": "- decoder_bias ->",
        "you averaged the error over dimensions. Its squares are summed over dimensions, and "
        "averaged over samples only.": "square().sum(1) -> square()",
        "you averaged the codes over latents. Sum over latents, average over samples only.":
            "codes.sum(1) -> codes",
        "you summed over the samples; take their mean.": ".mean() -> .sum()",
        "the codes are squared. Squares hardly charge for small codes, so many small ones stay: "
        "take the sum of the codes themselves.": "codes.sum -> codes.square().sum",
        "the error is a length. Take its square.": "square().sum(1) -> norm(dim=1)",
        "error and codes are both averaged over everything. Sum along each sample, `.sum(1)`, then "
        "average over samples.": ".sum(1).mean() -> .mean()",
        "you summed over samples and averaged along them. Sum along each sample, `.sum(1)`, then "
        "average over samples.": ".sum(1).mean() -> .mean(1).sum()",
        "the penalty is summed over samples: average it over them, as the error.":
            "codes.sum(1).mean() -> codes.sum()",
        "the weight of the penalty is missing.": "weight * ->",
        "the penalty is subtracted: then large codes are rewarded.": "+ weight -> - weight",
        "b_d is added to the reconstruction, not taken off.": "- decoder_bias -> + decoder_bias",
        "the error is halved: some books do so, this objective does not.": "return -> return 0.5 *",
        "these are absolute errors. Square them.": "square -> abs",
        CUT_OFF: "codes.sum -> codes.detach().sum",
        "you counted the latents that fire. A count has no gradient, so nothing would get sparser: take "
        "the sum of the codes.": "codes.sum -> (codes > 0).float().sum",
        NO_GRADIENT: lambda *case: sae_loss(*case).item(),
    }, "it is not the mean over x of |x - x'|² + weight × sum of r, with x' = W_d r + b_d.",
        use=partial(with_gradient, NO_GRADIENT, sae_loss)),
    "combinations": Exercise(2, code_sizes, [
        (tensor([[1.0, -1.0, 0.0], [2.0, 0.0, -1.0]]),), (normal(31, 9, 4),),
    ], {
        "signs cancel: the value -1 has a latent of its own, and its code is 1, not -1.":
            lambda v: (v.sum(1).mean(), code_sizes(v)[1]),
        "these are numbers of latents that are on. The sum of their codes is asked for.":
            lambda v: ((v != 0).double().sum(1).mean(), (v != 0).any(1).double().mean()),
        "for values you counted latents that are on. The sum of their codes is asked for.":
            lambda v: ((v != 0).double().sum(1).mean(), code_sizes(v)[1]),
        "a combination's latent is on once, but its code is as long as the sample, not 1.":
            lambda v: (code_sizes(v)[0], (v != 0).any(1).double().mean()),
        "the square root is missing: the code of a combination is a length.":
            lambda v: (code_sizes(v)[0], v.square().sum(1).mean()),
        "take the root for each sample, then average: you averaged first.":
            lambda v: (code_sizes(v)[0], v.square().sum(1).mean().sqrt()),
        "you averaged over concepts. Sum over concepts, average over samples only.": ".sum(1) ->",
        "you went down the samples. Each row is a sample: sum along it, `.sum(1)`.": "1) -> 0)",
        "you summed over samples; take their mean.": ".mean() -> .sum()",
        "turned round: first with a latent for each value, then for each combination.":
            lambda v: code_sizes(v)[::-1],
    }, "the sum of |value|, and the root of the sum of squares, each averaged over samples.",
        "two numbers"),
    "mmcs": Exercise(2, mean_best_cosine, [
        (tensor([[2.0, 0.0], [-3.0, 3.0]]), tensor([[1.0, 0.0], [0.0, -1.0]])),
        (FOUND, TRUTH), (FOUND[[3, 1, 0, 6, 2, 5, 4]], TRUTH),
    ], {
        "lengths are still in it: a cosine does not change if a direction is made longer.":
            lambda f, t: (f @ t.T).abs().amax(0).mean(),
        "signs: a latent along the opposite direction has found it as well. Take absolute values.":
            lambda f, t: cosines(f, t).amax(0).mean(),
        "you took, for each latent, the best true direction. Ask it the other way: is each true "
        "direction found by some latent?": lambda f, t: mean_best_cosine(t, f),
        "take the best latent for each true direction, not the average over latents.":
            ".amax(0) ->",
        "take the mean over true directions, not the best of them.": ".amax(0).mean() -> .max()",
        "this is the sum over true directions. Average.": ".mean() -> .sum()",
        "only one of the two has rows of length 1: a cosine needs both, here the truth.":
            lambda f, t: (unit(f, 1) @ t.T).abs().amax(0).mean(),
        "only one of the two has rows of length 1: a cosine needs both, here what was found.":
            lambda f, t: (f @ unit(t, 1).T).abs().amax(0).mean(),
        "lengths went down the columns; directions are rows, `.norm(dim=1, keepdim=True)`.":
            lambda f, t: (unit(f) @ unit(t).T).abs().amax(0).mean(),
        "you matched one-to-one. That is the MCC; here one latent may be the best for several true "
        "directions.": lambda f, t: matched(cosines(f, t).abs()),
    }, "for each true direction, the best |cosine|."),
    "dead": Exercise(1, dead, [
        (tensor([[0.0, 0.0, 0.5], [0.0, 2.0, 0.5], [0.0, 1.0, 0.5]]),), (codes(),),
    ], {
        "turned round: you mark the latents that live.": lambda c: ~dead(c),
        "a latent that is silent on some samples is not dead. Silent on all of them is.":
            lambda c: (c == 0).any(0),
        "a latent that fires once, on one sample, gets a gradient: it is not dead.":
            lambda c: (c > 0).sum(0) <= 1,
        "these are the numbers of the dead latents. Return a yes or no for every latent.":
            lambda c: dead(c).nonzero().flatten(),
        "this is how many are dead. Return a yes or no for every latent.": lambda c: dead(c).sum(),
        "a weak latent is not dead: what counts is that it fires, not how strongly.":
            lambda c: c.amax(0) < 1e-6,
    }, "a latent is dead if no sample makes it fire.",
        "one yes or no for each of the 6 latents (columns)", level="easy"),
    "unit": Exercise(1, unit_columns, [
        (tensor([[3.0, 0.3], [4.0, 0.4]]),), (normal(9, 4, 6) * SHORT,),
    ], {
        "you normalised rows; decoder directions are columns.": lambda w: unit(w, 1),
        "you divided by the length of the whole matrix. Each column needs its own.": "dim=0 ->",
        "you divided by the squared length.": lambda w: w / w.square().sum(0),
        "you divided by the sum of absolute values: that is the L1 norm, not the length.":
            lambda w: w / w.abs().sum(0),
        "you divided by the sum of the entries. The length is the root of the sum of squares.":
            lambda w: w / w.sum(0),
        "columns shorter than 1 stayed as they were: they must be stretched to 1 as well.":
            lambda w: w / w.norm(dim=0).clamp(min=1),
        "you divided by the largest entry: that is not the length.": "norm(dim=0) -> abs().amax(0)",
        "nothing changed.": lambda w: w,
        NO_TENSOR: lambda w: unit(w).numpy(),
    }, "every column must end at length 1.", "[d_model, latents]", level="easy", use=as_tensor),
    "tangent": Exercise(2, remove_parallel, [
        (tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([[0.6, 1.0], [0.8, 0.0]])),
        (normal(11, 5, 3), unit(normal(10, 5, 3))),
    ], {
        "nothing was removed.": lambda g, w: g,
        "this is the part along the directions: it is what must go.": "gradient - ->",
        "you added the part along the direction instead of removing it.": "- ( -> + (",
        "you normalised the gradient. Its length matters; only its part along W must go.":
            lambda g, w: unit(g),
        "the dot product must be taken down each column, not along rows.": "(0) -> (1)[:, None]",
        "one number for the whole matrix is not enough: each column has its own.": "(0) -> ()",
        "the products were not summed: how much lies along a direction is one number per column.":
            lambda g, w: g - g * w,
        "`.sum(0)` is missing: `gradient * decoder` still holds one product for each entry.":
            lambda g, w: g - g * w * w,
        "you took the number off every entry. Take off that much *of the direction*: times decoder.":
            lambda g, w: g - (g * w).sum(0),
        "you took off a share of the gradient. Take off a share of the *direction*.":
            lambda g, w: g - (g * w).sum(0) * g,
        "each gradient loses its part along *all* directions. Only that along its own must go.":
            lambda g, w: g - w @ (w.T @ g),
        "the dot product keeps its sign: a gradient may point against its direction.":
            lambda g, w: g - (g * w).sum(0).abs() * w,
    }, "what is left must be orthogonal to its direction, per column.", "[d_model, latents]"),
}
