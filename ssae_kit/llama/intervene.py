"""`with` blocks that edit every pass inside them; and the one edit that steering needs most."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.edits import Add, Edit, same_shape
from ssae_kit.llama.hooks import Tokens, hooked
from ssae_kit.llama.load import Llama
from ssae_kit.llama.passes import Edits, check_logits_move, no_effect
from ssae_kit.llama.sites import Part, Site, whole_number


@dataclass(frozen=True)
class Intervention:
    """Add one vector per text to the output of a layer: `{layer: Add(vectors, at=at)}`.

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
        object.__setattr__(self, "layer", whole_number(self.layer, "layer"))
        Add(self.vectors)

    @property
    def edits(self) -> dict[Site, Edit]:
        """The same for `run` and the readers."""
        return {Site.of(self.layer): Add(self.vectors, at=self.at)}

    def rows(self, start: int, stop: int) -> "Intervention":
        """Return the intervention for a slice of the texts."""
        return Intervention(self.layer, self.vectors[start:stop], self.at)


def edits_of(intervention: Intervention | None, edits: Edits) -> Edits:
    """Return the edits that are meant.

    Raises:
        ValueError: if both are given.
    """
    if intervention is None:
        return edits
    checks.require_kind("intervention", intervention, Intervention)
    if edits:
        raise ValueError("give `intervention` or `edits`, not both. Put the vectors in an `Add`.")
    return intervention.edits


@contextmanager
def edit(
    llama: Llama,
    layer: SupportsIndex,
    change: Callable[[Float[Tensor, "texts tokens d_model"]], Tensor],
    *,
    part: Part = "block",
    from_token: int = 0,
) -> Iterator[None]:
    """Replace a layer's output by `change(output)` in every forward pass inside the `with` block.

    For passes that the kit does not make; its own take `edits`.

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
    site, ran = Site(whole_number(layer, "layer"), part), False

    def own(states: Tensor, tokens: Tokens) -> Tensor:
        nonlocal ran
        ran = True
        start = max(0, from_token - tokens.start)
        new = same_shape(change, states[:, start:]).to(states.dtype)
        return torch.cat([states[:, :start], new], dim=1) if start else new

    with hooked(llama, {site: own}):
        yield
    if not ran:
        raise no_effect(llama, site, "changed nothing: no pass ran")


@contextmanager
def intervene(llama: Llama, intervention: Intervention) -> Iterator[None]:
    """Apply the intervention to every forward pass inside the `with` block.

    For passes whose rows are the texts in their order. Readers that sort texts refuse to run
    inside; they take `edits`. When the block ends, one steered prompt of the first pass is run once
    more with and without its vector, to see that the logits differ.

    Raises:
        ValueError: if the layer does not exist or the vectors do not fit the batch.
        RuntimeError: if no pass ran, if a vector that is not zero left its hidden states as they
            were, or if the logits did not change.
    """
    checks.require_kind("llama", llama, Llama, "load()")
    checks.require_kind("intervention", intervention, Intervention)
    ((site, add),) = intervention.edits.items()
    must = add.must_move(len(intervention.vectors))
    moved = torch.zeros_like(must)
    prompts: list[list[int]] = []

    def own(states: Tensor, tokens: Tokens) -> Tensor:
        if intervention.at == "last" and tokens.start:
            return states  # a new token: the nudge was given at the prompt
        columns = torch.arange(states.shape[1])
        where = columns if tokens.mask is None else (tokens.mask.cpu() * columns)
        last = where.amax(-1).expand(len(states))
        new = add.rows(slice(None)).on(last)(states, columns[None])
        if len(new) == len(moved):
            moved.logical_or_((new != states).flatten(1).any(1).cpu())
        if not prompts and tokens.ids is not None:
            real = torch.ones_like(tokens.ids) if tokens.mask is None else tokens.mask
            prompts.extend(
                row[kept > 0].tolist() for row, kept in zip(tokens.ids, real, strict=True)
            )
        return new

    with hooked(llama, {site: own}, by_text=True):
        yield
    still = (must & ~moved).nonzero().flatten().tolist()
    if still:
        raise no_effect(llama, site, f"changed nothing in the text(s) {still}")
    if len(prompts) == len(must):
        ends = torch.tensor([len(row) - 1 for row in prompts])
        check_logits_move(llama, prompts, {site: add.on(ends)})
