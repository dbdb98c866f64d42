"""Checks of notebook 06: steering, and its effects and side effects."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ssae_kit.exercises.core import Exercise, Mistake, close, expect, number, shape
from ssae_kit.exercises.tensors import call, diagnose, same, seeded, tensor


def means(answer: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Mean shift of the pairs in which a concept changes, signed by its change."""
    changes = torch.tensor([[1, 0], [-1, 0], [0, 1], [1, -1], [-1, 0], [0, 1.0]])
    shifts = torch.randn(6, 3, generator=seeded(1))
    total, times = changes.T @ shifts, changes.abs().sum(0)[:, None]
    found = tensor(call(answer, shifts, changes), (2, 3), "[concepts, d_model]")
    usual: dict[str, Tensor | None] = {
        "forward and backward changes cancel: turn the shifts of backward changes round first.": (
            changes.abs().T @ shifts / times
        ),
        "divide by the pairs in which the concept changes, not by all pairs.": total / 6,
        "divide by how often the concept changed: this is a sum.": total,
        "you divided by the sum of signed changes, which is not how often it changed.": (
            total / changes.sum(0)[:, None]
        ),
        "backward changes are left out: they tell as much, with the sign turned.": (
            (changes > 0).float().T @ shifts / (changes > 0).sum(0)[:, None]
        ),
    }
    diagnose(found, total / times, usual, "for each concept, the mean of change × shift.")


def hook(answer: Callable[[Tensor], Callable[..., Any]]) -> None:
    """Forward hook that adds one vector per prompt to the last token."""
    block = nn.Identity()
    inputs = torch.randn(3, 5, 4, generator=seeded(2))
    vectors = torch.randn(3, 4, generator=seeded(3))
    made = answer(vectors.clone())
    expect(callable(made), f"return a function (module, inputs, output); got {shape(made)}.")
    _returns_new_states(made, block, inputs)
    handle = block.register_forward_hook(made)
    found = tensor(block(inputs), (3, 5, 4), "[prompts, tokens, d_model]")
    handle.remove()
    last, first, shared = (torch.zeros(3, 5, 4) for _ in range(3))
    last[:, -1], first[:, 0], shared[:, -1] = vectors, vectors, vectors[:1]
    only = inputs.clone()
    only[:, -1] = vectors
    usual: dict[str, Tensor | None] = {
        "the vector is added at every token; the task is the last one only.": (
            inputs + vectors[:, None]
        ),
        "it is added at the first token, not the last.": inputs + first,
        "the state is replaced. Add to it, or what the sentence said is gone.": only,
        "the vector is taken off, not added.": inputs - last,
        "nothing changed.": inputs,
        "every prompt got the first prompt's vector.": inputs + shared,
    }
    right = "states must change by the prompt's vector at the last token."
    diagnose(found, inputs + last, usual, right)


def _returns_new_states(made: Callable[..., Any], block: nn.Module, inputs: Tensor) -> None:
    """Raise `Mistake` if a hook returns nothing, or writes into the output it was given."""
    output = inputs.clone()
    returned = made(block, (inputs.clone(),), output)
    if returned is None:
        in_place = "" if same(output, inputs) else " (yours changed the output in place)"
        raise Mistake(f"a hook that returns None has no effect: return the new states{in_place}.")
    expect(
        torch.equal(output, inputs),
        "the output was changed in place. It may be needed elsewhere: work on a clone.",
    )


def isolate(answer: Callable[[Tensor, Tensor], tuple[float, float]]) -> None:
    """Effect on the target and mean change elsewhere; NaN where a text says nothing."""
    nan = float("nan")
    changed = torch.tensor(
        [[1.0, 0.0, 0.5], [0.2, 0.8, nan], [0.1, nan, 0.3], [nan, 0.4, 0.9], [nan, 0.6, 0.2]]
    )
    targets = torch.tensor([0, 1, 2, 2, 0])
    at = torch.nn.functional.one_hot(targets, 3).bool()
    both = answer(changed.clone(), targets.clone())
    if not isinstance(both, tuple | list | Tensor) or len(both) != 2:
        raise Mistake(f"return two numbers, effect and side effect; got {shape(both)}.")
    effect, side = number(both[0], "the effect"), number(both[1], "the side effect")
    wanted_effect, wanted_side = changed[at].nanmean(), changed[~at].nanmean()
    expect(
        not (close(effect, float(wanted_side)) and close(side, float(wanted_effect))),
        "turned round: first the effect, then the side effect.",
    )
    expect(
        side == side,
        "a NaN spread: where a text says nothing about a concept there is nothing to count.",
    )
    expect(effect == effect, "a text may say nothing about its own target: leave its NaN out.")
    expect(
        not close(effect, float(changed.nan_to_num(0.0)[at].mean())),
        "where a text says nothing about its target you counted 'unchanged'. Leave it out.",
    )
    expect(close(effect, float(wanted_effect)), "the effect: mean of `changed` at each own target.")
    expect(
        not close(side, float(changed.nanmean())),
        "the target itself is among the concepts you call 'elsewhere': a strong effect would look "
        "like a side effect.",
    )
    expect(
        not close(side, float(changed.nan_to_num(0.0)[~at].mean())),
        "where a text says nothing you counted 'unchanged': that hides side effects. Leave it out.",
    )
    expect(close(side, float(wanted_side)), "the side effect: mean of `changed` off the target.")


def strength(answer: Callable[[list[float], list[float]], float]) -> None:
    """Smallest strength whose balance comes within 0.05 of the best."""
    for strengths, balances in (
        ([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], [-0.01, 0.3, 0.655, 0.69, 0.70, 0.2]),
        ([0.0, 1.0, 2.0, 4.0], [0.0, 0.5, 0.93, 0.95]),
        ([1.0, 2.0, 3.0, 4.0], [0.44, 0.48, 0.50, 0.10]),
        ([1.0, 2.0, 3.0, 4.0], [0.16, 0.19, 0.20, 0.10]),
    ):
        found = number(answer(list(strengths), list(balances)))
        best = max(balances)
        right = next(s for s, b in zip(strengths, balances, strict=True) if b >= best - 0.05)
        expect(
            not close(found, strengths[balances.index(best)]),
            "this is the strength of the best balance. A smaller one that is nearly as good "
            "disturbs less.",
        )
        expect(
            found in strengths,
            f"return a strength; {found:g} is none of them. Is it an index, or a balance?",
        )
        expect(not close(found, strengths[-1]), "the strongest push is not asked for.")
        expect(
            found >= right,
            f"the balance at strength {found:g} is more than 0.05 below the best ({best:g}).",
        )
        expect(
            close(found, right),
            f"with balances {balances} a smaller strength than {found:g} comes within 0.05 of the "
            "best as well. Within 0.05 is a difference, not a share.",
        )


EXERCISES = {
    "means": Exercise(2, means),
    "strength": Exercise(1, strength),
    "isolate": Exercise(2, isolate),
    "hook": Exercise(2, hook),
}
