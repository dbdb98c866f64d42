"""The Interchange lab: put one concept of a text's state into another text, and see what follows."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import causes, checks, methods, plots, steering
from ssae_kit import llama as kit_llama
from ssae_kit.labs.base import Lab
from ssae_kit.labs.das import search
from ssae_kit.labs.figure import MARGIN, beside, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, setting, slider
from ssae_kit.labs.subjects import METHODS, Subject, bundled
from ssae_kit.labs.texts import percent, side_by_side

DAS, WHOLE = "DAS", "whole state"
FEATURIZERS = (*METHODS, DAS, WHOLE)
N_PAIRS, TEMPERATURE = 12, 0.5
"""Pairs of base and source that cause and isolate are measured on, and how boldly is sampled."""


@dataclass(frozen=True)
class InterchangeSettings:
    """Everything the Interchange lab can vary."""

    base: str
    """Text that the model goes on from."""
    source: str
    """Text that the part of the state comes from."""
    concept: str
    """What is exchanged."""
    featurizer: str = setting(
        METHODS[0], choice, "featurizer", FEATURIZERS, "Says which part of a state the concept is"
    )
    layer: int = 3
    """Where: l is the output of block l."""
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws the pairs and the continuations")


@dataclass(frozen=True)
class InterchangeOutcome:
    """What became of the base, and of other pairs."""

    settings: InterchangeSettings
    """What was asked."""
    differ: tuple[str, ...]
    """Concepts in which base and source differ."""
    texts: tuple[str, str]
    """How the base goes on, untouched and after the interchange."""
    rates: dict[str, tuple[float, float]]
    """Cause and isolate over the pairs, with nothing exchanged and with the concept."""
    moved: Float[Tensor, "layers tokens"]
    """How far the concept, read at the last token of the layer, moves to the source's value once the
    state at one place is exchanged: 1 is the whole way from one value to the other."""
    tokens: tuple[str, ...]
    """Columns of `moved`: tokens of the base."""

    def figure(self) -> go.Figure:
        """Draw cause and isolate beside the map of layers and tokens."""
        titles = {
            "over pairs": ("", {"title": "share (unitless)", "range": [0, 1.08]}),
            "how the concept came to the layer's last token": (
                "token of the base whose state is exchanged", {"title": "layer", "title_standoff": 2},
            ),
        }  # fmt: skip
        fig = blank(titles, grid={"column_widths": [0.24, 0.76], "horizontal_spacing": 0.1},
            width=820, height=400, legend=plots.LEGEND_ABOVE | {"y": 1.14}, margin=MARGIN | {"b": 110},
        )  # fmt: skip
        plots.bars(fig, ["cause", "isolate"], self.rates, at=(1, 1))
        layers = range(len(self.moved))
        plots.heat(fig, self.moved.numpy(), self.tokens, layers, limits=(-1.0, 1.0), at=(1, 2))
        return beside(fig.update_xaxes(tickangle=-90, tickfont={"size": 9}, row=1, col=2), 2)

    def words(self) -> str:
        """Say what was exchanged, what followed, and through where the concept came."""
        s, (cause, isolate) = self.settings, self.rates["exchanged"]
        before = self.moved[:-1]  # at the layer itself it is the last token's, of course
        layer, token = divmod(int(before.argmax()), before.shape[1])
        same = (
            "" if s.concept in self.differ else f" Both say the same {s.concept}: expect nothing."
        )
        return (
            f"Base and source differ in {', '.join(self.differ) or 'no concept'}.{same}\n"
            f"{s.concept.capitalize()} exchanged by {s.featurizer} at layer {s.layer}, over "
            f"{N_PAIRS} pairs that differ in it: {percent(cause)} of what is said about it follows "
            f"the source (cause), {percent(isolate)} of what is said about other concepts stays "
            f"with the base (isolate).\nBelow layer {s.layer}, one state moves the concept most: that "
            f"of “{self.tokens[token]}” at layer {layer}, {float(before.max()):.0%} of the way."
        )


def exchange(
    subject: Subject, settings: InterchangeSettings, states: Tensor, meant: Tensor, report: Progress
) -> Tensor:
    """Return what to add to the bases, the first half of the states; the rest are the sources."""
    s, chosen, (bases, sources) = settings, None, states.chunk(2)
    if s.featurizer == WHOLE:
        found = causes.whole(subject.llama.d_model)
    elif s.featurizer == DAS:  # of this concept alone
        found = search(subject, s.concept, s.layer, s.seed, report)
    else:
        found, chosen = methods.known(subject.directions(s.featurizer, s.layer)), meant
    return causes.exchange(found, bases, sources, chosen)


def draw(subject: Subject, settings: InterchangeSettings) -> list[tuple[str, str]]:
    """Draw pairs of base and source that differ in the concept; any, where none do."""
    at = subject.pairs.concepts.index(settings.concept)
    value = {text: subject.values_of(text)[at] for text in subject.prompts}
    both = [(a, b) for a, b in product(value, value) if a != b]
    both = [(a, b) for a, b in both if value[a] != value[b]] or both
    order = torch.randint(len(both), (N_PAIRS,), generator=checks.seeded(settings.seed))
    return [both[i] for i in order]


def write(subject: Subject, bases: Sequence[str], seed: int, edits: Any = None) -> list[str]:
    """Continue the bases, always with the same random numbers."""
    return kit_llama.generate(
        subject.llama, bases, max_new_tokens=subject.n_tokens, generator=checks.seeded(seed),
        temperature=TEMPERATURE, edits=edits,
    )  # fmt: skip


@functools.lru_cache(8)
def untouched(subject: Subject, bases: tuple[str, ...], seed: int) -> tuple[str, ...]:
    """Continue the bases with nothing exchanged; kept, as another layer or featurizer changes none."""
    return tuple(write(subject, bases, seed))


def measure(
    subject: Subject, settings: InterchangeSettings, report: Progress
) -> tuple[tuple[str, str], dict[str, tuple[float, float]]]:
    """Write with nothing exchanged and with the concept: the base's texts, and the pairs' rates."""
    s, names = settings, subject.pairs.concepts
    bases, sources = zip((s.base, s.source), *draw(subject, s), strict=True)
    states = kit_llama.hidden_states(subject.llama, bases + sources, s.layer)
    is_meant = [name == s.concept for name in names]
    exchanged, rates = torch.tensor(is_meant).expand(len(bases), -1), {}
    edits = {s.layer: kit_llama.Add(exchange(subject, s, states, exchanged, report))}
    written = [*untouched(subject, bases, s.seed), *write(subject, bases, s.seed, edits)]
    said = steering.read_concepts(written, subject.read, names, n_sentences=subject.n_sentences)
    values = [torch.tensor([[*subject.values_of(t)] for t in side]) for side in (bases, sources)]
    for name, share in zip(("nothing", "exchanged"), said.share.chunk(2), strict=True):
        base, source = (v.to(share) for v in values)
        outcome = causes.followed(share, base, source, exchanged)
        rates[name] = float(outcome.cause[1:].nanmean()), float(outcome.isolate[1:].nanmean())
    return (written[0], written[len(bases)]), rates


def travel(
    subject: Subject, settings: InterchangeSettings
) -> tuple[Float[Tensor, "layers tokens"], tuple[str, ...]]:
    """Exchange the whole state at one place at a time, up to the layer; read the concept there."""
    s, at = settings, subject.pairs.concepts.index(settings.concept)
    reader = methods.known(subject.directions("difference of means", s.layer))
    moves, words = ends(subject, s.base, s.source, s.layer)
    moved = reader.read(moves.flatten(0, 1))[:, at].view(moves.shape[:2])
    falls = subject.values_of(s.source)[at] < subject.values_of(s.base)[at]
    return moved * (-1 if falls else 1), words


@functools.lru_cache(16)
@torch.no_grad()
def ends(
    subject: Subject, base: str, source: str, layer: int
) -> tuple[Float[Tensor, "layers tokens d_model"], tuple[str, ...]]:
    """Return how far each exchange moves the state that is read, and the base's tokens; kept.

    Places are counted from the end of the texts, which need not be equally long.
    """
    model, layers = subject.llama, list(range(layer + 1))
    both = [kit_llama.run(model, [text], keep=layers) for text in (base, source)]
    length = both[0].ids.shape[1]
    n = min(length, both[1].ids.shape[1]) - 1  # but for the begin token
    rows, here = both[0].ids.tolist() * n, both[0][layer][:, -1].cpu()
    moves = torch.zeros(layer + 1, n, here.shape[1])
    moves[layer, -1] = (both[1][layer][:, -1].cpu() - here)[0]  # at the layer itself: no pass
    for at in layers[:-1]:
        swap = kit_llama.Swap(both[1][at][0, -n:], at=torch.arange(length - n, length))
        moves[at] = kit_llama.hidden_states(model, rows, layer, edits={at: swap}) - here
    return moves, tuple(model.tokenizer.convert_ids_to_tokens(both[0].ids[0, -n:].tolist()))


def differing(subject: Subject, base: str, source: str) -> tuple[str, ...]:
    """Return the concepts of which two texts have other values."""
    values = zip(subject.pairs.concepts, *map(subject.values_of, (base, source)), strict=True)
    return tuple(name for name, a, b in values if a != b)


def run(
    subject: Subject, settings: InterchangeSettings, report: Progress = quiet
) -> InterchangeOutcome:
    """Exchange the concept in the chosen pair and in others, then see how it came there."""
    differ = differing(subject, settings.base, settings.source)
    report(0.1, None)
    written, rates = measure(subject, settings, report)
    pending = torch.zeros(2, 2), ("", "")
    report(0.5, lambda: InterchangeOutcome(settings, differ, written, rates, *pending))
    return InterchangeOutcome(settings, differ, written, rates, *travel(subject, settings))


class InterchangeLab(Lab):
    """Exchange one concept between two texts: by which featurizer, at which layer.

    Args:
        subject: What is opened; by default the bundled Llama. `labs.bundled(model)` makes one of any
            Llama trained on our world; build a `labs.Subject` for any other.
        settings: Where the controls stand at first, by the names of `InterchangeSettings`.
    """

    title = "Is this part of the state the concept, and only that?"
    does = "The Interchange lab puts one concept of a text's state into another text."
    look = (
        "The picture shows cause and isolate over several pairs, and through which layers and "
        "tokens the concept came to the exchanged state."
    )
    tasks = (
        "Exchange tense. Which words follow, and does another concept move?",
        "Take the whole state. What is lost, and why is its cause no evidence?",
        "Lower the layer step by step. At which token was the concept before?",
    )
    places = {
        "everything": ({"featurizer": WHOLE}, "The whole state: all follows, nothing stays"),
        "nothing": ({"featurizer": "random"}, "A random direction: nothing follows, all stays"),
        "searched": (
            {"featurizer": DAS},
            "A direction trained through the model to pass this test",
        ),
        "early": ({"layer": 1}, "The first block: does the last token hold the concept yet?"),
        "late": ({"layer": 6}, "The last block: is there anybody left to read what changed?"),
    }
    run = staticmethod(run)

    def __init__(self, subject: Subject | None = None, **settings: Any) -> None:
        self.subject = subject or bundled()
        self.given = {"subject": self.subject}
        names, prompts = self.subject.pairs.concepts, self.subject.prompts
        last = self.subject.llama.n_layers
        first = {"base": prompts[0], "source": prompts[1], "layer": last // 2, **settings}
        differ = differing(self.subject, first["base"], first["source"])
        at = InterchangeSettings(**{"concept": [*differ, *names][0], **first})
        self.texts = widgets.HTML()
        """Both texts, and how the base goes on; changed words marked."""
        self.below = [self.texts]
        super().__init__(
            at,
            base=choice("base", at.base, prompts, "Text that the model goes on from"),
            source=choice("source", at.source, prompts, "Text that the part comes from"),
            concept=choice("concept", at.concept, names, "What is exchanged"),
            layer=slider("layer", at.layer, 1, last, 1, "Output of this block"),
        )

    def beginning(self) -> InterchangeOutcome:
        """Return an outcome without a text."""
        idle = {"nothing": (0.0, 1.0), "exchanged": (0.0, 1.0)}
        return InterchangeOutcome(self.start_at, (), ("", ""), idle, torch.zeros(2, 2), ("", ""))

    def figure(self, result: InterchangeOutcome) -> go.Figure:
        """Draw the outcome; the texts are shown beside it."""
        s = result.settings
        both = side_by_side(["base", "source"], [s.base], [s.source])
        head = ["the base goes on", "after the interchange"]
        self.texts.value = both + side_by_side(head, *([text] for text in result.texts))
        return result.figure()
