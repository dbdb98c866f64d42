"""Exercises of notebook 04 on supports: which concepts shift together, and what that leaves open."""

import torch
from torch import Tensor, tensor

from ssae_kit.exercises.core import Exercise
from ssae_kit.exercises.tensors import normal


def never_without(supports: Tensor) -> Tensor:
    """Whether another concept j shifts wherever concept i does."""
    held = supports.double()
    return (held.T @ (1 - held) == 0).fill_diagonal_(False)


def violators(supports: Tensor) -> set[int]:
    """Concepts that never shift without some other one."""
    return named(never_without(supports))


def named(never: Tensor) -> set[int]:
    """Rows of a matrix that hold a true entry."""
    return set(never.any(1).nonzero().flatten().tolist())


def at_risk(supports: Tensor) -> tuple[set[int], set[int]]:
    """Concepts whose code, and those whose direction, the supports leave open."""
    return named(never_without(supports).T), named(never_without(supports))


def active_latents(mixing: Tensor, supports: Tensor) -> Tensor:
    """Mean number of active latents of the code `mixing @ changes`, magnitudes being free."""
    return (supports.double() @ (mixing != 0).double().T > 0).double().sum(1).mean()


def supports(*rows: str) -> list[tuple[Tensor]]:
    """Cases from texts of zeros and ones, one for each pair."""
    return [(tensor([[digit == "1" for digit in row] for row in r.split()]),) for r in rows]


EVEN = tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 0]]).bool()
# fmt: off
ON_SUPPORTS = {  # a sentence, then what someone writes who needs it
    "diversity": Exercise(2, violators,
        supports("100 010 001", "1100 0010 1110 0001 0011", "110 010 001 011", "110 011 101",
                 "111 111", "101 001 010 111", "111 010 001"), {
        "you ask that every concept shift alone. That is more than needed.":
            lambda s: {k for k in range(s.shape[1]) if not (s[s[:, k]].sum(1) == 1).any()},
        "every concept shifts with itself: leave out j = k.": lambda s: {*range(s.shape[1])},
        "if 0 shifts only with 1, but 1 also without 0, only 0 breaks the condition.":
            lambda s: named(never_without(s) | never_without(s).T),
        "look for a concept that never shifts *without* the other, even if the other shifts "
        "without it.": lambda s: named(never_without(s) & never_without(s).T),
        "hold every concept against all the others, not only against its neighbours.":
            lambda s: named(never_without(s).triu(-1).tril(1)),
        "turned round: j breaks the condition if *it* never shifts without another; you name the "
        "other.": lambda s: named(never_without(s).T),
        "one other concept is enough: you ask that it never shifts without *any* of the others.":
            lambda s: {k for k, j in enumerate(never_without(s).sum(1)) if j == s.shape[1] - 1},
        "hold every concept against the earlier ones, too.": "(supports)) -> (supports).triu(1))",
        "name the concepts by their numbers, such as [0, 2]: not a yes or no for each.":
            lambda s: {int(k in violators(s)) for k in range(s.shape[1])},
        "concepts are columns: you held pairs of texts against each other.":
            lambda s: violators(s.T),
        "turned round: you name the concepts that do not break the condition.":
            lambda s: set(range(s.shape[1])) - violators(s),
        "you name the concepts that shift in every pair. A rarer one can break the condition: if "
        "it never shifts without another.": lambda s: set(s.all(0).nonzero().flatten().tolist()),
    },
        "name the concepts that never shift without some other one.",
        "a list of the concepts that break the condition", level="hard"),
    "risk": Exercise(2, at_risk, supports("110 011 101", "11000 01000 00110 00100 00001", "110 001"), {
        "turned round: where j never shifts without k, the *code of k* and the *direction of j* are "
        "open.": lambda s: at_risk(s)[::-1],
        "you name the same concepts twice. If j never shifts without k, the code of k may hold j, and "
        "the direction of j pays.": lambda s: (violators(s),) * 2,
        "every concept shifts with itself: leave out j = k.": lambda s: [{*range(s.shape[1])}] * 2,
    }, "codes: every k without which some j never shifts. Directions: every such j.",
        "two lists of concepts: codes at risk, directions at risk"),
    "active": Exercise(2, active_latents, [
        (torch.eye(3), EVEN),
        (tensor([[1.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 2.0]]), EVEN),
        (tensor([[1.0, -1.0, 0.0], [0.0, 1.0, 0.3], [2.0, 0.0, 0.0]]), EVEN),
        (normal(5, 4, 4).triu(), torch.eye(4).bool()),
    ], {
        "entries cancelled. Magnitudes are free: a latent is active wherever one of its concepts "
        "shifts, whatever the signs.": "(mixing != 0).double().T > 0 -> mixing.double().T != 0",
        "a latent that mixes two concepts is still *one* active latent: do not count it twice.":
            lambda m, s: (s.double() @ (m != 0).double().T).sum(1).mean(),
        "entries of M may be negative: ask whether they are zero, not whether they are positive.":
            lambda m, s: (s.double() @ m.double().T > 0).double().sum(1).mean(),
        "a negative entry mixes a concept as well: ask for `mixing != 0`, not for `mixing > 0`.":
            lambda m, s: active_latents(m.clamp(min=0), s),
        "this is the share of pairs in which some latent is active. Count the latents of each pair.":
            lambda m, s: (s.double() @ (m != 0).double().T > 0).any(1).double().mean(),
        "you counted the pairs of each latent. Sum over latents, `.sum(1)`, then average over pairs.":
            lambda m, s: active_latents(m, s) * len(s) / len(m),
        "turned round: row i of the matrix says which concepts *latent i* mixes.": "().T -> ()",
        "one of its concepts is enough: you ask that all concepts of a latent shift.":
            lambda m, s: ((~s).double() @ (m != 0).double().T == 0).double().sum(1).mean(),
        "these are the concepts that shift. Count the *latents* that are active.":
            lambda m, s: s.double().sum(1).mean(),
        "count the latents of each pair, and average over pairs: you did not average.":
            lambda m, s: active_latents(m, s) * len(s),
        "a count for each pair, not a share of the latents.": ".sum(1) ->",
    },
        "a latent is active in a pair if one of its concepts shifts there. Count such latents "
        "in each pair, and average over pairs."),
}
