"""The toy model of superposition, many runs at once.

It has a short loop of its own, `train`, because nothing here is traded off, scaled or kept at unit
length, and batches may carry weights: for `ssae_kit.training.fit` the model would need three empty
methods and `fit` a second kind of batch, which is more than the dozen lines it would save.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ssae_kit import checks

Draw = Callable[[torch.Generator], Tensor | tuple[Tensor, Tensor]]
"""Returns a batch of inputs, or inputs and weights: the arguments of `ToyModel.loss`."""


class ToyModel(nn.Module):
    """Squeeze features through a narrow layer and read them back with the same weights.

    With features x, weights W and bias b:

        h = W x,      x' = ReLU(W^T h + b)

    Column i of W is the direction of feature i. Without the ReLU on the output the model is
    linear, and no better than principal components. With a ReLU on h as well, the axes of the
    hidden layer (its neurons) become special: a privileged basis.

    Args:
        n_runs: Independent runs trained side by side, at least 1.
        n_features: Length of x, at least 1.
        d_hidden: Width of h, at least 1.
        importance: Weight of each feature's squared error, at least 0; a number, or one per
            feature, `[features]`, or `[run, features]`.
        relu_output: Whether the output passes a ReLU.
        relu_hidden: Whether h passes one.
        generator: Source of the initial weights.

    Raises:
        ValueError: if a size is below 1, or an importance is negative, not finite, or of a shape
            that does not fit.

    Source: Elhage et al. 2022, Toy Models of Superposition.
    """

    importance: Tensor

    def __init__(
        self,
        n_runs: int,
        n_features: int,
        d_hidden: int,
        *,
        importance: float | Tensor = 1.0,
        relu_output: bool = True,
        relu_hidden: bool = False,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        for name, size in ("n_runs", n_runs), ("n_features", n_features), ("d_hidden", d_hidden):
            checks.whole(name, size)
        checks.require_generator(generator)
        self.relu_output, self.relu_hidden = relu_output, relu_hidden
        spread = (2 / (n_features + d_hidden)) ** 0.5
        start = torch.randn(n_runs, d_hidden, n_features, generator=generator)
        self.weight = nn.Parameter(start * spread)
        self.bias = nn.Parameter(torch.zeros(n_runs, n_features))
        self.register_buffer("importance", _importance(importance, n_runs, n_features))

    @property
    def n_runs(self) -> int:
        """Number of runs."""
        return self.weight.shape[0]

    @property
    def directions(self) -> Float[Tensor, "run features d_hidden"]:
        """Direction of each feature, one row per feature: the columns of W."""
        return self.weight.detach().mT

    def forward(self, inputs: Float[Tensor, "*run batch features"]) -> Float[Tensor, "run batch k"]:
        """Return the features as read back; inputs without a run axis serve every run."""
        if inputs.dim() == 2 and not self.relu_hidden:
            # One large product for all runs, with the samples last in memory. It pays when
            # features are few, as in phase diagrams: loops over a short last axis are slow.
            gram = self.weight.mT @ self.weight
            read = (gram @ inputs.mT + self.bias[..., None]).mT
        else:
            hidden = inputs.expand(self.n_runs, -1, -1) @ self.weight.mT
            hidden = hidden.relu() if self.relu_hidden else hidden
            read = torch.baddbmm(self.bias[:, None], hidden, self.weight)
        return read.relu() if self.relu_output else read

    def loss(
        self,
        inputs: Float[Tensor, "*run batch features"],
        weights: Float[Tensor, "run batch"] | None = None,
    ) -> Float[Tensor, " run"]:
        """Mean squared error, each feature times its importance, summed over features.

        Args:
            inputs: Features, one batch per run or one for all.
            weights: Probability of each sample; without them all count alike.

        Returns:
            At least 0, in squared units of the features; 0 is perfect.

        Raises:
            ValueError: if the inputs have another number of features, or are not finite.
        """
        # Data are drawn on the CPU, whatever trains on them.
        inputs = checks.real("inputs", inputs).to(self.weight)
        n_runs, _, width = self.weight.shape
        fits = inputs.shape[-1:] == (width,) and inputs.shape[:-2] in ((), (1,), (n_runs,))
        if inputs.dim() < 2 or not fits or not inputs.numel():
            what = f"{width} features, as the model does, and its {n_runs} runs or none"
            raise ValueError(f"inputs must have {what}; got shape {list(inputs.shape)}.")
        checks.require_finite("inputs", inputs)
        if weights is not None:
            weights = checks.tensors(weights=(weights, "run batch"))[0].to(self.weight)
            if weights.shape[0] not in (1, n_runs) or weights.shape[1] != inputs.shape[-2]:
                raise ValueError(
                    f"`weights` must hold one number per run ({n_runs}) and sample "
                    f"({inputs.shape[-2]}); got {list(weights.shape)}."
                )
        error = (self(inputs) - inputs).square()
        mean = error.mean(1) if weights is None else (error.mT * weights[:, None]).sum(-1)
        return torch.einsum("rk,rk->r", mean, self.importance)


def train(
    model: ToyModel,
    draw: Draw,
    *,
    steps: int = 1500,
    learning_rate: float = 1e-2,
    generator: torch.Generator,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Float[Tensor, "steps run"]:
    """Train a toy model in place, all runs at once, with Adam.

    Runs share nothing but the loop: the gradient of the sum of their losses is, for each run, the
    gradient of its own. The learning rate falls linearly to zero over the last half.

    Args:
        model: Trained in place.
        draw: Called with the generator for every batch.
        steps: Updates, at least 1.
        learning_rate: Adam's step size before it falls.
        generator: Source of the batches; keep it apart from the one of the initial weights.
        on_step: Called after every update with the number of updates made and the losses so far,
            `[updates made, run]`; what it raises ends the training. A live plot hangs here.

    Returns:
        The loss of every batch, before its update.

    Raises:
        ValueError: if `steps` is below 1.
        FloatingPointError: if a run's loss is not finite at the end; names the runs.
    """
    checks.require_kind("model", model, ToyModel)
    steps = checks.whole("steps", steps)
    above = "above 0 and finite"
    checks.require("learning_rate", learning_rate, above, lambda x: 0 < x < float("inf"))
    checks.require_generator(generator)
    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)
    # One block: many small ones would split the heap.
    losses = model.weight.new_empty(steps, model.n_runs)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, 2 * (1 - step / steps))
        batch = draw(generator)
        loss = model.loss(batch) if isinstance(batch, Tensor) else model.loss(*batch)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        losses[step] = loss.detach()
        if on_step is not None:
            on_step(step + 1, losses[: step + 1])
    diverged = (~losses[-1].isfinite()).nonzero().flatten().tolist()
    if diverged:
        raise FloatingPointError(
            f"training diverged in run(s) {diverged}: the loss is not finite. Lower "
            "`learning_rate`, or look for values that are not finite in the inputs."
        )
    return losses


def _importance(given: float | Tensor, n_runs: int, n_features: int) -> Tensor:
    (importance,) = checks.tensors(importance=(given, "*run"))
    checks.require("importance", importance, "at least 0", lambda weights: (weights >= 0).all())
    try:
        return importance.float().expand(n_runs, n_features).clone()
    except RuntimeError as error:
        raise ValueError(
            f"`importance` must be a number or fit [run, features] = [{n_runs}, {n_features}]; "
            f"got shape {list(importance.shape)}."
        ) from error
