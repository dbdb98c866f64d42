"""The Latent lab: browse the latents of a Llama's dictionary, and clamp one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import ipywidgets as widgets
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks, plots
from ssae_kit import llama as kit_llama
from ssae_kit.autoencoders import clamp
from ssae_kit.labs.base import Lab
from ssae_kit.labs.figure import MARGIN, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import choice, heading, line, setting, slider
from ssae_kit.labs.subjects import N_LATENTS, TokenDictionary, stories, token_dictionary
from ssae_kit.labs.texts import linked, shaded, side_by_side, table

N_TOP, N_NEAR = 5, 8
"""Texts, and tokens or neighbours, shown of one latent."""
N_TEXTS, N_TOKENS, TEMPERATURE = 3, 58, 0.5
"""Continuations with and without the clamp, their longest, and how boldly they are sampled."""
N_PROMPTS = 12
PICK = "pick one"
FIND = "Finds latents that they make fire"


@dataclass(frozen=True)
class LatentSettings:
    """Everything the Latent lab can vary."""

    prompt: str
    """Text to continue."""
    latent: int = 0
    """Which latent is shown."""
    search: str = setting("", line, "search", "words, then Enter", FIND)
    strength: float = setting(
        1.0, slider, "clamp (× largest)", 0.0, 4.0, 0.25, "Multiples of its largest code, 0: none"
    )
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws the continuations")


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
    written: Sequence[str] = ()
    """Continuations as they are; none before they are written."""
    clamped: Sequence[str] = ()
    """Continuations with the latent clamped."""

    @classmethod
    def measure(cls, dictionary: TokenDictionary, settings: LatentSettings) -> "LatentOutcome":
        """Gather what there is to say.

        Raises:
            ValueError: if there is no such latent.
        """
        d, latent, n_latents = dictionary, settings.latent, dictionary.autoencoder.n_latents
        if not 0 <= latent < n_latents:
            raise ValueError(f"`latent` must lie in 0..{n_latents - 1}; got {latent}.")
        codes, directions = d.codes[:, latent], d.autoencoder.directions[0]
        top = kit_llama.direct_logits(d.llama, directions[latent][None])[0].topk(N_NEAR)
        promoted = list(zip(d.words(top.indices), top.values.tolist(), strict=True))
        cosines = directions @ directions[latent]
        cosines[latent] = -2.0  # not among its own neighbours
        near = cosines.topk(min(N_NEAR, len(cosines) - 1))
        neighbours = list(zip(near.indices.tolist(), near.values.tolist(), strict=True))
        found = d.search(settings.search) if settings.search.strip() else []
        texts, favourite = _top_texts(d, codes), _favourite(d, codes)
        return cls(settings, codes, texts, favourite, promoted, neighbours, found)

    def figure(self) -> go.Figure:
        """Draw how strongly the latent fires, what it promotes, and who is close."""
        titles = {
            "its codes where it fires": ("code (unitless)", "tokens (count)"),
            "tokens it promotes": ("rise of the logit (any unit)", ""),
            "neighbours": ("cosine", ""),
        }
        fig = blank(titles, grid={"horizontal_spacing": 0.13}, showlegend=False, width=820, height=320,
            margin=MARGIN | {"t": 40},
        )  # fmt: skip
        firing = self.codes[self.codes > 0].numpy()
        end = float(firing.max(initial=1e-9))
        plots.histogram(fig, {"codes": firing}, (0.0, end), n_bins=30, at=(1, 1))
        tokens, rises = zip(*self.promoted, strict=True)
        plots.bars(fig, tokens, {"rise": rises}, flat=True, first=1, at=(1, 2))
        near, cosines = zip(*self.near, strict=True)
        names = [f"latent {i}" for i in near]
        return plots.bars(fig, names, {"cosine": cosines}, flat=True, first=2, at=(1, 3))

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


def write(dictionary: TokenDictionary, settings: LatentSettings, *, clamped: bool) -> list[str]:
    """Continue the prompt a few times, as it is or with the latent clamped at every token."""
    s = settings
    value = s.strength * float(dictionary.codes[:, s.latent].max())
    change = partial(clamp, dictionary.autoencoder, latent=s.latent, value=value)
    return kit_llama.generate(
        dictionary.llama, [s.prompt] * N_TEXTS, max_new_tokens=N_TOKENS,
        generator=checks.seeded(s.seed), temperature=TEMPERATURE,
        edits={dictionary.layer: kit_llama.Apply(change)} if clamped else None,
    )  # fmt: skip


def run(
    dictionary: TokenDictionary, settings: LatentSettings, report: Progress = quiet
) -> LatentOutcome:
    """Look the latent up, then write without and with the clamp."""
    shown = LatentOutcome.measure(dictionary, settings)
    report(0.2, lambda: shown)
    written = write(dictionary, settings, clamped=False)
    report(0.6, lambda: shown)
    clamped = write(dictionary, settings, clamped=True)
    return replace(shown, written=written, clamped=clamped)


class LatentLab(Lab):
    """Look at one latent of a dictionary: where it fires, what it promotes, what clamping it does.

    Args:
        dictionary: By default one that is trained on the bundled Llama's states, in seconds, once
            the lab is shown; `given` holds it from then on. `labs.TokenDictionary` makes one of any
            Llama and autoencoder.
        settings: Where the controls stand at first, by the names of `LatentSettings`.
    """

    title = "What is one latent of a language model, and what does it do?"
    does = (
        "The Latent lab shows the latents of a Llama's dictionary, finds them by words and "
        "clamps one."
    )
    look = (
        "The picture shows one latent: how strongly it fires, the tokens it promotes and its "
        "nearest neighbours."
    )
    tasks = (
        "Search a word. Do the examples of the first latent found agree with the tokens it promotes?",
        "Clamp a latent at twice its largest code. Which words come, and which are lost?",
        "Find a latent that you can name, and whose clamping does not do what the name says.",
    )

    run = staticmethod(run)

    def __init__(self, dictionary: TokenDictionary | None = None, **settings: Any) -> None:
        self.given = {"dictionary": dictionary} if dictionary else {}
        self._open = dictionary is None and "latent" not in settings  # then the clearest is shown
        texts = dictionary.texts if dictionary else stories()
        prompts = [*dict.fromkeys([settings.get("prompt", texts[0]), *texts[:N_PROMPTS]])]
        first = {"prompt": prompts[0], "latent": dictionary.clearest if dictionary else 0}
        at = LatentSettings(**{**first, **settings})
        last = (dictionary.autoencoder.n_latents if dictionary else N_LATENTS) - 1
        self.found = choice("found", PICK, [PICK], "What the search found, strongest first")
        self.found.observe(self._pick, "value")
        self.examples, self.texts = widgets.HTML(), widgets.HTML()
        """Texts with the latent's largest codes; continuations side by side."""
        self.below = [self.examples, self.texts]
        hint = "Text that the model goes on from"
        super().__init__(
            at,
            prompt=choice("prompt", at.prompt, prompts, hint),
            latent=slider("latent", at.latent, 0, last, 1, "Which latent is shown"),
        )
        self.view.add_class("ssae-linked")

    def above(self) -> list[Any]:
        """Return the controls: those that choose a latent, then those of the clamp."""
        of = self.controls
        return [
            heading("Which latent? Step, or find some:"),
            *(of["latent"], of["search"], self.found),
            heading("Clamp it, and let the model go on:"),
            *(of["prompt"], of["strength"], of["seed"]),
        ]

    def beginning(self) -> Any:
        """Return the first outcome; one of no latent if the dictionary is still to be trained."""
        if self.given:
            return super().beginning()
        one, codes = [("", 0.0)], torch.zeros(1)  # a trace needs a bar
        return LatentOutcome(self.start_at, codes, [], one[0], one, [(0, 0.0)], [])

    def compute(self, settings: LatentSettings, report: Progress) -> Any:
        """Compute; the first time train the dictionary, if need be, and show its clearest latent."""
        clearest = self._trained().clearest
        if self._open:
            with self._hush():
                report(0.1, None)  # goes no further if a control was moved meanwhile
                self._open = False
                if settings.latent == self.start_at.latent:
                    settings = replace(settings, latent=clearest)
                    self._quietly(latent=clearest)
        return super().compute(settings, report)

    def code(self) -> str:
        """Return the code that makes this view, and the dictionary."""
        self._trained()
        return super().code()

    def _trained(self) -> Any:
        if not self.given:
            self.given = {"dictionary": token_dictionary()}
        return self.given["dictionary"]

    def figure(self, result: LatentOutcome) -> go.Figure:
        """Draw the outcome; texts and search results are shown beside it."""
        head = ["largest code", "text, tokens shaded by code"]
        tokens = [token for token, _ in result.promoted]
        self.examples.value = linked(table(head, result.shaded(), first="80px"), tokens)
        head, texts = ["as it is", "clamped"], (result.written, result.clamped)
        self.texts.value = linked(side_by_side(head, *texts), tokens) if result.clamped else ""
        names = [f"latent {i}: {code:.2f} at “{token}”" for i, code, token in result.found]
        if list(self.found.options) != [PICK, *names]:
            self.found.options = [PICK, *names]
        return result.figure()

    def _pick(self, change: Any) -> None:
        """Show the latent that was picked among those found."""
        if change["new"] not in (None, PICK):
            self.controls["latent"].value = int(change["new"].split(":")[0].removeprefix("latent "))


def _top_texts(dictionary: TokenDictionary, codes: Tensor) -> list[tuple[list[str], list[float]]]:
    tokens = dictionary.tokens
    best = torch.zeros(len(dictionary.texts)).scatter_reduce(0, tokens.text, codes, "amax")
    rows = [tokens.text == i for i in best.topk(min(N_TOP, len(best))).indices if best[i] > 0]
    return [(dictionary.words(tokens.ids[row]), codes[row].tolist()) for row in rows]


def _favourite(dictionary: TokenDictionary, codes: Tensor) -> tuple[str, float]:
    by_token = torch.bincount(dictionary.tokens.ids, weights=codes)
    token = by_token.argmax()
    share = float(by_token[token] / by_token.sum().clamp_min(1e-9))
    return dictionary.words(token[None])[0], share
