"""Train the bundled Llama from scratch on the world's corpus."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ssae_kit.llama.create import (
    SPECIAL_TOKENS,
    check_new,
    create_llama,
    create_tokenizer,
    save_llama,
)
from ssae_kit.organism.corpus import (
    CARRYING_MIXTURE,
    MIXTURE,
    draw_corpus,
    log_probability,
    vocabulary,
)
from ssae_kit.organism.gist import Stage
from ssae_kit.organism.loss import document_losses, n_predicted, token_losses
from ssae_kit.organism.muon import BatchedMuon
from ssae_kit.storage import load_tensors, save_tensors
from ssae_kit.world.documents import Document
from ssae_kit.world.text import WORD_PATTERN


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, together with the machine."""

    seed: int = 0
    """Of the initial weights and of every document."""
    n_steps: int = 5600
    """Optimiser steps."""
    n_open_steps: int = 1000
    """Of these, the first: full stops are open (see `gist`). When they were closed from the start,
    concepts were never carried to them."""
    n_carrying_steps: int = 2800
    """Of these, the first: demands ask for a language only, and all else is carried over, most often
    in one code for both (`CARRYING_MIXTURE`). Other demands overrule what full stops carry: with them
    from the start, size was not carried after 3,000 steps. Sentiment comes last, after 1,400 to 2,400
    steps."""
    n_first_steps: int = 4200
    """Of these, the first: some stories are told without mask, and no words mislead. Without such
    stories concepts of several values are not learned; with them to the end, a model reads what it can
    off earlier words, and steering the full stop does not turn that."""
    masked_share: float = 0.6
    """Share of the stories and demands under the gist mask while full stops are open."""
    closed_share: float = 0.9
    """The same while they are closed and nothing misleads."""
    misled_share: float = 1.0
    """The same afterwards. With all three 0, training goes without the mask."""
    n_documents: int = 52
    """Documents per step; 2,600 of their tokens are predicted, on average."""
    learning_rate: float = 1.5e-3
    """Highest; reached after 50 steps, kept until words mislead, then lowered linearly."""
    n_validation: int = 600
    """Fresh documents that the reports are computed on."""
    report_every: int = 200
    """Steps between two reports of the loss per family, which are also the checkpoints."""

    def __post_init__(self) -> None:
        shares = (self.masked_share, self.closed_share, self.misled_share)
        stages = (0, self.n_open_steps, self.n_first_steps)
        if (
            min(self.n_steps, self.n_carrying_steps) < 0
            or list(stages) != sorted(stages)
            or not all(0 <= share <= 1 for share in shares)
        ):
            raise ValueError(
                "`n_steps`, `n_carrying_steps` and `n_open_steps` must be 0 or more, `n_first_steps` "
                "at least `n_open_steps`, and `masked_share`, `closed_share` and `misled_share` lie in "
                f"0..1; got {self.n_steps}, {self.n_carrying_steps}, {stages[1:]} and {shares}. "
                "Correct the recipe."
            )

    def stage(self, step: int) -> tuple[Stage, float]:
        """What masked stories see at a step, and the share of stories that are masked."""
        if step < self.n_open_steps:
            return "open", self.masked_share
        if step < self.n_first_steps:
            return "closed", self.closed_share
        return "misled", self.misled_share


@dataclass
class Progress:
    """What a training tells at intervals."""

    step: int
    """Steps done."""
    excess: dict[str, float]
    """Family → loss above the entropy floor on fresh documents, nats per token."""
    tokens: int
    """Tokens predicted, padding and given words not counted."""
    seconds: float = field(compare=False)
    """Wall time since this process began to train."""


class Trainer:
    """One training run: model, optimisers and the step they are at."""

    def __init__(self, recipe: Recipe, device: str = "cpu") -> None:
        self.recipe = recipe
        self.words = vocabulary()
        self.index = {word: i + len(SPECIAL_TOKENS) for i, word in enumerate(self.words)}
        self.model = create_llama(len(self.words) + len(SPECIAL_TOKENS), recipe.seed).to(device)
        self.step = 0
        self.tokens = 0
        weights, rate = dict(self.model.named_parameters()), recipe.learning_rate
        is_hidden = {name: w.dim() == 2 and "embed" not in name for name, w in weights.items()}
        hidden = [weights[name] for name in weights if is_hidden[name]]
        other = [weights[name] for name in weights if not is_hidden[name]]
        self.optimisers: list[torch.optim.Optimizer] = [
            BatchedMuon(hidden, rate),
            torch.optim.AdamW(other, lr=rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]

    def train_step(self) -> float:
        """One optimiser step on fresh documents; returns the loss in nats per token."""
        generator = torch.Generator().manual_seed(self.recipe.seed * 10**9 + self.step)
        mixture = CARRYING_MIXTURE if self.step < self.recipe.n_carrying_steps else MIXTURE
        documents = draw_corpus(generator, self.recipe.n_documents, mixture)
        stage, share = self.recipe.stage(self.step)
        is_masked = torch.rand(len(documents), generator=generator) < share
        losses, _ = token_losses(self.model, documents, self.index, is_masked, stage)
        loss = losses.mean()
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
            for group in optimiser.param_groups:
                group["lr"] = self._rate()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimiser in self.optimisers:
            optimiser.step()
        self.step += 1
        self.tokens += len(losses)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss must stay finite; step {self.step} gave {value}. "
                "Lower `learning_rate` and start again."
            )
        return value

    def _rate(self) -> float:
        warm, left = (self.step + 1) / 50, self.recipe.n_steps - self.step
        falling = left / max(1, self.recipe.n_steps - self.recipe.n_first_steps)
        return self.recipe.learning_rate * min(1.0, warm, max(0.02, falling))

    def excess(self, documents: list[Document]) -> dict[str, float]:
        """Loss above the floor per family, nats per token, under plain causal attention."""
        losses = document_losses(self.model, documents, self.index).tolist()
        gap, tokens = dict.fromkeys(MIXTURE, 0.0), dict.fromkeys(MIXTURE, 0)
        for document, loss in zip(documents, losses, strict=True):
            gap[document.family] += loss + log_probability(document)
            tokens[document.family] += n_predicted(document)
        return {family: gap[family] / max(1, tokens[family]) for family in MIXTURE}

    def save(self, path: Path) -> None:
        """Write the whole state of the run, so that `resume` goes on as if nothing had happened."""
        tensors = {f"weight.{n}": p for n, p in self.model.named_parameters()}
        for i, optimiser in enumerate(self.optimisers):
            for j, state in optimiser.state_dict()["state"].items():
                tensors |= {f"optimiser.{i}.{j}.{k}": v for k, v in state.items()}
        metadata = {"recipe": asdict(self.recipe), "step": self.step, "tokens": self.tokens}
        save_tensors(path, tensors, metadata)

    def resume(self, path: Path) -> None:
        """Take up a run where `save` left it.

        Raises:
            ValueError: if the file is truncated or belongs to another recipe.
        """
        tensors, metadata = load_tensors(path)
        if metadata["recipe"] != asdict(self.recipe):
            raise ValueError(
                f"the checkpoint {path} must be of the recipe {asdict(self.recipe)}; it is of "
                f"{metadata['recipe']}. Delete it to start anew, or ask for its recipe."
            )
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                weight.copy_(tensors[f"weight.{name}"])
        for i, optimiser in enumerate(self.optimisers):
            states: dict[int, dict[str, Any]] = {}
            for key, value in tensors.items():
                kind, *rest = key.split(".", 3)
                if kind == "optimiser" and int(rest[0]) == i:
                    states.setdefault(int(rest[1]), {})[rest[2]] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        self.step, self.tokens = metadata["step"], metadata["tokens"]


def train(
    recipe: Recipe,
    folder: Path,
    report: Callable[[Progress], None] = lambda _: None,
    device: str = "cpu",
) -> Progress:
    """Train a Llama and write it to a folder, resuming from a checkpoint beside it if there is one.

    Args:
        recipe: What to train.
        folder: Where the finished model goes; must not exist.
        report: Called every `recipe.report_every` steps, after the checkpoint is safe.
        device: Where to train. Documents and first weights are the same everywhere; the last
            digits of what is computed, and with them the finished weights, are not.

    Returns:
        The last report.

    Raises:
        FileExistsError: if the folder exists.
        ValueError: if the checkpoint is truncated or of another recipe.
        FloatingPointError: if the loss stops being finite.
    """
    check_new(folder)
    trainer = Trainer(recipe, device)
    checkpoint = folder.parent / f".{folder.name}.training.safetensors"
    if checkpoint.exists():
        trainer.resume(checkpoint)
    # Fresh documents of the training mixture, from a seed that no training uses.
    documents = draw_corpus(torch.Generator().manual_seed(-1), recipe.n_validation)
    start = time.monotonic()

    def tell() -> Progress:
        excess = trainer.excess(documents)
        return Progress(trainer.step, excess, trainer.tokens, time.monotonic() - start)

    last = None
    while trainer.step < recipe.n_steps:
        trainer.train_step()
        if trainer.step % recipe.report_every == 0 or trainer.step == recipe.n_steps:
            trainer.save(checkpoint)
            last = tell()
            report(last)
    last = last or tell()  # taken up at its last step, or of no step at all
    tokenizer = create_tokenizer(trainer.words, WORD_PATTERN)
    told = {"recipe": asdict(recipe), "tokens": trainer.tokens, "excess": last.excess}
    notes = {"training.json": json.dumps(told, indent=1) + "\n"}
    save_llama(trainer.model.cpu(), tokenizer, folder, notes)
    checkpoint.unlink(missing_ok=True)
    return last
