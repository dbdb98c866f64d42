"""The Shift lab: keep or break the conditions under which shifts identify concepts."""

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from ssae_kit import checks, metrics, plots, studies
from ssae_kit.autoencoders import Autoencoder, ShiftAutoencoder
from ssae_kit.labs.base import Lab
from ssae_kit.labs.figure import PAGE, beside, blank
from ssae_kit.labs.job import Progress, quiet
from ssae_kit.labs.parts import button, choice, heading, setting, slider, switch
from ssae_kit.metrics.vectors import centred_unit
from ssae_kit.studies import Recovery
from ssae_kit.synthetic import (
    Magnitudes,
    ShiftData,
    ShiftProblem,
    SupportDesign,
    check_diversity,
    sample_shifts,
    supports,
)
from ssae_kit.training import History, TrainingConfig

N_RUNS, N_TRAIN, N_TEST = 8, 3000, 1000
TRAINING = TrainingConfig(steps=500, batch_size=64, record_every=20)
GRID = {"rows": 2, "specs": [[{"colspan": 2}, None, {"colspan": 4}, None, None, None],
                             [{"colspan": 2}, None, {"colspan": 2}, None, {"colspan": 2}, None]],
        "vertical_spacing": 0.2, "horizontal_spacing": 0.09, "row_heights": [0.6, 0.4]}  # fmt: skip
LOST = 0.9
"""Score below which the read-out calls a concept lost."""

DESIGNS: dict[str, Callable[["ShiftSettings"], SupportDesign]] = {
    "any few concepts": lambda s: supports.sizes(s.n_concepts, s.most),
    "pairs, sometimes together": lambda s: supports.grouped(s.n_concepts, 2, s.together),
    "0 and 1 always together": lambda s: supports.together(s.n_concepts, [0, 1], s.most),
    "0 only with 1": lambda s: supports.nested(s.n_concepts, 0, 1, s.most),
    "two fixed blocks": lambda s: supports.blocks(s.n_concepts, s.n_concepts // 2),
    "fixed pairs": lambda s: supports.blocks(s.n_concepts, 2, min(s.most, s.n_concepts // 2)),
    "all always shift": lambda s: supports.blocks(s.n_concepts, s.n_concepts),
}
"""Support designs by the name the lab shows."""

MAGNITUDES = {
    "independent": Magnitudes(),
    "correlated": Magnitudes(correlation=0.8),
    "tied: all alike": Magnitudes(correlation=1.0),
    "tied, free signs": Magnitudes(correlation=1.0, free_signs=True),
    "one size": Magnitudes(values=(-1.0, 1.0)),
}
"""Laws of magnitudes by the name the lab shows."""


@dataclass(frozen=True)
class ShiftSettings:
    """Everything the Shift lab can vary; the defaults keep every condition of the theorem."""

    n_concepts: int = setting(6, slider, "concepts", 4, 12, 2, "Concepts of the world")
    d_model: int = setting(16, slider, "dimensions", 4, 48, 1, "Dimensions of the space")
    n_latents: int = setting(6, slider, "latents", 1, 24, 1, "Length of the code")
    design: str = setting(
        "any few concepts", choice, "which shift", list(DESIGNS), "Which concepts shift together"
    )
    most: int = setting(2, slider, "at once, at most", 1, 11, 1, "Concepts or blocks that shift")
    together: float = setting(
        0.3, slider, "co-shift prob.", 0.05, 0.95, 0.05, "Share of pairs: both partners shift"
    )
    magnitudes: str = setting(
        "independent", choice, "how far", list(MAGNITUDES), "Law of the magnitudes"
    )
    noise: float = setting(0.0, slider, "noise", 0.0, 0.5, 0.05, "Standard deviation per dimension")
    bend: float = setting(0.0, slider, "bend", 0.0, 1.0, 0.1, "Share of a tanh in the embedding")
    level: float = setting(
        1.0, slider, "level (1: true)", 0.1, 3.0, 0.1, "Sparsity level allowed; 1 is the truth's"
    )
    constrained: bool = setting(
        True, switch, "enforce the level", "Without it nothing asks for sparse codes"
    )
    seed: int = setting(0, slider, "seed", 0, 999, 1, "Draws world, pairs and starts")

    def problem(self) -> ShiftProblem:
        """Return the world's laws."""
        design, law = DESIGNS[self.design](self), MAGNITUDES[self.magnitudes]
        return ShiftProblem(design, self.d_model, magnitudes=law, noise=self.noise, bend=self.bend)


@dataclass(frozen=True)
class ShiftOutcome:
    """What eight runs on one world found."""

    recovery: Recovery
    """Scores on pairs that were not trained on."""
    history: History
    """How training went."""
    matrix: Tensor
    """Correlation of codes and concepts in the best run, `[latents, concepts]`; matched first."""
    latents: list[int]
    """Index of each row's latent."""
    floor: float
    """Mean score of random rotations of that many concepts."""
    true_level: float
    """Mean absolute code of the true solution, in the units of the history's sparsity."""

    @classmethod
    def measure(cls, autoencoder: Autoencoder, history: History, test: ShiftData) -> "ShiftOutcome":
        """Score an autoencoder, trained or in training, on a world's other pairs."""
        recovery = studies.score(autoencoder, test)
        best = int(recovery.error.argmin())
        with torch.no_grad():
            codes = autoencoder.encode(test.shifts)[best]
        found = [i for i in recovery.codes.latent[best].tolist() if i >= 0]
        latents = found + [i for i in range(autoencoder.n_latents) if i not in found]
        matrix = centred_unit(codes, 0).mT @ centred_unit(test.changes, 0)
        n_concepts = test.changes.shape[1]
        level = float(test.true_level(autoencoder.n_latents))
        return cls(recovery, history, matrix[latents], latents, _floor(n_concepts), level)

    @property
    def best(self) -> int:
        """Run of lowest reconstruction error: the choice that needs no truth."""
        return int(self.recovery.error.argmin())

    def figure(self) -> go.Figure:
        """Draw which latent holds which concept, how well, and how training went."""
        h, r, best = self.history, self.recovery, self.best
        n_latents, n_concepts = self.matrix.shape
        from_zero = {"rangemode": "tozero"}
        titles = {
            "correlation of codes, best run": ("concept", "latent"),
            "score of each concept (unitless), one point per run": (
                "concept (large points: best run)", "",
            ),
            "reconstruction error": ("updates", {"range": [0, 1.05]}),
            "mean |code| (1: the truth's)": ("updates", from_zero),
            "multiplier": ("updates", from_zero),
        }  # fmt: skip
        fig = blank(titles, columns=6, grid=GRID, **PAGE)
        digits = 1 if n_concepts <= 6 and n_latents <= 8 else None
        rows = [f"r{i}" for i in self.latents]
        plots.heat(
            fig, self.matrix.numpy(), range(n_concepts), rows, limits=(-1.0, 1.0), digits=digits, at=(1, 1)
        )  # fmt: skip
        both = {"code: |correlation|": r.codes.per_concept.numpy(),
                "direction: |cosine|": r.directions.per_concept.numpy()}  # fmt: skip
        plots.scores(fig, range(n_concepts), both, floor=self.floor, best=best, at=(1, 3))
        sparsity = h.series("sparsity") / self.true_level
        for i, values in enumerate((h.series("error"), sparsity, h.series("multiplier"))):
            plots.runs(fig, h.step, values.numpy(), best, at=(2, 2 * i + 1))
        level = h.series("level")[:, 0].numpy() / self.true_level
        allowed = {"x": list(h.step), "y": np.where(level > 0, level, np.nan), "mode": "lines"}
        dotted = {"color": "#D55E00", "dash": "dot", "width": 2}
        fig.add_scatter(
            **allowed, name="level: highest allowed", line=dotted, showlegend=False, row=2, col=3
        )
        return beside(fig, 1)

    def words(self) -> str:
        """Say what was found, in two sentences."""
        r, best = self.recovery, self.best
        scores = r.worst[best]
        lost = ", ".join(map(str, (scores < LOST).nonzero().flatten().tolist()))
        none_lost = f"All {len(scores)} concepts came back."
        ending = f"Lost (a score below {LOST}): {lost}." if lost else none_lost
        return (
            f"After {self.history.step[-1]} updates, the best of {len(r.error)} runs (lowest "
            f"reconstruction error, {r.error[best]:.3f}) has a code MCC of "
            f"{r.codes.score[best]:.2f} and a direction MCC of {r.directions.score[best]:.2f}; "
            f"random rotations score {self.floor:.2f}. {ending}"
        )


def draw(settings: ShiftSettings) -> tuple[ShiftData, ShiftData]:
    """Draw a world: pairs to train on, and others of the same world to test on."""
    generator = checks.seeded(settings.seed)
    problem = settings.problem()
    train = sample_shifts(problem, N_TRAIN, generator=generator)
    test = sample_shifts(problem, N_TEST, generator=generator, directions=train.directions)
    return train, test


def run(settings: ShiftSettings, report: Progress = quiet) -> ShiftOutcome:
    """Train `N_RUNS` runs on the settings' world and score them."""
    train, test = draw(settings)
    first = checks.seeded(settings.seed)
    autoencoder = ShiftAutoencoder(N_RUNS, settings.d_model, settings.n_latents, generator=first)

    def on_record(history: History) -> None:
        share = history.step[-1] / TRAINING.steps
        report(share, lambda: ShiftOutcome.measure(autoencoder, history, test))

    _, history = studies.recover(
        train, seed=settings.seed, autoencoder=autoencoder, config=TRAINING,
        level=settings.level * train.true_level(settings.n_latents),
        constrained=settings.constrained, on_record=on_record,
    )  # fmt: skip
    return ShiftOutcome.measure(autoencoder, history, test)


@functools.cache
def _floor(n_concepts: int) -> float:
    generator = checks.seeded(0)
    return float(metrics.rotation_floor(n_concepts, generator=generator, n_draws=100).mean())


class ShiftLab(Lab):
    """Train eight runs on a world of concept shifts whose laws you choose.

    Every control is in `controls`, by the names of `ShiftSettings`. `go_to` does what the
    buttons do; `hide` and `guess` play the game.

    Args:
        game_seed: Draws what the game hides; by default something else each time.
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

    def __init__(self, game_seed: int | None = None, **settings: Any) -> None:
        self._draw_from = random.Random(game_seed)
        self.hidden: str | None = None
        """Name of the condition that the game hides; None when no game is on."""
        self.score = (0, 0)
        """Right guesses, and all guesses."""
        self._told: tuple[ShiftSettings, str] | None = None
        """Settings of the last game, and what they should have shown."""
        self._guess = choice("I think:", None, self.game, "What do you think was broken?")
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
