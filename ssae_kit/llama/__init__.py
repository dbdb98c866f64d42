"""Llama: load one, read its hidden states, steer it. The only room that uses transformers."""

from ssae_kit.llama.cache import CachedStates, Provenance, cache_hidden_states
from ssae_kit.llama.hidden import hidden_states
from ssae_kit.llama.intervene import Intervention, generate, intervene
from ssae_kit.llama.load import BUNDLED, DATA, Llama, load

__all__ = [
    "BUNDLED",
    "DATA",
    "CachedStates",
    "Intervention",
    "Llama",
    "Provenance",
    "cache_hidden_states",
    "generate",
    "hidden_states",
    "intervene",
    "load",
]
