"""The Shift lab: keep or break the conditions under which shifts identify concepts, or guess one."""

import random
from dataclasses import replace
from typing import Any

import ipywidgets as widgets

from ssae_kit.labs.base import Lab
from ssae_kit.labs.parts import button, choice, heading
from ssae_kit.labs.shift import DESIGNS, ShiftOutcome, ShiftSettings, run
from ssae_kit.synthetic import check_diversity


class ShiftLab(Lab):
    """Train eight runs on a world of concept shifts whose laws you choose.

    Every control is in `controls`, by the names of `ShiftSettings`. `go_to` does what the
    buttons do; `hide` and `guess` play the game.

    Args:
        settings: Where the controls stand at first, by name.
    """

    title = "When do shifts identify concepts? Keep the conditions, or break one."
    does = "The Shift lab trains eight autoencoders on concept shifts while you watch."
    look = "The picture shows the start: all conditions hold, and every concept comes back."
    tasks = (
        "Break every condition. Which raise the error, and which lose concepts at no error?",
        "Raise the level from 1 on. From where on are concepts mixed?",
        "Two latents more than concepts: what do the spare ones do, and does the direction MCC stay?",
    )

    run = staticmethod(run)
    visit = "Break one condition"
    places = {
        "nothing is broken": ({}, "Every concept scores near 1 and the matrix is diagonal."),
        "all always shift": ({"design": "all always shift"},
            "Every concept is mixed, and the error is as low as ever."),
        "0 and 1 always together": ({"design": "0 and 1 always together"},
            "Only the first two can be mixed, with each other; some seeds keep them apart."),
        "0 only with 1": ({"design": "0 only with 1"},
            "The condition fails for concept 0, which may come back all the same: it is not necessary."),
        "tied partners": ({"design": "fixed pairs", "magnitudes": "tied: all alike"},
            "Codes correlate with both partners, while directions are wrong: the code MCC flatters."),
        "level too slack": ({"level": 1.9},
            "The error is low, the multiplier falls to zero, and any rotated basis will do."),
        "level too tight": ({"level": 0.3}, "The multiplier grows and the error stays high."),
        "no constraint": ({"constrained": False},
            "There is no multiplier and no level, and codes are as large as they like."),
        "noise": ({"noise": 0.2},
            "Codes are noisy, directions are right, and the error stays at the noise."),
        "bent embedding": ({"bend": 0.7},
            "A shift depends on where it starts: no linear code fits, and the error stays above zero."),
        "too few latents": ({"n_latents": 4}, "The matrix has fewer rows than columns."),
        "more concepts than dimensions": ({"d_model": 4},
            "Directions cannot be independent: concepts share latents, codes are mixed."),
    }  # fmt: skip

    game = [name for name in places if name not in ("0 only with 1", "0 and 1 always together")]
    """Conditions that leave a trace in every world, so that one can be guessed."""

    def __init__(self, **settings: Any) -> None:
        self._draw_from = random.Random()
        self.hidden: str | None = None
        """Name of the condition that the game hides; None when no game is on."""
        self.score = (0, 0)
        """Right guesses, and all guesses."""
        self._told: tuple[ShiftSettings, str] | None = None
        """Settings of the last game, and what they should have shown."""
        self._guess = choice("I think:", self.game[0], self.game, "What do you think was broken?")
        self._answer = button(
            "That is it", "Check the guess", lambda: self.guess(self._guess.value)
        )
        self._verdict = widgets.Label("")
        super().__init__(replace(ShiftSettings(), **settings))

    def above(self) -> list[Any]:
        """Return the controls and conditions, and the game."""
        over = heading("Game: it breaks something, or nothing")
        hide = button("Hide a condition", "Break a condition without saying which", self.hide)
        return [*super().above(), over, hide, self._guess, self._answer, self._verdict]

    def settings(self) -> Any:
        """Return the settings: those of the controls or, in a game, the hidden ones."""
        if self.hidden is not None:
            return replace(self._game_start, **self.places[self.hidden][0])
        return super().settings()

    def words(self, settings: ShiftSettings, result: ShiftOutcome) -> str:
        """Say what came back and, outside a game, whether supports are diverse."""
        if self.hidden is not None:
            return result.words() + "\nOne condition may be broken. Which?"
        hint = "\n" + self._told[1] if self._told and self._told[0] == settings else ""
        return f"{result.words()}\n{check_diversity(settings.problem().design)}{hint}"

    def code(self) -> str:
        """Return the code that makes this view.

        Raises:
            ValueError: in a game, whose settings are hidden.
        """
        if self.hidden is not None:
            raise ValueError("A game is on: guess first, then the settings are shown.")
        return super().code()

    def set(self, **changes: Any) -> None:
        """End a game, set several controls and compute once."""
        self.hidden = None
        self._enable()
        super().set(**changes)

    def hide(self) -> None:
        """Begin a game: break a random condition, or none, in a random world."""
        self.hidden = self._draw_from.choice(self.game)
        self._game_start = replace(ShiftSettings(), seed=self._draw_from.randrange(1000))
        self._verdict.value = "The settings are hidden."
        self._enable()
        self.start()

    def guess(self, name: str) -> bool:
        """Guess what was broken, a member of `game`; ends the game and shows its settings.

        Raises:
            ValueError: if no game is on, or there is no such condition.
        """
        if name not in self.game:
            raise ValueError(f"`name` must be one of {self.game}; got {name!r}.")
        if self.hidden is None:
            raise ValueError("There is nothing to guess: first hide a condition.")
        truth, right = self.hidden, name == self.hidden
        self.score = (self.score[0] + right, self.score[1] + 1)
        count = f"Score: {self.score[0]} of {self.score[1]}."
        self._verdict.value = f"{'Right' if right else 'No'}: {truth}. {count}"
        with self._lock:
            shown, self.hidden = self.settings(), None
            self._told = shown, self.places[truth][1]
            self._enable()
            self._quietly(**vars(shown))
            if self.result is not None:
                self.words_shown.text = self.words(shown, self.result)
        return right

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
