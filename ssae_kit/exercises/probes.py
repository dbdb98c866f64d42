"""Exercises of notebook 08: what a probe reads, and what is erased."""

from math import log

import torch
from torch import Tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal


def probe_bits(log_probs: Tensor, labels: Tensor) -> Tensor:
    """Entropy of the labels minus the probe's cross-entropy, in bits."""
    share = labels.bincount() / len(labels)
    entropy = torch.special.entr(share).sum()
    nats: Tensor = entropy + log_probs[torch.arange(len(labels)), labels].mean()
    return nats / log(2)


def control_labels(values: Tensor, coins: Tensor) -> Tensor:
    """Label of a control task: one coin for each combination of values."""
    return coins[(values * 2 ** torch.arange(values.shape[1])).sum(1)]


def leace(states: Tensor, labels: Tensor) -> Tensor:
    """States from which no linear probe can read a concept of two values."""
    return erased(states, labels)


def erased(states: Tensor, labels: Tensor, way: str = "") -> Tensor:
    """LEACE, or what one gets in a wrong way."""
    away = states - states.mean(0)
    shared = away.mT @ (labels.float() - labels.float().mean()) / len(states)
    whitened = torch.linalg.solve(away.mT @ away / len(states), shared)
    vector, reader = shared, whitened / (whitened @ shared)
    if way == "swapped":
        vector, reader = reader, vector
    if way == "projected":
        vector = reader = shared / shared.norm()
    if way == "probe":
        vector = reader = whitened / whitened.norm()
    from_states = states if way == "origin" else away
    new: Tensor = states - (from_states @ reader)[:, None] * vector
    return new


def spurious(codes: Tensor, wanted: Tensor, other: Tensor, n: int) -> Tensor:
    """Whether the top texts of each latent agree more on the other concept than on the wanted."""
    top = codes.topk(n, dim=0).indices
    return leaning(other, top) > leaning(wanted, top)


def leaning(values: Tensor, top: Tensor) -> Tensor:
    """How far from one half the share of value 1 is among each latent's texts."""
    return (values.float()[top].mean(0) - 0.5).abs()


LOGS = (2 * normal(1, 12, 3)).log_softmax(1)
LABELS = torch.tensor([0, 2, 1, 0, 0, 2, 0, 1, 0, 0, 2, 0])
FAIR = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.3, 0.7]]).log()
VALUES = (normal(2, 9, 3) > 0).long()
COINS = torch.tensor([1, 0, 0, 1, 1, 1, 0, 0])
STATES = normal(3, 40, 3) @ torch.tensor([[3.0, 1.0, 0.0], [0.0, 1.0, 0.5], [0.0, 0.0, 0.3]]) + 2
SIDES = (STATES[:, 2] - STATES[:, 0] / 4 + normal(4, 40) / 4 > 1.4).long()
CODES = normal(5, 24, 10)
WANTED, OTHER = ((normal(seed, 24) > 0).long() for seed in (6, 7))
# fmt: off
EXERCISES = {  # a sentence, then the function of someone who needs it
    "bits": Exercise(2, probe_bits, [
        (FAIR, torch.tensor([0, 1, 1, 0])), (LOGS, LABELS),
    ], {
        "these are nats: divide by the logarithm of 2.":
            lambda p, y: probe_bits(p, y) * log(2),
        "turned round: what is left unknown, the cross-entropy, is subtracted.":
            lambda p, y: -probe_bits(p, y),
        "this is the cross-entropy alone. It says what is still unknown; subtract it from the "
        "entropy of the labels.": lambda p, y: -p[torch.arange(len(y)), y].mean() / log(2),
        "the labels need not be equally frequent: their entropy comes from their own shares.":
            lambda p, y: (log(p.shape[1]) + p[torch.arange(len(y)), y].mean()) / log(2),
        "take the log-probability of the true label, not of the likeliest: a sure error must cost.":
            lambda p, y: probe_bits(p, y) + (
                p.amax(1).mean() - p[torch.arange(len(y)), y].mean()) / log(2),
    }, "entropy of the labels, plus the mean log-probability of the true label; both over log 2."),
    "control": Exercise(1, control_labels, [
        (torch.tensor([[0, 1], [1, 1], [0, 1]]), torch.tensor([1, 0, 1, 0])), (VALUES, COINS),
    ], {
        "texts with the same values must get the same label, so that there is something to learn: "
        "one coin per combination, not one per text.": lambda v, c: c[torch.arange(len(v)) % len(c)],
        "different combinations share a coin here. Give each its own number: the values as binary "
        "digits.": lambda v, c: c[v.sum(1)],
        "the number of the combination is only the place of its coin: look the coin up.":
            lambda v, c: (v * 2 ** torch.arange(v.shape[1])).sum(1),
        "the first column is the digit of 1, the second of 2, the third of 4: yours run backwards.":
            lambda v, c: control_labels(v.flip(1), c),
    }, "coins[number], where number is the sum of values[:, k] * 2**k.", "one label per text", level="easy"),
    "leace": Exercise(3, leace, [
        (torch.tensor([[0.0, 0.0], [2.0, 0.0], [4.0, 1.0], [6.0, 1.0], [2.0, 1.0]]),
         torch.tensor([0, 0, 1, 1, 1])), (STATES, SIDES),
    ], {
        "this projects the covariance's direction out. It erases too, but moves the states farther "
        "than it must: read by the whitened direction, move along the covariance.":
            lambda x, y: erased(x, y, "projected"),
        "this projects the probe's own direction out. The concept leans on others, so it can still "
        "be read: move along the covariance.": lambda x, y: erased(x, y, "probe"),
        "read what is *away from the mean*: a state at the mean must stay.":
            lambda x, y: erased(x, y, "origin"),
        "turned round: move along the covariance, read by the whitened direction.":
            lambda x, y: erased(x, y, "swapped"),
    }, "states - ((states - mean) @ reader) * shared, with reader = whitened / (whitened @ shared).",
        "states [texts, d_model]", level="hard"),
    "spurious": Exercise(2, spurious, [
        (torch.tensor([[9.0, 0.0], [8.0, 1.0], [0.0, 8.0], [1.0, 9.0]]),
         torch.tensor([1, 0, 1, 1]), torch.tensor([1, 1, 0, 1]), 2), (CODES, WANTED, OTHER, 6),
    ], {
        "look at the top texts of each latent: over all texts every latent looks the same.":
            lambda c, w, o, n: spurious(c, w, o, len(c)),
        "turned round: spurious is a latent whose texts agree on the *other* concept.":
            lambda c, w, o, n: spurious(c, o, w, n),
        "texts that all have value 0 agree as well: take how far the share is from one half.":
            lambda c, w, o, n: (
                o.float()[c.topk(n, dim=0).indices].mean(0)
                > w.float()[c.topk(n, dim=0).indices].mean(0)),
        "these are the texts on which a latent fires least.":
            lambda c, w, o, n: spurious(-c, w, o, n),
    }, "compare |share - 1/2| of `other` and of `wanted` among each latent's n top texts.",
        "one flag per latent"),
}
