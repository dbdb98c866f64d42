"""Exercises of notebook 10: which algorithm does a network run?"""

from collections.abc import Callable

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal


def counterfactual(base: Tensor, source: Tensor) -> Tensor:
    """What x + y + z gives where x + y comes from the source."""
    return source[:, 0] + source[:, 1] + base[:, 2]


def interchange(base: Tensor, source: Tensor, rows: Tensor) -> Tensor:
    """The base's state with its part in a subspace taken from the source's."""
    return base + (source - base) @ rows.T @ rows


def isolate(said: Tensor, base: Tensor, source: Tensor, k: int) -> Tensor:
    """Of the other variables that differ, the share that stays with the base."""
    differ = base != source
    differ[:, k] = False
    return (said == base)[differ].float().mean()


def whole(base: Tensor, source: Tensor, k: int) -> Tensor:
    """Cause and isolate where the whole state, and so every answer, comes from the source."""
    differ = base[:, k] != source[:, k]
    cause = (source == source)[differ, k].float().mean()
    return torch.stack([cause, isolate(source, base, source, k)])


def indirect(
    y: Callable[[Tensor, Tensor], Tensor], m: Callable[[Tensor], Tensor], x: Tensor, other: Tensor
) -> Tensor:
    """Mean of Y(x, M(x')) - Y(x, M(x))."""
    return (y(x, m(other)) - y(x, m(x))).mean()


def attributes(base: Tensor, source: Tensor, k: int) -> Tensor:
    """The base's answers with those about attribute k taken from the source."""
    out = base.clone()
    out[:, k] = source[:, k]
    return out


def hops(base: Tensor, source: Tensor, city: Tensor, country: Tensor) -> Tensor:
    """The country if it goes through the exchanged city, and if it is known by heart."""
    return torch.stack([country[city[source]], country[city[base]]])


def _path(x: Tensor, m: Tensor) -> Tensor:
    return x * m + 3 * m - x


TRIPLES, OTHERS = tensor([[1, 2, 3], [2, 7, 1]]), tensor([[4, 5, 6], [0, 3, 9]])
ROWS = torch.linalg.qr(normal(1, 5, 2)).Q.T.contiguous()
BASES = tensor([[0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]])
SOURCES = tensor([[1, 0, 0, 1], [1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 1, 1], [1, 0, 1, 1]])
SAID = tensor([[1, 0, 1, 1], [1, 0, 0, 0], [0, 1, 1, 1], [0, 0, 1, 0], [1, 0, 1, 0]])
CITY, COUNTRY = tensor([3, 0, 2, 1]), tensor([1, 0, 1, 2])
PEOPLE = (tensor([0, 1, 3]), tensor([1, 2, 0]))
SMALL = (tensor([[0, 1, 0]]), tensor([[1, 1, 1]]))
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "counterfactual": Exercise(1, counterfactual, [(TRIPLES[:1], OTHERS[:1]), (TRIPLES, OTHERS)], {
        "this is the base's own answer: nothing was exchanged.": lambda b, s: b.sum(1),
        "this is the source's answer: only x + y comes from there, z stays the base's.":
            lambda b, s: s.sum(1),
        "turned round: x + y comes from the source, z from the base.":
            lambda b, s: counterfactual(s, b),
        "y + z was exchanged; asked is x + y.": lambda b, s: b[:, 0] + s[:, 1] + s[:, 2],
        "only x was exchanged; x + y is one number, and all of it comes from the source.":
            lambda b, s: s[:, 0] + b[:, 1] + b[:, 2],
    }, "x + y of the source, plus z of the base.", "one sum per pair", level="easy"),
    "interchange": Exercise(2, interchange, [
        (tensor([[1.0, 2.0]]), tensor([[5.0, 7.0]]), tensor([[1.0, 0.0]])),
        (normal(2, 4, 5), normal(3, 4, 5), ROWS),
    ], {
        "all of the base was replaced. Outside the subspace it must stay.": lambda b, s, r: s,
        "the base's own part in the subspace is still there: add the difference source - base.":
            lambda b, s, r: b + s @ r.T @ r,
        "the rest of the base is gone: add the change to the base.": lambda b, s, r: s @ r.T @ r,
        "turned round: this is the source with the base's part, as if all *but* the subspace had "
        "been exchanged.": lambda b, s, r: interchange(s, b, r),
    }, "base + (source - base) @ rows.T @ rows.", "states [pairs, d_model]"),
    "isolate": Exercise(2, isolate, [
        (tensor([[1, 0, 1]]), tensor([[0, 0, 0]]), tensor([[1, 1, 1]]), 0),
        (SAID, BASES, SOURCES, 0), (SAID, BASES, SOURCES, 3),
    ], {
        "where base and source agree, nothing can be seen: count only where they differ.":
            "!= source -> == base",
        "the variable exchanged is in your count; that is cause. Leave column k out.":
            "differ[:, k] = False ->",
        "this is the share that follows the source; asked is the share that stays.": "-> 1 - right",
        "this is cause: the variable exchanged. Asked is what becomes of the others.":
            lambda a, b, s, k: (a == s)[:, k][b[:, k] != s[:, k]].float().mean(),
    }, "over the other variables, where base and source differ, the share of said == base."),
    "whole": Exercise(2, whole, [(*SMALL, 0), (BASES, SOURCES, 0), (BASES, SOURCES, 2)], {
        "two variables that agree stay by themselves; they are no isolation. Count only where base "
        "and source differ.": "base, source, k)] -> base, ~base, k)]",
        "this is what doing *nothing* gets, or cause and isolate are turned round. With the whole "
        "state exchanged every answer is the source's.": lambda b, s, k: tensor([0.0, 1.0]),
        "their mean is the score; asked are both numbers.": "-> right.mean().expand(2)",
    }, "every answer is the source's: cause, then the share of the others that stay.",
        "two numbers: cause and isolate", level="hard"),
    "mediation": Exercise(2, indirect, [
        (lambda x, m: x + 2 * m, lambda x: 3 * x, tensor([0.0]), tensor([1.0])),
        (_path, lambda x: x**2 + 1, normal(5, 8), normal(6, 8)),
    ], {
        "this is the total effect: x itself changes too. Hold x, change only the mediator.":
            lambda y, m, x, o: (y(o, m(o)) - y(x, m(x))).mean(),
        "this is the direct effect: x changes and the mediator is held. Asked is the other one.":
            lambda y, m, x, o: (y(o, m(x)) - y(x, m(x))).mean(),
        "the sign is turned round: with the other mediator, minus as it was.": "-> -right",
        "what Y was without any change must be taken away.": "- y(x, m(x)) ->",
        "this is how much the mediator changes, not how much the outcome does.":
            lambda y, m, x, o: (m(o) - m(x)).mean(),
    }, "mean of y(x, m(other)) - y(x, m(x))."),
    "attributes": Exercise(1, attributes, [
        (tensor([[0, 2]]), tensor([[1, 3]]), 0), (BASES, SOURCES, 1),
        (BASES, SOURCES, 3),
    ], {
        "every answer is the source's: that is what the whole state gets.": lambda b, s, k: s,
        "nothing follows the source: column k should.": lambda b, s, k: b,
        "turned round: all but column k come from the source.": lambda b, s, k: attributes(s, b, k),
        "only column k is there; the other questions have an answer too, the base's.":
            lambda b, s, k: s[:, k : k + 1],
    }, "the base's table with column k from the source.", "a table like base", level="easy"),
    "hops": Exercise(2, hops, [
        (tensor([0]), tensor([1]), CITY, COUNTRY), (*PEOPLE, CITY, COUNTRY),
    ], {
        "these are cities; one more step leads to the countries.":
            lambda b, s, city, country: torch.stack([city[s], city[b]]),
        "`country` is asked of cities, not of people: go through `city` first.":
            lambda b, s, city, country: torch.stack([country[s], country[b]]),
        "the rows are turned round: a model that composes follows the source.": "-> right.flip(0)",
        "both rows follow the source; by heart, the exchange of a city changes nothing.":
            lambda b, s, city, country: country[city[s]].expand(2, -1),
    }, "country[city[source]], then country[city[base]].", "[2, pairs]"),
}
