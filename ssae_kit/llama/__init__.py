"""Llama: load one, read its hidden states, steer it. The only room that uses transformers."""

from ssae_kit.llama.cache import CachedStates, Provenance, cache_hidden_states
from ssae_kit.llama.create import untrained
from ssae_kit.llama.hidden import hidden_states
from ssae_kit.llama.intervene import Intervention, edit, intervene
from ssae_kit.llama.load import BUNDLED, Llama, load
from ssae_kit.llama.memory import estimate_memory
from ssae_kit.llama.sampling import generate
from ssae_kit.llama.tokens import TokenStates, direct_logits, text_losses, token_states
from ssae_kit.storage import DATA

__all__ = [
    "BUNDLED",
    "DATA",
    "CachedStates",
    "Intervention",
    "Llama",
    "Provenance",
    "TokenStates",
    "cache_hidden_states",
    "direct_logits",
    "edit",
    "estimate_memory",
    "generate",
    "hidden_states",
    "intervene",
    "load",
    "text_losses",
    "token_states",
    "untrained",
]
