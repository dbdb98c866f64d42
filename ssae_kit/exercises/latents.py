"""Exercises of notebook 02b: the latents of a Llama."""

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal, unit


def f1_if_always(rates: Tensor) -> Tensor:
    """F1 of a latent that always fires: its precision is the label's rate, its recall is 1."""
    return 2 * rates / (1 + rates)


def share_recovered(clean: float, spliced: Tensor, ablated: float) -> Tensor:
    """Loss recovered: 1 at the clean loss, 0 at the loss with a constant in place."""
    return (ablated - spliced) / (ablated - clean)


def clamped(states: Tensor, codes: Tensor, direction: Tensor, value: float) -> Tensor:
    """States in which one latent has another code, and all else stays."""
    return states + (value - codes)[:, None] * direction


STATES, ON, WRITES = normal(42, 6, 4), normal(43, 6).relu(), unit(normal(44, 4))
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "always": Exercise(2, f1_if_always, [
        (tensor([0.5, 0.1, 0.8]),), (tensor([0.02, 0.35, 0.6, 0.9, 0.25]),),
    ], {
        "this is the precision alone. F1 is the harmonic mean of precision and recall.":
            lambda p: p.clone(),
        "this is the recall alone. F1 is the harmonic mean of precision and recall.": "-> rates**0",
        "you took the ordinary mean of precision and recall. F1 is the harmonic one, 2ab / (a + b).":
            lambda p: (1 + p) / 2,
        "you took the root of the product, the geometric mean. F1 is the harmonic one, 2ab / (a + b).":
            torch.sqrt,
        "the 2 is missing: the harmonic mean is 2ab / (a + b).": lambda p: p / (1 + p),
        "the recall is 1, not 1 - rate: the latent fires wherever the label is.":
            lambda p: 2 * p * (1 - p),
        "2/3 is right for a label of half of the texts. What about the others?":
            lambda p: torch.full_like(p, 2 / 3),
        "turned round: this is the inverse of F1.": lambda p: (1 + p) / (2 * p),
        "a latent that never fires scores 0. This one always fires.": torch.zeros_like,
    }, "the harmonic mean, 2ab / (a + b), of precision and recall.", "one F1 for each label"),
    "recovered": Exercise(2, share_recovered, [
        (1.0, tensor([1.0, 2.0, 3.0, 4.0]), 3.0), (2.5, 2.5 + 2 * normal(41, 7).abs(), 4.0),
    ], {
        "turned round: this is the share of the loss that was lost.": "-> 1 - right",
        "this is 0 at the constant, but counts nats. Divide by what there is to win.":
            lambda c, s, a: a - s,
        "you divided by the constant's loss: then even the Llama as it is would not reach 1.":
            lambda c, s, a: (a - s) / a,
        "you divided by the clean loss. What there is to win is the way from the constant to it.":
            lambda c, s, a: (a - s) / c,
        "a quotient of two losses is 1 for the Llama as it is, but not 0 at the constant.":
            lambda c, s, a: c / s,
        "the constant's loss is not in it: what should be 0 is not.":
            lambda c, s, a: 1 - (s - c) / c,
        "the sign is wrong: it must rise as the loss falls.": lambda c, s, a: (s - a) / (a - c),
        "a reconstruction may do worse than the constant, and its share is then below 0: do not cut "
        "it off.": lambda c, s, a: share_recovered(c, s, a).clamp(0, 1),
        "brackets are missing: divide the whole difference by the whole of the other.":
            lambda c, s, a: a - s / a - c,
        "the quotient is turned round: what was won stands above, what there is to win below.":
            lambda c, s, a: (a - c) / (a - s),
    }, "it must be 1 at the clean loss, 0 at the constant's, and in proportion between.",
        "one share for each reconstruction"),
    "clamp": Exercise(2, clamped, [
        (tensor([[1.0, 2], [0, 1], [3, -1]]), tensor([0.5, 3.0, 0.0]), tensor([0.6, 0.8]), 2.0),
        (STATES, ON, WRITES, 0.8),
    ], {
        "the latent's old code is still in the state, so it ends at more than c: take it off.":
            lambda x, r, w, c: x + c * w,
        "turned round: what is added is c minus the old code.": "states + -> states -",
        "this is the push alone: the state must stay under it.": "states + ->",
        "the old code is gone, but c was not put in its place.": "value - codes -> -codes",
        "take off the code that the encoder read. What lies along the direction is other latents', too.":
            lambda x, r, w, c: x + (c - x @ w)[:, None] * w,
        "this is what the latent writes, alone: all else in the state must stay.":
            lambda x, r, w, c: (c * w).expand_as(x),
        "`.clamp` of PyTorch cuts numbers off. Here the code becomes c at every token.":
            lambda x, r, w, c: x + (r.clamp(max=c) - r)[:, None] * w,
    }, "x + (c - r) w, at every token.", "states [tokens, d_model]"),
}
