"""Exercises of notebook 09: what steering is held against."""

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal


def lora(weight: Tensor, down: Tensor, up: Tensor, alpha: float) -> Tensor:
    """A weight matrix with its low-rank update."""
    new: Tensor = weight + alpha / len(down) * up @ down
    return new


def loreft(states: Tensor, rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """States whose part in a subspace is replaced by a linear function of the state."""
    return states + (states @ weight.T + bias - states @ rows.T) @ rows


def excess(before: Tensor, after: Tensor, lengths: Tensor) -> Tensor:
    """Nats per token that a model lost, over all tokens of all documents."""
    return ((after - before) * lengths).sum() / lengths.sum()


def monolinguality(codes: Tensor, is_french: Tensor) -> Tensor:
    """Mean code of each latent on French tokens minus that on the others."""
    return codes[is_french].mean(0) - codes[~is_french].mean(0)


WEIGHT, DOWN, UP = normal(1, 5, 4), normal(2, 3, 4), normal(3, 5, 3)
SQUARE = torch.eye(2), tensor([[1.0, 2.0]]), tensor([[1.0], [0.0]])
STATES, BIAS = normal(4, 6, 5), normal(5, 2)
ROWS, READ = torch.linalg.qr(normal(6, 5, 2)).Q.T.contiguous(), normal(7, 2, 5)
PLAIN, LOST, LENGTHS = normal(8, 7).abs(), normal(9, 7).abs(), tensor([3, 9, 4, 12, 5, 7, 2])
CODES = normal(10, 12, 6).relu()
FRENCH = normal(11, 12) > 0.3
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "lora": Exercise(1, lora, [(*SQUARE, 2.0), (WEIGHT, DOWN, UP, 8.0)], {
        "the update has no scale: multiply it by alpha over the rank.": "alpha / len(down) * ->",
        "divide alpha by the rank, so that a larger rank does not push harder.": "/ len(down) ->",
        "this is the update alone: the old weight stays under it.": "weight + ->",
        "the rank is the number of rows of `down`, not of its columns.": "len(down) -> len(down.T)",
    }, "weight + alpha / rank * up @ down.", "weights [out, in]", level="easy"),
    "loreft": Exercise(2, loreft, [
        (tensor([[1.0, 2.0]]), tensor([[0.0, 1.0]]), tensor([[3.0, 0.0]]), tensor([0.5])),
        (STATES, ROWS, READ, BIAS),
    ], {
        "what is there already must go: subtract the state's own part in the subspace, states @ rows.T.":
            lambda h, r, w, b: h + (h @ w.T + b) @ r,
        "the state outside of the subspace stays: add to the states.": "states + ( -> (",
        "the bias is missing.": lambda h, r, w, b: h + (h @ w.T - h @ r.T) @ r,
        "write back along the orthonormal rows, not along what reads.": ") @ rows -> ) @ weight",
    }, "states + (states @ weight.T + bias - states @ rows.T) @ rows.", "states [texts, d_model]"),
    "excess": Exercise(1, excess, [
        (tensor([1.0, 2.0]), tensor([1.5, 2.0]), tensor([1, 3])), (PLAIN, LOST, LENGTHS),
    ], {
        "every token counts alike, so a long document weighs more: a mean over documents is another "
        "number.": lambda a, b, n: (b - a).mean(),
        "turned round: what was lost is the loss after minus the loss before.": "-> -right",
        "this is the loss after. Documents that were hard to begin with are no fault of the change.":
            lambda a, b, n: (b * n).sum() / n.sum(),
        "an improvement is a negative loss: leave it in, or noise alone looks like harm.":
            lambda a, b, n: ((b - a).clamp(min=0) * n).sum() / n.sum(),
    }, "sum of (after - before) * lengths, over the sum of lengths."),
    "mono": Exercise(1, monolinguality, [
        (tensor([[2.0, 0.0], [4.0, 1.0], [0.0, 3.0]]), tensor([True, True, False])), (CODES, FRENCH),
    ], {
        "compare with the other language: a latent that fires everywhere is large in French too.":
            lambda c, f: c[f].mean(0),
        "turned round: French minus the other.": lambda c, f: -monolinguality(c, f),
        "zeros count: the mean goes over all tokens, not over those where the latent fires.":
            lambda c, f: (
                c[f].sum(0) / (c[f] > 0).sum(0).clamp(min=1)
                - c[~f].sum(0) / (c[~f] > 0).sum(0).clamp(min=1)),
        "this counts how often it fires. The score is about how strongly: take the codes.":
            lambda c, f: (c[f] > 0).float().mean(0) - (c[~f] > 0).float().mean(0),
    }, "codes[is_french].mean(0) - codes[~is_french].mean(0).", "one score per latent", level="easy"),
}
