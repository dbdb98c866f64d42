"""Directions from every method: one row per concept, learned from the same pairs of texts."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.llama import Llama, hidden_states
from ssae_kit.metrics import Matching, mcc_codes
from ssae_kit.pairs import ConceptPairs
from ssae_kit.steering.values import require_two_values


def shift_vectors(
    llama: Llama, pairs: ConceptPairs, layer: int | Sequence[int], *, progress: bool = False
) -> Float[Tensor, "*layers pairs d_model"]:
    """Return target minus source hidden state of each pair, at the last token.

    A sequence of layers, all from one pass, gives their shifts stacked in its order.
    """
    texts = list(dict.fromkeys(pairs.source + pairs.target))
    states = hidden_states(llama, texts, layer, progress=progress)
    row = {text: i for i, text in enumerate(texts)}
    target = states[..., [row[text] for text in pairs.target], :]
    return target - states[..., [row[text] for text in pairs.source], :]


def difference_of_means(
    shifts: Float[Tensor, "pairs d_model"], changes: Float[Tensor, "pairs concepts"]
) -> Float[Tensor, "concepts d_model"]:
    """Return the mean shift of the pairs in which a concept changes, signed by its change.

    The supervised comparator: it is told which concept changed in every pair.

    Args:
        shifts: Target minus source activations.
        changes: Known change of each concept in the same pairs (-1, 0 or 1).

    Raises:
        ValueError: if a concept never changes.

    Source: Panickssery et al. 2023 (arXiv 2312.06681), contrastive activation addition.
    """
    return (changes.mT @ shifts) / _times_changed(changes)


def value_means(
    states: Float[Tensor, "texts d_model"], values: Int[Tensor, " texts"], n_values: int
) -> Float[Tensor, "values d_model"]:
    """Return the mean hidden state of the texts with each value of one concept.

    Row b minus row a steers from value a to value b: the difference of means for a concept with
    any number of values, told the value of each text instead of the change in each pair.

    Args:
        states: Hidden states.
        values: Value of the concept in the same texts, 0 to `n_values` - 1.
        n_values: Number of values, at least 2.

    Raises:
        ValueError: if no text has one of the values.
    """
    has = torch.stack([values == value for value in range(n_values)]).to(states.dtype)
    missing = (has.sum(1) == 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"every value of the concept needs at least one text; value(s) {missing} of "
            f"0..{n_values - 1} have none. Add texts or lower `n_values`."
        )
    return has @ states / has.sum(1, keepdim=True)


def class_mean_directions(
    states: Float[Tensor, "texts d_model"], values: Int[Tensor, "texts concepts"]
) -> Float[Tensor, "concepts d_model"]:
    """Return, per two-valued concept, the mean state at value 1 minus that at value 0.

    Raises:
        ValueError: if a value is neither 0 nor 1, or a concept has the same value in every text.
    """
    require_two_values(values)
    means = [value_means(states, column, 2) for column in values.unbind(1)]
    return torch.stack([mean[1] - mean[0] for mean in means])


def probe_directions(
    states: Float[Tensor, "texts d_model"], values: Int[Tensor, "texts concepts"]
) -> Float[Tensor, "concepts d_model"]:
    """Return the unit weight vector of a logistic probe for each two-valued concept.

    Along it the probe's certainty of value 1 grows fastest. It reads best, which does not mean
    that the model itself reads the concept there.

    Raises:
        ValueError: if a concept has the same value in every text.

    Source: Wu et al. 2025 (arXiv 2501.17148, AxBench), the baseline "linear probe".
    """
    inputs = (states / states.square().mean().sqrt()).numpy()
    weights = []
    for concept, column in enumerate(values.unbind(1)):
        if len(column.unique()) != 2:
            raise ValueError(
                f"a probe needs texts of both values; the concept in column {concept} has "
                f"{column.unique().tolist()} only. Add texts or drop the column."
            )
        probe = LogisticRegression(max_iter=1000).fit(inputs, column.numpy())
        weights.append(torch.from_numpy(probe.coef_[0]).to(states.dtype))
    found: Tensor = torch.stack(weights)
    lengths: Tensor = found.norm(dim=1, keepdim=True)
    return found / lengths


def principal_directions(
    shifts: Float[Tensor, "pairs d_model"], changes: Float[Tensor, "pairs concepts"]
) -> tuple[Float[Tensor, "concepts d_model"], Matching]:
    """Return the leading right singular vectors of the shifts, unit length, named by the labels.

    As many as there are concepts. Like the autoencoder's, they are found without labels.

    Args:
        shifts: Target minus source activations. They are not centred: a shift has an origin.
        changes: Known change of each concept in the same pairs.

    Returns:
        The directions, and the matching of singular vectors to concepts.

    Raises:
        ValueError: if a concept never changes, or there are fewer dimensions than concepts.

    Source: Zou et al. 2023 (arXiv 2310.01405), representation engineering.
    """
    _times_changed(changes)
    n_concepts = changes.shape[1]
    if min(shifts.shape) < n_concepts:
        raise ValueError(
            f"{n_concepts} concepts need at least as many pairs and dimensions; got shifts of "
            f"shape {list(shifts.shape)}. Bring more pairs or drop concepts."
        )
    leading = torch.linalg.svd(shifts, full_matrices=False).Vh[:n_concepts]
    matching = mcc_codes((shifts @ leading.mT)[None], changes)
    return matching.sign[0, :, None] * leading[matching.latent[0]], matching


def latent_directions(
    autoencoder: ShiftAutoencoder,
    shifts: Float[Tensor, "pairs d_model"],
    changes: Float[Tensor, "pairs concepts"],
) -> tuple[Float[Tensor, "concepts d_model"], Matching]:
    """Return one decoder direction per concept, as long as a typical shift.

    The autoencoder found the directions without labels. Labels serve only to name them: which
    latent belongs to which concept, which way is up, and how large its code is when the concept
    changes.

    Args:
        autoencoder: A single run.
        shifts: Target minus source activations.
        changes: Known change of each concept in the same pairs.

    Returns:
        The directions, and the matching of latents to concepts.

    Raises:
        ValueError: if there is more than one run, fewer latents than concepts, or a concept
            never changes.

    Source: Joshi et al. 2025 (arXiv 2502.12179): steer by the decoded unit code.
    """
    if autoencoder.n_runs != 1 or autoencoder.n_latents < changes.shape[1]:
        raise ValueError(
            f"one run with at least {changes.shape[1]} latents (one per concept) is required; got "
            f"{autoencoder.n_runs} runs of {autoencoder.n_latents}. Use `autoencoder.select(run)`."
        )
    with torch.no_grad():
        codes = autoencoder.encode(shifts)
    matching = mcc_codes(codes, changes)
    named = codes[0][:, matching.latent[0]]
    typical = (changes * named).sum(0) / _times_changed(changes)[:, 0]
    length: Tensor = typical * autoencoder.scale
    return length[:, None] * autoencoder.directions[0, matching.latent[0]], matching


def rescaled(
    directions: Float[Tensor, "concepts d_model"], reference: Float[Tensor, "concepts d_model"]
) -> Float[Tensor, "concepts d_model"]:
    """Return the directions with the lengths of others, so that equal strengths push equally far.

    Raises:
        ValueError: if a direction has length 0.
    """
    own = directions.norm(dim=1)
    if (own == 0).any():
        raise ValueError(
            "every direction must be longer than 0; row(s) "
            f"{(own == 0).nonzero().flatten().tolist()} point nowhere. Leave them out."
        )
    lengths: Tensor = reference.norm(dim=1) / own
    return directions * lengths[:, None]


def random_directions(
    directions: Float[Tensor, "concepts d_model"], *, generator: torch.Generator
) -> Float[Tensor, "concepts d_model"]:
    """Return random directions of the same lengths: what a push of that size does by itself."""
    return rescaled(torch.randn(directions.shape, generator=generator), directions)


def _times_changed(changes: Tensor) -> Float[Tensor, "concepts 1"]:
    count = (changes != 0).sum(0)
    if (count == 0).any():
        raise ValueError(
            "every concept must change in at least one pair; the concept(s) in column(s) "
            f"{(count == 0).nonzero().flatten().tolist()} never do. Add pairs or drop the column."
        )
    return count[:, None].to(changes.dtype)
