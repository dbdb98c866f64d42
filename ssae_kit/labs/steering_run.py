"""The Steering lab's computation: settings in, texts and scores out; all of it the kit's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import llama as kit_llama
from ssae_kit import methods, steering, training, world
from ssae_kit.labs.base import Report
from ssae_kit.llama import Llama
from ssae_kit.pairs import ConceptPairs
from ssae_kit.plots.steering_lab import steering_lab
from ssae_kit.steering import Expressed

METHODS = ("SSAE latent", "difference of means", "random")
N_TEXTS, TEMPERATURE = 8, 0.5
STRENGTHS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)
TRAINING = training.TrainingConfig(steps=300, batch_size=64)


@dataclass(frozen=True, eq=False)
class Subject:
    """A Llama, and what the lab must know to steer it and to read what it writes."""

    llama: Llama
    """Any Llama that the kit has loaded."""
    pairs: ConceptPairs
    """Pairs to find the directions from, with known shifts."""
    prompts: tuple[str, ...]
    """Texts to continue."""
    values_of: Callable[[str], Sequence[int]]
    """Concept values (0 or 1) of a prompt; a ValueError says why it has none."""
    read: Callable[[str], Any]
    """Parser of continuations; see `steering.read_concepts`."""
    values: Mapping[str, Sequence[str]]
    """Names of each concept's values, value 0 first."""
    n_sentences: int = 2
    """Sentences of a continuation that are read."""
    n_tokens: int = 42
    """Longest continuation, in tokens."""
    source: str = ""
    """Code that makes this subject; empty if it was made elsewhere."""
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)
    """Shifts of all layers; directions by method and layer."""

    def shifts(self, layer: int) -> Float[Tensor, "pairs d_model"]:
        """Return the shifts of the pairs at a layer; those of all come from one pass, and are kept."""
        if "shifts" not in self._kept:
            layers = range(self.llama.n_layers + 1)
            self._kept["shifts"] = steering.shift_vectors(self.llama, self.pairs, layers)
        return self._kept["shifts"][layer]

    def directions(self, method: str, layer: int) -> Float[Tensor, "concepts d_model"]:
        """Return one direction per concept, from value 0 to value 1; kept once computed."""
        if (method, layer) not in self._kept:
            self._kept[method, layer] = _directions(self, method, layer)
        return self._kept[method, layer]


def _directions(subject: Subject, method: str, layer: int) -> Tensor:
    """Return directions: the SSAE's at a level chosen without labels, means, or random ones."""
    shifts = subject.shifts(layer)
    changes = torch.tensor(subject.pairs.changes, dtype=torch.float32)
    means = methods.difference_of_means(shifts, changes).directions
    if method == "difference of means":
        return means
    if method == "random":
        return methods.random_directions(means, generator=_seeded(0))
    found = methods.ssae(shifts, 2 * changes.shape[1], seed=1, n_restarts=1, config=TRAINING)
    return found.named(shifts, changes)[0]


def bundled(model: Llama | None = None) -> Subject:
    """Return the bundled Llama, or another one that was trained on our world, as a subject."""

    def values_of(text: str) -> Sequence[int]:
        return world.parse(text).sentences[0].state.binary()

    return Subject(
        model or kit_llama.load(), world.concept_pairs(400, _seeded(0)),
        world.prompts(12, _seeded(1))[0], values_of, world.read, world.VALUES,
        source="labs.bundled(model)  # `model` is yours." if model else "labs.bundled()",
    )  # fmt: skip


@dataclass(frozen=True)
class SteeringSettings:
    """Everything the Steering lab can vary."""

    prompt: str
    """Text to continue."""
    concepts: tuple[str, ...]
    """Concepts to turn to their other value, all at once."""
    method: str = METHODS[0]
    """Where directions come from: one of `METHODS`."""
    layer: int = 3
    """0 is the embedding, l the output of block l."""
    strength: float = 2.0
    """Typical shifts to add; 0 adds nothing."""
    everywhere: bool = False
    """Add it at every token, not only once at the prompt's last."""
    seed: int = 0
    """Draws the continuations; equal for all strengths."""


@dataclass(frozen=True)
class SteeringOutcome:
    """What was written at several strengths, and what it says."""

    texts: dict[float, list[str]]
    """Per strength, one continuation per sample; equal places share their random numbers."""
    said: dict[float, Expressed]
    """Per strength, what they say about each concept."""
    rates: dict[float, tuple[float, float, float]]
    """Per strength: effect, side effect, share of ill-formed sentences; NaN where nothing is said."""
    concepts: tuple[str, ...]
    """All concepts."""
    labels: tuple[str, ...]
    """Each concept with the name of its value 1."""
    steered: tuple[bool, ...]
    """Which of them were to change."""
    strength: float
    """The strength chosen."""

    @classmethod
    def measure(
        cls,
        texts: dict[float, list[str]],
        subject: Subject,
        settings: SteeringSettings,
    ) -> "SteeringOutcome":
        """Read and score continuations."""
        names = subject.pairs.concepts
        values = torch.tensor([list(subject.values_of(settings.prompt))] * N_TEXTS)
        steered = torch.tensor([[name in settings.concepts for name in names]] * N_TEXTS)
        said, rates = {}, {}
        for strength, written in sorted(texts.items()):
            said[strength] = steering.read_concepts(
                written, subject.read, names, n_sentences=subject.n_sentences
            )
            score = steering.score_steering(said[strength], values, steered)
            parts = (score.target, score.elsewhere, score.ill_formed)
            effect, side, ill = (float(part.nanmean()) for part in parts)
            rates[strength] = (effect, side, ill)
        labels = tuple(f"{name}: {subject.values[name][1]}" for name in names)
        flags = tuple(steered[0].tolist())
        return cls(dict(texts), said, rates, names, labels, flags, settings.strength)

    def figure(self) -> go.Figure:
        """Draw it."""
        before, after = (self.said[s].share.nanmean(0).numpy() for s in (0.0, self.strength))
        curves = torch.tensor(list(self.rates.values())).numpy()
        return steering_lab(
            self.labels, before, after, self.steered, list(self.rates), curves, self.strength
        )

    def words(self) -> str:
        """Say what changed at the chosen strength."""
        effect, side, ill = self.rates[self.strength]
        idle = self.rates[0.0]
        turned = [n for n, s in zip(self.concepts, self.steered, strict=True) if s]
        return (
            f"Steering {' and '.join(turned) or 'nothing'} at strength {self.strength:g}, over "
            f"{N_TEXTS} continuations: {_percent(effect)} of the words about it say the other value "
            f"({_percent(idle[0])} unsteered). Of the words about other concepts, "
            f"{_percent(side)} changed ({_percent(idle[1])} unsteered); "
            f"{_percent(ill)} of the sentences are ill-formed ({_percent(idle[2])} unsteered)."
        )


def run(subject: Subject, settings: SteeringSettings, report: Report) -> SteeringOutcome:
    """Find the directions, write unsteered and steered, then at the other strengths."""
    texts: dict[float, list[str]] = {}
    report(0.0, None)
    values = torch.tensor([list(subject.values_of(settings.prompt))])
    subject.shifts(settings.layer)
    report(0.2, None)
    directions = subject.directions(settings.method, settings.layer)
    report(0.4, None)
    steered = torch.tensor([[name in settings.concepts for name in subject.pairs.concepts]])
    push = steering.steering_vectors(directions, values, steered, 1.0)
    asked = {0.0, settings.strength}
    for strengths in filter(None, (sorted(asked), sorted(set(STRENGTHS) - asked))):
        written = write(subject, settings, torch.cat([strength * push for strength in strengths]))
        texts.update(zip(strengths, written, strict=True))
        report(0.7, lambda: SteeringOutcome.measure(texts, subject, settings))
    return SteeringOutcome.measure(texts, subject, settings)


def write(
    subject: Subject, settings: SteeringSettings, vectors: Float[Tensor, "ways d_model"]
) -> list[list[str]]:
    """Continue the prompt `N_TEXTS` times under each vector, always with the same random numbers."""
    at = "all" if settings.everywhere else "last"
    push = kit_llama.Intervention(settings.layer, vectors.repeat_interleave(N_TEXTS, 0), at)  # type: ignore[arg-type]
    written = kit_llama.generate(
        subject.llama, [settings.prompt] * len(push.vectors), max_new_tokens=subject.n_tokens,
        generator=_seeded(settings.seed), intervention=push, temperature=TEMPERATURE,
        n_ways=len(vectors),
    )  # fmt: skip
    return [written[start : start + N_TEXTS] for start in range(0, len(written), N_TEXTS)]


def code(subject: Subject, settings: SteeringSettings) -> str:
    """Return a code cell that does the same without the lab."""
    made = f"subject = {subject.source}" if subject.source else "# `subject` is yours."
    return f"""import torch
from ssae_kit import labs, llama, plots, steering

{made}
settings = labs.{settings!r}
directions = subject.directions(settings.method, settings.layer)
values = torch.tensor([list(subject.values_of(settings.prompt))])
steered = torch.tensor([[name in settings.concepts for name in subject.pairs.concepts]])
texts = {{}}
for strength in {tuple(dict.fromkeys([0.0, settings.strength, *STRENGTHS]))}:
    vector = steering.steering_vectors(directions, values, steered, strength)
    push = llama.Intervention(settings.layer, vector.repeat({N_TEXTS}, 1), {"all" if settings.everywhere else "last"!r})
    texts[strength] = llama.generate(
        subject.llama, [settings.prompt] * {N_TEXTS}, max_new_tokens=subject.n_tokens,
        generator=torch.Generator().manual_seed({settings.seed}), intervention=push,
        temperature={TEMPERATURE},
    )
outcome = labs.SteeringOutcome.measure(texts, subject, settings)
plots.show(outcome.figure(), outcome.words())
"""


def _percent(share: float) -> str:
    return "none" if share != share else f"{share:.0%}"


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
