"""The league of notebook 09: every way to change what a Llama writes, on one budget of texts."""

import copy
import time
from collections.abc import Sequence

import torch
from torch import Tensor

from ssae_kit import llama, world
from ssae_kit.streams import Streams
from ssae_kit.studies.rivals import (
    DEMANDS,
    RATES,
    Change,
    demanded,
    demonstrate,
    losses,
    other_families,
    read,
    search_prompt,
    shifted,
    trainable,
    tune,
    tuned,
    turned,
    write,
)
from ssae_kit.world.state import Draws

N_TEST = 42
WAYS = (
    *("nothing", "instruction", "example", "prompt search", "difference of means", "SSAE"),
    *("SAE clamp", "random direction", "shuffled labels", *RATES, "fine-tuning, shuffled labels"),
)
"""Rows of the league."""
TOGETHER = ("sentiment", "tense", "size")
COMPOSED = ("nothing", "example", "difference of means", "random direction", *RATES)
"""Rows of the composition of these three concepts."""


@torch.no_grad()
def league(concept: str, n_texts: int, stream: int) -> dict[str, Tensor]:
    """Hold every way against the others, on one budget of texts and the same test prompts.

    Returns:
        By `WAYS`: `scores` `[ways, texts, 4]` of `read`, and `costs` `[ways, 3]`: nats per token
        lost on the other families while the way is left on, weights, CPU seconds. NaN: impossible.
    """
    streams, base = Streams(stream), llama.load()
    task = demonstrate(n_texts, streams(1), {concept: 0}, {concept: 1})
    test = demonstrate(N_TEST, streams(2), {concept: 0}, {})
    others = other_families(150, streams(3))
    untouched = losses(base, others.before, others.after)
    pool = [text.split(". ")[0] + "." for text in task.after[:5]]
    pool += [f"{sides[1]}:" for sides in DEMANDS[concept]]
    scores, costs = torch.full((len(WAYS), N_TEST, 4), torch.nan), torch.zeros(len(WAYS), 3)
    together: dict[int, tuple[Sequence[str], Change | None]] = {}
    for i, way in enumerate(WAYS):
        model, change, weights, asked = base, None, 0, test.before
        before, own, start = others.before, task, time.process_time()
        if way == "instruction":
            asked, before = (demanded(concept, 1, some) for some in (test, others))
        elif way == "example":
            asked = [f"{text} {turned([text], concept)[0].split('. ')[-1]}" for text in asked]
        elif way == "prompt search":
            a, b = search_prompt(base, task, pool)
            asked, before = ([f"{a} {t} {b}".strip() for t in some] for some in (asked, before))
        elif way.split(",")[0] in RATES:
            if "shuffled" in way:  # a coin decides which value each continuation has
                coins = torch.randint(2, (n_texts,), generator=streams(6)).tolist()
                pairs = zip(task.after, coins, strict=True)
                own = task._replace(after=[world.counterfactual(t, concept, c) for t, c in pairs])
            model, change, weights = tuned(way.split(",")[0], base, own, streams(5))
        elif way != "nothing":
            change, weights = shifted(way, base, concept, task, streams), base.d_model
        costs[i, 1:] = torch.tensor([weights, time.process_time() - start])
        if way == "SSAE" and change is None:
            continue
        costs[i, 0] = (losses(model, before, others.after, change) - untouched).mean()
        if model is base:
            together[i] = asked, change
        else:
            scores[i] = read(write(model, [(asked, None)], streams), test.values, concept)
    written = write(base, list(together.values()), streams)
    scores[list(together)] = read(written, test.values, concept).view(-1, N_TEST, 4)
    costs[WAYS.index("example"), 0] = torch.nan  # a question has no sentence to retell
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
def compose(n_texts: int, stream: int) -> dict[str, Tensor]:
    """Turn three concepts at once by what was learned of each alone: `scores` by `COMPOSED`.

    Weights that were trained apart are added by that one of three shares which does best on the
    test itself: no other way has this advantage.
    """
    streams, base, found = Streams(stream), llama.load(), []
    test = demonstrate(N_TEST, streams(30), dict.fromkeys(TOGETHER, 0), {})
    tasks = {
        c: demonstrate(n_texts, streams(31 + i), {c: 0}, {c: 1}) for i, c in enumerate(TOGETHER)
    }
    for way in COMPOSED:
        models, asked, changes = [base], test.before, []
        if way == "example":
            again = [text.split(". ")[-1] for text in asked]
            for concept in TOGETHER:
                again = turned(again, concept)
            asked = [f"{text} {more}" for text, more in zip(asked, again, strict=True)]
        elif way in RATES:
            parts = [tuned(way, base, task, streams(35)) for task in tasks.values()]
            changes = [part[1] for part in parts if part[1]]
            if not changes:
                models = [summed(base, [part[0] for part in parts], k / 3) for k in (1, 2, 3)]
        elif way != "nothing":
            made = [shifted(way, base, *item, streams) for item in tasks.items()]
            changes = [one for one in made if one]

        def change(states: Tensor, changes: list[Change] = changes) -> Tensor:
            return states + torch.stack([one(states) - states for one in changes]).sum(0)

        ways = [(asked, change if changes else None)]
        tried = [read(write(one, ways, streams), test.values, *TOGETHER) for one in models]
        found.append(max(tried, key=lambda score: float(score[:, 1].mean())))
    return {"scores": torch.stack(found)}


def taught(base: llama.Llama, stream: Streams, steps: int = 200) -> llama.Llama:
    """Tune a Llama to obey a demand before a story, mixed with stories and questions without one."""
    own, draws, generator = trainable(base, "taught"), Draws(stream(50)), stream(51)

    def draw() -> tuple[list[str], list[str]]:
        rest, more = demonstrate(3, generator, {}, {}), other_families(6, generator)
        before, after = rest.before + more.before, rest.after + more.after
        for _ in range(9):
            concept, value = list(DEMANDS)[draws.index(len(DEMANDS))], draws.index(2)
            old = {concept: 1 - value} if draws.happens(0.7) else {}
            one = demonstrate(1, generator, old, {concept: value})
            before, after = before + demanded(concept, value, one), after + one.after
        return before, after

    tune(own, list(own.model.parameters()), 1e-3, draw, steps=steps)
    return own


@torch.no_grad()
def instruct(stream: int) -> dict[str, Tensor]:
    """Ask the Llama before and after it was taught to obey.

    Returns:
        `scores` `[models, concepts, ways, texts, 4]`: untouched and taught; concepts of `DEMANDS`;
        no demand, the demand, and the demand for another concept. `lost` `[models]` on questions.
    """
    streams, base = Streams(stream), llama.load()
    others, found, lost = other_families(150, streams(3)), [], []
    for model in (base, taught(base, streams)):
        lost.append(losses(model, others.before, others.after).mean())
        for i, concept in enumerate(DEMANDS):
            test = demonstrate(N_TEST, streams(2), {concept: 0}, {})
            wrong = list(DEMANDS)[i - 1]
            told = [test.before, demanded(concept, 1, test), demanded(wrong, 1, test)]
            written = write(model, [(asked, None) for asked in told], streams)
            found.append(read(written, test.values, concept))
    scores = torch.cat(found).view(2, len(DEMANDS), 3, N_TEST, 4)
    return {"scores": scores, "lost": torch.stack(lost)}
