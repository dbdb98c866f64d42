"""The one door to a Llama: a pass that reads sites, edits them, or both, with or without gradient."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, SupportsIndex

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from ssae_kit import checks
from ssae_kit.llama.edits import Edit
from ssae_kit.llama.load import Llama
from ssae_kit.llama.logits import unembed
from ssae_kit.llama.rows import TOKENS_PER_BATCH, Rows, Texts, batches, padded, token_rows
from ssae_kit.llama.sites import Site, drifted, inner, require

Place = Site | SupportsIndex
"""A site, or the number of a layer."""
Edits = Mapping[Any, Edit] | None
"""What to do at which place."""


class _Reached(Exception):  # noqa: N818
    """Ends a forward pass once everything wanted has been computed."""


@dataclass(frozen=True)
class Pass:
    """What a pass gave, right-padded: states and logits as the model's, ids and places on the CPU."""

    ids: Int64[Tensor, "texts tokens"]
    """Token ids, 0 behind the end."""
    last: Int64[Tensor, " texts"]
    """Place of each text's last token."""
    states: dict[Site, Float[Tensor, "texts *tokens width"]]
    """States that were asked for, after the edits; behind the end they mean nothing."""
    logits: Float[Tensor, "texts tokens vocab"] | None
    """What is expected after each token, if it was asked for."""
    final: Float[Tensor, "texts tokens d_model"] | None
    """States that `unembed` makes logits of, if they were asked for."""
    chosen: Int64[Tensor, " texts"]
    """Numbers of the texts."""

    @property
    def is_token(self) -> Bool[Tensor, "texts tokens"]:
        """Which places hold a token of a text."""
        return torch.arange(self.ids.shape[1]) <= self.last[:, None]

    def __getitem__(self, place: Place) -> Tensor:
        """Return the states at a site."""
        return self.states[Site.of(place)]

    def at_last(self, place: Place) -> Float[Tensor, "texts width"]:
        """Return the state of each text's last token."""
        return at_last(self[place], self.last)


def run(
    llama: Llama,
    texts: Texts,
    *,
    keep: Sequence[Place] = (),
    edits: Edits = None,
    logits: bool = False,
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Pass:
    """Pass texts through a Llama: read states at some sites, edit them at others.

    Gradients flow to whatever asks for them, such as the vectors of an `Add` or the subspace of a
    `Swap`. An edit acts before the state of its own site is kept. The pass stops at the last site
    asked for when no logits are.

    Args:
        llama: The model.
        texts: Texts, or lists of token ids.
        keep: Sites whose states are wanted; a number is the output of that layer.
        edits: What to do at which site.
        logits: Whether to compute them too, for every token: 4 bytes times texts, tokens and
            vocabulary.
        tokens_per_batch: Bound on one pass: texts times the longest one's tokens. Texts of similar
            length go together; the result is in their order.

    Raises:
        ValueError: if nothing is asked for, a site does not exist, an edit does not fit the texts
            or can change nothing asked for, a text cannot be read, or a state is not finite.
        RuntimeError: if a vector that was added changed nothing.
    """
    checks.require_kind("keep", keep, tuple | list, "[3, Site(4, 'mlp')]")
    if not keep and not logits:
        raise ValueError("nothing is asked for. Name sites to `keep`, or ask for `logits`.")
    rows = token_rows(llama, texts)
    parts = list(
        passes(llama, rows, keep=keep, edits=edits, final=logits, tokens_per_batch=tokens_per_batch)
    )
    finals = [part.final for part in parts if part.final is not None]
    order = torch.cat([part.chosen for part in parts]).argsort()
    longest = max(map(len, rows))

    def joined(tensors: list[Tensor]) -> Tensor:
        wide = [F.pad(t, (0, 0) * (t.dim() - 2) + (0, longest - t.shape[1])) for t in tensors]
        return torch.cat(wide)[order.to(tensors[0].device)]

    return Pass(
        joined([part.ids for part in parts]),
        torch.cat([part.last for part in parts])[order],
        {site: joined([part[site] for part in parts]) for site in map(Site.of, keep)},
        joined([unembed(llama, final) for final in finals]) if finals else None,
        joined(finals) if finals else None,
        torch.arange(len(rows)),
    )


def passes(
    llama: Llama,
    rows: Rows,
    *,
    keep: Sequence[Place] = (),
    edits: Edits = None,
    final: bool = False,
    at: Literal["last", "all"] = "all",
    tokens_per_batch: int = TOKENS_PER_BATCH,
) -> Iterator[Pass]:
    """Yield passes over texts of similar length, as `run` does; `chosen` tells which texts.

    Args:
        llama: The model.
        rows: Token ids of each text.
        keep: As in `run`.
        edits: As in `run`.
        final: Whether to go on to the states that `unembed` makes logits of.
        at: Which tokens' states are kept: `[texts, tokens, width]`, or `[texts, width]`.
        tokens_per_batch: As in `run`.
    """
    checks.whole("tokens_per_batch", tokens_per_batch)
    sites, own = [Site.of(place) for place in keep], edits_for(llama, edits, rows)
    for site in sites:
        site.module(llama)
    deepest = max((site.depth for site in sites), default=(0, 0))
    late = [site for site in own if site.depth > deepest]
    if final:
        check_logits_move(llama, rows, own)
    elif late:
        raise ValueError(
            f"the edit at {late[0]} comes after everything that is asked for, so it can change "
            "nothing. Keep a later site, or ask for logits."
        )
    for batch in batches([len(row) for row in rows], tokens_per_batch):
        chosen = torch.tensor(batch)
        here = {site: edit.rows(chosen) for site, edit in own.items()}
        yield _one(llama, [rows[i] for i in batch], chosen, sites, here, final, at)


def _one(
    llama: Llama,
    rows: Rows,
    chosen: Tensor,
    sites: list[Site],
    edits: Mapping[Site, Edit],
    final: bool,
    at: str,
) -> Pass:
    ids, last = padded(rows)
    done, out = Pass(ids, last, {}, None, None, chosen), None

    def keep(site: Site, states: Tensor) -> None:
        done.states[site] = states if at == "all" else at_last(states, last)
        _check_finite(llama, rows, done, done[site], f"the state at {site}")
        if len(done.states) == len(set(sites)) and not final:
            raise _Reached

    looking = {site: keep for site in sites}
    with editing(llama, edits, chosen, looking) as reading, suppress(_Reached):
        reading.positions = torch.arange(ids.shape[1])[None]
        out = inner(llama)(input_ids=ids.to(llama.device), use_cache=False)
    if unread := [site for site in sites if site not in done.states]:
        raise drifted(f"a call of the module at {unread[0]}")
    if out is not None:
        done = replace(done, final=(end := require(out, "last_hidden_state")))
        _check_finite(llama, rows, done, end, "the state before the logits")
    return done


@dataclass
class Reading:
    """What the hooks of a block must be told before each pass."""

    positions: Tensor
    """Of each token in its text, `[texts or 1, tokens]`."""


@contextmanager
def editing(
    llama: Llama,
    edits: Mapping[Site, Edit],
    chosen: Tensor,
    keep: Mapping[Site, Callable[[Site, Tensor], None]] | None = None,
) -> Iterator[Reading]:
    """Apply edits in the passes of this thread, let others look, and see that they had an effect.

    The hooks are gone when the block ends, also by an exception or an interrupt. They leave passes
    of other threads as they are: a lab in the background disturbs no cell.

    Raises:
        RuntimeError: when the block ends without an exception, if an edit that should have moved a
            text did not.
    """
    thread, reading, keep = threading.get_ident(), Reading(torch.zeros(1, 1)), keep or {}
    has_moved = {site: ~edit.must_move(len(chosen)) for site, edit in edits.items()}

    def at(site: Site) -> Callable[[Tensor], Tensor]:
        def change(states: Tensor) -> Tensor:
            if threading.get_ident() != thread:
                return states
            new = edits[site](states, reading.positions) if site in edits else states
            if new is not states and not has_moved[site].all():
                has_moved[site] |= (new != states).detach().flatten(1).any(1).cpu()
            if site in keep:
                keep[site](site, new)
            return new

        change.thread = thread  # type: ignore[attr-defined]
        return change

    with ExitStack() as stack:
        for site in {**edits, **keep}:
            stack.callback(site.attach(llama, at(site)).remove)
        yield reading
    for site, has in has_moved.items():
        if not has.all():
            texts = chosen[~has].tolist()
            raise no_effect(llama, site, f"changed nothing in the text(s) {texts}")


def edits_for(llama: Llama, edits: Edits, rows: Rows) -> dict[Site, Edit]:
    """Return the edits by site, checked, with "last" told which token it is."""
    last = torch.tensor([len(row) - 1 for row in rows])
    own: dict[Site, Edit] = {}
    edits = {} if edits is None else edits
    checks.require_kind("edits", edits, Mapping, "{3: Add(vectors)}")
    for place, edit in edits.items():
        checks.require_kind(f"edits[{place}]", edit, Edit, "Add(vectors)")
        site = Site.of(place)
        site.module(llama)
        own[site] = edit.on(last)
    return own


def check_logits_move(llama: Llama, rows: Rows, edits: Mapping[Site, Edit]) -> None:
    """Run one text with and without its edits, to see that the logits differ.

    Raises:
        RuntimeError: if they do not: a silent no-op would look like a direction without effect.
    """
    must = [edit.must_move(len(rows)) for edit in edits.values()]
    steered = torch.stack(must).any(0).nonzero().flatten()[:1] if must else torch.zeros(0)
    if not len(steered):
        return
    row = [rows[int(steered)]]
    own = {site: edit.rows(steered) for site, edit in edits.items()}
    with torch.no_grad():
        ends = [_one(llama, row, steered, [], some, True, "all").final for some in ({}, own)]
        plain, edited = (unembed(llama, end) for end in ends if end is not None)
    if torch.equal(plain, edited):
        raise no_effect(llama, next(iter(edits)), "changed the hidden state, but not the logits")


def no_effect(llama: Llama, site: Site, what: str) -> RuntimeError:
    """Return the error for an edit without effect."""
    return RuntimeError(
        f"the edit at layer {site.layer} of {llama.name} {what}. Run the model on a prompt of two "
        "or more tokens, with vectors large enough for its dtype."
    )


def at_last(states: Tensor, last: Tensor) -> Tensor:
    """Return each text's state at the place given for it."""
    rows = torch.arange(len(states), device=states.device)
    return states[rows, last.to(states.device)]


def _check_finite(llama: Llama, rows: Rows, done: Pass, states: Tensor, what: str) -> None:
    bad = ~torch.isfinite(states.detach()).all(-1)
    if bad.dim() == 2:  # behind a text's end states mean nothing
        bad = (bad & done.is_token.to(bad.device)).any(1)
    if bad.any():
        i = int(bad.nonzero()[0])
        text = llama.tokenizer.decode(rows[i], skip_special_tokens=True)
        raise ValueError(
            f"states must be finite; {what} of {llama.name} is NaN or infinite for {int(bad.sum())} "
            f"texts of this batch, first texts[{int(done.chosen[i])}]: {text[:60]!r}. The weights "
            "may be corrupt, what an edit adds too large, or the dtype too narrow."
        )
