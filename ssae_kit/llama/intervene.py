"""The one hook that intervenes: edit a layer's output, or add a vector to it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.llama.load import Llama, Part


@dataclass(frozen=True)
class Intervention:
    """Add one vector per text to the output of a layer.

    Raises:
        ValueError: if `at` is unknown or the vectors are not finite or not two-dimensional.
    """

    layer: int
    """0 is the embedding, l the output of block l."""
    vectors: Float[Tensor, "texts d_model"]
    """What is added, in the units of the hidden state; one row per text."""
    at: Literal["last", "all"] = "last"
    """"last": once, at the last token of the prompt. "all": at every token, prompt and new."""

    def __post_init__(self) -> None:
        if self.at not in ("last", "all"):
            raise ValueError(f"`at` must be 'last' or 'all'; got {self.at!r}.")
        if self.vectors.dim() != 2 or not torch.isfinite(self.vectors).all():
            raise ValueError(
                "`vectors` must be finite and of shape [texts, d_model]; got shape "
                f"{list(self.vectors.shape)}."
            )

    def rows(self, start: int, stop: int) -> "Intervention":
        """Return the intervention for a slice of the texts."""
        return Intervention(self.layer, self.vectors[start:stop], self.at)


class _Steered(threading.local):
    """The models that this thread steers by `intervene` at the moment."""

    def __init__(self) -> None:
        self.models: list[Any] = []


_STEERED = _Steered()


@contextmanager
def _steering(llama: Llama) -> Iterator[None]:
    _STEERED.models.append(llama.model)
    try:
        yield
    finally:
        _STEERED.models.pop()


def refuse_inside(llama: Llama) -> None:
    """Raise a RuntimeError inside `intervene`: for readers that sort texts, and pad on the right.

    They would give a text the vector of another, or push the padding behind it.
    """
    if llama.model in _STEERED.models:
        raise RuntimeError(
            f"{llama.name} must not be steered by `intervene` while its texts are read in another "
            "order; it is. Use `edit` with one vector for all, or `generate` or "
            "`next_token_log_probs`, which keep the order."
        )


def own_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Return the hook, deaf to the passes of all threads but this one."""
    thread = threading.get_ident()

    def deaf(*given: Any) -> Any:
        return hook(*given) if threading.get_ident() == thread else None

    return deaf


@contextmanager
def edit(
    llama: Llama,
    layer: int,
    change: Callable[[Float[Tensor, "texts tokens d_model"]], Tensor],
    *,
    part: Part = "block",
    from_token: int = 0,
) -> Iterator[None]:
    """Replace a layer's output by `change(output)` in every forward pass inside the `with` block.

    The hook is removed when the block ends, also by an exception or an interrupt. Passes of other
    threads stay as they are, so a lab that writes in the background disturbs no cell.

    Args:
        llama: The model.
        layer: 0 is the embedding, l the output of block l.
        change: Returns what replaces the output, of the same shape. While text is generated, it
            sees the whole prompt once and then one token at a time.
        part: "block" for the residual stream after block l, "mlp" for what its MLP adds to it.
        from_token: Positions before this one stay as they are, padding counted. Tokens written
            after a prompt have the positions that follow it.

    Raises:
        ValueError: if the layer or part does not exist, or `change` returns another shape.
        RuntimeError: if no pass ran inside the block.
    """
    n_passes, n_cached = 0, 0

    def look(_model: Any, _inputs: Any, named: dict[str, Any]) -> None:
        nonlocal n_cached
        cache = named.get("past_key_values")
        n_cached = 0 if cache is None else int(cache.get_seq_length())

    def replace(_module: Any, _inputs: Any, output: Any) -> Any:
        nonlocal n_passes
        n_passes += 1
        hidden = output[0] if isinstance(output, tuple) else output
        start = max(0, from_token - n_cached)
        given = hidden[:, start:]
        edited = change(given)
        _check_same_shape(given, edited)
        new = torch.cat([hidden[:, :start], edited.to(hidden.dtype)], dim=1)
        return (new, *output[1:]) if isinstance(output, tuple) else new

    with (
        llama.module(layer, part).register_forward_hook(own_thread(replace)),
        llama.model.model.register_forward_pre_hook(own_thread(look), with_kwargs=True),
    ):
        yield
    if not n_passes:
        raise RuntimeError(
            f"the edit at layer {layer} of {llama.name} changed nothing: no pass ran. Run the "
            "model on a prompt inside the block."
        )


def _check_same_shape(given: Tensor, edited: Tensor) -> None:
    if edited.shape != given.shape:
        raise ValueError(
            f"`change` must return the shape it is given, {list(given.shape)}; it returned "
            f"{list(edited.shape)}."
        )


@contextmanager
def intervene(llama: Llama, intervention: Intervention) -> Iterator[None]:
    """Apply the intervention to every forward pass inside the `with` block.

    For passes whose rows are the texts in their order. `hidden_states`, `token_states` and
    `text_losses` sort them, and refuse to run inside. Passes of other threads stay as they are.

    When the block ends, one steered prompt of the first pass is run once more with and without its
    vector, to see that the logits of its next token differ.

    Raises:
        ValueError: if the layer does not exist or the vectors do not fit the batch.
        RuntimeError: if no pass ran, if a vector that is not zero left its hidden states as they
            were, or if the logits did not change: a silent no-op would look like a direction
            without effect.
    """
    steered = intervention.vectors.abs().sum(1).nonzero().flatten().tolist()
    add, changed = adding(intervention), torch.zeros(len(intervention.vectors), dtype=torch.bool)
    prompt: tuple[Tensor, Tensor | None] | None = None

    def change(hidden: Tensor) -> Tensor:
        new = add(hidden)
        if new is not hidden:
            changed.logical_or_((new != hidden).flatten(1).any(1).cpu())
        return new

    def remember(_model: Any, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        nonlocal prompt
        ids = named.get("input_ids", inputs[0] if inputs else None)
        if prompt is None and steered and ids is not None and len(ids) == len(intervention.vectors):
            mask = named.get("attention_mask")
            row = slice(steered[0], steered[0] + 1)
            prompt = ids[row], None if mask is None else mask[row]

    with (
        _steering(llama),
        llama.model.register_forward_pre_hook(own_thread(remember), with_kwargs=True),
        edit(llama, intervention.layer, change),
    ):
        yield
    if not changed[steered].all():
        still = [text for text in steered if not changed[text]]
        raise _no_effect(llama, intervention, f"changed nothing in the text(s) {still}")
    if prompt is not None:
        _check_logits(llama, intervention.rows(steered[0], steered[0] + 1), *prompt)


def adding(intervention: Intervention) -> Callable[[Tensor], Tensor]:
    """Return what `edit` needs to add the intervention's vectors."""
    vectors = intervention.vectors[:, None]

    def add(hidden: Tensor) -> Tensor:
        if hidden.shape[0] != len(vectors) or hidden.shape[-1] != vectors.shape[-1]:
            raise ValueError(
                f"`vectors` must be [{hidden.shape[0]}, {hidden.shape[-1]}] for this batch; got "
                f"{list(intervention.vectors.shape)}."
            )
        if intervention.at == "last" and hidden.shape[1] == 1:
            return hidden  # a new token: the nudge was given at the prompt
        new = hidden.clone()  # of this layer: a model may lie on several devices
        where = slice(-1, None) if intervention.at == "last" else slice(None)
        new[:, where] += vectors.to(hidden.device, hidden.dtype)
        return new

    return add


@torch.no_grad()
def _check_logits(
    llama: Llama, intervention: Intervention, ids: Tensor, mask: Tensor | None
) -> None:
    settings = {"attention_mask": mask, "use_cache": False, "logits_to_keep": 1}
    plain = llama.model(ids, **settings).logits
    with edit(llama, intervention.layer, adding(intervention)):
        pushed = llama.model(ids, **settings).logits
    if torch.equal(plain, pushed):
        raise _no_effect(llama, intervention, "changed the hidden state, but not the logits")


def _no_effect(llama: Llama, intervention: Intervention, what: str) -> RuntimeError:
    return RuntimeError(
        f"the intervention at layer {intervention.layer} of {llama.name} {what}. Run the model on "
        "a prompt of two or more tokens inside the block, with vectors large enough for its dtype."
    )
