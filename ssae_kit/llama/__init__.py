"""Llama: load one, read its states, edit them. The only room that uses transformers.

`run` is the one door: every other reader is a short function on it.
"""

from ssae_kit.llama.around import Intervention, edit
from ssae_kit.llama.cache import cache_hidden_states
from ssae_kit.llama.create import untrained
from ssae_kit.llama.edits import Add, Apply, Clamp, Edit, Erase, ProjectOut, Swap
from ssae_kit.llama.hidden import TokenStates, hidden_states, token_states
from ssae_kit.llama.load import BUNDLED, Llama, load
from ssae_kit.llama.passes import Pass, run
from ssae_kit.llama.predict import direct_logits, next_token_log_probs, text_losses
from ssae_kit.llama.sampling import generate
from ssae_kit.llama.sites import Site
from ssae_kit.storage import DATA
