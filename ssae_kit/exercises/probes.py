"""Exercises of notebook 08: what a probe reads, and what is erased."""

from math import log

import torch
from torch import Tensor, tensor
from torch.nn.functional import nll_loss

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal


def probe_bits(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Entropy of the labels minus the probe's cross-entropy, in bits."""
    entropy: Tensor = torch.special.entr(labels.bincount() / len(labels)).sum()
    return (entropy - nll_loss(log_probs, labels)) / log(2)


def control_labels(values: Tensor, coins: Tensor) -> Tensor:
    """Label of a control task: one coin for each combination of values."""
    return coins[(values * 2 ** torch.arange(values.shape[1])).sum(1)]


def leace(states: Tensor, labels: Tensor) -> Tensor:
    """States from which no linear probe can read a concept of two values."""
    return erased(states, labels, "whitened", "shared")


def erased(x: Tensor, y: Tensor, reads: str, moves: str, origin: float | Tensor = 0.0) -> Tensor:
    """LEACE, or what one gets with another reader, another vector, or states not centred."""
    rows = {"shared": (x - x.mean(0)).mT @ (y - y.float().mean()) / len(x)}
    rows["whitened"] = torch.linalg.solve(x.mT.cov(correction=0), rows["shared"])
    reader, vector = rows[reads], rows[moves]
    return x - ((x - x.mean(0) + origin) @ reader)[:, None] * vector / (reader @ vector)


def spurious(codes: Tensor, wanted: Tensor, other: Tensor, n: int) -> Tensor:
    """Whether the top texts of each latent agree more on the other concept than on the wanted."""
    return leaning(codes, other, n).abs() > leaning(codes, wanted, n).abs()


def leaning(codes: Tensor, values: Tensor, n: int) -> Tensor:
    """Share of value 1 among each latent's top texts, less one half."""
    return values.float()[codes.topk(n, dim=0).indices].mean(0) - 0.5


FAIR = tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.3, 0.7]]).log()
UNFAIR = (2 * normal(1, 12, 3)).log_softmax(1), tensor([0, 2, 1, 0, 0, 2, 0, 1, 0, 0, 2, 0])
STATES = normal(3, 40, 3) @ tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.3]]) + 2
SIDES = (STATES[:, 2] - STATES[:, 0] / 4 + normal(4, 40) / 4 > 1.4).long()
FEW, FEW_SIDES = tensor([[0.0, 0], [2, 0], [4, 1], [6, 1], [2, 1]]), tensor([0, 0, 1, 1, 1])
TOP = tensor([[9.0, 0], [8, 1], [0, 8], [1, 9]]), tensor([1, 0, 1, 1]), tensor([1, 1, 0, 1]), 2
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "bits": Exercise(2, probe_bits, [(FAIR, tensor([0, 1, 1, 0])), UNFAIR], {
        "these are nats: divide by the logarithm of 2.": lambda p, y: probe_bits(p, y) * log(2),
        "turned round: subtract the cross-entropy, what is left unknown.": lambda p, y: -probe_bits(p, y),
        "what is still unknown alone: take it off the labels' entropy.": lambda p, y: nll_loss(p, y) / log(2),
        "labels may be unequally frequent: count them.": lambda p, y: (log(p.shape[1]) - nll_loss(p, y)) / log(2),
        "a sure error must cost: take the true label.": lambda p, y: probe_bits(p.amax(1, keepdim=True).expand_as(p), y),
    }, "entropy of the labels, plus the mean log-probability of the true label; both over log 2."),
    "control": Exercise(1, control_labels, [(tensor([[0, 1], [1, 1], [0, 1]]), tensor([1, 0, 1, 0])),
        ((normal(2, 9, 3) > 0).long(), tensor([1, 0, 0, 1, 1, 1, 0, 0]))], {
        "same values, same label: one coin each, not one per text.": lambda v, c: c[torch.arange(len(v)) % len(c)],
        "some combinations share a coin: number each, in binary digits.": lambda v, c: c[v.sum(1)],
        "this is the place of a coin: look it up.": lambda v, c: control_labels(v, torch.arange(len(c))),
        "backwards: the first column counts 1, the next 2, then 4.": lambda v, c: control_labels(v.flip(1), c),
    }, "coins[number], where number is the sum of values[:, k] * 2**k.", "one label per text", level="easy"),
    "leace": Exercise(3, leace, [(FEW, FEW_SIDES), (STATES, SIDES)], {
        "this erases, but moves states too far: *read* whitened.": lambda x, y: erased(x, y, "shared", "shared"),
        "other directions still tell: *move* along the covariance.": lambda x, y: erased(x, y, "whitened", "whitened"),
        "a state at the mean must stay: read from there.": lambda x, y: erased(x, y, "whitened", "shared", x.mean(0)),
        "turned round: move along the covariance, read whitened.": lambda x, y: erased(x, y, "shared", "whitened"),
    }, "states - (away @ whitened)[:, None] * shared / (whitened @ shared).", "states [texts, d_model]", level="hard"),
    "spurious": Exercise(2, spurious, [TOP, (normal(5, 24, 10), *(normal(6, 2, 24) > 0).long(), 6)], {
        "look at its top texts: over all, latents look alike.": lambda c, w, o, n: spurious(c, w, o, len(c)),
        "turned round: spurious is who agrees on the *other*.": lambda c, w, o, n: spurious(c, o, w, n),
        "top texts of value 0 agree too: how far from one half?": lambda c, w, o, n: leaning(c, o, n) > leaning(c, w, n),
        "these are the texts on which it fires least.": lambda c, w, o, n: spurious(-c, w, o, n),
    }, "compare |share - 1/2| of `other` and of `wanted` among each latent's n top texts.", "one flag per latent"),
}
