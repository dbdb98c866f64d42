"""The card of the bundled Llama: every figure, computed from the shipped weights."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ssae_kit.llama.load import DEFAULT_SEED, Llama, load
from ssae_kit.organism.measure import (
    Measure,
    answer_figures,
    demand_figures,
    excess_figures,
    word_index,
)
from ssae_kit.organism.steer import MIDDLE, many_valued_figures, probe_figures, steering_figures
from ssae_kit.storage import DATA, replacing

REBUILD = "python -m ssae_kit.organism train --seed {seed} --steps {n_steps}"
CONTROLS = ("no mask", "untrained")
"""Models of other trainings that the card shows beside the seeds."""
TEMPLATE = DATA / "llama_tiny" / "card_template.md"
"""The card's prose, with places for what is measured."""


def checksum(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights and tokenizer."""
    digest = hashlib.sha256()
    for name in ("model.safetensors", "tokenizer.json"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


def load_in_float32(folder: Path) -> Llama:
    """Load a checkpoint of the world for measuring.

    Raises:
        ValueError: if its tokenizer does not know the world's words.
    """
    llama = load(folder, dtype=torch.float32)
    word_index(llama)
    return llama


def measure(folder: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Every figure of one checkpoint.

    Args:
        folder: The checkpoint.
        report: Told what is being measured.

    Returns:
        "figures" (dicts of `Measure`), "samples", "checksum", "recipe", "tokens"; ready for JSON.
    """
    llama = load_in_float32(folder)
    figures: list[Measure] = []
    for name, part in (
        ("loss above the floor", excess_figures),
        ("answers", answer_figures),
        ("probes", probe_figures),
        ("demands", demand_figures),
        ("concepts of many values", many_valued_figures),
    ):
        report(name)
        figures += part(llama)
    report("steering")
    steering, samples = steering_figures(llama)
    rows = [{**asdict(figure), "passed": figure.passed} for figure in figures + steering]
    training = json.loads((folder / "training.json").read_text("utf-8"))
    return {
        "figures": rows,
        "samples": samples,
        "checksum": checksum(folder),
        "recipe": training["recipe"],
        "tokens": training["tokens"],
    }


def make_card(data: Path, report: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure the shipped seeds and write `card.json` and `CARD.md` into their folder.

    The controls are read from `control_*.json`, which the commands in the card make.

    Args:
        data: The folder that holds `seed0`, `seed1` and so on.
        report: Told what is being measured.

    Raises:
        FileNotFoundError: if there is no seed.
    """
    folders = sorted(path for path in data.glob("seed*") if (path / "config.json").is_file())
    if not folders:
        raise FileNotFoundError(
            f"{data} must hold at least one trained seed; it holds none. "
            "Make one with `python -m ssae_kit.organism train --seed 0`."
        )
    models = {}
    for folder in folders:
        report(folder.name)
        models[folder.name] = measure(folder, report)
    for path in sorted(data.glob("control_*.json")):
        name = path.stem.removeprefix("control_").replace("_", " ")
        models[name] = json.loads(path.read_text("utf-8"))
    card = {"layer": MIDDLE, "torch": torch.__version__, "models": models}
    write_text(data / "card.json", json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    write_text(data / "CARD.md", render(card))
    return card


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def render(card: dict[str, Any]) -> str:
    """The card as Markdown."""
    models: dict[str, Any] = card["models"]
    seeds = [name for name in models if name.startswith("seed")]
    shown = DEFAULT_SEED if DEFAULT_SEED in seeds else seeds[0]
    gaps = [f"{len(seeds)} of three seeds trained so far."] if len(seeds) < 3 else []
    gaps += [f'The control "{name}" is not measured.' for name in CONTROLS if name not in models]
    return TEMPLATE.read_text("utf-8").format(
        seeds=", ".join(seeds),
        default=shown,
        name=shown.capitalize(),
        figures=_table(models),
        verdicts="\n".join(_verdict(name, models[name]) for name in seeds),
        samples=_samples(models[shown]["samples"]),
        gaps="".join(f"- {gap}\n" for gap in gaps),
        commands="\n".join(_command(name, models[name]) for name in seeds),
    )


def _verdict(name: str, model: dict[str, Any]) -> str:
    failed = [figure["name"] for figure in model["figures"] if figure["passed"] is False]
    return f"- **{name}**: " + (f"fails {'; '.join(failed)}." if failed else "passes all.")


def _command(name: str, model: dict[str, Any]) -> str:
    command = REBUILD.format(**model["recipe"])
    tokens = f"{model['tokens'] / 1e6:.1f} million tokens"
    return f"- {name}: `{command}` ({tokens}); SHA-256 `{model['checksum']}`"


def _table(models: dict[str, Any]) -> str:
    """The figures as a Markdown table, one column per model."""
    found = [{row["name"]: row for row in model["figures"]} for model in models.values()]
    lines = [["figure", "must reach", *models]]
    for row in next(iter(models.values()))["figures"]:
        cells = [_cell(figures.get(row["name"])) for figures in found]
        lines.append([row["name"], _threshold(row), *cells])
    table = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([table[0], "|" + "---|" * len(lines[0]), *table[1:], ""])


def _threshold(row: dict[str, Any]) -> str:
    if row["threshold"] is None:
        return "–"
    return f"{'≤' if row['smaller_is_better'] else '≥'} {row['threshold']}"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    mark = "" if row["passed"] is None else (" PASS" if row["passed"] else " **FAIL**")
    digits = 4 if row["name"].startswith("loss") else 3
    spread = f" [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
    return f"{row['value']:.{digits}f}{spread}{mark}"


def _samples(samples: list[dict[str, str]]) -> str:
    lines = []
    for sample in samples:
        lines += [f"**{sample['concept']}**. {sample['prompt']}\n", f"- before: {sample['before']}"]
        lines.append(f"- after: {sample['after']}\n")
    return "\n".join(lines)
