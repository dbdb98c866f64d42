"""A probe's reading in bits, so that no share of right answers can flatter."""

from math import log
from typing import NamedTuple

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
    from sklearn import linear_model, metrics

    given = {"states": (states, "texts d_model"), "labels": (labels, "texts")}
    given |= {"new_states": (new_states, "new d_model"), "new_labels": (new_labels, "new")}
    known, held, other, asked = (one.detach().cpu().double() for one in checks.tensors(**given))
    values, (told, counts) = held.unique().tolist(), asked.unique(return_counts=True)
    wanted = f"two values or more and every value of `new_labels`, {told.tolist()}: drop rare ones"
    checks.require("labels", values, wanted, lambda v: len(v) > 1 and {*v} >= {*told.tolist()})
    # In double precision: Newton needs the digits.
    old, new = ((x / root_mean_square("states", known)).numpy() for x in (known, other))
    solver = "newton-cholesky" if len(values) == 2 else "lbfgs"  # ten times as fast for two values
    probe = linear_model.LogisticRegression(solver=solver, max_iter=1000).fit(old, held.numpy())
    shares = counts.double() / len(asked)
    unknown = metrics.log_loss(asked.numpy(), probe.predict_proba(new), labels=values)
    return Read((-float(shares @ shares.log()) - unknown) / log(2), probe.score(new, asked.numpy()))
