"""Which algorithm does a network run? Interchange, its score, and subspaces trained to pass it.

A featurizer is any `methods.Found`: it reads codes from a state and has a direction for each.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Real
from torch import Tensor
from torch.nn.utils.parametrizations import orthogonal

from ssae_kit import checks
from ssae_kit.methods import Found, require_two_values

HOT, COLD = 10.0, 0.1
"""Temperature of a boundary, in dimensions, at the first and at the last step."""


def whole(d_model: int) -> Found:
    """All of the state: every interchange succeeds with it, so it is the control, not a finding."""
    d_model = checks.whole("d_model", d_model)
    return Found(torch.eye(d_model), lambda states: states)


def exchange(
    found: Found,
    bases: Float[Tensor, "texts d_model"],
    sources: Float[Tensor, "texts d_model"],
    chosen: Bool[Tensor, "texts latents"] | None = None,
) -> Float[Tensor, "texts d_model"]:
    """Return what to add to each base so that its chosen latents take the source's values.

    What the featurizer cannot say of the base stays as it is: only a difference of codes is
    decoded. So one that reconstructs badly is not punished for that.

    Args:
        found: Any featurizer; for orthonormal directions this is the interchange of a subspace.
        bases: States of the texts that are continued.
        sources: States of others at the same site.
        chosen: Which latents to exchange in each text; None for all.

    Raises:
        ValueError: if shapes do not fit, or a number is not finite.

    Source: Geiger et al. 2024 (arXiv 2303.02536), with any featurizer: Huang et al. 2024
        (arXiv 2402.17700).
    """
    checks.require_kind("found", found, Found, "methods.difference_of_means(shifts, changes)")
    axes = "texts d_model"
    bases, sources = checks.tensors(bases=(bases, axes), sources=(sources, axes))
    n_latents, width = found.directions.shape
    if bases.shape[1] != width:
        raise ValueError(
            f"`bases` must be as wide as the directions, {width}; got {bases.shape[1]}. Read them "
            "at the layer that the featurizer was fitted to."
        )
    bases, sources = bases.to(found.directions), sources.to(found.directions)
    codes = found.read(sources) - found.read(bases)
    if chosen is not None:
        (mask,) = checks.tensors(chosen=(chosen, "texts latents"))
        if mask.shape != codes.shape:
            raise ValueError(
                f"`chosen` must have one entry per text and latent, {[len(bases), n_latents]}; got "
                f"{list(mask.shape)}."
            )
        codes = codes * checks.mask("chosen", mask).to(codes.device)
    return (codes @ found.directions).detach()


@dataclass(frozen=True)
class Interchanged:
    """What became of an interchange, per text. Report both, never one alone; 1 is best."""

    cause: Float[Tensor, " texts"]
    """Of the variables exchanged where base and source differ, the share that follows the source."""
    isolate: Float[Tensor, " texts"]
    """Of the other variables where they differ, the share that stays with the base."""

    @property
    def score(self) -> float:
        """Mean of both: 0.5 is what doing nothing gets, and what exchanging everything gets."""
        return float(self.cause.nanmean() + self.isolate.nanmean()) / 2


def followed(
    said: Real[Tensor, "texts variables"],
    bases: Real[Tensor, "texts variables"],
    sources: Real[Tensor, "texts variables"],
    exchanged: Bool[Tensor, "texts variables"],
) -> Interchanged:
    """Compare what was said after an interchange with the values of base and source.

    Args:
        said: Whole numbers, values that are right or wrong; or shares of words that say value 1 and
            not 0, NaN where a text says nothing.
        bases: Values of the texts that were continued.
        sources: Values of those that the states came from.
        exchanged: Which variables were to follow the source.

    Returns:
        Both shares per text; NaN where base and source do not differ, as nothing can be seen.

    Raises:
        ValueError: if the shapes differ, a share is none, or a value of base or source not finite
            or, beside shares, neither 0 nor 1.

    Source: Huang et al. 2024 (arXiv 2402.17700, RAVEL), per variable in place of per answer.
    """
    axes = "texts variables"
    checks.require_kind("said", said, Tensor, "torch.tensor([[0, 1]])")
    bases, sources, exchanged = checks.tensors(
        bases=(bases, axes), sources=(sources, axes), exchanged=(exchanged, axes)
    )
    if not said.shape == bases.shape == sources.shape == exchanged.shape:
        raise ValueError(
            "all four must have the same texts and variables; got "
            f"{[list(t.shape) for t in (said, bases, sources, exchanged)]}."
        )
    if not said.is_floating_point():
        right, stays = (said == sources).float(), (said == bases).float()
    elif ((said < 0) | (said > 1)).any():
        raise ValueError(f"shares in `said` must lie in 0..1; got {said.min()} to {said.max()}.")
    else:
        require_two_values(torch.stack([bases, sources]))
        right, stays = 1 - (said - sources).abs(), 1 - (said - bases).abs()
    on, differ = checks.mask("exchanged", exchanged), bases != sources
    return Interchanged(_mean(right, on & differ), _mean(stays, ~on & differ))


def _mean(shares: Tensor, where: Tensor) -> Tensor:
    return shares.masked_fill(~where, float("nan")).nanmean(1)


class Subspaces(torch.nn.Module):
    """Orthonormal bases, one per run, that an interchange trains; runs never touch each other.

    Args:
        n_runs: Independent subspaces: of several variables, layers, widths or seeds.
        d_model: Width of the states.
        k: Dimensions of each: one number for all runs, or one per run.
        generator: Of the first bases.
        finds_width: Whether each run learns how many of its `k` dimensions it needs: dimension i
            counts by a sigmoid of (width - i) / temperature, with a temperature that falls.

    Raises:
        ValueError: if a number is out of range, or `k` holds another number of them than runs.

    Source: Geiger et al. 2024 (arXiv 2303.02536); its width: Wu et al. 2023 (arXiv 2305.08809),
        whose lower boundary is 0 here.
    """

    def __init__(
        self,
        n_runs: int,
        d_model: int,
        k: int | Sequence[int],
        *,
        generator: torch.Generator,
        finds_width: bool = False,
    ) -> None:
        super().__init__()
        n_runs, d_model = checks.whole("n_runs", n_runs), checks.whole("d_model", d_model)
        each = [*k] if isinstance(k, Sequence) else [k] * n_runs
        each = [checks.whole("k", one, 1, d_model, " (the width of the states)") for one in each]
        checks.require("k", each, f"one number per run, {n_runs}", lambda them: len(them) == n_runs)
        checks.require_generator(generator)
        start = torch.randn(n_runs, d_model, d_model, generator=generator)
        frame = torch.linalg.qr(start).Q
        self.basis = torch.nn.Parameter(frame[..., : max(each)].clone())
        self.k: Tensor
        self.register_buffer("k", torch.tensor(each))
        with torch.random.fork_rng(devices=[]):  # torch completes the basis from a global stream,
            orthogonal(self, "basis", orthogonal_map="householder")
        completed: Any = self.get_submodule("parametrizations.basis.0")
        completed.base = frame  # on which the path of the search would depend
        # Through a sigmoid, half of them at first: a boundary at an edge can still come back.
        self.boundary = torch.nn.Parameter(torch.zeros(n_runs)) if finds_width else None
        self.temperature = HOT

    @property
    def width(self) -> Float[Tensor, " runs"]:
        """Dimensions that each run uses."""
        return self.k.float() if self.boundary is None else self.k * self.boundary.sigmoid()

    @property
    def weights(self) -> Float[Tensor, "runs k"]:
        """How much each dimension counts, 0 to 1."""
        middle = torch.arange(self.basis.shape[2], device=self.basis.device) + 0.5
        used = (middle < self.k[:, None]).float()
        if self.boundary is None:
            return used
        return used * ((self.width[:, None] - middle) / self.temperature).sigmoid()

    def forward(
        self,
        bases: Float[Tensor, "runs texts d_model"],
        sources: Float[Tensor, "runs texts d_model"],
    ) -> Float[Tensor, "runs texts d_model"]:
        """Return what to add to the bases so that their part in the subspace is the sources'.

        Raises:
            ValueError: if the runs or the width do not fit, or a number is not finite.
        """
        axes, basis = "runs texts d_model", self.basis
        bases, sources = checks.tensors(bases=(bases, axes), sources=(sources, axes))
        if bases.shape[0] not in (1, len(basis)) or bases.shape[2] != basis.shape[1]:
            raise ValueError(
                f"states must be [{len(basis)} runs (or 1), texts, {basis.shape[1]}]; got "
                f"{list(bases.shape)}. Give one block of states per run."
            )
        bases, sources = bases.to(basis), sources.to(basis)
        return ((sources - bases) @ basis * self.weights[:, None]) @ basis.mT

    @torch.no_grad()
    def found(self, run: int = 0) -> Found:
        """Return a run's subspace as a featurizer; dimensions beyond its width are left out.

        Raises:
            ValueError: if there is no such run.
        """
        run = checks.whole("run", run, 0, len(self.basis) - 1, " (the last run)")
        kept = self.weights[run] > 0.5
        rows = self.basis[run].mT[kept].clone()
        return Found(rows, lambda states: states @ rows.mT)


def align(
    subspaces: Subspaces,
    loss: Callable[[int], Float[Tensor, " runs"]],
    *,
    n_steps: int,
    learning_rate: float = 0.02,
    width_cost: float = 0.0,
) -> Float[Tensor, " runs"]:
    """Train subspaces in place, all runs at once, and return the loss of the last step.

    Args:
        subspaces: What is trained.
        loss: Given the number of a step, how far the network is from the counterfactual answers
            after the interchange, per run. What it depends on beside `subspaces` stays as it is.
        n_steps: Updates.
        learning_rate: Of Adam.
        width_cost: What one dimension of width costs, in units of the loss.

    Raises:
        ValueError: if a loss is not finite, not one number per run, or does not depend on
            `subspaces`, or a setting is out of range.
        TypeError: if a loss is no tensor.
    """
    checks.require_kind("subspaces", subspaces, Subspaces)
    n_steps, n_runs = checks.whole("n_steps", n_steps), len(subspaces.basis)
    checks.require("learning_rate", learning_rate, "above 0", lambda rate: 0 < rate < torch.inf)
    checks.require("width_cost", width_cost, "at least 0", lambda cost: 0 <= cost < torch.inf)
    *_, basis = parameters = list(subspaces.parameters())
    optimizer = torch.optim.Adam(parameters, learning_rate)
    for step in range(n_steps):
        subspaces.temperature = HOT * (COLD / HOT) ** (step / max(n_steps - 1, 1))
        losses = loss(step)
        checks.require_kind("loss(step)", losses, Tensor, "a tensor with one number per run")
        if losses.shape != (n_runs,) or not losses.isfinite().all():
            raise ValueError(
                f"`loss` must return one finite number per run, [{n_runs}]; at step {step} it gave "
                f"{losses.detach()}."
            )
        optimizer.zero_grad()
        cost = losses.sum() + width_cost * subspaces.width.sum()
        if cost.requires_grad:
            # To these alone: nobody would clear what the network's weights collect.
            cost.backward(inputs=parameters)
        if basis.grad is None:
            raise ValueError(
                "`loss` must depend on `subspaces`; its value does not. Add what `subspaces(bases, "
                "sources)` returns to the states, and compute the loss from there."
            )
        optimizer.step()
    return losses.detach()
