"""Functions placed in a Llama's passes: by one thread, for one `with` block, at known tokens."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.llama.load import Llama
from ssae_kit.llama.sites import Site, require


@dataclass
class Tokens:
    """Which tokens a pass reads: those of this thread's latest pass."""

    start: int = 0
    """Number of tokens that the key-value cache holds already, padding counted."""
    positions: Tensor = torch.zeros(0)  # noqa: RUF009
    """Of each token in its text, `[texts or 1, tokens]`."""
    ids: Tensor | None = None
    """Token ids."""
    mask: Tensor | None = None
    """1 where there is a token, 0 where there is padding; None if nothing is padded."""


@contextmanager
def hooked(
    llama: Llama,
    changes: Mapping[Site, Callable[[Tensor, Tokens], Tensor]],
    *,
    by_text: bool = False,
) -> Iterator[None]:
    """Put functions at sites, in every pass of this thread inside the `with` block.

    Gone when the block ends, also by an exception or an interrupt. Passes of other threads stay as
    they are, so a lab that writes in the background disturbs no cell.

    Args:
        llama: The model.
        changes: Takes the states `[texts, tokens, width]` and which tokens they are of; returns
            what takes their place.
        by_text: Whether rows are certain texts, so that readers that sort texts must refuse.
    """
    thread, tokens = threading.get_ident(), Tokens()

    def look(_model: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if threading.get_ident() == thread:
            _note(tokens, inputs, named)

    def deaf(change: Callable[[Tensor, Tokens], Tensor]) -> Callable[[Tensor], Tensor]:
        def own(states: Tensor) -> Tensor:
            return change(states, tokens) if threading.get_ident() == thread else states

        own.kit = (thread, by_text)  # type: ignore[attr-defined]
        return own

    look.kit = (thread, by_text)  # type: ignore[attr-defined]
    with ExitStack() as stack:
        first = inner(llama).register_forward_pre_hook(look, with_kwargs=True)
        stack.callback(first.remove)
        for site, change in changes.items():
            stack.callback(site.attach(llama, deaf(change)).remove)
        yield


def _note(tokens: Tokens, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
    """Note which tokens a pass reads, whatever its arguments are called in this transformers."""
    given = [*inputs, *named.values()]
    cache = next((value for value in given if hasattr(value, "get_seq_length")), None)
    tokens.start = 0 if cache is None else int(cache.get_seq_length())
    tokens.ids = named.get("input_ids", inputs[0] if inputs else None)
    tokens.mask = named.get("attention_mask")
    positions = named.get("position_ids")
    if positions is None and tokens.ids is not None:
        positions = torch.arange(tokens.ids.shape[1])[None] + tokens.start
    if positions is not None:
        tokens.positions = positions.cpu()


def inner(llama: Llama) -> Any:
    """Return the part of the model that makes states of ids; the head that follows is apart."""
    return require(llama.model, "model")


def unembed(llama: Llama, final: Float[Tensor, "*any d_model"]) -> Float[Tensor, "*any vocab"]:
    """Return the logits of final states.

    Raises:
        ValueError: if one is not finite.
    """
    logits: Tensor = require(llama.model, "lm_head")(final)
    # A sum is finite only if all of it is, and costs no memory.
    if not torch.isfinite(logits.detach().sum(dtype=torch.float32)):
        raise ValueError(
            f"logits must be finite; {llama.name} gave NaN or infinity. Weights may be corrupt, an "
            "added vector too large, or their dtype too narrow."
        )
    return logits


def hooks_of(llama: Llama) -> list[Any]:
    """Return all hooks that this thread's passes would feel, whoever placed them and where."""
    every = torch.nn.modules.module
    found: list[Any] = [
        *every._global_forward_hooks.values(),
        *every._global_forward_pre_hooks.values(),
    ]
    for module in llama.model.modules():
        for hook in (*module._forward_hooks.values(), *module._forward_pre_hooks.values()):
            thread, _ = getattr(hook, "kit", (threading.get_ident(), False))
            is_own = not str(getattr(hook, "__module__", "")).startswith("transformers.")
            if is_own and thread == threading.get_ident():
                found.append(hook)
    return found


def refuse_by_text(llama: Llama) -> None:
    """Raise a RuntimeError inside `intervene`: for readers that sort texts.

    They would give a text the vector of another.
    """
    for hook in inner(llama)._forward_pre_hooks.values():
        if getattr(hook, "kit", None) == (threading.get_ident(), True):
            raise RuntimeError(
                f"{llama.name} must not be steered by `intervene` while its texts are read in "
                "another order; it is. Give the reader `edits`, or use `generate` or "
                "`next_token_log_probs`, which keep the order."
            )
