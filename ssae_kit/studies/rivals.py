"""Ways to change what a Llama writes: demonstrations, prompts, edits, trainings, and their score."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import llama, steering, training, world
from ssae_kit.autoencoders import Autoencoder, TopKSAE
from ssae_kit.llama.rows import token_rows
from ssae_kit.streams import Streams
from ssae_kit.world.families import DEMANDS, SAMPLERS
from ssae_kit.world.lexicon import CHARACTERS
from ssae_kit.world.sentences import MAX_SENTENCE_LENGTH, draw_plan
from ssae_kit.world.state import Draws, draw_state
from ssae_kit.world.stories import Story

LAYER = 3
STEPS, BATCH, RANK = 30, 8, 4
"""Of every training; whatever the budget, it sees 240 texts, some of them again and again."""
RATES = {"LoReFT": 2e-2, "LoRA": 3e-3, "fine-tuning": 3e-4}
"""Learning rates, chosen by a prototype on other texts."""
STRENGTHS = {"SSAE": 1.5, "SAE clamp": 3.0}
"""Of notebook 06; a random direction is as long as the difference of means, which is added once."""
OTHERS = ("facts", "two_hop", "verdict", "agreement", "indirect_object")
"""Families that no way is tuned on."""
Change = Callable[[Tensor], Tensor]
"""An edit: states to states."""


class Task(NamedTuple):
    """Texts to go on with, how they should go on, and the values of the seven concepts before."""

    before: list[str]
    after: list[str]
    values: Int[Tensor, "texts concepts"] = torch.empty(0, 0).long()


def demonstrate(
    n: int,
    generator: torch.Generator,
    old: Mapping[str, int],
    new: Mapping[str, int],
    n_sentences: int = 2,
) -> Task:
    """Return story beginnings with the old values of some concepts, continued with the new ones."""
    draws, rows = Draws(generator), []
    for _ in range(n):
        state, character = draw_state(draws).changed(**old), draws.index(len(CHARACTERS))
        told = [
            Story(tuple(draw_plan(draws, one, character) for _ in range(length))).text
            for one, length in ((state, n_sentences), (state.changed(**new), 2))
        ]
        rows.append((*told, state.binary()))
    before, after, values = zip(*rows, strict=True)
    return Task(list(before), list(after), torch.tensor(values))


def other_families(n: int, generator: torch.Generator) -> Task:
    """Return questions of the families beside the stories, and their answers."""
    draws = Draws(generator)
    found = [SAMPLERS[OTHERS[i % len(OTHERS)]](draws, False) for i in range(n)]
    english = torch.zeros(n, 1).long()
    return Task([d.prompt for d in found], [f"{d.answer}." for d in found], english)


def demanded(task: Task, *concepts: str) -> list[str]:
    """Put the demand for value 1 of some concepts behind texts, each in its own language."""
    rows = zip(task.before, task.values[:, 0].tolist(), strict=True)
    return [f"{text} {', '.join(DEMANDS[c][own][1] for c in concepts)}:" for text, own in rows]


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


def add_lora(model: llama.Llama, rank: int, seed: int) -> None:
    """Put matrices of low rank beside the attention's weights, in place; they alone learn then."""
    from peft import LoraConfig, inject_adapter_in_model  # of the extra `baselines`

    parts = ["q_proj", "k_proj", "v_proj", "o_proj"]
    with torch.random.fork_rng(devices=[]):  # peft draws from torch's global stream
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=parts)
        inject_adapter_in_model(config, model.model)


class Ready(NamedTuple):
    """What writes: a model, its edit, how many weights are new, and how prompts are put to it."""

    model: llama.Llama
    change: Change | None = None
    n_weights: int = 0
    ask: Callable[[Task], list[str]] = attrgetter("before")

    def edits(self, layer: int, at: Any) -> dict[int, llama.Edit] | None:
        """Return the edit as `llama.run` takes it."""
        return {layer: llama.Apply(self.change, at=at)} if self.change else None


def losses(ready: Ready, task: Task) -> Float[Tensor, " texts"]:
    """Return how badly each continuation is foreseen, in nats per token; gradients flow.

    The edit acts on the state of the last token of what is read before.
    """
    before, model = ready.ask(task), ready.model
    rows = token_rows(model, [f"{b} {a}" for b, a in zip(before, task.after, strict=True)])
    n = torch.tensor([len(row) for row in token_rows(model, before)])
    done = llama.run(model, rows, edits=ready.edits(LAYER, n - 1), logits=True)
    assert done.logits is not None
    counts = done.is_token[:, 1:] & (torch.arange(1, done.ids.shape[1]) >= n[:, None])
    nats = F.cross_entropy(done.logits[:, :-1].mT, done.ids[:, 1:], reduction="none") * counts
    return nats.sum(1) / counts.sum(1)


@torch.enable_grad()
def tuned(
    how: str,
    model: llama.Llama,
    rate: float,
    generator: torch.Generator,
    batches: Iterable[Any],
    loss: Callable[[Ready, Any], Tensor] = losses,
) -> Ready:
    """Train in one of the ways of `RATES` on every batch; the model itself stays as it is."""
    edit = LoReFT(model.d_model, RANK, generator).to(model.device)
    own, learner, change = model, edit, edit if how == "LoReFT" else None
    if not change:
        copied = copy.deepcopy(model.model).requires_grad_(True)
        own, learner = llama.Llama(how, copied, model.tokenizer), copied
    if how == "LoRA":
        add_lora(own, RANK, generator.initial_seed())
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, rate, weight_decay=0)
    for batch in batches:
        optimizer.zero_grad()
        loss(Ready(own, change), batch).mean().backward()
        optimizer.step()
    for weight in weights:
        weight.requires_grad_(False)
    return Ready(own, change, sum(weight.numel() for weight in weights))


def batches(task: Task, generator: torch.Generator) -> Iterator[Task]:
    """Draw demonstrations for every step of a training."""
    for _ in range(STEPS):
        chosen = torch.randint(len(task.before), (BATCH,), generator=generator).tolist()
        yield Task([task.before[i] for i in chosen], [task.after[i] for i in chosen])


def search_prompt(
    loss: Callable[[str, str], float], pool: Sequence[str], behind: Sequence[str] = ()
) -> tuple[str, str]:
    """Return what to put before and behind every prompt: greedily, what has the lowest loss."""
    around = ("", "")
    for _ in range(2):
        first, last = around
        tried = [around, *((f"{one} {first}".strip(), last) for one in pool)]
        tried += [(first, f"{last} {one}".strip()) for one in behind]
        around = min(tried, key=lambda each: loss(*each))
    return around


def asked_with(model: llama.Llama, before: str, behind: str = "") -> Ready:
    """Return the model, asked with something before and behind every prompt."""
    return Ready(model, ask=lambda some: [f"{before} {t} {behind}".strip() for t in some.before])


@torch.enable_grad()  # of the autoencoders
def shifted(
    name: str, model: llama.Llama, concept: str, task: Task, stream: Streams
) -> Change | None:
    """Return an edit that no gradient of its effect made; a pair counts as two texts."""
    texts = task.before[: len(task.before) // 2]
    turned = [world.counterfactual(text, concept, 1) for text in texts]
    states = llama.hidden_states(model, [*texts, *turned], LAYER)
    shifts = states[len(texts) :] - states[: len(texts)]
    row = shifts.mean(0)
    config = training.TrainingConfig(steps=200, batch_size=min(64, len(texts)))
    if name == "SSAE":
        if len(texts) < 2 * len(world.CONCEPTS):  # as many pairs as latents are required
            return None
        pairs = world.concept_pairs(len(texts), stream(22))
        found = steering.learn(model, pairs, LAYER, seed=stream.seed(23), config=config)[concept][0]
        return lambda states: states + STRENGTHS[name] * found
    if name == "SAE clamp":
        return clamped_on(states, stream, config)
    if name == "random direction":
        row = row.norm() * F.normalize(torch.randn(row.shape, generator=stream(21)), dim=0)
    if name == "shuffled labels":
        signs = 1 - 2 * torch.randint(2, (len(texts), 1), generator=stream(20))
        row = (signs * shifts).mean(0)
    return lambda states: states + row


def clamped_on(states: Tensor, stream: Streams, config: training.TrainingConfig) -> Change:
    """Return a clamp of a dictionary fitted to states, of which the second half has value 1."""
    own = TopKSAE(1, states.shape[1], 128, k=8, generator=stream(24))
    training.fit(own, states, training.Penalty(), config, generator=stream(25))
    values = (torch.arange(len(states)) >= len(states) // 2).long()[:, None]
    clamp = steering.clamp_of(own, states, values)
    low, high = clamp.levels[0]
    return held_at(own, int(clamp.latent), low + STRENGTHS["SAE clamp"] * (high - low))


def held_at(autoencoder: Autoencoder, latent: int, level: Tensor | float) -> Change:
    """Return an edit that holds a latent's code at a level, and leaves what it does not say."""
    line = autoencoder.scale * autoencoder.directions[0, latent]

    @torch.no_grad()
    def held(states: Tensor) -> Tensor:
        code = autoencoder.encode(states.reshape(-1, states.shape[-1]))[0][:, latent]
        moved: Tensor = states + ((level - code)[:, None] * line).view_as(states)
        return moved

    return held


def write(ready: Ready, task: Task, stream: Streams) -> list[str]:
    """Continue every text by two sentences, with the edit at the last token of what is asked."""
    return llama.generate(
        ready.model, ready.ask(task), max_new_tokens=2 * MAX_SENTENCE_LENGTH, temperature=0.5, generator=stream(4),
        edits=ready.edits(LAYER, "last"), batch_size=1024,
    )  # fmt: skip


def read(
    written: Sequence[str], values: Int[Tensor, "texts concepts"], *concepts: str
) -> Float[Tensor, "texts 4"]:
    """Return effect, strict, side effect and ill-formed share of every text."""
    said = steering.read_concepts(written, world.read, world.CONCEPTS, n_sentences=2)
    steered = torch.tensor([one in concepts for one in world.CONCEPTS]).expand_as(values)
    score = steering.score_steering(said, values, steered)
    return torch.stack([score.target, score.strict.float(), score.elsewhere, score.ill_formed], 1)


def score(ready: Ready, task: Task, stream: Streams, *concepts: str) -> Float[Tensor, "texts 4"]:
    """Return what `read` says of what a way writes."""
    return read(write(ready, task, stream), task.values, *concepts)
