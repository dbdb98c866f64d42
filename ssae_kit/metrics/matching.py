"""Latents beside what they should be: matched one-to-one (MCC, with its floor), or each its nearest."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.metrics.vectors import centred_unit, cosines, paired


class Matching(NamedTuple):
    """Latents assigned one-to-one to concepts so that the total similarity is greatest."""

    per_concept: Float[Tensor, "run concepts"]
    """Absolute similarity of each concept with its latent, 0 to 1; 0 where no latent was left."""
    latent: Int[Tensor, "run concepts"]
    """Index of the latent assigned to each concept; -1 where no latent was left."""
    sign: Float[Tensor, "run concepts"]
    """+1 if the latent grows with the concept, -1 if it falls, 0 where no latent was left."""

    @property
    def score(self) -> Float[Tensor, " run"]:
        """Mean over concepts, 0 to 1; 1 is perfect recovery up to permutation, sign and scale."""
        return self.per_concept.mean(-1)


def mcc_codes(
    codes: Float[Tensor, "run pairs latents"], changes: Float[Tensor, "pairs concepts"]
) -> Matching:
    """Mean absolute Pearson correlation of matched codes and concept changes; 1 is best.

    Args:
        codes: Codes of the pairs, one set per run.
        changes: True change of each concept in the same pairs, same order.

    Returns:
        The best matching of each run. A constant latent or concept correlates 0 with anything.

    Raises:
        ValueError: if pairs are too few, differ in number, or hold a value that is not finite; if
            an axis is missing.

    Source: Hyvarinen & Morioka 2016 (arXiv 1605.06336), section 6; Khemakhem et al. 2020.
    """
    codes, changes = paired(codes, "changes", changes)
    similarity = centred_unit(codes, 1).mT @ centred_unit(changes, 0)
    return _match(similarity)


def mcc_directions(
    directions: Float[Tensor, "run latents d_model"],
    concept_directions: Float[Tensor, "concepts d_model"],
) -> Matching:
    """Mean absolute cosine of matched decoder and concept directions; 1 is best.

    SAELens calls this score "MCC".

    Args:
        directions: Decoder directions, any length.
        concept_directions: True (or reference) directions, any length.

    Returns:
        The best matching of each run. A zero direction has cosine 0 with anything.

    Raises:
        ValueError: if the last axes differ, one is missing, a value is not finite, or a concept's
            direction is zero.
    """
    return _match(cosines(directions, "concept_directions", concept_directions))


def mcc_seeds(directions: Float[Tensor, "run latents d_model"]) -> Float[Tensor, " seed_pairs"]:
    """Direction MCC between every two runs: do seeds agree? 1 means they do.

    Agreement is not truth. Two runs can agree on a wrong answer.

    Args:
        directions: Decoder directions of at least two runs.

    Returns:
        One score per pair of runs, in the order (0,1), (0,2), ..., (1,2), ...

    Raises:
        ValueError: if there are fewer than two runs.
    """
    (directions,) = checks.tensors(directions=(directions, "run latents d_model"))
    n_runs = directions.shape[0]
    if n_runs < 2:
        raise ValueError(f"agreement needs at least 2 runs; got {n_runs}. Train more seeds.")
    scores = [mcc_directions(directions[i + 1 :], directions[i]).score for i in range(n_runs - 1)]
    return torch.cat(scores)


def mmcs(
    directions: Float[Tensor, "run latents d_model"], reference: Float[Tensor, "concepts d_model"]
) -> Float[Tensor, " run"]:
    """Mean over reference directions of the highest absolute cosine with any latent; 1 is best.

    Unlike `mcc_directions` it matches nothing: one latent may serve many reference directions, and
    a wider dictionary always scores at least as well. Its floor rises with the width: report it
    beside the score of a random dictionary.

    Args:
        directions: Learned directions, any length.
        reference: True directions, or those of another dictionary, any length.

    Returns:
        Unitless, 0 to 1.

    Raises:
        ValueError: if the last axes differ, one is missing, a value is not finite, or a reference
            direction is zero.

    Source: Sharkey, Braun & Millidge 2022 (there signed; ours counts both signs, as `mcc_*` do).
    """
    return cosines(directions, "reference", reference).abs().amax(1).mean(-1)


def uniqueness(
    directions: Float[Tensor, "run latents d_model"], reference: Float[Tensor, "concepts d_model"]
) -> Float[Tensor, " run"]:
    """Distinct nearest reference directions over latents; 1 means that no two latents share one.

    Args:
        directions: Learned directions, any length.
        reference: True directions, any length.

    Returns:
        Unitless, above 0 to 1; at most concepts / latents.

    Raises:
        ValueError: if the last axes differ, one is missing, a value is not finite, or a reference
            direction is zero.

    Source: SAELens, `eval_sae_on_synthetic_data`.
    """
    similarity = cosines(directions, "reference", reference).abs()
    nearest = similarity.argmax(-1, keepdim=True)
    # [run, concepts]: whether any latent points there. Counting `unique` values would wait for a GPU.
    taken = torch.zeros_like(similarity).scatter_(-1, nearest, 1.0).amax(1)
    return taken.sum(-1) / nearest.shape[1]


def rotation_floor(
    n_concepts: int, *, generator: torch.Generator, n_draws: int = 200, per_concept: bool = False
) -> Float[Tensor, " draws"]:
    """MCC of random rotations of the true concepts: what finding only the subspace is worth.

    Args:
        n_concepts: Number of concepts, at least 1. The floor falls as it grows.
        generator: Source of the rotations.
        n_draws: Number of rotations.
        per_concept: Return the scores of single concepts, which scatter more widely than their
            means: the floor of a figure that shows concepts one by one.

    Returns:
        One MCC per rotation; their mean is the floor and their spread its uncertainty. With
        `per_concept`, `n_draws * n_concepts` scores.

    Raises:
        ValueError: if `n_concepts` or `n_draws` is below 1.
    """
    n_concepts = checks.whole("n_concepts", n_concepts)
    shape = (checks.whole("n_draws", n_draws), n_concepts, n_concepts)
    checks.require_generator(generator)
    device = generator.device
    gaussian = torch.randn(shape, generator=generator, device=device)
    rotations, _ = torch.linalg.qr(gaussian)  # uniform up to signs, which the score ignores
    matching = mcc_directions(rotations, torch.eye(n_concepts, device=device))
    return matching.per_concept.flatten() if per_concept else matching.score


def _match(similarity: Float[Tensor, "run latents concepts"]) -> Matching:
    from scipy.optimize import linear_sum_assignment  # half a second that only a matching needs

    n_runs, _, n_concepts = similarity.shape
    per_concept = torch.zeros(n_runs, n_concepts)
    latent = torch.full((n_runs, n_concepts), -1)
    sign = torch.zeros(n_runs, n_concepts)
    for run, matrix in enumerate(similarity.detach().cpu().float()):  # the matching has no GPU form
        rows, columns = linear_sum_assignment(-matrix.abs().numpy())
        chosen = matrix[rows, columns]
        per_concept[run, columns] = chosen.abs().clamp(max=1.0)
        latent[run, columns] = torch.as_tensor(rows)
        sign[run, columns] = chosen.sign()
    return Matching(*(found.to(similarity.device) for found in (per_concept, latent, sign)))
