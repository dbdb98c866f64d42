"""Edits of passes that somebody else makes, such as transformers' own `generate`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.edits import Add, Apply, At
from ssae_kit.llama.load import Llama
from ssae_kit.llama.passes import no_effect
from ssae_kit.llama.sites import Part, Site, inner


class Intervention(dict[Site, Add]):
    """One nudge: short for the edits `{layer: Add(vectors, at=at)}`.

    Args:
        layer: 0 is the embedding, l the output of block l.
        vectors: What is added, in the units of the hidden state; one row per text.
        at: "last": once, at the last token of the prompt. "all": at every token, prompt and new.
    """

    def __init__(
        self, layer: SupportsIndex, vectors: Float[Tensor, "texts d_model"], at: At = "last"
    ) -> None:
        super().__init__({Site.of(layer): Add(vectors, at=at)})


@contextmanager
def edit(
    llama: Llama,
    layer: SupportsIndex,
    change: Callable[[Float[Tensor, "texts tokens d_model"]], Tensor],
    *,
    part: Part = "block",
    from_token: int = 0,
) -> Iterator[None]:
    """Replace a layer's output by `change(output)` in this thread's passes inside the `with` block.

    For passes that the kit does not make; its own readers take `edits`.

    Args:
        llama: The model.
        layer: 0 is the embedding, l the output of block l.
        change: Returns what replaces the output, of the same shape. While text is generated, it
            sees the whole prompt once and then one token at a time.
        part: "block" for the residual stream after block l; "mlp" or "attention" for what that adds
            to it.
        from_token: Positions before this one stay as they are, padding counted. Tokens written
            after a prompt have the positions that follow it.

    Raises:
        ValueError: if the layer or part does not exist, or `change` returns another shape.
        RuntimeError: if no pass ran inside the block.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    from_token = checks.whole("from_token", from_token, 0)
    site, apply, thread = Site(layer, part), Apply(change), threading.get_ident()
    start, n_passes = 0, 0

    def look(_model: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal start
        # By what it can do: transformers 5.24 renamed the argument that holds the cache.
        caches = [v for v in (*inputs, *named.values()) if hasattr(v, "get_seq_length")]
        start = max(0, from_token - (int(caches[0].get_seq_length()) if caches else 0))

    def own(states: Tensor) -> Tensor:
        nonlocal n_passes
        if threading.get_ident() != thread:
            return states
        n_passes += 1
        new = apply.change(states[:, start:]).to(states.dtype)
        return torch.cat([states[:, :start], new], dim=1)

    for hook in (look, own):
        hook.thread = thread  # type: ignore
    with ExitStack() as stack:
        stack.callback(inner(llama).register_forward_pre_hook(look, with_kwargs=True).remove)
        stack.callback(site.attach(llama, own).remove)
        yield
    if not n_passes:
        raise no_effect(llama, site, "changed nothing: no pass ran")
