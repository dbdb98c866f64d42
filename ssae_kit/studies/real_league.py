"""The real Llama: steering held against examples and tuning, on the same few texts."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from ssae_kit import checks, llama
from ssae_kit.llama.rows import padded, token_rows
from ssae_kit.pairs import dataset
from ssae_kit.streams import Streams
from ssae_kit.studies.real import LAYER, MODEL, read_texts
from ssae_kit.studies.real_steering import (
    N_READ,
    NEW_TOKENS,
    TEMPERATURE,
    as_bytes,
    steering_rows,
    token_size,
)
from ssae_kit.studies.rivals import LoReFT, add_lora, trainable
from ssae_kit.world.natural import CONCEPTS, PROMPTS, natural_pairs, word_counts

N_TEXTS = 64
"""Texts of each value to learn from."""
N_ASKED = 24
"""Prompts that are written on."""
N_EXAMPLES = 3
"""Of these, how many stand before a prompt that is steered by examples."""
N_OTHER = 24
"""Texts of another kind, right answers to questions of fact: what else was lost?"""
BATCH, RANK, STRENGTH = 4, 4, 0.25
RATES = {"fine-tuning": 1e-4, "LoRA": 5e-3, "shuffled labels": 5e-3, "LoReFT": 5e-2}
"""Way of tuning -> learning rate; each sees every text once, LoRA is also what learns shuffled labels.
Rates are those of several at which the training loss of other texts fell farthest."""
SEEN_BY_SSAE = 2000
"""Texts of the main experiment, from which its directions come."""


def texts_with(concept: str, stream: int) -> tuple[list[str], list[str]]:
    """Return texts with value 0 and with value 1 of a concept; other concepts may change too."""
    pairs = natural_pairs(20 * N_TEXTS, Streams(stream)(390), wordings="many")
    k = CONCEPTS.index(concept)
    both = zip(pairs.source, pairs.target, pairs.changes, strict=True)
    ordered = [(s, t)[:: change[k]] for s, t, change in both if change[k]][:N_TEXTS]
    return [low for low, _ in ordered], [high for _, high in ordered]


def tune(
    way: str, model: llama.Llama, texts: Sequence[str], seed: int
) -> tuple[llama.Llama, dict[int, llama.Edit], int]:
    """Train in one of the ways of `RATES`, on every text once; the model itself stays as it is.

    Returns:
        The model to write with, the edits that belong to it, and the number of weights trained.
    """
    edits: dict[int, llama.Edit] = {}
    own = model
    reading: AbstractContextManager[None] = nullcontext()
    if way == "LoReFT":
        learner: Any = LoReFT(model.d_model, RANK, checks.seeded(seed)).to(model.device)
        edits[LAYER] = llama.Apply(learner, at=slice(1, None))  # the begin token is a sink
        reading = llama.edit(model, LAYER, learner, from_token=1)
    else:
        own = trainable(model, way)
        learner = own.model
    if way in ("LoRA", "shuffled labels"):
        add_lora(own, RANK, seed)
    weights = [weight for weight in learner.parameters() if weight.requires_grad]
    ids, last = padded(token_rows(model, texts))
    optimizer = torch.optim.AdamW(weights, lr=RATES[way], weight_decay=0.0)
    with reading:
        for rows in torch.randperm(len(ids), generator=checks.seeded(seed)).split(BATCH):
            seen = ids[rows][:, : last[rows].max() + 1].to(model.device)
            counts = torch.arange(1, seen.shape[1]) <= last[rows][:, None]
            logits = own.model(seen, use_cache=False).logits[:, :-1]
            optimizer.zero_grad()
            cross_entropy(logits[counts], seen[:, 1:][counts]).backward()
            optimizer.step()
    return own, edits, sum(weight.numel() for weight in weights)


def push(way: str, concept: str, stream: int, model: llama.Llama) -> Float[Tensor, "1 d_model"]:
    """Return what steering adds to turn a concept to value 1, a share of a token's size long."""
    k, size = CONCEPTS.index(concept), STRENGTH * token_size(model, LAYER)
    if way != "difference of means":
        return size * steering_rows(way, stream, model.d_model)[k : k + 1]
    low, high = (read_texts(model, own, [LAYER])[0, 0] for own in texts_with(concept, stream))
    return size * normalize((high - low).mean(0, keepdim=True))


def score_way(way: str, concept: str, stream: int) -> dict[str, Tensor]:
    """Turn a concept to value 1 and to value 0 in one way, and say what that does and costs.

    Returns:
        For both values, `counts` `[2, prompts, concepts, values]` of words in what is written,
        `losses` `[2, prompts]` of it in nats per token as the untouched model reads it, `lost`
        `[2, texts]`, how much worse other texts are predicted, and the `texts` as bytes. And what
        it took: `cost`, CPU seconds for both values, weights of one, texts learned from.
    """
    model, draw, spent = llama.load(MODEL), Streams(stream), 0.0
    told: list[Any] = []
    low, high = texts_with(concept, stream)
    if way == "shuffled labels":
        order = torch.randperm(2 * N_TEXTS, generator=draw(392)).tolist()
        low, high = ([(low + high)[i] for i in side] for side in (order[:N_TEXTS], order[N_TEXTS:]))
    others, vector = list(dataset("TRUTH").target[:N_OTHER]), None
    known = llama.text_losses(model, others)
    n_weights, n_seen = 0, {"example": 2 * N_EXAMPLES, "random": 0, "SSAE": SEEN_BY_SSAE}
    for texts in (high, low):
        started, own, prompts = time.process_time(), model, list(PROMPTS[:N_ASKED])
        edits: dict[int, llama.Edit] = {}
        if way == "example":
            prompts = [" ".join([*texts[:N_EXAMPLES], text]) for text in prompts]
        elif way in RATES:
            own, edits, n_weights = tune(way, model, texts, draw.seed(393))
        else:
            vector = push(way, concept, stream, model) if vector is None else -vector
            edits, n_weights = {LAYER: llama.Add(vector, at=slice(1, None))}, model.d_model
        spent += time.process_time() - started
        options: Any = {"max_new_tokens": NEW_TOKENS, "temperature": TEMPERATURE, "edits": edits}
        written = llama.generate(own, prompts, generator=draw(394), **options)
        read = [f"{a} {b}" for a, b in zip(PROMPTS[:N_READ], written, strict=False)]
        lost = llama.text_losses(own, others, edits=edits) - known
        told.append((word_counts(written), llama.text_losses(model, read), lost, written))
    *found, both = zip(*told, strict=True)
    rows = dict(zip(("counts", "losses", "lost"), map(torch.stack, found), strict=True))
    cost = torch.tensor([spent, n_weights, n_seen.get(way, 2 * N_TEXTS)])
    return rows | {"cost": cost, "texts": as_bytes(both[0] + both[1])}


WAYS = ("example", *RATES, "difference of means", "SSAE")
LEAGUE: list[dict[str, Any]] = [
    {"way": way, "concept": concept, "stream": 0}
    for concept in ("sentiment", "gender")
    for way in WAYS
] + [{"way": "random", "concept": "sentiment", "stream": s} for s in range(4)]
"""Random directions, one of each stream, are no concept's: their texts count for all."""
