"""The Latent lab: browse the latents of a Llama's dictionary, and clamp one."""

from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from ssae_kit.labs.base import Lab, Report
from ssae_kit.labs.latents_run import (
    N_LATENTS,
    N_NEAR,
    LatentOutcome,
    LatentSettings,
    TokenDictionary,
    code,
    run,
    stories,
    token_dictionary,
)
from ssae_kit.labs.parts import WIDE, choice, heading, hinted, real, row, values, whole
from ssae_kit.labs.texts import side_by_side, table
from ssae_kit.plots.latents_lab import latents_lab

N_PROMPTS = 12
PICK = "pick one"


class LatentLab(Lab):
    """Look at one latent of a dictionary: where it fires, what it promotes, what clamping it does.

    Args:
        dictionary: By default one that is trained at the start on the bundled Llama's states.
            `labs.TokenDictionary.of` makes one of any Llama and autoencoder.
        settings: Where the controls stand at first, by the names of `LatentSettings`.
    """

    title = "What is one latent of a language model, and what does it do?"
    sentence = (
        "The Latent lab shows the latents of a Llama's dictionary, finds them by words and clamps "
        "one; run this cell in JupyterLab to move its controls. The picture shows one latent: how "
        "strongly it fires, the tokens it promotes and its nearest neighbours."
    )

    def __init__(self, dictionary: TokenDictionary | None = None, **settings: Any) -> None:
        self.dictionary = dictionary
        texts = dictionary.texts if dictionary else stories()
        prompts = [settings["prompt"]] if "prompt" in settings else []
        prompts += [text for text in texts[:N_PROMPTS] if text not in prompts]
        first = dictionary.clearest if dictionary else 0
        self.start_at = LatentSettings(**{"prompt": prompts[0], "latent": first, **settings})
        self._chosen = dictionary is not None or "latent" in settings
        n_latents = dictionary.autoencoder.n_latents if dictionary else N_LATENTS
        controls = _controls(self.start_at, prompts, n_latents)
        self.found = choice("found", [PICK], "What the search found, strongest first", "400px")
        self.found.observe(self._pick, "value")
        self.examples, self.texts = widgets.HTML(), widgets.HTML()
        """Texts with the latent's largest codes; continuations side by side."""
        rows = [
            heading("Which latent? Step through them, or find some by words:"),
            row(controls["latent"], controls["search"], self.found),
            heading("Clamp it at every token, and let the model go on from a prompt:"),
            controls["prompt"],
            row(controls["strength"], controls["seed"]),
        ]
        super().__init__(controls, rows, [self.examples, self.texts])

    def settings(self) -> LatentSettings:
        """Return what the controls say."""
        said = values(self.controls)
        return LatentSettings(**{**said, "search": said["search"].strip()})

    def compute(self, settings: LatentSettings, report: Report) -> LatentOutcome:
        """Train the dictionary if there is none yet; then look up, and write."""
        if self.dictionary is None:
            self.dictionary = token_dictionary(None, report)
        with self._lock:
            if not self._chosen:  # in each job: the one that trained may have been cancelled
                settings = replace(settings, latent=self.dictionary.clearest)
                self._quietly(latent=settings.latent)
                self._chosen = False
        return run(self.dictionary, settings, report)

    def blank(self) -> go.Figure:
        """Return the empty figure."""
        nothing = [("", 0.0)] * N_NEAR
        return latents_lab(np.zeros(0), nothing, nothing)

    def figure(self, result: LatentOutcome) -> go.Figure:
        """Draw the outcome; texts and search results are shown beside it."""
        head = ["largest code", "text, tokens shaded by code"]
        self.examples.value = table(head, result.shaded(), first="80px")
        head, texts = ["as it is", "clamped"], (result.written, result.clamped)
        self.texts.value = side_by_side(head, *texts) if result.clamped else ""
        names = [f"latent {i}: {code:.2f} at “{token}”" for i, code, token in result.found]
        if list(self.found.options) != [PICK, *names]:
            self.found.options = [PICK, *names]
        return result.figure()

    def words(self, settings: LatentSettings, result: LatentOutcome) -> str:
        """Say when it fires, what it promotes, and what clamping it changed."""
        return result.words()

    def code(self, settings: LatentSettings) -> str:
        """Return the view as a code cell.

        Raises:
            ValueError: if there is no dictionary yet.
        """
        if self.dictionary is None:
            raise ValueError("The dictionary is still being trained: try again when it is done.")
        return code(self.dictionary, settings)

    def adapt(self, name: str, old: Any) -> None:
        """Remember that somebody chose a latent; until then the lab may."""
        self._chosen = self._chosen or name == "latent"

    def _pick(self, change: Any) -> None:
        """Show the latent that was picked among those found."""
        if change["new"] not in (None, PICK):
            self.controls["latent"].value = int(change["new"].split(":")[0].removeprefix("latent "))


def _controls(at: LatentSettings, prompts: list[str], n_latents: int) -> dict[str, Any]:
    """Return the controls, by the names of `LatentSettings`."""
    words = widgets.Text(
        description="search", value=at.search, placeholder="words, then Enter", style=WIDE,
        continuous_update=False, layout={"width": "254px"},
    )  # fmt: skip
    hinted(words, "Finds latents that they make fire")
    return {
        "latent": whole("latent", at.latent, 0, n_latents - 1, "Which latent is shown"),
        "search": words,
        "prompt": choice("prompt", prompts, "Text that the model goes on from", "790px", at.prompt),
        "strength": real(
            "clamp (× largest)", at.strength, 0.0, 4.0, 0.25, "Multiples of its largest code"
        ),
        "seed": whole("seed", at.seed, 0, 999, "Draws the continuations"),
    }
