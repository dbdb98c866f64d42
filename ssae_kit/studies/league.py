"""The league of notebook 09: every way to change what a Llama writes, on one budget of texts."""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ssae_kit import llama, world
from ssae_kit.streams import Streams
from ssae_kit.studies import rivals
from ssae_kit.studies.rivals import RATES, Change, Ready, Task
from ssae_kit.world.families import DEMANDS
from ssae_kit.world.stories import MAX_SENTENCES

N_TEST = 42
WAYS = (
    *("nothing", "instruction", "example", "prompt search", "difference of means", "SSAE"),
    *("SAE clamp", "random direction", "shuffled labels", *RATES, "fine-tuning, shuffled labels"),
)
"""Rows of the league."""
TOGETHER = ("sentiment", "tense", "size")
COMPOSED = ("nothing", "instruction", "example", "difference of means", "random direction", *RATES)
"""Rows of the composition of these three concepts."""


def prepare(
    way: str, base: llama.Llama, concept: str, task: Task, streams: Streams, seed: int = 5
) -> Ready:
    """Return what turns a concept by one of `WAYS`, with what the demonstrations say."""
    how, own = way.split(",")[0], task
    if way == "instruction":
        return Ready(base, ask=lambda some: rivals.demanded(some, concept))
    if way == "example":
        return Ready(base, ask=lambda some: with_examples(some, concept))
    if way == "prompt search":
        return rivals.asked_with(base, *searched(base, concept, task))
    if how in RATES:
        if how != way:  # a coin decides which value each continuation has
            coins = torch.randint(2, (len(task.after),), generator=streams(6)).tolist()
            pairs = zip(task.after, coins, strict=True)
            own = task._replace(after=[world.counterfactual(t, concept, c) for t, c in pairs])
        draw = streams(seed)
        return rivals.tuned(how, base, RATES[how], draw, rivals.batches(own, draw))
    if way == "nothing":
        return Ready(base)
    return Ready(base, rivals.shifted(way, base, concept, task, streams), base.d_model)


def with_examples(task: Task, *concepts: str) -> list[str]:
    """Repeat the last sentence of every text, told with value 1 of some concepts.

    The first sentences go where a story would not have room for two more.
    """
    found = []
    for text in task.before:
        again = text.split(". ")[-1]
        for concept in concepts:
            again = world.counterfactual(again, concept, 1)
        found.append(". ".join(f"{text} {again}".split(". ")[2 - MAX_SENTENCES :]))
    return found


def searched(base: llama.Llama, concept: str, task: Task) -> tuple[str, str]:
    """Return what around beginnings makes their continuations likeliest.

    The sentences to choose from are of five texts of the budget; others judge.
    """
    said = [text.split(". ")[0] + "." for text in task.after[:5]]
    demands = [f"{sides[1]}:" for sides in DEMANDS[concept]]
    some = Task(task.before[5:21], task.after[5:21])

    def loss(*around: str) -> float:
        return float(rivals.losses(rivals.asked_with(base, *around), some).mean())

    return rivals.search_prompt(loss, said, said + demands)


@torch.no_grad()
def league(concept: str, n_texts: int, stream: int) -> dict[str, Tensor]:
    """Hold every way against the others, on one budget of texts and the same test prompts.

    Returns:
        By `WAYS`: `scores` `[ways, texts, 4]` of `read`, and `costs` `[ways, 3]`: nats per token
        lost on the other families while the way is left on, weights, CPU seconds. NaN: impossible.
    """
    streams, base = Streams(stream), llama.load()
    task = rivals.demonstrate(n_texts, streams(1), {concept: 0}, {concept: 1})
    test = rivals.demonstrate(N_TEST, streams(2), {concept: 0}, {})
    others = rivals.other_families(150, streams(3))
    untouched = rivals.losses(Ready(base), others)
    scores, costs = torch.full((len(WAYS), N_TEST, 4), torch.nan), torch.zeros(len(WAYS), 3)
    for i, way in enumerate(WAYS):
        start = time.process_time()
        ready = prepare(way, base, concept, task, streams)
        costs[i, 1:] = torch.tensor([ready.n_weights, time.process_time() - start])
        if way == "SSAE" and ready.change is None:
            continue
        scores[i], costs[i, 0] = rivals.score(ready, test, streams, concept), torch.nan
        if way != "example":  # a question has no sentence to retell
            costs[i, 0] = (rivals.losses(ready, others) - untouched).mean()
    return {"scores": scores, "costs": costs}


def summed(model: llama.Llama, own: Sequence[llama.Llama], share: float) -> llama.Llama:
    """Return the model plus a share of what each training changed. Source: Ilharco et al. 2022."""
    total = copy.deepcopy(model.model)
    for one in own:
        for module in one.model.modules():
            if hasattr(module, "base_layer") and not module.merged:
                module.merge()  # a LoRA's update goes into its weights
        there = {n.replace("base_layer.", ""): p for n, p in one.model.named_parameters()}
        for name, weight in total.named_parameters():
            weight += share * (there[name] - model.model.get_parameter(name))
    return llama.Llama("summed", total, model.tokenizer)


@torch.no_grad()
def compose(n_texts: int, stream: int, n_sentences: int = 2) -> dict[str, Tensor]:
    """Turn three concepts at once by what was learned of each alone: `scores` by `COMPOSED`.

    No way may make the text longer than the model's stories are: beginnings of five sentences are
    full, and an example pushes their first sentence out. Only the instruction, a few words, is added.

    Weights that were trained apart are added by that one of three shares which does best on the
    test itself: no other way has this advantage.
    """
    streams, base, found = Streams(stream), llama.load(), []
    test = rivals.demonstrate(N_TEST, streams(30), dict.fromkeys(TOGETHER, 0), {}, n_sentences)
    tasks = {
        c: rivals.demonstrate(n_texts, streams(31 + i), {c: 0}, {c: 1}, n_sentences)
        for i, c in enumerate(TOGETHER)
    }
    for way in COMPOSED:
        ready = [prepare(way, base, *item, streams, seed=35) for item in tasks.items()]
        changes = [one.change for one in ready if one.change]
        own, asked = [one.model for one in ready if one.model is not base], test
        models = [summed(base, own, k / 3) for k in (1, 2, 3)] if own else [base]
        if way in ("instruction", "example"):
            put = rivals.demanded if way == "instruction" else with_examples
            asked = test._replace(before=put(test, *TOGETHER))

        def change(states: Tensor, changes: list[Change] = changes) -> Tensor:
            return states + torch.stack([one(states) - states for one in changes]).sum(0)

        tried = [
            rivals.score(Ready(one, change if changes else None), asked, streams, *TOGETHER)
            for one in models
        ]
        found.append(max(tried, key=lambda score: float(score[:, 1].mean())))
    return {"scores": torch.stack(found)}
