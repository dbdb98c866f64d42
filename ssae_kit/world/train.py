"""The old address of `ssae_kit.organism.train`, for scripts that still import it from here."""

import sys
from importlib import import_module

sys.modules[__name__] = import_module("ssae_kit.organism.train")
