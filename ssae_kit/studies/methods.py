"""Every way to find concept directions in shifts, in one form: codes and directions per seed."""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.metrics import mcc_codes, mcc_directions
from ssae_kit.training import Constraint, Penalty, TrainingConfig, choose_level, evaluate, fit


class Found(NamedTuple):
    """What a method found in one set of shifts."""

    codes: Float[Tensor, "seeds pairs latents"]
    """Codes of held-out shifts."""
    directions: Float[Tensor, "seeds latents d_model"]
    """Directions, any length."""


class Grades(NamedTuple):
    """How well each concept was found, in each seed; 0 to 1."""

    codes: Float[Tensor, "seeds concepts"]
    """|correlation| of the matched code with the concept's change, on held-out pairs."""
    directions: Float[Tensor, "seeds concepts"]
    """|cosine| of the matched direction with the reference direction."""


def fit_directions(
    shifts: Float[Tensor, "pairs d_model"], changes: Float[Tensor, "pairs concepts"]
) -> Float[Tensor, "concepts d_model"]:
    """Least-squares direction of each concept: shifts as sums of directions. Needs all labels.

    Unlike a difference of means it does not lean towards a concept that often changes as well.
    Where columns depend on each other (one-hot values), the shortest solution is returned.
    """
    solution: Tensor = torch.linalg.lstsq(changes, shifts, driver="gelsd").solution
    return solution


def explained(
    shifts: Float[Tensor, "pairs d_model"],
    changes: Float[Tensor, "pairs concepts"],
    directions: Float[Tensor, "concepts d_model"],
) -> float:
    """Share of the shifts that a sum of directions explains; 1 is all, 0 as good as nothing."""
    missed = (shifts - changes @ directions).square().sum() / shifts.square().sum()
    return 1 - float(missed)


def elbow_levels(
    sets: Float[Tensor, "sets pairs d_model"],
    n_latents: int,
    *,
    seed: int,
    config: TrainingConfig | None = None,
) -> Float[Tensor, " sets"]:
    """Sparsity level of each set, chosen without labels (see `choose_level`).

    Ten levels, a fifth apart, with one start each: a slack level mixes concepts, so a fine sweep
    is worth more than restarts.
    """
    chosen = [
        choose_level(
            shifts, n_latents, generator=_seeded(seed), n_levels=10, n_restarts=1, config=config
        ).level
        for shifts in sets
    ]
    return torch.tensor(chosen)


def shift_autoencoders(
    sets: Float[Tensor, "sets pairs d_model"],
    levels: Float[Tensor, " sets"] | None,
    n_latents: int,
    *,
    seed: int,
    n_seeds: int,
    n_restarts: int = 1,
    config: TrainingConfig | None = None,
) -> list[list[ShiftAutoencoder]]:
    """Train shift autoencoders on several sets at once.

    Args:
        sets: Training shifts; each set gets runs of its own.
        levels: Sparsity level of each set; None trains without a constraint.
        n_latents: Length of the code.
        seed: Of the initial weights and, plus one million, of the batches.
        n_seeds: Repetitions.
        n_restarts: Starts per repetition, of which the one with the lowest error is kept.
        config: How long and how fast.

    Returns:
        Per set, one single-run autoencoder per repetition.
    """
    n_each = n_seeds * n_restarts
    stacked = sets.repeat_interleave(n_each, 0)
    rule = Penalty() if levels is None else Constraint(levels.repeat_interleave(n_each))
    autoencoder = ShiftAutoencoder(len(stacked), sets.shape[-1], n_latents, generator=_seeded(seed))
    fit(autoencoder, stacked, rule, config, generator=_seeded(seed + 1_000_000))
    error = evaluate(autoencoder, stacked).error.view(len(sets), n_seeds, n_restarts)
    best = error.argmin(-1) + n_restarts * torch.arange(len(sets) * n_seeds).view(len(sets), -1)
    return [[autoencoder.select(run) for run in row] for row in best.tolist()]


def by_autoencoders(
    autoencoders: Sequence[ShiftAutoencoder], held_out: Float[Tensor, "pairs d_model"]
) -> Found:
    """What trained autoencoders, one run each, say about held-out shifts."""
    with torch.no_grad():
        codes = torch.cat([one.encode(held_out) for one in autoencoders])
    return Found(codes, torch.cat([one.directions for one in autoencoders]))


def by_components(
    method: Literal["PCA", "FastICA"],
    shifts: Float[Tensor, "pairs d_model"],
    held_out: Float[Tensor, "held_out d_model"],
    n_latents: int,
    n_seeds: int = 1,
) -> Found:
    """PCA or FastICA of shifts; seeds count from 0.

    FastICA may stop before it has settled; its score will tell.
    """
    from sklearn.decomposition import PCA, FastICA  # a second that only this needs

    codes, directions = [], []
    for seed in range(n_seeds):
        fitted: Any = PCA(n_latents, random_state=seed)
        if method == "FastICA":
            fitted = FastICA(n_latents, random_state=seed, max_iter=200, tol=1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted.fit(shifts.numpy())
        codes.append(torch.from_numpy(fitted.transform(held_out.numpy())).float())
        found = fitted.components_ if method == "PCA" else fitted.mixing_.T.copy()
        directions.append(torch.from_numpy(found).float())
    return Found(torch.stack(codes), torch.stack(directions))


def by_probe(
    shifts: Float[Tensor, "pairs d_model"],
    changes: Float[Tensor, "pairs concepts"],
    held_out: Float[Tensor, "held_out d_model"],
) -> Found:
    """Supervised comparator: least-squares regression from shift to change."""
    weights = torch.linalg.lstsq(shifts, changes, driver="gelsd").solution
    return Found((held_out @ weights)[None], weights.mT[None])


def by_directions(
    directions: Float[Tensor, "latents d_model"], held_out: Float[Tensor, "pairs d_model"]
) -> Found:
    """Known directions, read out by least squares."""
    return Found((held_out @ torch.linalg.pinv(directions))[None], directions[None])


def grade(
    found: Found,
    changes: Float[Tensor, "pairs concepts"],
    reference: Float[Tensor, "concepts d_model"],
) -> Grades:
    """Compare what a method found with the truth, concept by concept.

    Args:
        found: Codes of the pairs that `changes` are the changes of.
        changes: True change of each concept.
        reference: Directions that count as true.
    """
    return Grades(
        mcc_codes(found.codes, changes).per_concept,
        mcc_directions(found.directions, reference).per_concept,
    )


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
