"""The real Llama: steering held against examples and tuning, on the same few texts."""

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
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
    N_ASKED,
    N_READ,
    NEW_TOKENS,
    TEMPERATURE,
    as_bytes,
    steering_rows,
    token_size,
)
from ssae_kit.world.natural import CONCEPTS, PROMPTS, natural_pairs, word_counts

N_TEXTS = 64
"""Texts of each value to learn from."""
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


class LoReFT(torch.nn.Module):
    """Set a state's coordinates in a few directions to what is learned.

    Source: Wu et al. 2024 (arXiv 2404.03592).
    """

    def __init__(self, d_model: int, rank: int = RANK) -> None:
        """Begin as no edit at all."""
        super().__init__()
        self.span = torch.nn.Parameter(torch.randn(d_model, rank))
        self.wanted = torch.nn.Linear(d_model, rank)
        with torch.no_grad():
            self.wanted.weight.copy_(torch.linalg.qr(self.span).Q.T)
            self.wanted.bias.zero_()

    def forward(self, states: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any d_model"]:
        """Return the edited states."""
        basis = torch.linalg.qr(self.span).Q
        edited: Tensor = states + (self.wanted(states) - states @ basis) @ basis.mT
        return edited


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
    """Return a copy tuned to write such texts, the edits that belong to it, and what was changed.

    Returns:
        Model, edits, and the number of weights that were trained.
    """
    import peft  # slow to import

    own, edits = replace(model, model=copy.deepcopy(model.model)), {}
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        trained: Any = own.model.requires_grad_(way == "fine-tuning")
        if way == "LoReFT":
            trained = LoReFT(model.d_model)
            edits[LAYER] = llama.Apply(trained, at=slice(1, None))  # the begin token is a sink
        elif way != "fine-tuning":
            inside = ["q_proj", "k_proj", "v_proj", "o_proj"]
            config = peft.LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=inside)
            trained = peft.get_peft_model(own.model, config)  # puts its weights into `own`
    weights = [weight for weight in trained.parameters() if weight.requires_grad]
    if edits:
        with llama.edit(own, LAYER, trained, from_token=1):
            fit(own, weights, texts, RATES[way], seed)
    else:
        fit(own, weights, texts, RATES[way], seed)
    return own, edits, sum(weight.numel() for weight in weights)


def fit(
    model: llama.Llama, weights: list[Tensor], texts: Sequence[str], rate: float, seed: int
) -> list[float]:
    """Train weights on the loss of every text, each once; return the losses."""
    ids, last = padded(token_rows(model, texts))
    optimiser, losses = torch.optim.AdamW(weights, lr=rate, weight_decay=0.0), []
    for rows in torch.randperm(len(ids), generator=checks.seeded(seed)).split(BATCH):
        own = ids[rows][:, : last[rows].max() + 1]
        counts = torch.arange(1, own.shape[1]) <= last[rows][:, None]
        logits = model.model(own.to(model.device), use_cache=False).logits[:, :-1]
        loss = cross_entropy(logits[counts], own[:, 1:][counts].to(model.device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses


def push(way: str, concept: str, stream: int, model: llama.Llama) -> Float[Tensor, "1 d_model"]:
    """Return what steering adds to turn a concept to value 1, a share of a token's size long."""
    k, size = CONCEPTS.index(concept), STRENGTH * token_size(model, LAYER)
    if way != "difference of means":
        return size * steering_rows(way, stream, model.d_model)[k : k + 1]
    low, high = (read_texts(model, own, [LAYER])[0, 0] for own in texts_with(concept, stream))
    return size * normalize((high - low).mean(0, keepdim=True))


def league(way: str, concept: str, stream: int) -> dict[str, Tensor]:
    """Turn a concept to value 1 and to value 0 in one way, and say what that does and costs.

    Returns:
        For both values, `counts` `[2, prompts, concepts, values]` of words in what is written,
        `losses` `[2, prompts]` of it in nats per token as the untouched model reads it, `lost`
        `[2, texts]`, how much worse other texts are predicted, and the `texts` as bytes. And what
        it took: `cost`, CPU seconds for both values, weights of one, texts learned from.
    """
    model, draw = llama.load(MODEL), Streams(stream)
    low, high = texts_with(concept, stream)
    if way == "shuffled labels":
        order = torch.randperm(2 * N_TEXTS, generator=draw(392)).tolist()
        mixed = [(low + high)[i] for i in order]
        low, high = mixed[:N_TEXTS], mixed[N_TEXTS:]
    others = list(dataset("TRUTH").target[:N_OTHER])
    told, prompts, spent = [], list(PROMPTS[:N_ASKED]), 0.0
    known, vector = llama.text_losses(model, others), None
    n_seen, n_weights = {"example": 2 * N_EXAMPLES, "random": 0, "SSAE": SEEN_BY_SSAE}, 0
    for texts in (high, low):
        started, own, asked = time.process_time(), model, prompts
        edits: dict[int, llama.Edit] = {}
        if way == "example":
            asked = [" ".join([*texts[:N_EXAMPLES], text]) for text in prompts]
        elif way in RATES:
            own, edits, n_weights = tune(way, model, texts, draw.seed(393))
        else:
            vector = push(way, concept, stream, model) if vector is None else -vector
            edits, n_weights = {LAYER: llama.Add(vector, at=slice(1, None))}, model.d_model
        spent += time.process_time() - started
        options: Any = {"max_new_tokens": NEW_TOKENS, "temperature": TEMPERATURE, "edits": edits}
        written = llama.generate(own, asked, generator=draw(394), **options)
        read = [f"{a} {b}" for a, b in zip(prompts[:N_READ], written, strict=False)]
        lost = llama.text_losses(own, others, edits=edits) - known
        told.append((word_counts(written), llama.text_losses(model, read), lost, written))
    counts, losses, lost, texts = zip(*told, strict=True)
    return {
        "counts": torch.stack(counts),
        "losses": torch.stack(losses),
        "lost": torch.stack(lost),
        "cost": torch.tensor([spent, n_weights, n_seen.get(way, 2 * N_TEXTS)]),
        "texts": as_bytes([text for side in texts for text in side]),
    }


WAYS = ("example", *RATES, "difference of means", "SSAE")
LEAGUE = [
    {"way": way, "concept": concept, "stream": 0}
    for concept in ("sentiment", "gender")
    for way in WAYS
] + [{"way": "random", "concept": "sentiment", "stream": s} for s in range(4)]
"""Random directions, one of each stream, are no concept's: their texts count for all."""
