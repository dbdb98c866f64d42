"""The real Llama, steered at length: odds of the next word, and texts scored by word lists."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from ssae_kit import llama, methods, steering
from ssae_kit.llama.rows import token_rows
from ssae_kit.pairs import ConceptPairs
from ssae_kit.streams import Streams
from ssae_kit.studies.real import (
    LAYER,
    LAYERS,
    MODEL,
    STATES,
    STREAMS,
    changes_of,
    find_ssae,
    kept_shifts,
    real_pairs,
    shifts_in,
)
from ssae_kit.studies.sweep import sweep
from ssae_kit.world.natural import CONCEPTS, NEXT_WORD, PROMPTS, request, word_counts

N_RANDOM = 20
NEW_TOKENS = 20
LATER = 20
"""A second layer that texts are written at, stated before they were: there the pushes that labels
learned turned the next verb the right way in every stream (`choose_layer`), in the middle one the
SSAE's turned it the wrong way."""
TEMPERATURE = 0.7
N_READ = 8
"""Prompts whose continuations the unsteered model reads again; all that are pushed very far."""
TRIED, STRENGTHS = (10, 20), (1.0, 2.0)
"""Layers and strengths, in typical shifts, that labels choose from."""
N_PAIRS = 32
"""Pairs that such a push is learned and judged from."""
LEAST = ("tense", "negation", "gender", "formality")
"""The four concepts whose next word the SSAE's direction of the middle layer turns least."""
N_FAR = 5
"""Concepts that are pushed very far: only what that costs is read."""


def read_later(stream: int) -> dict[str, Tensor]:
    """Return shifts `[pairs, d_model]` of the mean over tokens in the later layer."""
    pairs = real_pairs("one wording", stream)["train"]
    found = shifts_in(llama.load(MODEL), {"train": pairs}, [LATER], stream)
    return {"train": found["train"][0, 0].clone()}


def directions(stream: int, layer: int | None = None) -> dict[str, Tensor]:
    """Return directions `[concepts, d_model]` in a layer, as long as a typical shift."""
    kind = "one wording"
    if layer in (None, LAYER):
        place = LAYERS[kind].index(LAYER)
        return learned(kept_shifts(kind, stream, True)["train"][0, place], stream)
    return learned(sweep(read_later, [{"stream": stream}], STATES)[0]["train"], stream)


def learned(train: Float[Tensor, "pairs d_model"], stream: int) -> dict[str, Tensor]:
    """Return directions that mean shifts over tokens give; labels only name the SSAE's."""
    shifts, known = train.float(), changes_of(real_pairs("one wording", stream)["train"])
    found, _ = find_ssae(shifts, stream, 2 * len(CONCEPTS))
    means = methods.difference_of_means(shifts, known).directions
    return {"SSAE": found.named(shifts, known)[0], "difference of means": means}


def layer_directions(stream: int) -> dict[str, Tensor]:
    """Return the same in every layer, `[layers, concepts, d_model]`: what the Steering lab adds."""
    model, pairs = llama.load(MODEL), real_pairs("one wording", stream)["train"]
    every = shifts_in(model, {"train": pairs}, [*range(model.n_layers + 1)], stream)["train"][0]
    rows = [learned(train, stream) for train in every]
    return {name: torch.stack([row[name] for row in rows]).half() for name in rows[0]}


def steering_rows(
    way: str, stream: int, d_model: int, layer: int | None = None
) -> Float[Tensor, "rows d_model"]:
    """Return directions of length 1 in a layer: one per concept, or "random" ones."""
    if way == "random":
        return normalize(torch.randn(N_RANDOM, d_model, generator=Streams(stream)(350)))
    return normalize(sweep(directions, [{"stream": stream, "layer": layer}], STATES)[0][way])


def token_size(model: llama.Llama, layer: int = LAYER) -> float:
    """Return the median norm of a token's state: the unit of a push."""
    states = llama.token_states(model, PROMPTS, layer).states
    return float(states.norm(dim=1).median())


def log_odds(
    model: llama.Llama, concept: str, pushes: Float[Tensor, "pushes d_model"]
) -> Float[Tensor, "pushes prompts"]:
    """Return how much likelier the next word says value 1 than value 0, in nats, under each push.

    The push is added at the last token of the concept's prompts. The odds are those of all words
    of value 1 together against all of value 0, by their first token after a space.
    """
    prompts, words = NEXT_WORD[concept]
    rows = []
    for some in pushes.split(16):
        edits = {LAYER: llama.Add(some.repeat_interleave(len(prompts), 0))}
        odds, _ = steering.word_odds(model, [*prompts] * len(some), words, edits=edits)
        rows.append(odds.view(len(some), -1))
    return torch.cat(rows)


def next_words(stream: int, strength: float) -> dict[str, Tensor]:
    """Push along every direction, both ways, at the last token of every prompt.

    Returns:
        Per kind of direction, the change of the log-odds `[rows, concepts, prompts]`: half the
        difference between a push forth and a push back.
    """
    model, found = llama.load(MODEL), {}
    size = strength * token_size(model, LAYER)
    for name in ("SSAE", "difference of means", "random"):
        rows = steering_rows(name, stream, model.d_model)
        pushes = size * torch.cat([rows, -rows])
        odds = torch.stack([log_odds(model, concept, pushes) for concept in CONCEPTS], 1)
        found[name] = (odds[: len(rows)] - odds[len(rows) :]) / 2
    return found


def choose_layer(concept: str, stream: int) -> dict[str, Tensor]:
    """Let labels choose where and how strongly to push: `steering.choose_push`.

    Returns:
        `effect` and `kl` `[layers, strengths, own and random directions, prompts]`, `loss` and
        `chosen` as in `steering.PushChoice`; the first half of the prompts chose.
    """
    k, pairs = CONCEPTS.index(concept), real_pairs("one wording", stream)["train"]
    own = pairs.take([i for i, change in enumerate(pairs.changes) if change[k]][:N_PAIRS])
    changes = tuple((change[k],) for change in own.changes)
    choice = steering.choose_push(
        llama.load(MODEL),
        ConceptPairs(own.source, own.target, (concept,), changes),
        *NEXT_WORD[concept],
        layers=TRIED,
        strengths=STRENGTHS,
        n_random=N_RANDOM,
        seed=Streams(stream).seed(395),
    )
    found = {"effect": choice.effect, "kl": choice.kl, "loss": choice.loss}
    return found | {"chosen": torch.tensor(choice.chosen)}


def write_on(
    model: llama.Llama,
    pushes: Float[Tensor, "ways d_model"],
    stream: int,
    prompts: Sequence[str] = PROMPTS,
    layer: int = LAYER,
) -> list[list[str]]:
    """Continue every prompt under every push, added from the prompt's last token on."""
    rows, written = token_rows(model, prompts), [[""] * len(prompts) for _ in pushes]
    for length in {len(row) for row in rows}:
        own = [i for i, row in enumerate(rows) if len(row) == length]
        at = slice(length - 1, None)  # all prompts of one length begin to be pushed at one place
        texts = llama.generate(
            model,
            [rows[i] for _ in pushes for i in own],
            max_new_tokens=NEW_TOKENS,
            generator=Streams(stream)(360 + length),
            temperature=TEMPERATURE,
            edits={layer: llama.Add(pushes.repeat_interleave(len(own), 0), at=at)},
            n_ways=len(pushes),
        )
        for (way, i), text in zip(product(range(len(pushes)), own), texts, strict=True):
            written[way][i] = text
    return written


def ask_for(model: llama.Llama, concept: str, value: int, stream: int) -> list[str]:
    """Ask the model, by its chat template, to continue every prompt with a value of a concept."""
    chats = []
    for text in PROMPTS:
        turn: Any = [{"role": "user", "content": request(text, concept, value)}]
        chat = model.tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        chats.append(model.tokenizer(chat + text, add_special_tokens=False)["input_ids"])
    return llama.generate(
        model,
        chats,
        max_new_tokens=NEW_TOKENS,
        generator=Streams(stream)(380),
        temperature=TEMPERATURE,
    )


def write_texts(
    way: str, strength: float, stream: int, layer: int | None = None
) -> dict[str, Tensor]:
    """Write in one way, forth and back along each of its directions; few random ones elsewhere.

    Returns:
        `counts` `[rows, 2, prompts, concepts, values]` of words that say a value, `losses`
        `[rows, 2, prompts]` in nats per token of the first texts as the unsteered model reads
        them, and the `texts` as bytes, separated by zeros.
    """
    model, layer = llama.load(MODEL), layer or LAYER
    if way == "asking":
        texts = [ask_for(model, c, v, stream) for c in CONCEPTS for v in (1, 0)]
    else:
        rows, prompts = torch.zeros(1, model.d_model), PROMPTS
        if way != "unsteered":
            rows = steering_rows(way, stream, model.d_model, layer)
        if strength > 0.25:
            rows, prompts = rows[:N_FAR], PROMPTS[:N_READ]
        if layer != LAYER and way == "random":
            rows = rows[: len(CONCEPTS)]
        pushes = strength * token_size(model, layer) * rows
        both = torch.stack([pushes, -pushes], 1).flatten(0, 1)
        texts = write_on(model, both, stream, prompts, layer)
    read = read_again(model, texts)
    return read | {name: read[name].unflatten(0, (-1, 2)) for name in ("counts", "losses")}


def read_again(model: llama.Llama, texts: Sequence[list[str]]) -> dict[str, Tensor]:
    """Return what `write_texts` says of texts: in each row those after all prompts, one way."""
    losses = [
        llama.text_losses(model, [f"{a} {b}" for a, b in zip(PROMPTS[:N_READ], one, strict=False)])
        for one in texts
    ]
    return {
        "counts": torch.stack([word_counts(one) for one in texts]),
        "losses": torch.stack(losses),
        "texts": as_bytes([text for one in texts for text in one]),
    }


def as_bytes(texts: Sequence[str]) -> Tensor:
    """Return texts as a tensor, which a file of results can hold."""
    return torch.tensor(list("\0".join(texts).encode()), dtype=torch.uint8)


def as_texts(held: Tensor) -> list[str]:
    """Return the texts again."""
    return bytes(held.tolist()).decode().split("\0")


WAYS = [
    {"way": way, "strength": strength, "stream": stream}
    for stream in STREAMS
    for way, strength in (
        ("unsteered", 0.0),
        ("asking", 0.0),
        ("SSAE", 0.25),
        ("difference of means", 0.25),
        ("random", 0.25),
        ("SSAE", 0.5),
    )
]
"""Ways to write; a strength is in units of a token's size."""

LATER_WAYS = [
    {"way": way, "strength": 0.25, "stream": stream, "layer": LATER}
    for stream in STREAMS[:2]
    for way in ("SSAE", "difference of means", "random")
]
"""The same at the later layer, on two streams."""
