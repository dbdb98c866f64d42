"""Exercises of notebook 06: steering, and its effects and side effects."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn, tensor

from ssae_kit.exercises.core import NO_ENTRY, Exercise, one_of
from ssae_kit.exercises.tensors import alone, mean_shifts, normal
from ssae_kit.exercises.values import Mistake, kind

Hook = Callable[[nn.Module, tuple[Tensor, ...], Tensor], Any]


def adding_hook(vectors: Tensor) -> Hook:
    """Forward hook that adds one vector per prompt to the last token."""
    return hook(lambda output, inputs: added(output, vectors, -1))


def hook(change: Callable[[Tensor, Tensor], Any]) -> Hook:
    """Make a hook from what it does with the block's output and input."""
    return lambda module, inputs, output: change(output, inputs[0])


def added(states: Tensor, vectors: Tensor | float, token: int, keep: float = 1.0) -> Tensor:
    """States with something added at one token, where `keep` of the old state is kept."""
    new = states.clone()
    new[:, token] = keep * new[:, token] + vectors
    return new


SILENT = "a hook that returns None has no effect: return the new states."
NO_HOOK = "return a function (module, inputs, output)."


def hooked(answer: Callable[..., Any], vectors: Tensor, inputs: Tensor, output: Tensor) -> Any:
    """Try an answer to 06.hook on a block's input and output; `Mistake` if it is no hook."""
    made = answer(vectors)
    if made is None or not callable(made):
        raise Mistake(f"{NO_HOOK} Got {kind(made)}.")
    before = output.clone()
    new = made(nn.Identity(), (inputs,), output)
    if new is None:
        changed = " Yours changed the output in place." * (not torch.equal(before, output))
        raise Mistake(SILENT + changed)
    return new


def effect_and_side_effect(changed: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Effect on the target and mean change elsewhere; NaN where a text says nothing."""
    at = own(changed, targets)
    return changed[at].nanmean(), changed[~at].nanmean()


def own(changed: Tensor, targets: Tensor) -> Tensor:
    """Where a prompt's own target stands."""
    return nn.functional.one_hot(targets, changed.shape[1]).bool()


def choose_strength(strengths: list[float], balances: list[float]) -> float:
    """Smallest strength whose balance comes within 0.05 of the best."""
    bar = max(balances) - 0.05
    return next(s for s, b in zip(strengths, balances, strict=True) if b >= bar)


def there_and_back(x: Tensor, c: Tensor) -> Tensor:
    """Mean shift of forward changes minus that of backward ones."""
    return mean_shifts(x, c.clamp(min=0)) + mean_shifts(x, c.clamp(max=0))


NAN = float("nan")
CHANGED = tensor(
    [[1.0, 0.0, 0.5], [0.2, 0.8, NAN], [0.1, NAN, 0.3], [NAN, 0.4, 0.9], [NAN, 0.6, 0.2]]
)
# fmt: off
EXERCISES = {  # a sentence, then what someone writes who needs it
    "means": Exercise(2, mean_shifts, [
        (tensor([[2.0], [-4.0], [1.0]]), tensor([[1.0], [-1.0], [0.0]])),
        (normal(1, 6, 3), tensor([[1, 0], [-1, 0], [0, 1], [1, -1], [-1, 0], [0, 1.0]])),
    ], {
        "forward and backward changes cancel: turn the shifts of backward changes round first.":
            lambda x, c: mean_shifts(x, c.abs()),
        "divide by the pairs in which the concept changes, not by all pairs.":
            lambda x, c: c.T @ x / len(x),
        "divide by how often the concept changed: this is a sum.": lambda x, c: c.T @ x,
        "you divided by the sum of signed changes, which is not how often it changed.":
            lambda x, c: c.T @ x / c.sum(0)[:, None],
        "backward changes are left out: they tell as much, with the sign turned.":
            lambda x, c: mean_shifts(x, c.clamp(min=0)),
        "you took the backward mean off the forward one. Their difference is a change there and back, "
        "twice as far as one.": lambda x, c: there_and_back(x, c),
        "half of forward minus backward weighs both kinds alike, however few of one there are. Every "
        "pair counts once.": lambda x, c: there_and_back(x, c) / 2,
        "you divided by the changes of all concepts together. Each has a count of its own.":
            lambda x, c: c.T @ x / c.abs().sum(),
        "you scaled to length 1. The length says how far a change moves.": "-> unit(right, 1)",
        "you took the mean of the other pairs off. No change is no shift: there is nothing to take off.":
            lambda x, c: mean_shifts(x, c) - mean_shifts(x, (c == 0).float()),
        "pairs in which other concepts change as well tell, too: use all in which this one does.": alone,
        "this is a least-squares fit, as in 05.fit. Here a plain mean is asked for.":
            lambda x, c: torch.linalg.lstsq(c, x).solution,
    }, "for each concept, the mean of change × shift.", "[concepts, d_model]"),
    "strength": Exercise(1, choose_strength, [
        ([0.0, 0.5, 1.0, 1.5, 2.0, 3.0], [-0.01, 0.3, 0.655, 0.69, 0.70, 0.2]),
        ([0.0, 1.0, 2.0, 4.0], [0.0, 0.5, 0.93, 0.95]),
        ([1.0, 2.0, 3.0, 4.0], [0.44, 0.48, 0.50, 0.10]),
        ([1.0, 2.0, 3.0, 4.0], [0.16, 0.19, 0.20, 0.10]),
    ], {
        "this is the strength of the best balance, or the largest that is good enough. A smaller "
        "one that is nearly as good disturbs less.": lambda s, b: s[b.index(max(b))],
        NO_ENTRY: lambda s, b: s.index(choose_strength(s, b)),
        "the strongest push is not asked for.": lambda s, b: s[-1],
        "this is the first strength that has an effect, but its balance is more than 0.05 below "
        "the best.": "max(balances) - 0.05 -> 1e-9",
        "within 0.05 is a difference, not a share.": "max(balances) - 0.05 -> 0.9 * max(balances)",
        "within 0.05 is a difference, not a share: 5% below the best is another bar.":
            "max(balances) - 0.05 -> 0.95 * max(balances)",
        "a smaller strength than yours comes within 0.05 of the best as well.": "0.05 -> 0.04",
        "the balance at this strength is more than 0.05 below the best.": "0.05 -> 0.1",
    }, "the smallest strength whose balance is at most 0.05 below the best.",
        "one of the strengths", one_of, level="easy"),
    "isolate": Exercise(2, effect_and_side_effect, [
        (CHANGED, tensor([0, 1, 2, 2, 0])), (CHANGED[:2], tensor([1, 0])),
    ], {
        "turned round: first the effect, then the side effect.": "-> right[::-1]",
        "a NaN spread: where a text says nothing about a concept there is nothing to count.":
            "[~at].nan -> [~at].",
        "a text may say nothing about its own target: leave its NaN out.": "[at].nan -> [at].",
        "where a text says nothing about its target you counted 'unchanged'. Leave it out.":
            "[at].nan -> [at].nan_to_num(0).",
        "the target itself is among the concepts you call 'elsewhere': a strong effect would look "
        "like a side effect.": "[~at] ->",
        "where a text says nothing you counted 'unchanged': that hides side effects. Leave it out.":
            "[~at].nan -> [~at].nan_to_num(0).",
        "a mask that multiplies leaves zeros, and they count: select, as in `changed[mask]`.":
            lambda c, t: ((c * own(c, t)).nanmean(), (c * ~own(c, t)).nanmean()),
        "every word off the target counts alike: do not average each prompt first.":
            lambda c, t: (effect_and_side_effect(c, t)[0], c.where(~own(c, t), NAN).nanmean(1).mean()),
        "the effect is the mean of `changed` at each own target only.": "changed[at] -> changed",
    }, "the effect: mean of `changed` at each own target. The side effect: its mean off the target.",
        "two numbers, effect and side effect", level="hard"),
    "hook": Exercise(2, adding_hook, [
        (tensor([[1.0, 2.0]]), tensor([[[9.0, 8.0], [7.0, 6.0]]]),
         tensor([[[0.5, 0.0], [0.0, 3.0]]])),
        (normal(3, 3, 4), normal(4, 3, 5, 4), normal(2, 3, 5, 4)),
    ], {
        "the vector is added at every token; the task is the last one only.":
            lambda v: hook(lambda output, _: output + v[:, None]),
        "it is added at the first token, not the last.": "-1 -> 0",
        "the state is replaced. Add to it, or what the sentence said is gone.": "-1 -> -1, keep=0",
        "the vector is taken off, not added.": "vectors, -> -vectors,",
        "nothing changed.": lambda v: hook(lambda output, _: output),
        "every prompt got the first prompt's vector.": "vectors, -> vectors[:1],",
        "you changed what goes into the block. A hook changes its `output`.": "(output -> (inputs",
        SILENT: lambda v: hook(lambda output, _: None),
        NO_HOOK: lambda v: v,
    }, "states must change by the prompt's vector at the last token.",
        "the new states [prompts, tokens, d_model]", hooked, level="hard"),
}
