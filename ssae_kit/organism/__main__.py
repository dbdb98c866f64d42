"""`python -m ssae_kit.organism train` makes a Llama; `python -m ssae_kit.organism card` measures it."""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import torch

from ssae_kit import checks
from ssae_kit.organism.card import make_card, measure, write_text
from ssae_kit.organism.train import Progress, Recipe, train
from ssae_kit.storage import DATA

MODELS = DATA / "llama_tiny"


def main() -> None:
    """Read the command line and run one of the three commands."""
    options = _parser().parse_args()
    try:
        torch.set_num_threads(checks.whole("threads", options.threads, 1, 1024))
        options.run(options)
    except (ValueError, OSError, FloatingPointError) as error:
        sys.exit(f"error: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.organism", description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="weights depend on it (default 2)")
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train", help="train a Llama from scratch")
    training.add_argument("--seed", type=int, required=True)
    training.add_argument(
        "--out", type=Path, help="folder to write (default data/llama_tiny/seedS)"
    )
    least = Recipe.n_first_steps
    training.add_argument(
        "--steps",
        type=int,
        default=Recipe.n_steps,
        help=f"up to {least}, the last stage is left out",
    )
    training.add_argument(
        "--device", default="cpu", help="weights depend on it; cuda for a GPU (default cpu)"
    )
    training.add_argument("--no-mask", action="store_true", help="the control without gist mask")
    training.set_defaults(run=_train)
    card = commands.add_parser("card", help="measure the shipped seeds and write the card")
    card.add_argument("--data", type=Path, default=MODELS, help="folder of the seeds and the card")
    card.set_defaults(run=_card)
    measuring = commands.add_parser("measure", help="measure one checkpoint, for the controls")
    measuring.add_argument("folder", type=Path)
    measuring.add_argument("--out", type=Path, required=True, help="JSON file to write")
    measuring.set_defaults(run=_measure)
    return parser


def _train(options: argparse.Namespace) -> None:
    recipe = Recipe(seed=options.seed, n_steps=options.steps)
    if options.no_mask:
        recipe = replace(recipe, masked_share=0.0, closed_share=0.0, misled_share=0.0)
    folder = options.out or MODELS / f"seed{options.seed}"
    print(f"training {recipe.n_steps} steps into {folder}", flush=True)
    train(recipe, folder, _print_report, options.device)


def _card(options: argparse.Namespace) -> None:
    card = make_card(options.data, lambda part: print(part, flush=True))
    for name, model in card["models"].items():
        failed = [figure["name"] for figure in model["figures"] if figure["passed"] is False]
        print(f"{name}: {len(failed)} below their threshold {failed}")


def _measure(options: argparse.Namespace) -> None:
    figures = measure(options.folder, lambda part: print(part, flush=True))
    write_text(options.out, json.dumps(figures, indent=1, ensure_ascii=False) + "\n")


def _print_report(report: Progress) -> None:
    excess = " ".join(f"{family} {value:.4f}" for family, value in report.excess.items())
    so_far = f"{report.seconds / 60:.1f} min, {report.tokens / 1e6:.2f}M tokens"
    print(f"step {report.step} ({so_far}) above floor: {excess}", flush=True)


if __name__ == "__main__":
    main()
