"""The Latent lab's computation: a dictionary of a Llama's states, and all about one of its latents."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import llama as kit_llama
from ssae_kit import world
from ssae_kit.autoencoders import Autoencoder, TopKSAE, clamp
from ssae_kit.labs.base import Report
from ssae_kit.labs.texts import shaded
from ssae_kit.llama import Llama, TokenStates
from ssae_kit.plots.latents_lab import latents_lab
from ssae_kit.training import History, Penalty, TrainingConfig, fit

N_STORIES, N_LATENTS, STEPS, BATCH = 400, 256, 200, 128
N_TOP, N_NEAR, N_FOUND = 5, 8, 8
"""Texts, tokens or neighbours, and search results shown of one latent."""
N_TEXTS, N_TOKENS, TEMPERATURE = 3, 40, 0.5
"""Continuations with and without the clamp, their longest, and how boldly they are sampled."""


@dataclass(frozen=True, eq=False)
class TokenDictionary:
    """A sparse autoencoder of every token's state, and what it makes of some texts."""

    llama: Llama
    """Any Llama that the kit has loaded."""
    layer: int
    """0 is the embedding, l the output of block l."""
    autoencoder: Autoencoder
    """A single run, with codes of 0 or more."""
    texts: tuple[str, ...]
    """Texts to find examples in; the first are prompts as well."""
    tokens: TokenStates
    """Their tokens."""
    codes: Float[Tensor, "tokens latents"]
    """Codes of these tokens."""
    source: str = ""
    """Code that makes this dictionary; empty if it was made elsewhere."""

    @classmethod
    @torch.no_grad()
    def of(
        cls, llama: Llama, layer: int, autoencoder: Autoencoder, texts: Sequence[str]
    ) -> "TokenDictionary":
        """Read texts with an autoencoder of one run.

        Raises:
            ValueError: if the autoencoder holds more than one run, or gives codes below 0.
        """
        autoencoder.require_one_run()
        tokens = kit_llama.token_states(llama, texts, layer)
        return cls(llama, layer, autoencoder, tuple(texts), tokens, _codes(autoencoder, tokens))

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

    def write(self, settings: "LatentSettings", *, clamped: bool) -> list[str]:
        """Continue the prompt a few times, as it is or with the latent clamped at every token."""
        s = settings
        go_on = partial(
            kit_llama.generate, self.llama, [s.prompt] * N_TEXTS, max_new_tokens=N_TOKENS,
            generator=torch.Generator().manual_seed(s.seed), temperature=TEMPERATURE,
        )  # fmt: skip
        if not clamped:
            return go_on()
        value = s.strength * float(self.codes[:, s.latent].max())
        change = partial(clamp, self.autoencoder, latent=s.latent, value=value)
        with kit_llama.edit(self.llama, self.layer, change):
            return go_on()


def stories() -> tuple[str, ...]:
    """Return the texts that `token_dictionary` reads."""
    return world.prompts(N_STORIES, torch.Generator().manual_seed(0))[0]


def token_dictionary(model: Llama | None = None, report: Report | None = None) -> TokenDictionary:
    """Train a TopK autoencoder on every token's state in the middle of a Llama; takes seconds.

    Args:
        model: One that was trained on our world; by default the bundled Llama.
        report: Told how far it is.
    """
    tell = report or (lambda share, measure: None)
    source = f"labs.token_dictionary({'model' if model else ''})"
    source += "  # `model` is yours." if model else ""
    model = model or kit_llama.load()
    tell(0.1, None)
    layer, texts = model.n_layers // 2, stories()
    tokens = kit_llama.token_states(model, texts, layer)
    sae = TopKSAE(
        1, model.d_model, N_LATENTS, generator=torch.Generator().manual_seed(1), k=8, revival=0.3,
        dead_after=50,
    )  # fmt: skip

    def on_record(history: History) -> None:
        tell(0.3 + 0.6 * history.step[-1] / STEPS, None)

    config = TrainingConfig(steps=STEPS, batch_size=BATCH, learning_rate=5e-3, record_every=5)
    generator = torch.Generator().manual_seed(2)
    fit(sae, tokens.states, Penalty(), config, generator=generator, on_record=on_record)
    return TokenDictionary(model, layer, sae, texts, tokens, _codes(sae, tokens), source)


@torch.no_grad()
def _codes(autoencoder: Autoencoder, tokens: TokenStates) -> Tensor:
    codes = autoencoder.encode(tokens.states)[0]
    if (codes < 0).any():
        raise ValueError(
            f"codes of 0 or more are required; got {float(codes.min()):.3g}. Take a sparse "
            "autoencoder: a shift autoencoder's codes have signs."
        )
    return codes


@dataclass(frozen=True)
class LatentSettings:
    """Everything the Latent lab can vary."""

    prompt: str
    """Text to continue."""
    latent: int = 0
    """Which latent is shown."""
    search: str = ""
    """Words to find latents by; empty for none."""
    strength: float = 1.0
    """What the latent is clamped to, in multiples of its largest code; 0 silences it."""
    seed: int = 0
    """Draws the continuations; equal with and without the clamp."""


@dataclass(frozen=True)
class LatentOutcome:
    """What there is to say about one latent."""

    settings: LatentSettings
    """What was asked."""
    codes: Float[Tensor, " tokens"]
    """Its code at every token of the texts."""
    texts: list[tuple[list[str], list[float]]]
    """The texts with its largest codes: their tokens, and its code at each."""
    favourite: tuple[str, float]
    """The token that gets most of its code, and what share."""
    promoted: list[tuple[str, float]]
    """Tokens whose logits its direction raises most, on the direct path to the output."""
    near: list[tuple[int, float]]
    """Latents whose directions are closest, with their cosines."""
    found: list[tuple[int, float, str]]
    """What the search found; see `TokenDictionary.search`."""
    written: list[str]
    """Continuations as they are; none before they are written."""
    clamped: list[str]
    """Continuations with the latent clamped."""

    @classmethod
    def measure(
        cls,
        dictionary: TokenDictionary,
        settings: LatentSettings,
        written: Sequence[str] = (),
        clamped: Sequence[str] = (),
    ) -> "LatentOutcome":
        """Gather what there is to say.

        Raises:
            ValueError: if there is no such latent.
        """
        if not 0 <= settings.latent < dictionary.autoencoder.n_latents:
            raise ValueError(
                f"`latent` must lie in 0..{dictionary.autoencoder.n_latents - 1}; "
                f"got {settings.latent}."
            )
        d, codes = dictionary, dictionary.codes[:, settings.latent]
        directions = d.autoencoder.directions[0]
        raised = kit_llama.direct_logits(d.llama, directions[settings.latent][None])[0]
        top = raised.topk(N_NEAR)
        cosines = (directions @ directions[settings.latent]).index_fill(
            0, torch.tensor([settings.latent]), -2.0
        )
        near = cosines.topk(min(N_NEAR, len(cosines) - 1))
        return cls(
            settings, codes, _top_texts(d, codes), _favourite(d, codes),
            list(zip(d.words(top.indices), top.values.tolist(), strict=True)),
            list(zip(near.indices.tolist(), near.values.tolist(), strict=True)),
            d.search(settings.search) if settings.search else [], list(written), list(clamped),
        )  # fmt: skip

    def figure(self) -> go.Figure:
        """Draw it."""
        firing = self.codes[self.codes > 0].numpy()
        return latents_lab(firing, self.promoted, [(f"latent {i}", c) for i, c in self.near])

    def shaded(self) -> list[list[str]]:
        """Return rows of HTML: the largest code in a text, and the text shaded by its codes."""
        largest = max(float(self.codes.max()), 1e-9)
        return [[f"{max(codes):.2f}", shaded(words, codes, largest)] for words, codes in self.texts]

    def words(self) -> str:
        """Say when it fires, what it promotes, and what clamping it changed."""
        s, rate = self.settings, float((self.codes > 0).float().mean())
        token, share = self.favourite
        text = (
            f"Latent {s.latent} fires on {rate:.1%} of {len(self.codes)} tokens, with a code of up "
            f"to {float(self.codes.max()):.2f}; {share:.0%} of all its code falls on “{token}”. "
            f"Its direction promotes “{self.promoted[0][0]}” most. Its nearest neighbour is latent "
            f"{self.near[0][0]} (cosine {self.near[0][1]:.2f})."
        )
        if not rate:
            text = f"Latent {s.latent} is dead: it fires on none of {len(self.codes)} tokens."
        if not self.clamped:
            return text
        pairs = zip(self.written, self.clamped, strict=True)
        changed = sum(a != b for a, b in pairs)
        return (
            f"{text}\nClamped to {s.strength:g} times its largest code at every token, with the "
            f"error of the reconstruction kept, it changed {changed} of {len(self.clamped)} "
            "continuations."
        )


def run(dictionary: TokenDictionary, settings: LatentSettings, report: Report) -> LatentOutcome:
    """Look the latent up, then write without and with the clamp."""
    shown = LatentOutcome.measure(dictionary, settings)
    report(0.9, lambda: shown)
    written = dictionary.write(settings, clamped=False)
    report(0.95, lambda: shown)
    clamped = dictionary.write(settings, clamped=True)
    return LatentOutcome.measure(dictionary, settings, written, clamped)


def code(dictionary: TokenDictionary, settings: LatentSettings) -> str:
    """Return a code cell that does the same without the lab."""
    made = f"dictionary = {dictionary.source}" if dictionary.source else "# `dictionary` is yours."
    return f"""from ssae_kit import labs, plots

{made}
settings = labs.{settings!r}
written = dictionary.write(settings, clamped=False)
clamped = dictionary.write(settings, clamped=True)
outcome = labs.LatentOutcome.measure(dictionary, settings, written, clamped)
plots.show(outcome.figure(), outcome.words())
"""


def _top_texts(
    dictionary: TokenDictionary, codes: Tensor
) -> list[tuple[list[str], list[float]]]:  # fmt: skip
    tokens = dictionary.tokens
    best = torch.zeros(len(dictionary.texts)).scatter_reduce(0, tokens.text, codes, "amax")
    rows = [tokens.text == i for i in best.topk(min(N_TOP, len(best))).indices if best[i] > 0]
    return [(dictionary.words(tokens.ids[row]), codes[row].tolist()) for row in rows]


def _favourite(dictionary: TokenDictionary, codes: Tensor) -> tuple[str, float]:
    by_token = torch.bincount(dictionary.tokens.ids, weights=codes)
    token = by_token.argmax()
    share = float(by_token[token] / by_token.sum().clamp_min(1e-9))
    return dictionary.words(token[None])[0], share
