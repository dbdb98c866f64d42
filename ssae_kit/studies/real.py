"""The real Llama at length: shifts at several tokens and layers, and what each method finds there.

A condition names the pairs (`kind`), the random `stream` that everything is drawn from, and whether
the model was `trained`. What a pass through the model costs is kept, so scores can be made anew.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import llama, methods, training
from ssae_kit.llama.rows import token_rows
from ssae_kit.pairs import ConceptPairs
from ssae_kit.streams import Streams
from ssae_kit.studies.sweep import sweep
from ssae_kit.world.natural import natural_pairs

MODEL = "smollm2"
LAYER = 15
"""The middle one, where the course steers."""
TOKENS = ("mean over tokens", "full stop", "after the text")
"""Where a state is read: the mean over all tokens but the begin token; the last full stop; the
comma of " In short,", put behind the text, where the model must have moved a concept to keep it."""
SUFFIX = " In short,"
LAYERS = {"one wording": (0, 1, 15, 28), "many wordings": (15,), "documents": (15,)}
"""Kind of pairs -> layers that are read."""
SIZES = {
    "one wording": {"train": 1000, "test": 300, "template": 200, "words": 200},
    "many wordings": {"train": 300, "test": 100},
    "documents": {"train": 160, "test": 60},
}
"""Pairs to learn from; to score on; of the held-out template; of held-out nouns and verbs."""
PARTS = ("test", "template", "words")
STATES = ".cache/studies/real_states"
"""Where passes through the model are kept, some 300 MB; delete it when all is done."""
CONFIG = training.TrainingConfig(steps=600, batch_size=128)


def real_pairs(kind: str, stream: int) -> dict[str, ConceptPairs]:
    """Return the pairs of a stream, by part; with many wordings all streams have the same."""
    stream = stream if kind == "one wording" else 0  # reading documents takes long
    first, found = 300 + 10 * list(SIZES).index(kind), {}
    for i, (part, n) in enumerate(SIZES[kind].items()):
        options: dict[str, Any] = {
            "wordings": "one" if kind == "one wording" else "many",
            "held_out": part if part in ("template", "words") else None,
            "n_sentences": 5 if kind == "documents" else 1,
        }
        found[part] = natural_pairs(n, Streams(stream)(first + i), **options)
    return found


@torch.no_grad()
def read_texts(model: llama.Llama, texts: Sequence[str], layers: Sequence[int]) -> Tensor:
    """Return the states of texts at every kind of token: `[tokens, layers, texts, d_model]`."""
    bare = [len(row) for row in token_rows(model, texts)]
    states = torch.empty(len(TOKENS), len(layers), len(texts), model.d_model)
    for start in range(0, len(texts), 64):
        part = slice(start, start + 64)
        done = llama.run(model, [text + SUFFIX for text in texts[part]], keep=layers)
        ends = torch.tensor(bare[part])
        places = torch.arange(done.ids.shape[1])
        inside = ((places >= 1) & (places < ends[:, None])).float()[..., None]
        rows = torch.arange(len(ends))
        for i, layer in enumerate(layers):
            state = done[layer].float().cpu()
            states[0, i, part] = (state * inside).sum(1) / inside.sum(1)
            states[1, i, part] = state[rows, ends - 1]
            states[2, i, part] = state[rows, done.last]
    return states


def shifts_in(
    model: llama.Llama, parts: Mapping[str, ConceptPairs], layers: Sequence[int], stream: int
) -> dict[str, Tensor]:
    """Return shifts `[tokens, layers, pairs, d_model]` of every part, and of shuffled pairs."""
    found = {}
    for part, pairs in parts.items():
        texts = list(dict.fromkeys(pairs.source + pairs.target))
        states, row = read_texts(model, texts, layers), {t: i for i, t in enumerate(texts)}
        source, target = (
            states[:, :, [row[text] for text in side]] for side in (pairs.source, pairs.target)
        )
        found[part] = (target - source).half()
        if part == "train":
            order = torch.randperm(len(pairs), generator=Streams(stream)(331))
            found["shuffled"] = (target[:, :, order] - source).half()
    return found


def read_shifts(kind: str, stream: int, trained: bool) -> dict[str, Tensor]:
    """Return the same of the study's pairs, in the real Llama or in an untrained one."""
    model = llama.load(MODEL)
    model = model if trained else llama.untrained(model, Streams(stream).seed(330))
    return shifts_in(model, real_pairs(kind, stream), LAYERS[kind], stream)


@torch.no_grad()
def token_norms(
    model: llama.Llama, text: str, layer: int, seed: int
) -> Float[Tensor, "models tokens"]:
    """Return the norm of every token's state in the model, and in one that was never trained."""
    both = (model, llama.untrained(model, seed))
    return torch.stack(
        [llama.run(one, [text], keep=[layer])[layer][0].float().norm(dim=-1).cpu() for one in both]
    )


METHODS = (
    "SSAE",
    "no constraint",
    "PCA",
    "FastICA",
    "SAE of shifts",
    "shuffled pairs",
    "ridge probe",
    "difference of means",
)
"""Rows of every score. The last two are told the labels; the first six are not."""


def kept_shifts(kind: str, stream: int, trained: bool) -> dict[str, Tensor]:
    """Return `read_shifts`, from the disk if it was there before."""
    condition = {
        "kind": kind,
        "stream": stream if kind == "one wording" else 0,
        "trained": trained,
    }
    return sweep(read_shifts, [condition], STATES)[0]


def changes_of(pairs: ConceptPairs) -> Tensor:
    """Return the labels as numbers."""
    return torch.tensor(pairs.changes, dtype=torch.float32)


def train_shifts(stream: int) -> dict[str, Tensor]:
    """Return what comes with the course: shifts of the mean over tokens in the middle layer.

    And the `norms` `[trained/untrained, tokens]` of the first text there.
    """
    kind = "one wording"
    found, place = kept_shifts(kind, stream, True), LAYERS[kind].index(LAYER)
    text = real_pairs(kind, stream)["train"].source[0]
    norms = token_norms(llama.load(MODEL), text, LAYER, Streams(stream).seed(330))
    return {part: found[part][0, place] for part in SIZES[kind]} | {"norms": norms}


def ridge(shifts: Tensor, changes: Tensor) -> methods.Found:
    """Read changes by a regression whose penalty cross-validation chooses: the ceiling."""
    from sklearn.linear_model import RidgeCV  # slow to import

    size = float(shifts.square().mean().sqrt())
    fitted = RidgeCV(np.logspace(-1, 5, 7)).fit((shifts / size).numpy(), changes.numpy())
    rows = torch.tensor(fitted.coef_, dtype=torch.float32)
    return methods.Found(rows, lambda other: other / size @ rows.mT)


def find_ssae(train: Tensor, stream: int, n_latents: int) -> tuple[methods.Found, float]:
    """Fit the SSAE; return it and the level, which no label chose."""
    draw = Streams(stream)
    level = training.choose_level(
        train, n_latents, generator=draw(340), n_levels=10, n_restarts=1, config=CONFIG
    ).level
    return _at_level(train, n_latents, level, draw.seed(341), n_restarts=3), level


def _at_level(
    shifts: Tensor, n_latents: int, level: float, seed: int, n_restarts: int = 1
) -> methods.Found:
    options: Any = {"seed": seed, "n_restarts": n_restarts, "config": CONFIG}
    return methods.ssae_seeds(shifts, n_latents, 1, level=level, **options)[0]


def find(
    train: Tensor, shuffled: Tensor, changes: Tensor, stream: int, n_latents: int
) -> tuple[dict[str, methods.Found], float]:
    """Fit every method to the same shifts; return them and the level that no label chose."""
    draw = Streams(stream)
    ssae, level = find_ssae(train, stream, n_latents)
    found = (
        ssae,
        _at_level(train, n_latents, torch.inf, draw.seed(342)),
        methods.pca(train, n_latents),
        methods.fast_ica(train, n_latents, seed=draw.seed(343) % 2**32),
        methods.sae(train, n_latents, seed=draw.seed(344), config=CONFIG),
        _at_level(shuffled, n_latents, level, draw.seed(345)),
        ridge(train, changes),
        methods.difference_of_means(train, changes),
    )
    return dict(zip(METHODS, found, strict=True)), level


def score_site(
    kind: str, stream: int, trained: bool, token: str, layer: int, n_latents: int = 16
) -> dict[str, Tensor]:
    """Score every method where a state is read.

    Returns:
        `codes` `[methods, test/template/words, concepts]`, `directions` `[methods, concepts]`
        against least squares, `linear`, the share of shifts that its sums explain in these parts
        and, last, in the test part with labels of other pairs, and the `level` chosen. NaN where
        there is no such part.
    """
    place = TOKENS.index(token), LAYERS[kind].index(layer)
    shifts = {k: v[place].float() for k, v in kept_shifts(kind, stream, trained).items()}
    changes = {part: changes_of(pairs) for part, pairs in real_pairs(kind, stream).items()}
    x, known = shifts["train"], changes["train"]
    reference = methods.regression(x, known).directions
    found, level = find(x, shifts["shuffled"], known, stream, n_latents)
    codes = torch.full((len(METHODS), 3, known.shape[1]), torch.nan)
    directions, linear = codes[:, 0].clone(), torch.full((4,), torch.nan)
    for i, part in enumerate(PARTS):
        if part not in shifts:
            continue
        linear[i] = methods.explained(shifts[part], changes[part], reference)
        for row, one in enumerate(found.values()):
            score = methods.score(one, shifts[part], changes[part], reference)
            codes[row, i], directions[row] = (matching.per_concept[0] for matching in score)
    wrong = methods.regression(x, methods.shuffled(known, seed=stream)).directions
    linear[3] = methods.explained(shifts["test"], changes["test"], wrong)
    return {
        "codes": codes,
        "directions": directions,
        "linear": linear,
        "level": torch.tensor(level),
    }


def _sites(
    kind: str, streams: Sequence[int], trained: bool, places: Sequence[tuple[str, int]]
) -> list[dict[str, Any]]:
    shared = {"kind": kind, "trained": trained}
    return [shared | {"stream": s, "token": t, "layer": n} for s in streams for t, n in places]


STREAMS = (0, 1, 2)
_PLACES = [
    (token, layer)
    for token in TOKENS
    for layer in LAYERS["one wording"]
    if layer or token == TOKENS[0]  # the embedding of a full stop is that of any full stop
]
_AGAIN = [(TOKENS[0], 0), (TOKENS[0], 15), (TOKENS[1], 15), (TOKENS[1], 28), (TOKENS[2], 28)]
_MAIN = [(TOKENS[0], LAYER)]
SITES = [
    *_sites("one wording", STREAMS[:1], True, _PLACES),
    *_sites("one wording", STREAMS[1:], True, _AGAIN),
    *_sites("one wording", STREAMS, False, [*_AGAIN, (TOKENS[0], 1)]),
    *_sites("many wordings", STREAMS, True, _MAIN),
    *_sites("documents", STREAMS, True, _MAIN),
]
"""Where every method is scored, with 16 latents: on all streams what the claims speak of."""
WIDTHS = [
    site | {"n_latents": k}
    for site in _sites("one wording", STREAMS, True, _MAIN)
    for k in (8, 12, 24)
]
"""The same with other widths, in the middle layer."""
