"""A probe's reading in bits, so that no share of right answers can flatter."""

from math import log
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.methods.found import root_mean_square


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
    # Slow to import; only a probe needs them.
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    given = {"states": (states, "texts d_model"), "labels": (labels, "texts")}
    given |= {"new_states": (new_states, "new d_model"), "new_labels": (new_labels, "new")}
    old, held, new, asked = (values.detach().cpu().double() for values in checks.tensors(**given))
    known = held.unique()
    told, counts = asked.unique(return_counts=True)
    if len(known) < 2 or not torch.isin(told, known).all():
        raise ValueError(
            "`labels` must hold two values or more, and every value of `new_labels`; got "
            f"{known.tolist()} and {told.tolist()}. Add texts, or leave rare values out."
        )
    size = root_mean_square("states", old)
    old, new = old / size, new / size  # in double precision: Newton needs the digits
    solver = "newton-cholesky" if len(known) == 2 else "lbfgs"  # ten times as fast for two values
    probe = LogisticRegression(solver=solver, max_iter=1000).fit(old.numpy(), held.numpy())
    entropy = float(torch.special.entr(counts.double() / len(asked)).sum())
    answers, inputs = asked.numpy(), new.numpy()
    nats = entropy - log_loss(answers, probe.predict_proba(inputs), labels=known.numpy())
    return Read(nats / log(2), probe.score(inputs, answers))
