"""Minimise the error subject to a sparsity constraint, by cooper: one multiplier per run."""

from typing import Any

import cooper
import torch
from torch import Tensor

from ssae_kit.autoencoders import LossTerms
from ssae_kit.upstream import require, require_parameters

require("cooper-optim", cooper, "ConstrainedMinimizationProblem", "Constraint", "CMPState")
require("cooper-optim", cooper, "ConstraintState", "ConstraintType", "formulations", "multipliers")
require("cooper-optim", cooper, "optim")
require("cooper-optim", cooper.optim, "SimultaneousOptimizer")
require("cooper-optim", cooper.optim.SimultaneousOptimizer, "roll")
require("cooper-optim", cooper.ConstraintType, "INEQUALITY")
require("cooper-optim", cooper.formulations, "Lagrangian")
require("cooper-optim", cooper.multipliers, "DenseMultiplier")
require_parameters("cooper-optim", cooper.multipliers.DenseMultiplier, "device")


class Problem(cooper.ConstrainedMinimizationProblem):  # type: ignore[misc]
    """Minimise the summed error subject to one sparsity constraint per run."""

    def __init__(self, n_runs: int, device: torch.device) -> None:
        super().__init__()
        self.multiplier = cooper.multipliers.DenseMultiplier(n_runs, device=device)
        self.constraint = cooper.Constraint(
            constraint_type=cooper.ConstraintType.INEQUALITY,
            formulation_type=cooper.formulations.Lagrangian,
            multiplier=self.multiplier,
        )

    def compute_cmp_state(self, terms: LossTerms, level: Tensor) -> cooper.CMPState:
        """The error to lower, and by what share each run's sparsity exceeds its level."""
        violation = (terms.sparsity / level - 1).to(self.multiplier.weight.device)
        return cooper.CMPState(
            loss=(terms.error + terms.auxiliary).sum(),
            observed_constraints={self.constraint: cooper.ConstraintState(violation)},
        )


def constrained(problem: Problem, primal: torch.optim.Optimizer, rate: float) -> Any:
    """Join the weights' optimiser and the multiplier's: each `roll` makes a step of both."""
    dual = torch.optim.SGD(problem.dual_parameters(), lr=rate, maximize=True)
    return cooper.optim.SimultaneousOptimizer(
        cmp=problem, primal_optimizers=primal, dual_optimizers=dual
    )
