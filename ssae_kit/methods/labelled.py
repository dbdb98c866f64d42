"""Methods that are told the labels: what changed in every pair, or the values in every text."""

from itertools import combinations

import torch
from jaxtyping import Float, Int, Real
from torch import Tensor

from ssae_kit import checks
from ssae_kit.methods.found import (
    Changes,
    Directions,
    Found,
    Shifts,
    States,
    Values,
    as_floats,
    as_pairs,
    known,
    root_mean_square,
    times_changed,
)


def difference_of_means(shifts: Shifts, changes: Changes) -> Found:
    """The mean shift of the pairs in which a concept changes, signed by its change.

    It leans towards a concept that often changes as well.

    Args:
        shifts: Target minus source activations.
        changes: Known change of each concept in the same pairs (-1, 0 or 1).

    Raises:
        ValueError: if a concept never changes, or by something else than -1, 0 or 1.

    Source: Panickssery et al. 2023 (arXiv 2312.06681), contrastive activation addition.
    """
    shifts, changes = as_pairs(shifts, changes)
    return known(changes.mT @ shifts / times_changed(changes, signed=True)[:, None])


def regression(shifts: Shifts, changes: Changes) -> Found:
    """Least-squares directions: shifts as sums of one direction per change.

    Unlike a difference of means, they do not lean towards concepts that change together. Where
    columns depend on each other (one-hot values), the shortest solution is returned.

    Raises:
        ValueError: if a concept never changes.
    """
    shifts, changes = as_pairs(shifts, changes)
    times_changed(changes)
    return known(_least_squares(changes, shifts))


def least_squares_probe(shifts: Shifts, changes: Changes) -> Found:
    """The other way round: each change as a weighted sum of the shift's entries. It only reads."""
    shifts, changes = as_pairs(shifts, changes)
    times_changed(changes)
    return _reader(_least_squares(shifts, changes).mT)


def probe(states: States, values: Values) -> Found:
    """The unit weight vector of a logistic probe for each two-valued concept.

    Along it the probe's certainty of value 1 grows fastest. It reads best, which does not mean
    that the model itself reads the concept there.

    Raises:
        ValueError: if a value is neither 0 nor 1, or a concept has the same value in every text.

    Source: Wu et al. 2025 (arXiv 2501.17148, AxBench), the baseline "linear probe".
    """
    from sklearn.linear_model import LogisticRegression  # slow to import; only a probe needs it

    states, labels = as_pairs(states, values, ("states", "values"))
    require_two_values(labels)
    inputs = (states / root_mean_square("states", states)).cpu().numpy()
    weights = []
    for concept, column in enumerate(labels.cpu().unbind(1)):
        if len(column.unique()) != 2:
            raise ValueError(
                f"a probe needs texts of both values; the concept in column {concept} has "
                f"{column.unique().int().tolist()} only. Add texts or drop the column."
            )
        fitted = LogisticRegression(max_iter=1000).fit(inputs, column.numpy())
        weights.append(torch.from_numpy(fitted.coef_[0]))
    return _reader(torch.stack(weights).to(states))


def class_means(states: States, values: Values) -> Found:
    """Per two-valued concept, the mean state at value 1 minus that at value 0.

    Raises:
        ValueError: if a value is neither 0 nor 1, or a concept has the same value in every text.
    """
    states, labels = as_pairs(states, values, ("states", "values"))
    require_two_values(labels)
    means = [value_means(states, column.long(), 2) for column in labels.unbind(1)]
    return known(torch.stack([mean[1] - mean[0] for mean in means]))


def value_means(
    states: States, values: Int[Tensor, " texts"], n_values: int
) -> Float[Tensor, "values d_model"]:
    """Return the mean hidden state of the texts with each value of one concept.

    Row b minus row a steers from value a to value b: the difference of means for a concept with
    any number of values, told the value of each text instead of the change in each pair.

    Args:
        states: Hidden states.
        values: Value of the concept in the same texts, 0 to `n_values` - 1.
        n_values: Number of values, at least 2.

    Raises:
        ValueError: if no text has one of the values, or a text another value.
    """
    states, column = checks.tensors(states=(states, "texts d_model"), values=(values, "texts"))
    states = states.detach().float()
    column, n_values = column[:, None], checks.whole("n_values", n_values, 2)
    has = (column.mT == torch.arange(n_values).to(column)[:, None]).to(states.dtype)
    missing = (has.sum(1) == 0).nonzero().flatten().tolist()
    if missing or has.sum() != len(states):
        raise ValueError(
            f"every value of the concept needs at least one text; value(s) {missing} of "
            f"0..{n_values - 1} have none, and {len(states) - int(has.sum())} text(s) have another "
            "value. Add texts or change `n_values`."
        )
    return has @ states / has.sum(1, keepdim=True)


def shuffled(changes: Changes, *, seed: int = 0) -> Float[Tensor, "pairs concepts"]:
    """The labels of other pairs: a control under which every method should fail."""
    table = as_floats("changes", changes)
    return table[torch.randperm(len(table), generator=checks.seeded(seed))]


def rescaled(directions: Directions, reference: Directions) -> Directions:
    """Return the directions with the lengths of others, so that equal strengths push equally far.

    Raises:
        ValueError: if a direction has length 0.
    """
    rows, others = as_pairs(directions, reference, ("directions", "reference"))
    longer: Tensor = others.norm(dim=1, keepdim=True) * _unit(rows)
    return longer


def random_directions(directions: Directions, *, generator: torch.Generator) -> Directions:
    """Return random directions of the same lengths: what a push of that size does by itself."""
    checks.require_generator(generator)
    directions = as_floats("directions", directions)
    drawn = torch.randn(directions.shape, generator=generator, device=generator.device)
    return rescaled(drawn.to(directions.device), directions)


def explained(shifts: Shifts, changes: Changes, directions: Directions) -> float:
    """Share of the shifts that a sum of directions explains; 1 is all, 0 as good as nothing.

    Raises:
        ValueError: if every shift is zero.
    """
    shifts, changes, directions = checks.tensors(
        shifts=(as_floats("shifts", shifts), "pairs d_model"),
        changes=(changes, "pairs concepts"),
        directions=(directions, "concepts d_model"),
    )
    total = shifts.square().sum()
    if total == 0:
        raise ValueError(
            "some shift must not be zero, or there is nothing to explain; all are. Check how they "
            "were collected."
        )
    missed = (shifts - changes @ directions).square().sum() / total
    checks.require_finite("share", missed, "The shifts are far too small, or the sum too large.")
    return 1 - float(missed)


def interactions(
    shifts: Shifts, before: Values, after: Values
) -> Float[Tensor, "concepts concepts"]:
    """Gain in the share of shifts explained if the product of two concepts gets a direction too.

    Near 0 where concepts add up. Where a gain is large, the model stores one concept *as seen from*
    the other, and no single direction of its own can stand for it. Fitted to the first three
    quarters of the pairs, scored on the rest.

    Args:
        shifts: Target minus source activations, pairs in random order.
        before: Value of each concept in the source texts, 0 or 1.
        after: The same in the target texts.

    Returns:
        Symmetric; zero on the diagonal, since the product of a concept with itself never changes.

    Raises:
        ValueError: if a value is neither 0 nor 1, or a concept never changes.

    Source: condition 1 of Joshi et al. 2025 (arXiv 2502.12179), put to the test.
    """
    both_axes = "pairs concepts"
    before, after = checks.tensors(before=(before, both_axes), after=(after, both_axes))
    require_two_values(torch.stack([before, after]))
    source, target = 2 * before - 1, 2 * after - 1
    changes, cut = (target - source) / 2, len(source) * 3 // 4
    shifts, changes = as_pairs(shifts, changes)
    gains = torch.zeros(changes.shape[1], changes.shape[1], device=shifts.device)
    plain = _held_out(shifts, changes, cut)
    for i, j in combinations(range(changes.shape[1]), 2):
        both = [i, j]
        product = (target[:, both].prod(1) - source[:, both].prod(1)) / 2
        wider = torch.cat([changes, product[:, None].to(changes)], 1)
        gains[i, j] = gains[j, i] = _held_out(shifts, wider, cut) - plain
    return gains


def _held_out(shifts: Tensor, changes: Tensor, cut: int) -> float:
    """Share explained of the pairs from `cut` on, by directions fitted to those before."""
    rows = regression(shifts[:cut], changes[:cut]).directions
    return explained(shifts[cut:], changes[cut:], rows)


def require_two_values(values: Real[Tensor, "*any"]) -> None:
    """Raise a ValueError unless every concept value is 0 or 1."""
    (values,) = checks.tensors(values=(values, "*any"))
    if ((values != 0) & (values != 1)).any():
        raise ValueError(
            f"concept values must be 0 or 1; got {values.unique().tolist()}. For a concept with "
            "more values, take the difference of two rows of `value_means`."
        )


def _reader(weights: Tensor) -> Found:
    """Directions that only read: a code is how far a shift goes along one of them."""
    unit = _unit(weights)
    return Found(unit, lambda shifts: shifts @ unit.mT)


def _unit(rows: Tensor) -> Tensor:
    checks.require_finite("directions", rows, "What they were fitted to is far too small.")
    lengths: Tensor = rows.norm(dim=1, keepdim=True)
    if (lengths == 0).any():
        raise ValueError(
            "every direction must be longer than 0; row(s) "
            f"{(lengths[:, 0] == 0).nonzero().flatten().tolist()} point nowhere. Leave them out."
        )
    return rows / lengths


def _least_squares(inputs: Tensor, targets: Tensor) -> Tensor:
    # "gelsd" also solves systems of deficient rank; torch has it on the CPU only.
    solution: Tensor = torch.linalg.lstsq(inputs.cpu(), targets.cpu(), driver="gelsd").solution
    return solution.to(inputs.device)
