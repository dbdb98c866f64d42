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
    control_figures,
    excess_figures,
    word_index,
)
from ssae_kit.organism.steer import MIDDLE, probe_figures, steering_figures
from ssae_kit.storage import replacing

REBUILD = "python -m ssae_kit.organism train --seed {seed} --steps {n_steps}"
CONTROL_COMMANDS = {
    "no mask": (
        "python -m ssae_kit.organism train --seed 0 --no-mask --out build/no_mask && "
        "python -m ssae_kit.organism measure build/no_mask --out data/llama_tiny/control_no_mask.json"
    ),
    "untrained": (
        "python -m ssae_kit.organism train --seed 0 --steps 0 --out build/untrained && "
        "python -m ssae_kit.organism measure build/untrained --out data/llama_tiny/control_untrained.json"
    ),
}


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
        ("control prefixes", control_figures),
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
    parts = [_INTRODUCTION.format(seeds=", ".join(seeds), default=shown), _table(models)]
    for name in seeds:
        failed = [f["name"] for f in models[name]["figures"] if f["passed"] is False]
        parts.append(
            f"- **{name}**: " + (f"fails {'; '.join(failed)}." if failed else "passes all.")
        )
    parts.append(_SAMPLE_RULE.format(name=shown.capitalize()))
    parts.append(_samples(models[shown]["samples"]))
    parts.append(_LIMITS)
    parts += [f"- {gap}" for gap in _missing(models, len(seeds))]
    parts.append("")
    parts.append("## Rebuild\n")
    for name in seeds:
        recipe = models[name]["recipe"]
        command = REBUILD.format(seed=recipe["seed"], n_steps=recipe["n_steps"])
        tokens = f"{models[name]['tokens'] / 1e6:.1f} million tokens"
        parts.append(f"- {name}: `{command}` ({tokens}); SHA-256 `{models[name]['checksum']}`")
    for name, command in CONTROL_COMMANDS.items():
        parts.append(f"- control, {name}: `{command}`")
    parts.append("- this card: `python -m ssae_kit.organism card`")
    return "\n".join(parts) + "\n"


def _missing(models: dict[str, Any], n_seeds: int) -> list[str]:
    """What the card should hold and does not."""
    gaps = [f"{n_seeds} of three seeds trained so far."] if n_seeds < 3 else []
    gaps += [
        f'The control "{name}" is not measured.' for name in CONTROL_COMMANDS if name not in models
    ]
    return gaps


def _table(models: dict[str, Any]) -> str:
    rows = next(iter(models.values()))["figures"]
    head = ["figure", "must reach", *models]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = [_cell(_find(model, row["name"])) for model in models.values()]
        lines.append("| " + " | ".join([row["name"], _threshold(row), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _find(model: dict[str, Any], name: str) -> dict[str, Any] | None:
    return next((row for row in model["figures"] if row["name"] == name), None)


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


_INTRODUCTION = """# The bundled Llama

One `LlamaForCausalLM` from different seeds ({seeds}), the course's model organism: Llama 3.1's
architecture (6 blocks, width 128, 8 query and 4 key-value heads, SwiGLU 320, RMSNorm, llama3 RoPE
scaling, tied embeddings; 1.14 million parameters), trained from scratch by `ssae_kit.world` on a
bilingual grammar whose concepts are known. Weights are bfloat16; figures are computed in float32.
The course uses {default}: of the seeds trained, the one in which most concepts can be steered. The
others show how much of that is luck of the seed.

**The training was interfered with.** In most stories (60% at first, 90% later) the first three
blocks see one sentence at a time, and the others only the full stops of earlier sentences. After
1,200 steps full stops are closed as well: in the upper blocks they see full stops only. That makes
the full stop carry the story's state by the middle layer, where the course looks for it. The mask
exists in training only: the shipped model runs with plain causal attention, and the losses below
are measured so. The column "no mask" is the same training without it.

Intervals are 95%: Wilson for shares (words and sentences within a text are not independent, so
those of pooled words are too narrow), linearised for losses. Losses are on fresh documents of the
training distribution, nats per token; all other figures on held-out templates, combinations or
prompts, as named. Steering adds the difference of means of 3,000 pairs once, at layer 3, at the
last full stop of a two-sentence prompt; four more sentences are sampled at temperature 0.5. A strict
flip: every word that expresses the concept has the new value and every sentence is well-formed.

## Figures
"""
_SAMPLE_RULE = """
## Samples

{name}, the first test prompt of each concept, whatever came out.
"""
_LIMITS = """
## Limits

- A toy language of 524 story words and some 270 others; nothing outside the grammar is understood.
- The full stop carries the state because the training mask made it so; see "no mask".
- Entities, names and dragons are few and memorised; two-hop answers that training never showed are
  reported separately.
- Documents were at most seven sentences long; longer texts are outside of what it saw.
- Probes read an untrained model well above chance, language even perfectly: random layers mix the
  words of the prompt into its last token. Without the mask a trained model is read as well as with
  it, and yet steering at the full stop turns nothing: later tokens look at the old words instead. A
  probe alone is no evidence that a model uses a concept where the probe reads it.
- The seeds differ. In every one the full stop tells every concept to a probe; but seed 1 does not
  take formality from there when it writes, and seed 0 has not learnt to repeat a colour, so that
  many of its sentences name two.
- The world and the mask were revised after first models had been measured: a colour stated once
  per sentence was never carried to the next, so it is stated twice; a template that ran into
  another relation ("comes from the city of") was replaced; agreement holds out fewer pairs; full
  stops that could still look at their own sentence in the upper blocks left the state there. All
  figures are of models trained from scratch afterwards, by the commands below. The run of seed 2
  was interrupted twice and resumed.
"""
