"""Llama: load one, read its hidden states, steer it. The only room that uses transformers."""

from ssae_kit.llama.cache import CachedStates, Provenance, cache_hidden_states
from ssae_kit.llama.hidden import hidden_states
from ssae_kit.llama.intervene import Intervention, generate, intervene
from ssae_kit.llama.load import BUNDLED, DATA, Llama, load
from ssae_kit.llama.memory import estimate_memory

__all__ = [
    "BUNDLED",
    "DATA",
    "CachedStates",
    "Intervention",
    "Llama",
    "Provenance",
    "cache_hidden_states",
    "estimate_memory",
    "generate",
    "hidden_states",
    "intervene",
    "load",
]
