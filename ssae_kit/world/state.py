"""The concepts of the world and the state of a story: which value each concept has."""

from dataclasses import dataclass, replace
from numbers import Integral

import torch

from ssae_kit import checks

VALUES: dict[str, tuple[str, ...]] = {
    "language": ("english", "french"),
    "gender": ("masculine", "feminine"),
    "number": ("singular", "plural"),
    "tense": ("past", "present"),
    "sentiment": ("glad", "gloomy"),
    "formality": ("formal", "informal"),
    "size": ("small", "large"),
    "colour": ("red", "blue", "green", "white"),
    "cloth": ("silk", "wool", "linen"),
    "season": ("summer", "autumn", "winter"),
}
"""Names of the values; value 0 comes first."""

CONCEPTS = tuple(concept for concept, names in VALUES.items() if len(names) == 2)
"""The binary concepts, in the column order used everywhere."""


@dataclass(frozen=True)
class State:
    """What a sentence says: one value index per concept."""

    language: int = 0
    """0 English, 1 French."""
    gender: int = 0
    """0 masculine, 1 feminine."""
    number: int = 0
    """0 singular, 1 plural."""
    tense: int = 0
    """0 past, 1 present."""
    sentiment: int = 0
    """0 glad, 1 gloomy."""
    formality: int = 0
    """0 formal, 1 informal."""
    size: int = 0
    """0 small, 1 large."""
    colour: int = 0
    """0 red, 1 blue, 2 green, 3 white."""
    cloth: int = 0
    """0 silk, 1 wool, 2 linen."""
    season: int = 0
    """0 summer, 1 autumn, 2 winter."""

    def __post_init__(self) -> None:
        for concept, names in VALUES.items():
            value = getattr(self, concept)
            if not isinstance(value, Integral) or value not in range(len(names)):
                raise ValueError(
                    f"`{concept}` must lie in 0..{len(names) - 1} ({', '.join(names)}); "
                    f"got {value!r}. Use `value_index` to turn a name into its number."
                )

    def binary(self) -> tuple[int, ...]:
        """Values of the binary concepts in the order of `CONCEPTS`."""
        return tuple(getattr(self, concept) for concept in CONCEPTS)

    def changed(self, **values: int) -> "State":
        """A copy with some concepts set to other values.

        Raises:
            ValueError: for a concept or a value that does not exist.
        """
        for concept in values:
            check_concept(concept)
        return replace(self, **values)


def check_concept(concept: str) -> None:
    """Raise a ValueError unless the world has this concept."""
    if concept not in VALUES:
        raise ValueError(
            f"`concept` must be one of {', '.join(VALUES)}; got {concept!r}. "
            "Choose one of the concepts that the world has."
        )


def value_index(concept: str, value: str | int) -> int:
    """Turn a value's name into its index; an index is checked and returned.

    Raises:
        ValueError: if the concept or the value does not exist.
    """
    check_concept(concept)
    names = VALUES[concept]
    if isinstance(value, str) and value in names:
        return names.index(value)
    if isinstance(value, Integral) and value in range(len(names)):
        return int(value)
    raise ValueError(
        f"a value of `{concept}` must be one of {', '.join(names)} or 0..{len(names) - 1}; "
        f"got {value!r}. Choose one of these."
    )


class Draws:
    """Uniform choices from an explicit generator, drawn in blocks because single draws are slow."""

    def __init__(self, generator: torch.Generator) -> None:
        checks.require_generator(generator)
        self._generator = generator
        self._block: list[float] = []

    def uniform(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = torch.rand(64, generator=self._generator, dtype=torch.float64).tolist()
        return self._block.pop()

    def index(self, n_choices: int) -> int:
        """A whole number in 0..n_choices-1, all equally likely."""
        return min(int(self.uniform() * n_choices), n_choices - 1)

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability


def draw_state(draws: Draws) -> State:
    """A state with every concept uniform and independent."""
    return State(**{concept: draws.index(len(names)) for concept, names in VALUES.items()})
