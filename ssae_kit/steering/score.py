"""What steering did: the words of a continuation, read and compared with the prompt's values."""

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ssae_kit import checks, methods


@dataclass(frozen=True)
class Expressed:
    """What texts say about each concept, as read by a parser."""

    share: Float[Tensor, "texts concepts"]
    """Of the words that express a concept, the share that express value 1; NaN if there are none."""
    onset: Float[Tensor, "texts concepts"]
    """Value that the first of these words expresses, 0 or 1; NaN if there are none."""
    ill_formed: Float[Tensor, " texts"]
    """Share of sentences that are not well-formed; NaN if the text has none."""


def read_concepts(
    texts: Sequence[str],
    read: Callable[[str], Any],
    concepts: Sequence[str],
    *,
    n_sentences: int,
) -> Expressed:
    """Read the first complete sentences of each text.

    Args:
        texts: One or more continuations, any strings.
        read: A parser such as `ssae_kit.world.read`: its result has `sentences`, each of which knows
            its `words` (with `values`, concept to value), `is_well_formed` and `is_complete`; it may
            also have `concepts`, all that the parser can read.
        concepts: Binary concepts, in the order of the columns wanted.
        n_sentences: Sentences read, at least 1; an unfinished one at the end is left out.

    Raises:
        ValueError: if there is no text, `n_sentences` is below 1, or a concept is not binary or not
            among the parser's.

    Warns:
        UserWarning: of concepts that no text expresses, if the parser does not tell what it reads.
    """
    checks.whole("n_sentences", n_sentences)
    if isinstance(texts, str) or not len(texts):
        raise ValueError(f"a list of at least one text is required; got {texts!r:.60}.")
    checks.require_kind("concepts", concepts, tuple | list, '("tense", "size")')
    for concept in concepts:
        checks.require_kind("concepts", concept, str, '("tense", "size")')
    readings = [read(text) for text in texts]
    tells = [require_known(reading, concepts) for reading in readings]
    rows = [_read(reading, concepts, n_sentences) for reading in readings]
    said = Expressed(*map(torch.tensor, zip(*rows, strict=True)))
    silent = [c for c, shares in zip(concepts, said.share.T, strict=True) if shares.isnan().all()]
    if silent and not all(tells):
        warnings.warn(f"no text expresses {silent}: the shares are NaN, undefined.", stacklevel=2)
    return said


def require_known(reading: Any, concepts: Collection[str]) -> bool:
    """Refuse concepts that a parser cannot read; returns whether it tells which it can."""
    known = getattr(reading, "concepts", None)
    unknown = [] if known is None else [concept for concept in concepts if concept not in known]
    if unknown:
        raise ValueError(
            f"`concepts` must be among those that the parser reads, {', '.join(known or ())}; got "
            f"{', '.join(map(repr, unknown))}. Check the spelling."
        )
    return known is not None


def _read(
    reading: Any, concepts: Sequence[str], n_sentences: int
) -> tuple[list[float], list[float], float]:
    """Share of value 1 and first value of each concept; share of ill-formed sentences."""
    complete = [s for s in reading.sentences if s.is_complete][:n_sentences]
    words = [word.values for sentence in complete for word in sentence.words]
    said = [[float(values[c]) for values in words if c in values] for c in concepts]
    for concept, row in zip(concepts, said, strict=True):
        if set(row) - {0, 1}:
            raise ValueError(
                f"`concepts` must be binary; a word says that {concept!r} is {max(row):g}. Ask for "
                "one of two values."
            )
    share = [sum(row) / len(row) if row else nan for row in said]
    onset = [row[0] if row else nan for row in said]
    ill_formed = sum(not s.is_well_formed for s in complete) / len(complete) if complete else nan
    return share, onset, ill_formed


@dataclass(frozen=True)
class SteeringScore:
    """What steering did, per text. Report effect and side effects together, never one alone."""

    changed: Float[Tensor, "texts concepts"]
    """Share of a concept's words that express another value than the prompt's; NaN if none do."""
    onset_changed: Float[Tensor, "texts concepts"]
    """Whether the first of these words does, 0 or 1; NaN if there is none."""
    steered: Bool[Tensor, "texts concepts"]
    """The concepts that were to change."""
    ill_formed: Float[Tensor, " texts"]
    """Share of sentences that are not well-formed."""

    @property
    def target(self) -> Float[Tensor, " texts"]:
        """Share of a steered concept's words that changed, mean over these: the effect. 1 is best."""
        return _mean_where(self.changed, self.steered)

    @property
    def onset(self) -> Float[Tensor, " texts"]:
        """The same for the first word that expresses a steered concept. 1 is best."""
        return _mean_where(self.onset_changed, self.steered)

    @property
    def elsewhere(self) -> Float[Tensor, " texts"]:
        """Mean share of changed words over the other concepts: the side effect. 0 is best."""
        return _mean_where(self.changed, ~self.steered)

    @property
    def strict(self) -> Bool[Tensor, " texts"]:
        """Whether every word of every steered concept changed and every sentence is well-formed."""
        return ((self.changed == 1) | ~self.steered).all(1) & (self.ill_formed == 0)

    @property
    def per_concept(self) -> Float[Tensor, "steered concepts"]:
        """Mean share of changed words of each concept, over the texts in which each was steered."""
        rows = [self.changed[column].nanmean(0) for column in self.steered.unbind(1)]
        return torch.stack(rows)

    def rows(self, chosen: Int[Tensor, " chosen"] | slice) -> "SteeringScore":
        """Return the score of some of the texts."""
        parts = (self.changed, self.onset_changed, self.steered, self.ill_formed)
        return SteeringScore(*(part[chosen] for part in parts))


def score_steering(
    expressed: Expressed,
    values: Int[Tensor, "texts concepts"],
    steered: Bool[Tensor, "texts concepts"],
) -> SteeringScore:
    """Compare what continuations express with the values of their prompts.

    Args:
        expressed: What the continuations say.
        values: Concept values of the prompts, 0 or 1.
        steered: The concepts that were to change in each, a mask.

    Raises:
        ValueError: if the shapes differ, or something is neither 0 nor 1.
    """
    checks.require_kind("expressed", expressed, Expressed, "read_concepts(...)")
    axes = "texts concepts"
    values, steered = checks.tensors(values=(values, axes), steered=(steered, axes))
    if expressed.share.shape != values.shape:
        raise ValueError(
            f"`values` must be of the texts and concepts read, {list(expressed.share.shape)}; got "
            f"{list(values.shape)}."
        )
    methods.require_two_values(values)
    device = expressed.share.device
    values, steered = values.to(device), checks.mask("steered", steered).to(device)
    changed, onset = ((said - values).abs() for said in (expressed.share, expressed.onset))
    return SteeringScore(changed, onset, steered, expressed.ill_formed)


def rate_interval(rates: Float[Tensor, " texts"] | Bool[Tensor, " texts"]) -> tuple[float, ...]:
    """Return the mean of per-text rates and its 95% interval: (mean, low, high), each 0 to 1.

    The interval is Wilson's, with the number of texts as sample size. For rates between 0 and 1
    it is wider than needed; for rates of exactly 0 or 1 it does not collapse. NaN rates are left
    out; where every rate is NaN, no text says anything, and all three numbers are NaN: undefined.

    Source: Wilson 1927.
    """
    known = _known("rates", rates, 1.0)
    n, z = len(known), 1.96
    if n == 0:
        return nan, nan, nan
    mean = float(known.mean())
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (mean * (1 - mean) / n + z * z / (4 * n * n)) ** 0.5
    return mean, max(0.0, centre - half), min(1.0, centre + half)


def mean_interval(amounts: Float[Tensor, " texts"]) -> tuple[float, ...]:
    """Return the mean of per-text amounts that cannot be negative, and its 95% interval.

    The interval is 1.96 standard errors to either side, cut at 0. NaN amounts are left out.

    Returns:
        (mean, low, high), in the unit of the amounts; NaN, that is undefined, where no text has an
        amount, and an interval of NaN where only one has.
    """
    known = _known("amounts", amounts, float("inf"))
    mean = float(known.mean())
    if len(known) < 2:
        return mean, nan, nan
    half = 1.96 * float(known.std()) / len(known) ** 0.5
    return mean, max(0.0, mean - half), mean + half


def _known(name: str, values: Tensor, most: float) -> Tensor:
    """One number per text, without those that are NaN: there the text says nothing."""
    values = checks.real(name, values).float()
    known = values[~values.isnan()]
    within = (known >= 0) & (known <= most) & known.isfinite()
    if values.dim() != 1 or not len(values) or not within.all():
        raise ValueError(
            f"`{name}` must hold one finite number per text, 0 to {most:g}; got shape "
            f"{list(values.shape)} with {known.unique()[:5].tolist()}."
        )
    return known


def _mean_where(rates: Tensor, chosen: Tensor) -> Tensor:
    return rates.masked_fill(~chosen, float("nan")).nanmean(1)
