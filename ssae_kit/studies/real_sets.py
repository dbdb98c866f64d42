"""The real Llama on published kinds of sets, mostly of single words."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from ssae_kit import llama, methods, training
from ssae_kit.llama.rows import token_rows
from ssae_kit.pairs import dataset
from ssae_kit.streams import Streams
from ssae_kit.studies.real import CONFIG, LAYER, MODEL, changes_of

FRAMES = {"bare": "{}", "begin token": "{}", "in a sentence": "The word: {}"}
"""How a word of a published set stands in its text; a bare one has no begin token before it."""

N_SET = 1500
"""Pairs of a published set that are read, at most: CAT has 30,000, of 135 concepts."""


def score_set(name: str, stream: int) -> dict[str, Tensor]:
    """Score directions on a published kind of set, read at the word's last token, in every frame.

    Returns:
        `cosines` `[frames, 4]` with held-out shifts: of the SSAE's nearest direction, of the mean
        shift, of the mean shift with labels of other pairs, and of the mean shift in an untrained
        model; and `norms` `[frames, 2]`, of the shortest and the longest state.
    """
    model, draw = llama.load(MODEL), Streams(stream)
    blank = llama.untrained(model, draw.seed(330))
    own = dataset(name)
    own = own.take(torch.randperm(len(own), generator=draw(371))[:N_SET].tolist())
    words = list(dict.fromkeys(own.source + own.target))
    source, target = ([words.index(word) for word in side] for side in (own.source, own.target))
    known, found = changes_of(own), []
    for frame, text in FRAMES.items():
        rows = token_rows(model, [text.format(word) for word in words])
        rows = [row[1:] for row in rows] if frame == "bare" else rows
        states, other = (llama.hidden_states(one, rows, LAYER) for one in (model, blank))
        x, y = (one[target] - one[source] for one in (states, other))
        norms = states.norm(dim=1)
        found.append((_cosines(x, y, known, draw), torch.stack([norms.min(), norms.max()])))
    cosines, norms = map(torch.stack, zip(*found, strict=True))
    return {"cosines": cosines, "norms": norms}


def _cosines(x: Tensor, y: Tensor, known: Tensor, draw: Streams) -> Tensor:
    """Cosines with held-out shifts `x`; `y` are those of an untrained model."""
    cut = int(0.8 * len(x))
    config = training.TrainingConfig(steps=CONFIG.steps, batch_size=min(64, cut))
    many: Any = {"n_levels": 10, "n_restarts": 1, "config": config}
    swept = training.choose_level(x[:cut], 2 * known.shape[1], generator=draw(372), **many)
    unit = normalize(methods.of_autoencoder(swept.best(swept.chosen)).directions)
    mean = methods.difference_of_means(x[:cut], known[:cut]).directions
    wrong = methods.difference_of_means(x[:cut], methods.shuffled(known[:cut])).directions
    blind = methods.difference_of_means(y[:cut], known[:cut]).directions
    near = unit[(mean @ unit.T).abs().argmax(1)]
    near = near * (mean * near).sum(1, keepdim=True)
    tried = ((near, x), (mean, x), (wrong, x), (blind, y))
    return torch.stack([cosine_similarity(known[cut:] @ v, s[cut:]).mean() for v, s in tried])
