"""Labs: live widgets that compute anew while you watch. A lab is only the view.

Every lab has named `controls`, one figure, and `words` that say what is seen. Put it last in a cell
to show it. `start` and `wait` run it without a browser; `export` gives the view without the widget;
`close` stops everything.

A lab is loaded when it is first asked for: some need a language model, others nothing of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ssae_kit.labs.base import Export, Lab
    from ssae_kit.labs.dictionary import DictionaryLab, DictionaryOutcome, DictionarySettings
    from ssae_kit.labs.latents import LatentLab, LatentOutcome, LatentSettings
    from ssae_kit.labs.shift import ShiftLab, ShiftOutcome, ShiftSettings
    from ssae_kit.labs.steering import SteeringLab, SteeringOutcome, SteeringSettings
    from ssae_kit.labs.subjects import Subject, TokenDictionary, bundled, token_dictionary
    from ssae_kit.labs.superposition import (
        SuperpositionLab,
        SuperpositionOutcome,
        SuperpositionSettings,
    )

_HOME = {
    "base": ("Export", "Lab"),
    "dictionary": ("DictionaryLab", "DictionaryOutcome", "DictionarySettings"),
    "latents": ("LatentLab", "LatentOutcome", "LatentSettings"),
    "shift": ("ShiftLab", "ShiftOutcome", "ShiftSettings"),
    "steering": ("SteeringLab", "SteeringOutcome", "SteeringSettings"),
    "subjects": ("Subject", "TokenDictionary", "bundled", "token_dictionary"),
    "superposition": ("SuperpositionLab", "SuperpositionOutcome", "SuperpositionSettings"),
}
"""Module → what it holds of the names below."""

__all__ = [
    "DictionaryLab",
    "DictionaryOutcome",
    "DictionarySettings",
    "Export",
    "Lab",
    "LatentLab",
    "LatentOutcome",
    "LatentSettings",
    "ShiftLab",
    "ShiftOutcome",
    "ShiftSettings",
    "SteeringLab",
    "SteeringOutcome",
    "SteeringSettings",
    "Subject",
    "SuperpositionLab",
    "SuperpositionOutcome",
    "SuperpositionSettings",
    "TokenDictionary",
    "bundled",
    "token_dictionary",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
