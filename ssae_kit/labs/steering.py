"""The Steering lab: turn concepts of a Llama's text and see what else turns."""

import functools
import html
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks, plots, steering, world
from ssae_kit import llama as kit_llama
from ssae_kit.labs.base import Lab
from ssae_kit.labs.figure import MARGIN, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, labelled, line, setting, slider, switch
from ssae_kit.labs.subjects import METHODS, Subject, bundled
from ssae_kit.labs.texts import percent, side_by_side

N_TEXTS, TEMPERATURE = 8, 0.5
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
SHOWN = 3
"""Continuations shown side by side."""


@dataclass(frozen=True)
class SteeringSettings:
    """Everything the Steering lab can vary."""

    prompt: str
    """Text to continue, unless there is one of one's own."""
    concepts: tuple[str, ...]
    """Concepts to turn to their other value, all at once."""
    method: str = setting(
        METHODS[0], choice, "direction from", METHODS, "Where directions come from"
    )
    layer: int = 3
    """0 is the embedding, l the output of block l."""
    strength: float = setting(2.0, slider, "strength", 0.0, 4.0, 0.25, "Typical shifts to add")
    everywhere: bool = setting(
        False, switch, "at every token", "Not only once, at the prompt's last"
    )
    seed: int = setting(
        0, slider, "seed", 0, 999, 1, "Draws the continuations, alike at all strengths"
    )
    own: str = setting("", line, "or your own", "a text, then Enter", "Replaces the prompt")

    @property
    def text(self) -> str:
        """What is continued."""
        return self.own.strip() or self.prompt


@dataclass(frozen=True)
class SteeringOutcome:
    """What was written at several strengths, and what it says."""

    texts: dict[float, list[str]]
    """Per strength, one continuation per sample; equal places share their random numbers."""
    shares: dict[float, Float[Tensor, " concepts"]]
    """Per strength, the share of the words about each concept that say its value 1."""
    rates: Mapping[float, tuple[float, ...]]
    """Per strength: effect, side effect, share of ill-formed sentences; NaN where nothing is said."""
    labels: dict[str, str]
    """Concept → its name with that of its value 1."""
    settings: SteeringSettings
    """What was asked."""

    @classmethod
    def measure(
        cls, texts: dict[float, list[str]], subject: Subject, settings: SteeringSettings
    ) -> "SteeringOutcome":
        """Read and score continuations."""
        names = subject.pairs.concepts
        values = torch.tensor([list(subject.values_of(settings.text))] * N_TEXTS)
        steered = torch.tensor([[name in settings.concepts for name in names]] * N_TEXTS)
        shares, rates = {}, {}
        for strength, written in sorted(texts.items()):
            said = steering.read_concepts(
                written, subject.read, names, n_sentences=subject.n_sentences
            )
            score = steering.score_steering(said, values, steered)
            parts = (score.target, score.elsewhere, score.ill_formed)
            rates[strength] = tuple(float(part.nanmean()) for part in parts)
            shares[strength] = said.share.nanmean(0)
        return cls(dict(sorted(texts.items())), shares, rates, subject.labels, settings)

    def figure(self) -> go.Figure:
        """Draw what the texts say without and with steering, and rates against the strength."""
        titles = {
            "what the texts say": (
                {"title": "share of its words (unitless)", "range": [0, 1.05]}, "",
            ),
            "effect and side effects": (
                "strength (typical shifts; dashed: chosen)",
                {"title": "share", "range": [-0.03, 1.06]},
            ),
        }  # fmt: skip
        fig = blank(titles, grid={"horizontal_spacing": 0.12}, width=820, height=420,
            legend=plots.LEGEND_ABOVE | {"y": 1.1}, margin=MARGIN | {"l": 20, "t": 80},
        )  # fmt: skip
        s = self.settings
        names = [f"<b>{n}</b>" if name in s.concepts else n for name, n in self.labels.items()]
        both = {"unsteered": 0.0, "steered": s.strength}
        said = {name: self.shares[strength].numpy() for name, strength in both.items()}
        plots.bars(fig, names, said, flat=True, at=(1, 1))
        effects = zip(*self.rates.values(), strict=True)
        curves = dict(zip(("effect", "side effect", "ill-formed"), effects, strict=True))
        plots.curves(fig, list(self.rates), curves, at=(1, 2))
        return plots.reference(fig, "", x=s.strength, at=(1, 2))

    def words(self) -> str:
        """Say what changed at the chosen strength."""
        s = self.settings
        (effect, side, ill), idle = self.rates[s.strength], self.rates[0.0]
        turned = [name for name in self.labels if name in s.concepts]
        return (
            f"Steering {' and '.join(turned) or 'nothing'} at strength {s.strength:g}, over "
            f"{N_TEXTS} continuations: {percent(effect)} of the words about it say the other value "
            f"({percent(idle[0])} unsteered). Of the words about other concepts, "
            f"{percent(side)} changed ({percent(idle[1])} unsteered); "
            f"{percent(ill)} of the sentences are ill-formed ({percent(idle[2])} unsteered)."
        )


def write(
    subject: Subject,
    settings: SteeringSettings,
    vectors: Float[Tensor, "ways d_model"],
    report: Progress = quiet,
) -> list[list[str]]:
    """Continue the prompt `N_TEXTS` times under each vector, always with the same random numbers."""
    rows = vectors.repeat_interleave(N_TEXTS, 0)
    push = kit_llama.Add(rows, at="all" if settings.everywhere else "last")
    words = subject.llama.model.get_input_embeddings()
    with words.register_forward_pre_hook(lambda *_: report(0.7, None)):  # may stop at every token
        written = kit_llama.generate(
            subject.llama, [settings.text] * len(rows), max_new_tokens=subject.n_tokens,
            generator=checks.seeded(settings.seed), edits={settings.layer: push},
            temperature=TEMPERATURE, n_ways=len(vectors),
        )  # fmt: skip
    return [written[start : start + N_TEXTS] for start in range(0, len(written), N_TEXTS)]


@functools.lru_cache(16)
def kept(*_: Any) -> dict[float, list[str]]:
    """Return what was written so far under the same conditions, by strength."""
    return {}


def run(subject: Subject, settings: SteeringSettings, report: Progress = quiet) -> SteeringOutcome:
    """Find the directions, write unsteered and steered, then at the other strengths.

    Nothing is written twice: another strength changes no other, and no direction what is unsteered.
    """
    values = torch.tensor([list(subject.values_of(settings.text))])
    report(0.1, None)
    directions = subject.directions(settings.method, settings.layer)
    report(0.4, None)
    steered = torch.tensor([[name in settings.concepts for name in subject.pairs.concepts]])
    push = steering.steering_vectors(directions, values, steered, 1.0)
    plain = kept(subject, settings.text, settings.seed)
    done, asked = kept(subject, replace(settings, strength=0.0)), {0.0, settings.strength}
    for strengths, may_stop in ((asked, quiet), (asked | {*STRENGTHS}, report)):
        done.update(plain)
        if new := sorted(strengths - done.keys()):
            vectors = torch.cat([strength * push for strength in new])
            done.update(zip(new, write(subject, settings, vectors, may_stop), strict=True))
        plain[0.0], texts = done[0.0], {strength: done[strength] for strength in strengths}
        report(0.7, functools.partial(SteeringOutcome.measure, texts, subject, settings))
    return SteeringOutcome.measure(texts, subject, settings)


class SteeringLab(Lab):
    """Steer a Llama: prompt, concepts, method, layer and strength; texts before and after.

    Args:
        subject: What is steered; by default the bundled Llama. `labs.bundled(model)` makes one of
            any Llama trained on our world; build a `labs.Subject` for any other.
        settings: Where the controls stand at first, by the names of `SteeringSettings`.
    """

    title = "Can I move one concept and nothing else?"
    does = "The Steering lab steers a Llama and shows its texts before and after."
    look = (
        "The picture shows one concept turned: what the texts say without and with steering, "
        "and effect and side effects against the strength."
    )
    tasks = (
        "Turn size, then tense. Which words change, and which stay?",
        "Take a random direction of the same strength. What does it change?",
        "Find the weakest strength that turns every word. Is it the same for every concept?",
    )
    places = {
        "one concept": ({}, "Every word about it says the other value, and nothing else changes"),
        "a random direction": ({"method": "random"}, "As long a push: not one word turns"),
        "too early": ({"layer": 1}, "The first block's output: many words stay as they are"),
        "too late": ({"layer": 6}, "The last block's output, at one token: not one word turns"),
        "too weak": ({"strength": 0.5}, "Fewer than all words turn"),
        "at every token": ({"everywhere": True}, "The push is too much: the sentences fall apart"),
    }  # fmt: skip

    run = staticmethod(run)

    def __init__(self, subject: Subject | None = None, **settings: Any) -> None:
        self.subject = subject or bundled()
        self.given = {"subject": self.subject}
        names, n_layers = self.subject.pairs.concepts, self.subject.llama.n_layers
        turned = ("size",) if "size" in names else names[:1]  # few words change
        first = {"prompt": self.subject.prompts[0], "concepts": turned, "layer": n_layers // 2}
        at = SteeringSettings(**{**first, **settings})
        self.texts = widgets.HTML()
        """Continuations side by side, changed words marked."""
        self.below = [self.texts]
        if tuple(names) != world.CONCEPTS:
            self.places = {}  # their hints are of the bundled Llama
        goes_on, hint = (
            "Text that the model goes on from",
            "Turned to their other value, all at once; Ctrl or Shift picks several",
        )
        several: dict[str, Any] = {"options": names, "rows": len(names)}
        super().__init__(
            at,
            prompt=choice("prompt", at.prompt, self.subject.prompts, goes_on),
            concepts=labelled(widgets.SelectMultiple, "concepts", at.concepts, hint, **several),
            layer=slider("layer", at.layer, 1, n_layers, 1, "Output of this block"),
        )

    def above(self) -> list[Any]:
        """Return the controls: prompts, then what is done to the text."""
        of = dict(self.controls)
        return [of.pop("prompt"), of.pop("own"), *of.values()]

    def beginning(self) -> SteeringOutcome:
        """Return an outcome without a text."""
        shares, rates = {0.0: torch.zeros(len(self.subject.labels))}, {0.0: (0.0, 0.0, 0.0)}
        idle = replace(self.start_at, concepts=(), strength=0.0)
        return SteeringOutcome({}, shares, rates, self.subject.labels, idle)

    def figure(self, result: SteeringOutcome) -> go.Figure:
        """Draw the outcome; the texts are shown beside it."""
        before, after = (result.texts[s] for s in (0.0, result.settings.strength))
        head = ["unsteered", "steered"]
        prompt = f"<p><b>Prompt:</b> {html.escape(result.settings.text)}</p>"
        self.texts.value = prompt + side_by_side(head, before[:SHOWN], after[:SHOWN])
        return result.figure()
