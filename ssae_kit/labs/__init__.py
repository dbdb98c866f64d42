"""Labs: live widgets that compute anew while you watch. A lab is only the view.

Every lab has named `controls`, one figure, and `words` that say what is seen. Put it last in a cell
to show it. `start` and `wait` run it without a browser; `code` gives the view without the widget;
`close` stops everything.

A lab is loaded when it is first asked for: some need a language model, others nothing of it.
"""

from importlib import import_module
from typing import Any

_HOME = {
    "DictionaryLab": "dictionary",
    "InterchangeLab": "interchange",
    "Lab": "base",
    "LatentLab": "latents",
    "ShiftLab": "game",
    "SteeringLab": "steering",
    "Subject": "subjects",
    "SuperpositionLab": "superposition",
    "TokenDictionary": "subjects",
    "bundled": "subjects",
    "real": "subjects",
    "real_dictionary": "subjects",
    "token_dictionary": "subjects",
}
"""Name → the module that holds it."""
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
