"""RAVEL on the real Llama: does a subspace at a city's token hold its country, and only that?

Every question begins "The city of ..." and asks behind the city: so the city's state is the same for
all questions.
"""

import torch
from torch import Tensor
from torch.nn.functional import nll_loss

from ssae_kit import causes, llama, methods
from ssae_kit.llama.passes import Edits
from ssae_kit.llama.rows import token_rows
from ssae_kit.llama.sites import inner
from ssae_kit.streams import Streams
from ssae_kit.studies.real import MODEL
from ssae_kit.world.entities import read_table

_TABLE = read_table("cities")
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


class Asked:
    """A Llama that is asked all questions about all cities."""

    def __init__(self, model: llama.Llama) -> None:
        self.model = model
        self.begun = [f"The city of {city}" for city, *_ in CITIES]
        """Texts that end at a city."""
        self.place = torch.tensor([len(row) - 1 for row in token_rows(model, self.begun)])
        """Of each city's last token."""
        values = model.tokenizer([f" {v}" for _, v in VALUES], add_special_tokens=False)
        first = [ids[0] for ids in values["input_ids"]]
        self.head = model.model.get_parameter("lm_head.weight")[first]
        """What reads each value's first token off the final state, `[values, d_model]`."""

    def answers(self, question: Tensor, city: Tensor, edits: Edits = None) -> Tensor:
        """Return log-probabilities of the values, among those of the attribute asked for."""
        asked = zip(city.tolist(), question.tolist(), strict=True)
        texts, last = [f"{self.begun[c]} {QUESTIONS[q][1]}" for c, q in asked], self.model.n_layers
        done = llama.run(self.model, texts, keep=[last], edits=edits)
        logits = (inner(self.model).norm(done.at_last(last)) @ self.head.T).cpu()
        kept: Tensor = logits.masked_fill(ASKS[question, None] != OWNER, -torch.inf)
        return kept.log_softmax(1)

    def exchanged(self, layer: int, question: Tensor, base: Tensor, moved: Tensor) -> Tensor:
        """Return the same once something is added at the last token of the base's city."""
        edit = llama.Add(moved, at=self.place[base.flatten()])
        return self.answers(question.flatten(), base.flatten(), {layer: edit})

    @torch.no_grad()
    def known(self) -> Tensor:
        """Return which answers are right, `[questions, cities]`."""
        both = torch.cartesian_prod(torch.arange(len(QUESTIONS)), torch.arange(len(CITIES)))
        said = self.answers(*both.T).argmax(1).view(len(QUESTIONS), len(CITIES))
        return said == RIGHT[ASKS]


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
    asked: Asked, layer: int, h: Tensor, pool: Pairs, isolates: bool, draw_from: Streams
) -> list[methods.Found]:
    """Search a subspace per attribute, all at once; with `isolates`, other answers must stay.

    Each begins as the span of the class means, made `K` wide at random: a search from nothing takes
    longer than a study may.
    """
    spaces = causes.Subspaces(3, asked.model.d_model, K, generator=draw_from(400))
    start = spaces.basis.detach().mT.clone()
    generator, n = draw_from(401), pool[0].shape[1]
    for a, values in enumerate(RIGHT):
        rows = class_means(h[~IS_NEW], values[~IS_NEW]).directions[:K]
        start[a] = torch.linalg.qr(torch.cat([rows, start[a]])[:K].mT).Q.mT
    with torch.random.fork_rng(devices=[]):  # torch completes a basis from its global stream
        torch.default_generator.manual_seed(draw_from.seed(402))
        spaces.basis = start.mT  # type: ignore[assignment]  # its parametrisation takes it in
    # Which attributes a search asks for in each step: its own, and the two others half as often.
    shares = BATCH * torch.eye(3).long() + isolates * BATCH // 2 * (1 - torch.eye(3).long())
    asks = torch.stack([torch.arange(3).repeat_interleave(share) for share in shares])

    def loss(_: int) -> Tensor:
        rows = asks * n + torch.randint(n, asks.shape, generator=generator)
        question, base, source = (one.flatten()[rows] for one in pool)
        moved = spaces(h[base], h[source]).flatten(0, 1)
        said = asked.exchanged(layer, question, base, moved)
        aim = wanted((question, base, source), torch.arange(3)[:, None])
        return nll_loss(said, aim.flatten(), reduction="none").view(3, -1).mean(1)

    causes.align(spaces, loss, n_steps=N_STEPS, learning_rate=RATE)
    return [spaces.found(a) for a in range(3)]


def class_means(states: Tensor, values: Tensor) -> methods.Found:
    """Return the span of the means of each value's cities."""
    means = torch.stack([states[values == v].mean(0) for v in values.unique()])
    return methods.known(torch.linalg.svd(means - means.mean(0), full_matrices=False).Vh[:-1])


@torch.no_grad()
def as_wanted(
    asked: Asked, layer: int, h: Tensor, found: list[methods.Found], pairs: Pairs
) -> Tensor:
    """Return what is right after the interchange, `[targets, attributes asked for, pairs]`."""
    (question, base, source), right = pairs, []
    for a, own in enumerate(found):
        moved = causes.exchange(own, h[base.flatten()], h[source.flatten()])
        said = asked.exchanged(layer, question, base, moved).argmax(1).view(base.shape)
        right.append(said == wanted(pairs, torch.tensor(a)))
    return torch.stack(right)


def ravel(stream: int) -> dict[str, Tensor]:
    """Exchange each attribute of a city in the real Llama, with every featurizer.

    Returns:
        `known` `[questions, cities]`, and for every layer `right` `[featurizers, splits, targets,
        attributes asked for, pairs]`: where both attributes are one it is cause, else isolate.
    """
    model, draws = llama.load(MODEL), Streams(stream)
    model.model.requires_grad_(False)
    asked = Asked(model)
    known, seen = asked.known(), range(PER_ATTRIBUTE - 1)
    tests = [
        draw(known, False, range(PER_ATTRIBUTE - 1, PER_ATTRIBUTE), N_PAIRS, draws(411)),
        draw(known, True, range(PER_ATTRIBUTE), N_PAIRS, draws(412)),
    ]
    pool, result = draw(known, False, seen, 1000, draws(410)), {"known": known}
    for layer in LAYERS:
        h = llama.hidden_states(model, asked.begun, layer)
        unit = torch.linalg.qr(torch.randn(model.d_model, K, generator=draws(413))).Q.mT
        ways = [
            [causes.whole(model.d_model)] * 3,
            [methods.known(unit)] * 3,
            [class_means(h[~IS_NEW], values[~IS_NEW]) for values in RIGHT],
        ]
        ways += [search(asked, layer, h, pool, isolates, draws) for isolates in (False, True)]
        right = [torch.stack([as_wanted(asked, layer, h, way, t) for t in tests]) for way in ways]
        result[f"right at {layer}"] = torch.stack(right)
    return result
