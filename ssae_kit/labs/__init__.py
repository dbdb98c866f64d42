"""Labs: live widgets that compute anew while you watch. A lab is only the view.

Every lab has named `controls`, one figure, and `words` that say what is seen. Put it last in a cell
to show it. `start` and `wait` run it without a browser; `export` gives the view without the widget;
`close` stops everything.
"""

from ssae_kit.labs.base import Export, Lab
from ssae_kit.labs.dictionary import DictionaryLab
from ssae_kit.labs.dictionary_run import DictionaryOutcome, DictionarySettings
from ssae_kit.labs.latents import LatentLab
from ssae_kit.labs.latents_run import (
    LatentOutcome,
    LatentSettings,
    TokenDictionary,
    token_dictionary,
)
from ssae_kit.labs.shift import ShiftLab
from ssae_kit.labs.shift_run import ShiftOutcome, ShiftSettings
from ssae_kit.labs.steering import SteeringLab
from ssae_kit.labs.steering_run import SteeringOutcome, SteeringSettings, Subject, bundled
from ssae_kit.labs.superposition import SuperpositionLab
from ssae_kit.labs.superposition_run import SuperpositionOutcome, SuperpositionSettings

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
