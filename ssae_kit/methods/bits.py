"""A probe's reading in bits, so that no share of right answers can flatter."""

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.methods.found import as_pairs, root_mean_square


class Read(NamedTuple):
    """What a probe reads on texts that it was not fitted to."""

    bits: float
    """Entropy of the labels minus the probe's cross-entropy; below 0 it misleads."""
    accuracy: float
    """Share of labels that it gets right."""


def read_bits(
    states: Float[Tensor, "texts d_model"],
    labels: Int[Tensor, " texts"],
    new_states: Float[Tensor, "new d_model"],
    new_labels: Int[Tensor, " new"],
) -> Read:
    """Fit a logistic probe and say how many bits about the labels it reads in other texts.

    No reader gets more bits out of a state than it holds, so this is a lower bound on the mutual
    information of state and label, up to the chance of the texts it is measured on.

    Args:
        states: To fit the probe to.
        labels: Value of each of these texts, any whole numbers.
        new_states: To measure on.
        new_labels: Their values, all of them among those fitted to.

    Raises:
        ValueError: if states and labels differ in number, are not finite, there is only one label
            to fit, or a new text has a label that no other had.

    Source: Pimentel et al. 2020 (arXiv 2004.03061).
    """
    from sklearn.linear_model import LogisticRegression  # slow to import; only a probe needs it

    axes = {"states": "texts d_model", "labels": "texts"}
    axes |= {"new_states": "new d_model", "new_labels": "new"}
    given = (states, labels, new_states, new_labels)
    checks.tensors(**{n: (x, a) for x, (n, a) in zip(given, axes.items(), strict=True)})
    old, column = as_pairs(states, labels[:, None], ("states", "labels"))
    new, asked = as_pairs(new_states, new_labels[:, None], ("new_states", "new_labels"))
    old, column, new, asked = (table.cpu() for table in (old, column, new, asked))
    known, told = column[:, 0].unique(), asked[:, 0].unique()
    if len(known) < 2 or not torch.isin(told, known).all():
        raise ValueError(
            "`labels` must hold two values or more, and every value of `new_labels`; got "
            f"{known.tolist()} and {told.tolist()}. Add texts, or leave rare values out."
        )
    size = root_mean_square("states", old)
    scaled = [(x / size).double().numpy() for x in (old, new)]  # Newton needs the digits
    solver = "newton-cholesky" if len(known) == 2 else "lbfgs"  # ten times as fast for two values
    probe = LogisticRegression(solver=solver, max_iter=1000)
    scores = torch.from_numpy(
        probe.fit(scaled[0], column[:, 0].numpy()).decision_function(scaled[1])
    )
    if len(known) == 2:
        scores = torch.stack([torch.zeros_like(scores), scores], 1)
    logs = scores.log_softmax(1)
    place = torch.searchsorted(known, asked[:, 0])
    share = place.bincount(minlength=len(known)) / len(place)
    entropy = torch.special.entr(share).sum()
    right = logs.argmax(1) == place
    nats = entropy + logs.gather(1, place[:, None]).mean()
    return Read(float(nats) / log(2), float(right.float().mean()))
