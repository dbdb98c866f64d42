"""Where in a Llama: the modules whose output is read and edited. Knows transformers' names."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal, SupportsIndex

import torch
import transformers
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.load import Llama

Part = Literal["block", "mlp", "attention", "head"]
"""Whose output is meant: the whole block's (the residual stream after it), what the MLP or the
attention inside it adds to the residual stream, or what one head hands to the attention's output
matrix."""

PATHS: dict[str, tuple[str, ...]] = {
    "head": ("self_attn", "o_proj"),
    "attention": ("self_attn",),
    "mlp": ("mlp",),
    "block": (),
}
"""Where in a block its parts are computed, in this order."""


@dataclass(frozen=True)
class Site:
    """A place in a Llama. Layer 0 is the embedding, layer l belongs to block l."""

    layer: Any
    """0 to the number of blocks; a whole number of any library becomes an int."""
    part: Part = "block"
    """What of the block; the embedding has no parts."""
    head: int | None = None
    """Which head, from 0; only with part "head"."""

    def __post_init__(self) -> None:
        for name in ("layer", "head") if self.head is not None else ("layer",):
            value = getattr(self, name)
            if checks.is_bool(value) or not hasattr(value, "__index__"):
                raise TypeError(
                    f"`{name}` must be a whole number, as in Site(3, 'head', 2); got {value!r}."
                )
            object.__setattr__(self, name, operator.index(value))

    @classmethod
    def of(cls, place: "Site | SupportsIndex") -> "Site":
        """Return the site; a whole number, NumPy's included, is the output of that layer."""
        return place if isinstance(place, Site) else cls(place)

    @property
    def depth(self) -> tuple[int, int]:
        """Later in a pass is larger."""
        return self.layer, list(PATHS).index(self.part)

    def module(self, llama: Llama) -> torch.nn.Module:
        """Return the module that computes this site; for a head, the one that reads it.

        Raises:
            ValueError: if there is no such layer, part or head.
            RuntimeError: if the installed transformers names its modules otherwise.
        """
        if not 0 <= self.layer <= llama.n_layers:
            raise ValueError(
                f"`layer` must lie in 0..{llama.n_layers} (0 is the embedding, {llama.n_layers} the "
                f"last block of {llama.name}); got {self.layer}."
            )
        if self.part not in PATHS or (self.layer == 0 and self.part != "block"):
            raise ValueError(
                "`part` must be 'block' or, from layer 1 on, 'mlp', 'attention' or 'head'; got "
                f"{self.part!r} at layer {self.layer}."
            )
        n_heads = llama.model.config.num_attention_heads
        if (self.part == "head") != (self.head is not None) or not 0 <= (self.head or 0) < n_heads:
            raise ValueError(
                f"`head` must lie in 0..{n_heads - 1} with part 'head', and be None otherwise; got "
                f"{self.head!r} with part {self.part!r}."
            )
        if self.layer == 0:
            found = require(inner(llama), "embed_tokens")
        else:
            found = require(inner(llama), "layers")[self.layer - 1]
        for name in PATHS[self.part]:
            found = require(found, name)
        module: torch.nn.Module = found
        return module

    def attach(self, llama: Llama, change: Callable[[Tensor], Tensor]) -> Any:
        """Hook a function of this site's states in; every hook of the kit is placed here.

        Args:
            llama: The model.
            change: Takes `[texts, tokens, width]` and returns what takes its place.

        Returns:
            The handle that removes it.
        """
        module = self.module(llama)
        if self.head is not None:
            width = module.in_features // llama.model.config.num_attention_heads
            own = slice(self.head * width, (self.head + 1) * width)
            return module.register_forward_pre_hook(_head_hook(change, own))
        return module.register_forward_hook(_output_hook(change))


def _output_hook(change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    @wraps(change)  # a hook tells whose it is
    def hook(_module: Any, _inputs: Any, output: Any) -> Any:
        """Return the new states in place of the module's output; some modules return more."""
        if isinstance(output, tuple):
            return (change(output[0]), *output[1:])
        if not isinstance(output, Tensor):
            raise drifted(f"a tensor as the output of {type(_module).__name__}")
        return change(output)

    return hook


def _head_hook(change: Callable[[Tensor], Tensor], own: slice) -> Callable[..., Any]:
    @wraps(change)
    def hook(_module: Any, inputs: Any) -> Any:
        """Return the heads side by side, one of them changed."""
        heads = inputs[0]
        new = change(heads[..., own])
        return (torch.cat([heads[..., : own.start], new, heads[..., own.stop :]], -1), *inputs[1:])

    return hook


def inner(llama: Llama) -> Any:
    """Return the part of the model that makes states of ids; the head that follows is apart."""
    return require(llama.model, "model")


def require(owner: Any, name: str) -> Any:
    """Return an attribute that the kit relies on in transformers.

    Raises:
        RuntimeError: if it is gone; says in which version.
    """
    try:
        return getattr(owner, name)
    except AttributeError:
        raise drifted(f"`{name}` in {type(owner).__name__}") from None


def drifted(what: str) -> RuntimeError:
    """Return the error for something that another version of transformers no longer has."""
    return RuntimeError(
        f"the kit needs {what}, which the installed transformers {transformers.__version__} does "
        "not have. Install the tested version that the README names, and report this."
    )
