"""Methods that are told no label: only how many latents to look for."""

import warnings
from typing import Any

import torch
from torch import Tensor

from ssae_kit import checks, training
from ssae_kit.autoencoders import ReluSAE, ShiftAutoencoder
from ssae_kit.methods.found import (
    Found,
    Shifts,
    States,
    as_floats,
    of_autoencoder,
    root_mean_square,
)
from ssae_kit.metrics.vectors import centred_unit
from ssae_kit.training import TrainingConfig, seeded


def ssae(
    shifts: Shifts,
    n_latents: int,
    *,
    seed: int = 0,
    n_restarts: int = 2,
    config: TrainingConfig | None = None,
) -> Found:
    """The Sparse Shift Autoencoder of lowest error, at a level that is chosen without labels.

    Args:
        shifts: Target minus source activations.
        n_latents: Length of the code. Twice as many as concepts are expected is a good choice:
            with none to spare, about every second start mixes two concepts.
        seed: Of the initial weights and of the batches.
        n_restarts: Starts, of which the one with the lowest error is kept.
        config: How long and how fast.

    Raises:
        ValueError: if there are fewer pairs than latents, or a setting is out of range.

    Source: Joshi et al. 2025 (arXiv 2502.12179), read in abstract and code, not in full.
    """
    shifts = as_floats("shifts", shifts)
    sweep = training.choose_level(
        shifts,
        n_latents,
        generator=seeded(seed),
        n_levels=17,  # fine steps: a level just above the elbow lets spare latents split a concept
        n_restarts=n_restarts,
        config=config,
    )
    return of_autoencoder(sweep.best(sweep.chosen))


def ssae_seeds(
    shifts: Shifts,
    n_latents: int,
    n_seeds: int,
    *,
    level: float,
    seed: int = 0,
    n_restarts: int = 3,
    config: TrainingConfig | None = None,
) -> list[Found]:
    """The same at a given level: several independent repetitions, all trained at once.

    Args:
        shifts: Target minus source activations.
        n_latents: Length of the code.
        n_seeds: Repetitions, each the best of its restarts.
        level: Sparsity level; `math.inf` asks for no sparsity at all.
        seed: Of the initial weights and of the batches.
        n_restarts: Starts per repetition.
        config: How long and how fast.
    """
    shifts = as_floats("shifts", shifts)
    checks.require("level", level, "above 0", lambda value: value > 0)
    n_seeds = checks.whole("n_seeds", n_seeds)
    sizes = (n_seeds * n_restarts, shifts.shape[1], n_latents)
    autoencoder = ShiftAutoencoder(*sizes, generator=seeded(seed)).to(shifts.device)
    rule = training.Penalty() if level == torch.inf else training.Constraint(level)
    batches = seeded(seed + 1_000_000)
    runs = training.fit_restarts(autoencoder, shifts, rule, n_restarts, config, generator=batches)
    return [of_autoencoder(runs.best(i)) for i in range(n_seeds)]


def sae(
    states: States,
    n_latents: int,
    *,
    weight: float = 0.05,
    seed: int = 0,
    config: TrainingConfig | None = None,
) -> Found:
    """A plain ReLU autoencoder under an L1 penalty, of states or of shifts.

    Fitted to states, it reads shifts by `from_sources`.

    Source: Bricken et al. 2023, "Towards Monosemanticity".
    """
    states = as_floats("states", states)
    model = ReluSAE(1, states.shape[1], n_latents, generator=seeded(seed)).to(states.device)
    config = TrainingConfig(learning_rate=3e-3) if config is None else config
    training.fit(
        model, states, training.Penalty(weight), config, generator=seeded(seed + 1_000_000)
    )
    return of_autoencoder(model)


def singular_vectors(shifts: Shifts, n_latents: int) -> Found:
    """The leading right singular vectors. Nothing is centred: a shift has an origin.

    Each row's largest entry is positive. The decomposition leaves the sign free, and processors
    differ in it.

    Source: Zou et al. 2023 (arXiv 2310.01405), representation engineering.
    """
    shifts, n_latents = _enough(shifts, n_latents)
    leading = torch.linalg.svd(shifts, full_matrices=False).Vh[:n_latents]
    leading = leading * leading.gather(1, leading.abs().argmax(1, keepdim=True)).sign()
    return Found(leading, lambda shifts: shifts @ leading.mT)


def pca(shifts: Shifts, n_latents: int) -> Found:
    """Directions of greatest variance about the mean."""
    from sklearn.decomposition import PCA  # slow to import; only these methods need it

    # A solver that draws nothing at random.
    shifts, n_latents = _enough(shifts, n_latents)
    return _fitted(PCA(n_latents, svd_solver="full"), shifts)


def fast_ica(shifts: Shifts, n_latents: int, *, seed: int = 0) -> Found:
    """Directions along which the shifts are least Gaussian.

    It may stop before it has settled; its score will tell.

    Source: Hyvarinen 1999, "Fast and robust fixed-point algorithms".
    """
    from sklearn.decomposition import FastICA

    shifts, n_latents = _enough(shifts, n_latents)
    root_mean_square("shifts, less their mean,", centred_unit(shifts, 0))
    seed = checks.whole("seed", seed, 0, 2**32 - 1)
    model = FastICA(n_latents, random_state=seed, max_iter=1000, tol=1e-3)
    return _fitted(model, shifts)


def dictionary_learning(shifts: Shifts, n_latents: int, *, seed: int = 0) -> Found:
    """Sparse dictionary learning: L1 on codes that are solved for each shift, not encoded.

    The penalty is 0.1 for shifts scaled to a root mean square length of 1. It learns from the
    first 1000 pairs in 20 passes, which takes it longer than an SSAE takes for all.

    Source: Mairal et al. 2009, "Online dictionary learning for sparse coding".
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    shifts = as_floats("shifts", shifts)
    n_latents = checks.whole("n_latents", n_latents)
    seed = checks.whole("seed", seed, 0, 2**32 - 1)
    scale = float(root_mean_square("shifts", shifts)) * shifts.shape[1] ** 0.5
    model = MiniBatchDictionaryLearning(
        n_latents,
        alpha=0.1,
        transform_algorithm="lasso_lars",
        transform_alpha=0.1,
        batch_size=256,
        max_iter=20,
        fit_algorithm="cd",
        random_state=seed,
    )
    return _fitted(model, shifts[:1000], scale)


def _fitted(model: Any, shifts: Tensor, scale: float = 1.0) -> Found:
    """Fit one of scikit-learn's decompositions to shifts divided by a scale."""

    def read(shifts: Tensor) -> Tensor:
        return torch.from_numpy(model.transform((shifts / scale).cpu().numpy())).to(shifts)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it does not converge, its score says so
        model.fit((shifts / scale).cpu().numpy())
    # ICA's components read; its mixing matrix writes.
    rows = model.mixing_.T if hasattr(model, "mixing_") else model.components_
    return Found(scale * torch.tensor(rows).to(shifts), read)


def _enough(shifts: Tensor, n_latents: int) -> tuple[Tensor, int]:
    """Return both, or raise a ValueError if the shifts cannot hold that many components."""
    shifts, n_latents = as_floats("shifts", shifts), checks.whole("n_latents", n_latents)
    if n_latents > min(shifts.shape):
        raise ValueError(
            f"{n_latents} components need at least as many pairs and dimensions, and must be at "
            f"least 1; got shifts of shape {list(shifts.shape)}. Bring more pairs or ask for fewer."
        )
    return shifts, n_latents
