"""The real Llama: steering held against examples and tuning, on the same few texts."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ssae_kit import checks, llama
from ssae_kit.llama.rows import token_rows
from ssae_kit.pairs import dataset
from ssae_kit.streams import Streams
from ssae_kit.studies.dictionary import shipped
from ssae_kit.studies.real import LAYER, MODEL, read_texts
from ssae_kit.studies.real_steering import (
    NEW_TOKENS,
    TEMPERATURE,
    read_again,
    steering_rows,
    token_size,
)
from ssae_kit.studies.rivals import Change, Ready, Task, asked_with, held_at, search_prompt, tuned
from ssae_kit.world.natural import CONCEPTS, PROMPTS, WRITING, natural_pairs

N_TEXTS = 64
"""Texts of each value to learn from."""
N_ASKED = 24
"""Prompts that are written on."""
N_EXAMPLES = 3
"""Of these, how many stand before a prompt that is steered by examples."""
N_OTHER = 24
"""Texts of another kind, right answers to questions of fact: what else was lost?"""
BATCH, STRENGTH = 4, 0.25
EDITED = slice(1, None)
"""Tokens that an edit changes: the begin token is a sink."""
RATES = {"fine-tuning": 1e-4, "LoRA": 5e-3, "shuffled labels": 5e-3, "LoReFT": 5e-2}
"""Way of tuning -> learning rate; each sees every text once, LoRA is also what learns shuffled labels.
Rates are those of several at which the training loss of other texts fell farthest."""
N_DEV = 4
"""Texts of either value by which a searched prompt is judged."""
N_SEEN = {"example": 2 * N_EXAMPLES, "prompt search": 2 * (N_EXAMPLES + N_DEV)}
N_SEEN |= {"random": 0, "SSAE": 2000}
"""Texts that a way read for both values, if not all of the budget; the SSAE those of notebook 07."""


def texts_with(concept: str, stream: int) -> tuple[list[str], list[str]]:
    """Return texts with value 0 and with value 1 of a concept; other concepts may change too."""
    pairs = natural_pairs(20 * N_TEXTS, Streams(stream)(390), wordings="many")
    k = CONCEPTS.index(concept)
    both = zip(pairs.source, pairs.target, pairs.changes, strict=True)
    ordered = [(s, t)[:: change[k]] for s, t, change in both if change[k]][:N_TEXTS]
    return [low for low, _ in ordered], [high for _, high in ordered]


def tune(way: str, model: llama.Llama, texts: Sequence[str], seed: int) -> Ready:
    """Train in one of the ways of `RATES`, on every text once; the model itself stays as it is."""
    batches = torch.randperm(len(texts), generator=checks.seeded(seed)).split(BATCH)

    def loss(ready: Ready, chosen: Tensor) -> Tensor:
        some = [texts[i] for i in chosen.tolist()]
        done = llama.run(ready.model, some, edits=ready.edits(LAYER, EDITED), logits=True)
        assert done.logits is not None
        counts = done.is_token[:, 1:]
        return cross_entropy(done.logits[:, :-1][counts].cpu(), done.ids[:, 1:][counts])

    how = "LoRA" if way == "shuffled labels" else way
    return tuned(how, model, RATES[way], checks.seeded(seed), batches, loss)


def push(way: str, concept: str, stream: int, model: llama.Llama) -> Float[Tensor, "1 d_model"]:
    """Return what steering adds to turn a concept to value 1, a share of a token's size long."""
    k, size = CONCEPTS.index(concept), STRENGTH * token_size(model, LAYER)
    if way != "difference of means":
        return size * steering_rows(way, stream, model.d_model)[k : k + 1]
    low, high = (read_texts(model, own, [LAYER])[0, 0] for own in texts_with(concept, stream))
    return size * normalize((high - low).mean(0, keepdim=True))


def searched(model: llama.Llama, wanted: Sequence[str], others: Sequence[str], wish: str) -> str:
    """Return what before a prompt makes wanted texts likeliest beside the others."""
    unseen = slice(N_EXAMPLES, N_EXAMPLES + N_DEV)
    texts = [*wanted[unseen], *others[unseen]]

    def loss(before: str, _: str) -> float:
        told = [f"{before} {text}".strip() for text in texts]
        n = torch.tensor([len(row) - 1 for row in token_rows(model, told)])
        for_it, against = (llama.text_losses(model, told).cpu() * n).chunk(2)
        return float((for_it - against).mean())

    return search_prompt(loss, [wish, *wanted[:N_EXAMPLES]])[0]


@torch.no_grad()
def clamp_latent(model: llama.Llama, wanted: Sequence[str], others: Sequence[str]) -> Change:
    """Return an edit that holds a latent of the shipped dictionary, as long as any push.

    It is the latent whose mean code in a text tells wanted texts best from the others.
    """
    sae, texts = shipped().to(model.device), [*wanted, *others]
    told = llama.token_states(model, texts, LAYER)
    codes = sae.encode(told.states.to(model.device))[0].cpu()
    means = torch.stack([codes[told.text.cpu() == i].mean(0) for i in range(len(texts))])
    gap = means[: len(wanted)].mean(0) - means[len(wanted) :].mean(0)
    latent = int((gap / means.std(0).clamp_min(1e-6)).argmax())
    long = (sae.scale * sae.directions[0, latent]).norm()
    return held_at(sae, latent, STRENGTH * token_size(model, LAYER) / long)


def prepare(way: str, concept: str, stream: int, model: llama.Llama) -> list[Ready]:
    """Return what turns a concept to value 1, and what turns it to value 0, by one of `WAYS`."""
    draw, (low, high) = Streams(stream), texts_with(concept, stream)
    if way == "shuffled labels":
        order = torch.randperm(2 * N_TEXTS, generator=draw(392)).tolist()
        low, high = ([(low + high)[i] for i in side] for side in (order[:N_TEXTS], order[N_TEXTS:]))
    sides = ((high, low, 1), (low, high, 0))
    if way == "prompt search":
        wishes = WRITING["wishes"][concept]
        return [asked_with(model, searched(model, own, rest, wishes[v])) for own, rest, v in sides]
    if way == "example":
        return [asked_with(model, " ".join(own[:N_EXAMPLES])) for own, _, _ in sides]
    if way in RATES:
        return [tune(way, model, own, draw.seed(393)) for own, _, _ in sides]
    if way == "SAE clamp":
        return [Ready(model, clamp_latent(model, *two), 2 * model.d_model) for *two, _ in sides]
    vector = push(way, concept, stream, model)
    return [Ready(model, partial(torch.add, own), model.d_model) for own in (vector, -vector)]


def score_way(way: str, concept: str, stream: int) -> dict[str, Tensor]:
    """Turn a concept to value 1 and to value 0 in one way, and say what that does and costs.

    Returns:
        For both values, `counts` `[2, prompts, concepts, values]` of words in what is written,
        `losses` `[2, prompts]` of it in nats per token as the untouched model reads it, `lost`
        `[2, texts]`, how much worse other texts are predicted, and the `texts` as bytes. And what
        it took: `cost`, CPU seconds for both values, weights of one, texts learned from.
    """
    model, others = llama.load(MODEL), list(dataset("TRUTH").target[:N_OTHER])
    known, written, lost = llama.text_losses(model, others), [], []
    started = time.process_time()
    both = prepare(way, concept, stream, model)
    spent = time.process_time() - started
    asked = Task(list(PROMPTS[:N_ASKED]), [])
    for ready in both:
        edits, draw = ready.edits(LAYER, EDITED), Streams(stream)(394)
        options: Any = {"max_new_tokens": NEW_TOKENS, "temperature": TEMPERATURE, "edits": edits}
        written.append(llama.generate(ready.model, ready.ask(asked), generator=draw, **options))
        lost.append(llama.text_losses(ready.model, others, edits=edits) - known)
    cost = torch.tensor([spent, both[0].n_weights, N_SEEN.get(way, 2 * N_TEXTS)])
    return read_again(model, written) | {"lost": torch.stack(lost), "cost": cost}


WAYS = ("example", "prompt search", *RATES, "difference of means", "SSAE", "SAE clamp")
