"""RAVEL on the bundled Llama's people: subspaces that move one attribute, and leave the others."""

from itertools import permutations

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from ssae_kit import causes, llama
from ssae_kit.streams import Streams
from ssae_kit.world.entities import FACTS, PEOPLE, Question, Relation, questions

ATTRIBUTES = tuple(relation for relation in FACTS if relation.name.startswith("person."))
LAYER, WIDTH = 2, 16
N_STEPS, N_PAIRS = 120, 16
N_KNOWN_PAIRS, N_KNOWN_PEOPLE = 270, 14
"""Pairs of people, and people, that are trained on; the rest is held out."""


def ask(relation: Relation, templates: range) -> list[tuple[Question, ...]]:
    """Every wording, in both languages; one question per subject."""
    return [questions(relation, language, t) for language in (0, 1) for t in templates]


def answer_loss(
    model: llama.Llama,
    asked: list[tuple[Question, ...]],
    edit: llama.Edit,
    who: Int64[Tensor, "sets pairs"],
    wanted: Int64[Tensor, "sets pairs"],
) -> Float[Tensor, " sets"]:
    """Mean surprise at the answers of the people `wanted`, asked of `who`, among the candidates."""
    prompts = [of[i].prompt for of, row in zip(asked, who.tolist(), strict=True) for i in row]
    got = llama.run(model, prompts, edits={LAYER: edit}, logits=True)
    assert got.logits is not None
    logits = got.logits[torch.arange(len(prompts)), got.last].view(*who.shape, -1)
    losses = []
    for of, said, row in zip(asked, logits, wanted, strict=True):
        ids = model.tokenizer.convert_tokens_to_ids(list(of[0].candidates))
        losses.append(cross_entropy(said[:, ids], torch.tensor([q.answer for q in of])[row]))
    return torch.stack(losses)


def persons(stream: int) -> dict[str, Tensor]:
    """Train subspaces at the last token for every attribute, in three ways, side by side.

    Args:
        stream: Draws pairs, people and first subspaces anew.

    Returns:
        `rows` `[ways, attributes, WIDTH, d_model]`; ways: both losses, cause only, both losses on
        `people` only. `pairs` `[N_KNOWN_PAIRS, 2]` of numbers of
        people and `people` `[N_KNOWN_PEOPLE]`: what was trained on, templates 0 to 2 of all.

    Source: MDAS, Huang et al. 2024 (arXiv 2402.17700).
    """
    streams, model, n = Streams(stream), llama.load(), len(ATTRIBUTES)
    asked = [ask(relation, range(3)) for relation in ATTRIBUTES]
    states = [[llama.hidden_states(model, [q.prompt for q in a], LAYER) for a in s] for s in asked]
    pairs, people, few = _known(streams)
    space = causes.Subspaces(3 * n, model.d_model, WIDTH, generator=streams(2))
    draws = streams(3)

    def loss(step: int) -> Tensor:
        jobs = [(run, run % n, 1) for run in range(3 * n)]  # run, attribute asked, whose answer
        jobs += [(run, (run + 1 + step % (n - 1)) % n, 0) for run in range(3 * n) if run // n != 1]
        which = [int(torch.randint(len(asked[a]), (1,), generator=draws)) for _, a, _ in jobs]
        known = [few if run // n == 2 else pairs for run, _, _ in jobs]
        both = torch.stack([p[torch.randint(len(p), (N_PAIRS,), generator=draws)] for p in known])
        found = [states[a][i][two] for (_, a, _), i, two in zip(jobs, which, both, strict=True)]
        bases, sources = torch.stack(found).unbind(2)
        runs = torch.tensor([run for run, _, _ in jobs])
        moved = (sources - bases) @ space.basis[runs] @ space.basis[runs].mT
        edit = llama.Add(moved.flatten(0, 1))
        sets = [asked[a][i] for (_, a, _), i in zip(jobs, which, strict=True)]
        wanted = torch.stack([two[:, whose] for two, (_, _, whose) in zip(both, jobs, strict=True)])
        losses = answer_loss(model, sets, edit, both[..., 0], wanted)
        return one_hot(runs, 3 * n).float().T @ losses

    causes.align(space, loss, n_steps=N_STEPS)
    rows = space.basis.detach().mT.reshape(3, n, WIDTH, -1).contiguous()
    return {"rows": rows, "pairs": pairs, "people": people}


def _known(streams: Streams) -> tuple[Tensor, Tensor, Tensor]:
    """Pairs that are trained on, people that are, and all pairs of these."""
    pairs = torch.tensor(list(permutations(range(len(PEOPLE)), 2)))
    some = torch.randperm(len(pairs), generator=streams(0))[:N_KNOWN_PAIRS]
    people = torch.randperm(len(PEOPLE), generator=streams(1))[:N_KNOWN_PEOPLE]
    return pairs[some], people, pairs[torch.isin(pairs, people).all(1)]
