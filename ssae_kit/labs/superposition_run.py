"""The Superposition lab's computation: settings in, the geometry over training out."""

from dataclasses import dataclass

import plotly.graph_objects as go
import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import superposition
from ssae_kit.labs.base import Report
from ssae_kit.plots.superposition_lab import superposition_lab
from ssae_kit.synthetic.features import Relation, sample_features

N_RUNS, BATCH = 6, 256
STEPS, EVERY = 800, 20
"""Updates, and updates between two frames."""


@dataclass(frozen=True)
class SuperpositionSettings:
    """Everything the Superposition lab can vary."""

    n_features: int = 5
    """Features, most important first."""
    d_hidden: int = 2
    """Dimensions of the narrow layer, 2 or 3."""
    sparsity: float = 0.9
    """Probability that a feature is zero, 0 to 0.99."""
    decay: float = 1.0
    """Importance of each feature as a share of the one before it, 0.5 to 1."""
    relation: Relation = "independent"
    """How neighbours (0 and 1, 2 and 3, ...) go together."""
    relu_output: bool = True
    """Whether the output passes a ReLU; without it the model is linear."""
    seed: int = 0
    """Draws the starts and the batches."""


@dataclass(frozen=True)
class SuperpositionOutcome:
    """Runs of one toy model over their training."""

    frames: Float[Tensor, "frames run features d_hidden"]
    """Directions before training and after every `EVERY` updates."""
    losses: Float[Tensor, "records run"]
    """Loss, averaged over every `EVERY` updates."""

    @classmethod
    def measure(cls, frames: list[Tensor], losses: Tensor) -> "SuperpositionOutcome":
        """Gather frames, and the loss of every batch so far, `[updates, run]`."""
        whole = losses[: len(losses) // EVERY * EVERY]
        return cls(torch.stack(frames), whole.view(-1, EVERY, losses.shape[1]).mean(1))

    @property
    def best(self) -> int:
        """Run of lowest loss at the end."""
        return int(self.losses[-1].argmin())

    def figure(self, frame: int = -1, turn: float = 0.0) -> go.Figure:
        """Draw the best run at one frame, by default the last; `turn` in degrees."""
        frame = range(len(self.frames))[frame]
        directions = self.frames[frame, self.best]
        return superposition_lab(
            directions.T.numpy(), superposition.dimensionality(directions[None])[0].numpy(),
            self.losses.numpy(), EVERY, step=frame * EVERY, best=self.best, turn=turn,
        )  # fmt: skip

    def words(self, frame: int = -1) -> str:
        """Say what is stored at one frame, and how."""
        frame = range(len(self.frames))[frame]
        directions = self.frames[frame, self.best][None]
        stored = superposition.represented(directions)[0]
        share = superposition.dimensionality(directions)[0]
        overlap = superposition.interference(directions)[0]
        k, d = directions.shape[1:]
        missing = ", ".join(map(str, (~stored).nonzero().flatten().tolist()))
        crowd = int((overlap[stored] > 0.05).sum())
        return (
            f"After {frame * EVERY} updates, the best of {self.frames.shape[1]} runs stores "
            f"{int(stored.sum())} of {k} features in {d} dimensions"
            + (f" (not {missing})" if missing else "")
            + f"; {crowd} of them overlap with others. Dimensionality of the stored: "
            + (
                f"{share[stored].min():.2f} to {share[stored].max():.2f}"
                if stored.any()
                else "none"
            )
            + f", together {share[stored].sum():.2f}. Loss: {self.losses[-1, self.best]:.4f}."
        )


def run(settings: SuperpositionSettings, report: Report) -> SuperpositionOutcome:
    """Train `N_RUNS` toy models and keep a frame every `EVERY` updates."""
    s = settings
    model = superposition.ToyModel(
        N_RUNS, s.n_features, s.d_hidden, importance=s.decay ** torch.arange(s.n_features),
        relu_output=s.relu_output, generator=torch.Generator().manual_seed(s.seed),
    )  # fmt: skip
    density = torch.full((N_RUNS, s.n_features), 1 - s.sparsity)
    frames = [model.directions.clone()]

    def on_step(step: int, losses: Tensor) -> None:
        if step % EVERY == 0:
            frames.append(model.directions.clone())
            report(step / STEPS, lambda: SuperpositionOutcome.measure(frames, losses))

    losses = superposition.train(
        model,
        lambda g: sample_features(density, BATCH, relation=s.relation, generator=g),
        steps=STEPS,
        generator=torch.Generator().manual_seed(s.seed + 1_000_000),
        on_step=on_step,
    )
    return SuperpositionOutcome.measure(frames, losses)


def code(settings: SuperpositionSettings) -> str:
    """Return a code cell that does the same without the lab."""
    s = settings
    return f"""import torch
from ssae_kit import labs, plots, superposition
from ssae_kit.synthetic.features import sample_features

model = superposition.ToyModel(
    {N_RUNS}, {s.n_features}, {s.d_hidden}, importance={s.decay} ** torch.arange({s.n_features}),
    relu_output={s.relu_output}, generator=torch.Generator().manual_seed({s.seed}),
)
density = torch.full(({N_RUNS}, {s.n_features}), 1 - {s.sparsity})
frames = [model.directions.clone()]

def on_step(step, losses):
    if step % {EVERY} == 0:
        frames.append(model.directions.clone())

losses = superposition.train(
    model, lambda g: sample_features(density, {BATCH}, relation={s.relation!r}, generator=g),
    steps={STEPS}, generator=torch.Generator().manual_seed({s.seed + 1_000_000}), on_step=on_step,
)
outcome = labs.SuperpositionOutcome.measure(frames, losses)
plots.show(outcome.figure(), outcome.words())
"""
