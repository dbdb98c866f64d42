"""The league of notebook 09: ways to change what a Llama writes, on one budget of texts."""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import llama, steering, training, world
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.llama.rows import token_rows
from ssae_kit.streams import Streams
from ssae_kit.world.families import CONTROLS, SAMPLERS
from ssae_kit.world.lexicon import CHARACTERS
from ssae_kit.world.sentences import draw_plan
from ssae_kit.world.state import Draws, draw_state
from ssae_kit.world.stories import Story

LAYER = 3
N_TEST = 42
STEPS, BATCH = 30, 8
"""Of every training; whatever the budget, it sees 240 texts, some of them again and again."""
RATES = {"LoReFT": 2e-2, "LoRA": 3e-3, "fine-tuning": 3e-4}
"""Learning rates, chosen by a prototype on other texts."""
STRENGTHS = {"SSAE": 1.5, "SAE clamp": 3.0}
"""Of notebook 06; a random direction is as long as the difference of means, which is added once."""
WAYS = (
    *("nothing", "instruction", "example", "prompt search", "difference of means", "SSAE"),
    *("SAE clamp", "random direction", "shuffled labels", *RATES, "fine-tuning, shuffled labels"),
)
"""Rows of the league."""
TOGETHER = ("sentiment", "tense", "size")
COMPOSED = ("nothing", "example", "difference of means", "random direction", *RATES)
"""Rows of the composition of these three concepts."""
DEMANDS = CONTROLS | {
    "sentiment": (("glad", "sad"), ("contents", "tristes")),
    "gender": (("boys", "girls"), ("garçons", "filles")),
}
"""Concept → per language, what asks for each value; of the last two the grammar has no demands, so
these are words of its stories."""
OTHERS = ("facts", "two_hop", "verdict", "agreement", "indirect_object")
"""Families that no way is tuned on."""
Change = Callable[[Tensor], Tensor]
"""An edit: states to states."""


class Task(NamedTuple):
    """Texts to go on with, how they should go on, and the values of the seven concepts before."""

    before: list[str]
    after: list[str]
    values: Int[Tensor, "texts concepts"]


def demonstrate(
    n: int, generator: torch.Generator, old: Mapping[str, int], new: Mapping[str, int]
) -> Task:
    """Return story beginnings with the old values of some concepts, continued with the new ones."""
    draws, rows = Draws(generator), []
    for _ in range(n):
        state, character = draw_state(draws).changed(**old), draws.index(len(CHARACTERS))
        told = [
            Story(tuple(draw_plan(draws, one, character) for _ in range(2))).text
            for one in (state, state.changed(**new))
        ]
        rows.append((*told, state.binary()))
    before, after, values = zip(*rows, strict=True)
    return Task(list(before), list(after), torch.tensor(values))


def other_families(n: int, generator: torch.Generator) -> Task:
    """Return questions of the families beside the stories, and their answers."""
    draws = Draws(generator)
    found = [SAMPLERS[OTHERS[i % len(OTHERS)]](draws, False) for i in range(n)]
    return Task(
        [d.prompt for d in found], [f"{d.answer}." for d in found], torch.zeros(n, 7).long()
    )


def demanded(concept: str, value: int, task: Task) -> list[str]:
    """Put the demand for a value before texts, each in its own language."""
    rows = zip(task.before, task.values[:, 0].tolist(), strict=True)
    return [f"{DEMANDS[concept][language][value]}: {text}" for text, language in rows]


def losses(
    model: llama.Llama, before: Sequence[str], after: Sequence[str], change: Change | None = None
) -> Float[Tensor, " texts"]:
    """Return how badly each continuation was foreseen, in nats per token; gradients flow.

    The edit acts on the state of the last token of what is read before.
    """
    rows = token_rows(model, [f"{b} {a}" for b, a in zip(before, after, strict=True)])
    n = torch.tensor([len(row) for row in token_rows(model, list(before))])
    edits = {LAYER: llama.Apply(change, at=n - 1)} if change else None
    done = llama.run(model, rows, edits=edits, logits=True)
    assert done.logits is not None
    counts = done.is_token[:, 1:] & (torch.arange(1, done.ids.shape[1]) >= n[:, None])
    nats = F.cross_entropy(done.logits[:, :-1].mT, done.ids[:, 1:], reduction="none") * counts
    return nats.sum(1) / counts.sum(1)


class LoReFT(torch.nn.Module):
    """Low-rank edit h + Rᵀ(Wh + b - Rh) with orthonormal rows R. Source: Wu et al. 2024."""

    def __init__(self, width: int, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        self.basis = torch.nn.Parameter(torch.randn(width, rank, generator=generator))
        rows = torch.linalg.qr(self.basis.detach()).Q.T
        self.weight = torch.nn.Parameter(rows.clone())  # at first it changes nothing
        self.bias = torch.nn.Parameter(torch.zeros(rank))

    def forward(self, states: Tensor) -> Tensor:
        """Return the edited states."""
        rows = torch.linalg.qr(self.basis).Q.T
        new: Tensor = states + (states @ self.weight.T + self.bias - states @ rows.T) @ rows
        return new


def tune(
    model: llama.Llama,
    parameters: Sequence[Tensor],
    rate: float,
    draw: Callable[[], tuple[Sequence[str], Sequence[str]]],
    change: Change | None = None,
    steps: int = STEPS,
) -> None:
    """Train parameters in place, so that what is drawn at each step is foreseen; then freeze them."""
    optimizer = torch.optim.AdamW(parameters, rate, weight_decay=0)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            losses(model, *draw(), change).mean().backward()
            optimizer.step()
    for weight in parameters:
        weight.requires_grad_(False)


def trainable(model: llama.Llama, name: str) -> llama.Llama:
    """Return a copy whose weights learn."""
    return llama.Llama(name, copy.deepcopy(model.model).requires_grad_(True), model.tokenizer)


def tuned(
    how: str, model: llama.Llama, task: Task, generator: torch.Generator
) -> tuple[llama.Llama, Change | None, int]:
    """Train in one of the ways of `RATES`: the model, the edit, and how many weights are new."""
    own, module = model, LoReFT(model.d_model, 4, generator)
    if how != "LoReFT":
        own = trainable(model, how)
    if how == "LoRA":
        from peft import LoraConfig, inject_adapter_in_model  # of the extra `baselines`

        parts = ["q_proj", "k_proj", "v_proj", "o_proj"]
        inject_adapter_in_model(LoraConfig(r=4, lora_alpha=8, target_modules=parts), own.model)
    learner: Any = module if how == "LoReFT" else own.model
    weights = [p for p in learner.parameters() if p.requires_grad]

    def draw() -> tuple[list[str], list[str]]:
        chosen = torch.randint(len(task.before), (BATCH,), generator=generator).tolist()
        return [task.before[i] for i in chosen], [task.after[i] for i in chosen]

    change = module if how == "LoReFT" else None
    tune(own, weights, RATES[how], draw, change)
    return own, change, sum(p.numel() for p in weights)


def search_prompt(model: llama.Llama, task: Task, pool: Sequence[str]) -> tuple[str, str]:
    """Return what to put before and behind every prompt: greedily, what foresees best."""
    around, best = ("", ""), float("inf")
    for _ in range(2):
        first, last = around
        tried = [around, *((f"{one} {first}", last) for one in pool)]
        tried += [(first, f"{last} {one}") for one in pool if not one.endswith(":")]
        for a, b in tried:
            texts = [f"{a} {text} {b}".strip() for text in task.before[:16]]
            loss = float(losses(model, texts, task.after[:16]).mean())
            if loss < best:
                best, around = loss, (a, b)
    return around


def turned(texts: Sequence[str], concept: str) -> list[str]:
    """Return the texts told with value 1 of a concept, word beside word."""
    return [world.counterfactual(text, concept, 1) for text in texts]


@torch.enable_grad()  # of the autoencoders
def shifted(
    name: str, model: llama.Llama, concept: str, task: Task, stream: Streams
) -> Change | None:
    """Return an edit that no gradient of its effect made; a pair counts as two texts."""
    texts = task.before[: len(task.before) // 2]
    both = [*texts, *turned(texts, concept)]
    states = llama.hidden_states(model, both, LAYER)
    shifts = states[len(texts) :] - states[: len(texts)]
    row = mean = shifts.mean(0)
    config = training.TrainingConfig(steps=200, batch_size=min(64, len(texts)))
    if name == "SSAE":
        if len(texts) < 2 * len(world.CONCEPTS):  # as many pairs as latents are required
            return None
        pairs = world.concept_pairs(len(texts), stream(22))
        found = steering.learn(model, pairs, LAYER, seed=stream.seed(23), config=config)[concept][0]
        return lambda states: states + STRENGTHS[name] * found
    if name == "SAE clamp":
        own = TopKSAE(1, model.d_model, 128, k=8, generator=stream(24))
        training.fit(own, states, training.Penalty(), config, generator=stream(25))
        values = (torch.arange(len(both)) >= len(texts)).long()[:, None]
        clamp = steering.clamp_of(own, states, values)

        def clamped(states: Tensor) -> Tensor:
            flat = states.reshape(-1, states.shape[-1])
            old, on = torch.zeros(len(flat), 1).long(), torch.ones(len(flat), 1).bool()
            return states + clamp.vectors(flat, old, on, STRENGTHS[name]).view_as(states)

        return clamped
    if name == "random direction":
        row = torch.randn(mean.shape, generator=stream(21))
    if name == "shuffled labels":
        signs = 1 - 2 * torch.randint(2, (len(texts), 1), generator=stream(20))
        mean = row = (signs * shifts).mean(0)
    return lambda states: states + row / row.norm() * mean.norm()


def write(
    model: llama.Llama, ways: Sequence[tuple[Sequence[str], Change | None]], stream: Streams
) -> list[str]:
    """Continue the prompts of each way by two sentences, with its edit at their last token."""
    pushes = []
    for prompts, change in ways:
        states = llama.hidden_states(model, list(prompts), LAYER)
        pushes.append(change(states) - states if change else 0 * states)
    edits, asked = {LAYER: llama.Add(torch.cat(pushes))}, [text for way in ways for text in way[0]]
    return llama.generate(
        model, asked, max_new_tokens=42, temperature=0.5, generator=stream(4), edits=edits,
        n_ways=len(ways), batch_size=1024,
    )  # fmt: skip


def read(written: Sequence[str], values: Tensor, *concepts: str) -> Float[Tensor, "texts 4"]:
    """Return effect, strict, side effect and ill-formed share of every text, ways one by one."""
    values = values.repeat(len(written) // len(values), 1)
    said = steering.read_concepts(written, world.read, world.CONCEPTS, n_sentences=2)
    steered = torch.tensor([one in concepts for one in world.CONCEPTS]).expand_as(values)
    score = steering.score_steering(said, values, steered)
    return torch.stack([score.target, score.strict.float(), score.elsewhere, score.ill_formed], 1)


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
