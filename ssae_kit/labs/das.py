"""Distributed alignment search, quick enough for a lab: one direction, for one concept and layer.

A lesson is a base, a source that differs in the concept and much else, and what the Llama expects
after the base's twin, which differs in the concept alone. After the interchange it should expect the
same. What it expects says more than the one text that it wrote, so few steps are enough.
"""

import functools

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ssae_kit import causes, checks, methods
from ssae_kit import llama as kit_llama
from ssae_kit.labs.job import Progress
from ssae_kit.labs.subjects import Subject
from ssae_kit.llama.logits import unembed
from ssae_kit.llama.rows import token_rows
from ssae_kit.llama.sites import inner

N_STEPS, N_LESSONS, N_TOKENS = 40, 4, 22
"""Steps of the search, lessons in each, and tokens of a continuation that are compared."""


def expected(
    subject: Subject, texts: list[str], then: list[str], moved: Tensor | None = None, layer: int = 0
) -> tuple[Float[Tensor, "texts tokens vocab"], Bool[Tensor, "texts tokens"]]:
    """Return log-probabilities from each text's last token on, and where there is a token.

    What `moved` says is added at that last token of the layer.
    """
    model, last = subject.llama, subject.llama.n_layers
    ends = torch.tensor([len(row) - 1 for row in token_rows(model, texts)])
    both = [f"{text} {more}" for text, more in zip(texts, then, strict=True)]
    edits = None if moved is None else {layer: kit_llama.Add(moved, at=ends)}
    got = kit_llama.run(model, both, keep=[last], edits=edits)
    place = ends[:, None] + torch.arange(N_TOKENS)
    within = place.clamp(max=got.ids.shape[1] - 1)
    states = got[last][torch.arange(len(texts))[:, None], within]
    return unembed(model, inner(model).norm(states)).log_softmax(-1), place <= got.last[:, None]


@functools.lru_cache(16)
@torch.no_grad()
def lessons(subject: Subject, concept: str) -> tuple[list[str], list[str], Tensor, Tensor, Tensor]:
    """Return texts, each beside its twin, and what follows each: written, and as `expected`.

    And the concept's value in each. They are pairs of the subject, not its prompts.

    Raises:
        ValueError: if no pair differs in the concept alone.
    """
    at, pairs = subject.pairs.concepts.index(concept), subject.pairs
    texts, values = list[str](), list[int]()
    for source, target, change in zip(pairs.source, pairs.target, pairs.changes, strict=True):
        if change[at] and sum(map(bool, change)) == 1:
            read = [subject.values_of(text)[at] for text in (source, target)]
            if read[0] != read[1]:
                texts, values = [*texts, source, target], values + read
    if not texts:
        raise ValueError(
            f"DAS needs pairs whose texts differ in {concept} alone; this subject has none. Take "
            "another featurizer."
        )
    then = kit_llama.generate(
        subject.llama, texts, max_new_tokens=N_TOKENS, generator=checks.seeded(0), temperature=0.5
    )
    return texts, then, *expected(subject, texts, then), torch.tensor(values)


def search(
    subject: Subject, concept: str, layer: int, seed: int, report: Progress
) -> methods.Found:
    """Return the direction that an exchange of the concept needs; kept once it is found."""
    key = concept, layer, seed
    if key in subject._kept:
        return methods.known(subject._kept[key])
    texts, then, wanted, is_token, values = lessons(subject, concept)
    states, draws = kit_llama.hidden_states(subject.llama, texts, layer), checks.seeded(seed)
    space = causes.Subspaces(1, subject.llama.d_model, 1, generator=draws)

    def loss(step: int) -> Float[Tensor, " 1"]:
        report(0.1 + 0.4 * step / N_STEPS, None)
        bases = torch.randint(len(texts), (N_LESSONS,), generator=draws)
        twins = bases ^ 1  # each stands beside its own
        same = (values == values[twins][:, None]).float()
        sources = torch.multinomial(same, 1, generator=draws)[:, 0]
        moved = space(states[None, bases], states[None, sources])[0]
        some = [texts[i] for i in bases]
        after = [then[i] for i in twins]
        got, _ = expected(subject, some, after, moved, layer)
        far = (wanted[twins].exp() * (wanted[twins] - got)).sum(-1)
        return (far * is_token[twins]).sum()[None] / is_token[twins].sum()

    causes.align(space, loss, n_steps=N_STEPS)
    subject._kept[key] = space.found().directions
    return methods.known(subject._kept[key])
