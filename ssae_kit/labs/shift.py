"""The Shift lab: keep or break the conditions under which shifts identify concepts."""

import random
from dataclasses import replace
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from ssae_kit.labs.base import Export, Lab, Report
from ssae_kit.labs.parts import button, choice, heading, places, real, row, switch, values, whole
from ssae_kit.labs.shift_run import (
    DESIGNS,
    MAGNITUDES,
    N_RUNS,
    ShiftOutcome,
    ShiftSettings,
    code,
    diversity,
    run,
)
from ssae_kit.plots.shift_lab import shift_lab

CONDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing is broken": ({}, "Every concept scores near 1 and the matrix is diagonal."),
    "all always shift": (
        {"design": "all always shift"},
        "Every concept is mixed with others, and the error is as low as ever.",
    ),
    "0 and 1 always together": (
        {"design": "0 and 1 always together"},
        "Only the first two are mixed, with each other.",
    ),
    "0 only with 1": (
        {"design": "0 only with 1"},
        "The condition fails for concept 0, which often comes back all the same: the theorem's "
        "conditions are enough, not necessary.",
    ),
    "tied partners": (
        {"design": "fixed pairs", "magnitudes": "tied: all alike"},
        "Codes correlate with both partners, while directions are wrong: the code MCC flatters.",
    ),
    "level too slack": (
        {"level": 1.9},
        "The error is low, the multiplier falls to zero, and any rotated basis will do.",
    ),
    "level too tight": ({"level": 0.3}, "The multiplier grows and the error stays high."),
    "no constraint": (
        {"constrained": False},
        "There is no multiplier and no level, and codes are as large as they like.",
    ),
    "noise": (
        {"noise": 0.2},
        "Codes are noisy, directions are right, and the error stays at the noise.",
    ),
    "bent embedding": (
        {"bend": 0.7},
        "A shift depends on where it starts: no linear code fits, and the error stays above zero.",
    ),
    "too few latents": ({"n_latents": 4}, "The matrix has fewer rows than columns."),
    "more concepts than dimensions": (
        {"d_model": 4},
        "Directions cannot be independent: concepts share latents, codes are mixed.",
    ),
}
"""What the buttons do: changes of the default settings, and what to see."""
GAME = [name for name in CONDITIONS if name != "0 only with 1"]
"""Conditions that leave a trace, so that one can be guessed."""


class ShiftLab(Lab):
    """Train eight runs on a world of concept shifts whose laws you choose.

    Every control is in `controls`, by the names of `ShiftSettings`. `break_condition` does what the
    buttons do; `hide` and `guess` play the game.

    Args:
        game_seed: Draws what the game hides.
        settings: Where the controls stand at first, by name.
    """

    title = "When do shifts identify concepts? Keep the conditions, or break one."
    sentence = (
        "The Shift lab trains eight autoencoders on concept shifts while you watch; run this cell "
        "in JupyterLab to move its controls. The picture shows the start: all conditions hold, and "
        "every concept comes back."
    )

    def __init__(self, game_seed: int = 0, **settings: Any) -> None:
        self._draw_from = random.Random(game_seed)
        self.hidden: str | None = None
        """Name of the condition that the game hides; None when no game is on."""
        self.score = (0, 0)
        """Right guesses, and all guesses."""
        self._told: tuple[ShiftSettings, str] | None = None
        """Settings of the last game, and what they should have shown."""
        self.start_at = replace(ShiftSettings(), **settings)
        controls = _controls(self.start_at)
        self._buttons = places(CONDITIONS, self.break_condition)
        self._guess = choice("I think:", GAME, "What do you think was broken?", "340px")
        self._answer = button("That is it", "Check the guess", self._check_guess)
        self._verdict = widgets.Label("")
        hide = button("Hide a condition", "Break a condition without saying which", self.hide)
        rows = [
            row(*controls.values()),
            heading("Break one condition (all else as at the start):"),
            row(*self._buttons),
            heading("Game: the lab breaks something, or nothing. Read the figure and guess."),
            row(hide, self._guess, self._answer, self._verdict),
        ]
        super().__init__(controls, rows)
        with self._hush():
            self.adapt("", None)
            self._quietly(**vars(self.start_at))

    def settings(self) -> ShiftSettings:
        """Return the settings: those of the controls or, in a game, the hidden ones."""
        if self.hidden is not None:
            return replace(self._game_start, **CONDITIONS[self.hidden][0])
        return ShiftSettings(**values(self.controls))

    def compute(self, settings: ShiftSettings, report: Report) -> ShiftOutcome:
        """Train and score."""
        return run(settings, report)

    def blank(self) -> go.Figure:
        """Return the empty figure."""
        k, nothing = self.start_at.n_concepts, np.zeros((1, N_RUNS))
        scores = np.full((N_RUNS, k), np.nan)
        traces = (nothing, nothing, nothing)
        return shift_lab(
            np.zeros((k, k)), range(k), (scores, scores), 0.0, [0], traces, nothing[:, 0], best=0
        )

    def figure(self, result: ShiftOutcome) -> go.Figure:
        """Draw the outcome."""
        return result.figure()

    def words(self, settings: ShiftSettings, result: ShiftOutcome) -> str:
        """Say what came back and, outside a game, whether supports are diverse."""
        if self.hidden is not None:
            return result.words() + "\nOne condition may be broken. Which?"
        hint = "\n" + self._told[1] if self._told and self._told[0] == settings else ""
        return f"{result.words()}\n{diversity(settings)}{hint}"

    def code(self, settings: ShiftSettings) -> str:
        """Return the view as a code cell."""
        return code(settings)

    def export(self) -> Export:
        """Return settings and code.

        Raises:
            ValueError: in a game, whose settings are hidden.
        """
        if self.hidden is not None:
            raise ValueError("A game is on: guess first, then the settings are shown.")
        return super().export()

    def break_condition(self, name: str) -> None:
        """Go back to the start and break one condition, a key of `CONDITIONS`."""
        if name not in CONDITIONS:
            raise ValueError(f"`name` must be one of {list(CONDITIONS)}; got {name!r}.")
        self.hidden = None
        self._enable()
        self.set(**vars(replace(self.start_at, **CONDITIONS[name][0])))

    def hide(self) -> None:
        """Begin a game: break a random condition, or none, in a random world."""
        self.hidden = self._draw_from.choice(GAME)
        self._game_start = replace(ShiftSettings(), seed=self._draw_from.randrange(1000))
        self._verdict.value = "The settings are hidden."
        self._enable()
        self.start()

    def guess(self, name: str) -> bool:
        """Guess what was broken, a member of `GAME`; ends the game and shows its settings.

        Raises:
            ValueError: if no game is on, or there is no such condition.
        """
        if name not in GAME:
            raise ValueError(f"`name` must be one of {GAME}; got {name!r}.")
        if self.hidden is None:
            raise ValueError("There is nothing to guess: first hide a condition.")
        truth, right = self.hidden, name == self.hidden
        self.score = (self.score[0] + right, self.score[1] + 1)
        count = f"Score: {self.score[0]} of {self.score[1]}."
        self._verdict.value = f"{'Right' if right else 'No'}: {truth}. {count}"
        with self._lock:
            shown, self.hidden = self.settings(), None
            self._told = shown, CONDITIONS[truth][1]
            self._enable()
            self._quietly(**vars(shown))
            if self.result is not None:
                self.words_shown.text = self.words(shown, self.result)
        return right

    def _check_guess(self) -> None:
        try:
            self.guess(self._guess.value)
        except ValueError as error:
            self._verdict.value = str(error)

    def _enable(self) -> None:
        """Switch controls off that would do nothing, or that would give the game away."""
        game = self.hidden is not None
        for name, control in self.controls.items():
            idle = name == "together" and self.controls["design"].value != list(DESIGNS)[1]
            control.disabled = game or idle
        self._answer.disabled = self._guess.disabled = not game

    def adapt(self, name: str, old: Any) -> None:
        """Keep controls within each other's bounds; latents follow concepts while they are equal."""
        concepts, latents = self.controls["n_concepts"], self.controls["n_latents"]
        self.controls["most"].max = concepts.value - 1
        if name == "n_concepts" and latents.value == old:
            latents.value = concepts.value
        self._enable()


def _controls(at: ShiftSettings) -> dict[str, Any]:
    """Return the controls, by the names of `ShiftSettings`."""
    return {
        "n_concepts": whole("concepts", at.n_concepts, 4, 12, "Concepts of the world", 2),
        "d_model": whole("dimensions", at.d_model, 4, 48, "Dimensions of the space"),
        "n_latents": whole("latents", at.n_latents, 1, 24, "Length of the code"),
        "design": choice("which shift", list(DESIGNS), "Which concepts shift together", at=at.design),
        "most": whole("at once, at most", at.most, 1, 11, "Concepts that shift in one pair"),
        "together": real("co-shift prob.", at.together, 0.05, 0.95, 0.05, "Share of pairs in which both partners shift"),
        "magnitudes": choice("how far", list(MAGNITUDES), "Law of the magnitudes", at=at.magnitudes),
        "noise": real("noise", at.noise, 0.0, 0.5, 0.05, "Standard deviation per dimension"),
        "bend": real("bend", at.bend, 0.0, 1.0, 0.1, "Share of a tanh in the embedding"),
        "level": real("level (1: true)", at.level, 0.1, 3.0, 0.1, "Sparsity level, in units of the true solution's"),
        "constrained": switch("enforce the level", at.constrained, "Without it nothing asks for sparse codes"),
        "seed": whole("seed", at.seed, 0, 999, "Draws world, pairs and starts"),
    }  # fmt: skip
