"""What theory expects of small toy models: the loss of each way to spend too few dimensions.

The last feature, the extra one, has importance r; the others have importance 1. All are active
with probability p and then uniform between 0 and 1. The candidates are idealised (unit lengths,
right angles, best bias for what is ignored, none elsewhere); a trained model may do a little
better by bending one.

Source: after Elhage et al. 2022, section "Superposition as a phase change"; the formulas are
derived here.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ssae_kit import checks
from ssae_kit.superposition.geometry import represented

PHASES = {
    2: ("extra ignored", "extra alone", "antipodal pair"),
    3: ("extra ignored", "extra alone", "extra in a pair", "others in a pair"),
}
"""Names of the candidates, by number of features; the layer has one dimension fewer."""


def candidate_losses(
    density: Float[Tensor, "*any"], importance: Float[Tensor, "*any"], n_features: int
) -> Float[Tensor, "candidates *any"]:
    """Expected loss of every candidate of `PHASES[n_features]`, in that order; less is better.

    Per unit of importance, a feature that is not stored costs its variance, p/3 - p²/4: the best the
    model can do is to say the mean, p/2. One of an antipodal pair costs p²/6: ReLU(x_1 - x_2) is right
    unless both are active, with probability p². Then it is off by the smaller of the two, whose mean
    square is 1/6.

    Args:
        density: Probability p that a feature is active, 0 to 1.
        importance: Importance r of the extra feature, at least 0.
        n_features: 2 (in one dimension) or 3 (in two).

    Raises:
        ValueError: if `n_features` is neither.
    """
    _check(n_features)
    density, importance = checks.tensors(
        density=(density, "*cells"), importance=(importance, "*other_cells")
    )
    what = "a probability in 0..1"
    checks.require("density", density, what, lambda p: ((p >= 0) & (p <= 1)).all())
    checks.require("importance", importance, "at least 0", lambda r: (r >= 0).all())
    if density.shape != importance.shape:
        raise ValueError(
            f"`density` and `importance` must be of one shape; got {list(density.shape)} and "
            f"{list(importance.shape)}. Use `torch.broadcast_tensors`."
        )
    ignored, paired = density / 3 - density.square() / 4, density.square() / 6
    losses = [importance * ignored, ignored, (1 + importance) * paired]
    if n_features == 3:
        losses.append(2 * paired)
    return torch.stack(losses)


def classify(directions: Float[Tensor, "run k d"]) -> Int[Tensor, " run"]:
    """Which candidate each run resembles: an index into `PHASES`, or -1 for none.

    Stored features are those longer than `REPRESENTED`; the pair, if all are stored, is the two
    whose directions are most opposed.

    Raises:
        ValueError: if there are neither 2 nor 3 features.
    """
    (directions,) = checks.tensors(directions=(directions, "run features d"))
    n_features = directions.shape[1]
    _check(n_features)
    stored = represented(directions)
    n_stored, extra = stored.sum(-1), stored[:, -1]
    gram = directions @ directions.mT  # [run, k, k]
    opposed = gram.flatten(1).min(-1).values < 0
    with_extra = gram[:, -1].min(-1).values <= gram.flatten(1).min(-1).values
    phase = torch.full_like(n_stored, -1)
    phase[(n_stored == n_features - 1) & ~extra] = 0
    phase[(n_stored == n_features - 1) & extra] = 1
    phase[(n_stored == n_features) & opposed] = 3
    phase[(n_stored == n_features) & opposed & with_extra] = 2
    return phase


def _check(n_features: int) -> None:
    if n_features not in PHASES:
        raise ValueError(
            f"`n_features` must be 2 (in one dimension) or 3 (in two); got {n_features}. "
            "For more, train and look."
        )
