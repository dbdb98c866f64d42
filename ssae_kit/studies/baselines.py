"""Other ways to find directions in the same data: PCA, FastICA, sparse dictionaries, plain SAEs."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ssae_kit.autoencoders import ReluSAE
from ssae_kit.metrics import Matching
from ssae_kit.studies.recovery import compare
from ssae_kit.synthetic import ShiftData
from ssae_kit.training import Penalty, TrainingConfig, fit

Found = tuple[Tensor, Tensor]
"""Codes of the test shifts `[samples, latents]`, and directions `[latents, d_model]`."""


def pca(train: ShiftData, test: ShiftData, seed: int) -> Found:
    """Directions of greatest variance."""
    from sklearn.decomposition import PCA  # slow to import; only these comparisons need it

    model = PCA(_n_components(train), random_state=seed).fit(train.shifts.numpy())
    return _tensors(model.transform(test.shifts.numpy()), model.components_)


def fast_ica(train: ShiftData, test: ShiftData, seed: int) -> Found:
    """Directions along which the shifts are least Gaussian."""
    from sklearn.decomposition import FastICA

    model = FastICA(_n_components(train), random_state=seed, max_iter=1000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it does not converge, its score says so
        model.fit(train.shifts.numpy())
    return _tensors(model.transform(test.shifts.numpy()), model.mixing_.T)


def dictionary(train: ShiftData, test: ShiftData, seed: int) -> Found:
    """Sparse dictionary learning: L1 on codes that are solved for each shift, not encoded.

    The penalty is 0.1 for shifts scaled to a root mean square length of 1. It learns from the
    first 1000 pairs in 20 passes, which takes it longer than an SSAE takes for all.
    """
    from sklearn.decomposition import MiniBatchDictionaryLearning

    scale = float(train.shifts.square().sum(-1).mean().sqrt())
    model = MiniBatchDictionaryLearning(
        train.directions.shape[0],
        alpha=0.1,
        transform_algorithm="lasso_lars",
        transform_alpha=0.1,
        batch_size=256,
        max_iter=20,
        fit_algorithm="cd",
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # single pairs may stop short of the tolerance
        model.fit(train.shifts[:1000].numpy() / scale)
    return _tensors(model.transform(test.shifts.numpy() / scale), model.components_)


def endpoint_sae(train: ShiftData, test: ShiftData, seed: int) -> Found:
    """A plain ReLU autoencoder, twice as many latents as concepts, on sources and targets.

    Its code of a shift is the difference of the codes of target and source.
    """
    ends = torch.cat([train.sources, train.sources + train.shifts])
    n_latents = 2 * train.directions.shape[0]
    weights = torch.Generator().manual_seed(seed)
    sae = ReluSAE(1, ends.shape[-1], n_latents, generator=weights)
    batches = torch.Generator().manual_seed(seed + 1_000_000)
    fit(sae, ends, Penalty(0.05), TrainingConfig(learning_rate=3e-3), generator=batches)
    with torch.no_grad():
        codes = sae.encode(test.sources + test.shifts) - sae.encode(test.sources)
    return codes[0], sae.directions[0]


METHODS: dict[str, Callable[[ShiftData, ShiftData, int], Found]] = {
    "PCA": pca,
    "FastICA": fast_ica,
    "dictionary": dictionary,
    "SAE on endpoints": endpoint_sae,
}


def baseline(
    name: str, train: ShiftData, test: ShiftData, *, seed: int = 0
) -> tuple[Matching, Matching]:
    """Fit one of `METHODS` to the training pairs and score it on the test pairs."""
    codes, directions = METHODS[name](train, test, seed)
    return compare(codes[None], directions[None], test)


def _n_components(data: ShiftData) -> int:
    return min(data.directions.shape[0], data.shifts.shape[-1])


def _tensors(codes: np.ndarray, directions: np.ndarray) -> Found:
    return torch.as_tensor(codes, dtype=torch.float32), torch.as_tensor(
        directions, dtype=torch.float32
    )
