"""RAVEL on the real Llama: does a subspace at a city's token hold its country, and only that?

Every question begins "The city of ..." and asks behind the city: so the city's state is the same for
all questions, and only the blocks above a layer need be passed again after an interchange.
"""

import tomllib
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from ssae_kit import causes, llama, methods
from ssae_kit.llama.rows import token_rows
from ssae_kit.llama.sites import inner
from ssae_kit.streams import Streams
from ssae_kit.studies.real import MODEL
from ssae_kit.world.entities import TABLES

_TABLE = tomllib.loads((TABLES / "cities.toml").read_text("utf-8"))
ATTRIBUTES = tuple(_TABLE["questions"])
CITIES = [
    (city, (country, language, continent), len(cities) - i <= 2)
    for country, (language, continent, *cities) in _TABLE["countries"].items()
    for i, city in enumerate(cities)
]
"""City, its value of each attribute, and whether it is held out."""
IS_NEW = torch.tensor([is_new for *_, is_new in CITIES])
VALUES = [(a, v) for a in range(3) for v in sorted({values[a] for _, values, _ in CITIES})]
OWNER = torch.tensor([a for a, _ in VALUES])
"""Attribute of each value."""
RIGHT = torch.tensor([[VALUES.index((a, v[a])) for _, v, _ in CITIES] for a in range(3)])
"""Right value `[attributes, cities]`."""
QUESTIONS = [(a, text) for a, name in enumerate(ATTRIBUTES) for text in _TABLE["questions"][name]]
ASKS = torch.tensor([a for a, _ in QUESTIONS])
PER_ATTRIBUTE = len(QUESTIONS) // 3
"""Questions of each attribute; the last is held out."""
SPLITS = ("held-out question", "held-out cities")
FEATURIZERS = ("whole state", "random", "class means", "no isolate loss", "MDAS")
LAYERS, K = (10, 15, 20), 16
"""Layers that are tried; width of the subspaces that are searched there."""
N_PAIRS, N_STEPS, BATCH, RATE = 32, 80, 8, 0.01
"""Pairs per question and split that are scored; steps, pairs per loss, and rate of a search."""

Pairs = tuple[Tensor, Tensor, Tensor]
"""Question, base and source of each pair; all alike `[*any, pairs]`."""


@dataclass(frozen=True)
class Asked:
    """All questions about all cities, passed up to some layers."""

    model: llama.Llama
    states: dict[int, Tensor]
    """Layer -> `[questions, cities, tokens, d_model]`."""
    place: Tensor
    """Of each city's last token."""
    last: Tensor
    """Of each question's last token, `[questions, cities]`."""
    head: Tensor
    """What reads each value's first token off the final state, `[values, d_model]`."""

    def at_city(self, layer: int) -> Tensor:
        """Return the state at each city's last token, `[cities, d_model]`, on the CPU."""
        return self.states[layer][0, torch.arange(len(CITIES)), self.place].cpu()

    def answers(
        self, layer: int, question: Tensor, city: Tensor, moved: Tensor | None = None
    ) -> Tensor:
        """Return log-probabilities of the values, among those of the attribute asked for, on the CPU.

        `moved` is added at the city's last token, `[texts, d_model]`.
        """
        last, rows = self.last[question, city], torch.arange(len(city))
        states = self.states[layer][question, city, : int(last.max()) + 1]
        if moved is not None:
            place = rows, self.place[city]
            states = states.index_put(place, moved.to(states), accumulate=True)
        body = inner(self.model)
        blocks = body.layers
        try:
            body.layers = blocks[layer:]
            final = body(inputs_embeds=states, use_cache=False).last_hidden_state
        finally:
            body.layers = blocks
        logits = (final[rows, last] @ self.head.T).cpu()
        kept: Tensor = logits.masked_fill(ASKS[question, None] != OWNER, -torch.inf)
        return kept.log_softmax(1)


@torch.no_grad()
def ask(model: llama.Llama, layers: tuple[int, ...]) -> tuple[Asked, Tensor]:
    """Ask everything; return also which answers are right, `[questions, cities]`."""
    begun = [f"The city of {city}" for city, *_ in CITIES]
    rows = token_rows(model, [f"{city} {text}" for _, text in QUESTIONS for city in begun])
    done, shape = llama.run(model, rows, keep=layers), (len(QUESTIONS), len(CITIES))
    first = [model.tokenizer(f" {v}", add_special_tokens=False)["input_ids"][0] for _, v in VALUES]
    asked = Asked(
        model,
        {layer: done[layer].unflatten(0, shape) for layer in layers},
        torch.tensor([len(row) - 1 for row in token_rows(model, begun)]),
        done.last.view(shape),
        model.model.get_parameter("lm_head.weight")[first],
    )
    said = [
        asked.answers(max(layers), torch.full((len(CITIES),), q), torch.arange(len(CITIES)))
        for q in range(len(QUESTIONS))
    ]
    return asked, torch.stack(said).argmax(2) == RIGHT[ASKS]


def draw(
    known: Tensor, is_new: bool, templates: range, n: int, generator: torch.Generator
) -> Pairs:
    """Draw pairs `[attributes, n]` that both know the answer to a question, and answer otherwise."""
    drawn = []
    for a in range(3):
        own = torch.tensor([a * PER_ATTRIBUTE + t for t in templates])
        can = known[own] & (is_new == IS_NEW)
        differ = RIGHT[a][:, None] != RIGHT[a]
        all_pairs = (can[:, :, None] & can[:, None] & differ).nonzero()
        q, base, source = all_pairs[torch.randint(len(all_pairs), (n,), generator=generator)].T
        drawn.append((own[q], base, source))
    question, base, source = (torch.stack(one) for one in zip(*drawn, strict=True))
    return question, base, source


def wanted(pairs: Pairs, target: Tensor) -> Tensor:
    """Return the right answer of each pair once the target's value comes from the source."""
    question, base, source = pairs
    asks = ASKS[question]
    return RIGHT[asks, torch.where(asks == target, source, base)]


def search(
    asked: Asked, layer: int, pool: Pairs, isolates: bool, draw_from: Streams
) -> list[methods.Found]:
    """Search a subspace per attribute, all at once; with `isolates`, other answers must stay.

    Each begins as the span of the class means, made `K` wide at random: a search from nothing takes
    longer than a study may.
    """
    spaces = causes.Subspaces(3, asked.model.d_model, K, generator=draw_from(400))
    start = spaces.basis.detach().mT.clone()
    h, generator, n = asked.at_city(layer), draw_from(401), pool[0].shape[1]
    for a, values in enumerate(RIGHT):
        rows = class_means(h[~IS_NEW], values[~IS_NEW]).directions[:K]
        start[a] = torch.linalg.qr(torch.cat([rows, start[a]])[:K].mT).Q.mT
    with torch.random.fork_rng(devices=[]):  # torch completes a basis from its global stream
        torch.default_generator.manual_seed(draw_from.seed(402))
        spaces.basis = start.mT  # type: ignore[assignment]  # its parametrisation takes it in
    sizes = [[BATCH if a == b else isolates * BATCH // 2 for b in range(3)] for a in range(3)]

    def loss(_: int) -> Tensor:
        rows = torch.stack(
            [
                torch.cat(
                    [b * n + torch.randint(n, (m,), generator=generator) for b, m in enumerate(own)]
                )
                for own in sizes
            ]
        )
        question, base, source = (one.flatten()[rows] for one in pool)
        moved = spaces(h[base], h[source]).flatten(0, 1)
        said = asked.answers(layer, question.flatten(), base.flatten(), moved)
        aim = wanted((question, base, source), torch.arange(3)[:, None])
        return nll_loss(said, aim.flatten(), reduction="none").view(3, -1).mean(1)

    causes.align(spaces, loss, n_steps=N_STEPS, learning_rate=RATE)
    return [spaces.found(a) for a in range(3)]


def class_means(states: Tensor, values: Tensor) -> methods.Found:
    """Return the span of the means of each value's cities."""
    means = torch.stack([states[values == v].mean(0) for v in values.unique()])
    rows = torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[:-1]
    return methods.Found(rows, lambda other: other @ rows.mT)


@torch.no_grad()
def as_wanted(asked: Asked, layer: int, found: list[methods.Found], pairs: Pairs) -> Tensor:
    """Return what is right after the interchange, `[targets, attributes asked for, pairs]`."""
    question, base, source = pairs
    h, said = asked.at_city(layer), {}
    for own in found:  # one may serve all targets
        if id(own) not in said:
            moved = causes.exchange(own, h[base.flatten()], h[source.flatten()])
            logs = asked.answers(layer, question.flatten(), base.flatten(), moved)
            said[id(own)] = logs.argmax(1).view(base.shape)
    right = [said[id(own)] == wanted(pairs, torch.tensor(a)) for a, own in enumerate(found)]
    return torch.stack(right)


def ravel(stream: int) -> dict[str, Tensor]:
    """Exchange each attribute of a city in the real Llama, with every featurizer.

    Returns:
        `known` `[questions, cities]`, and for every layer `right` `[featurizers, splits, targets,
        attributes asked for, pairs]`: where both attributes are one it is cause, else isolate.
    """
    model, draws = llama.load(MODEL), Streams(stream)
    model.model.requires_grad_(False)
    asked, known = ask(model, LAYERS)
    seen, held = range(PER_ATTRIBUTE - 1), range(PER_ATTRIBUTE - 1, PER_ATTRIBUTE)
    tests = [
        draw(known, False, held, N_PAIRS, draws(411)),
        draw(known, True, range(PER_ATTRIBUTE), N_PAIRS, draws(412)),
    ]
    pool, result = draw(known, False, seen, 1000, draws(410)), {"known": known}
    for layer in LAYERS:
        h = asked.at_city(layer)
        unit = torch.linalg.qr(torch.randn(model.d_model, K, generator=draws(413))).Q.mT
        ways = [
            [causes.whole(model.d_model)] * 3,
            [methods.known(unit)] * 3,
            [class_means(h[~IS_NEW], values[~IS_NEW]) for values in RIGHT],
        ]
        ways += [search(asked, layer, pool, isolates, draws) for isolates in (False, True)]
        right = [torch.stack([as_wanted(asked, layer, way, t) for t in tests]) for way in ways]
        result[f"right at {layer}"] = torch.stack(right)
    return result
