"""Run a study at length and keep its result: `python -m ssae_kit.studies NAME`.

The result goes to data/results/shifts_NAME.safetensors, with the command that made it. `real` runs
all studies of the real Llama, in files of their own (`real_sites.safetensors` ...). What is done is kept in .cache/studies/NAME until then: after a kill, the same command goes on from there.
"""

import argparse
import shutil
import sys
from pathlib import Path

import torch
from tqdm import tqdm

from ssae_kit.storage import load_tensors, save_tensors
from ssae_kit.studies.catalogue import REAL, STUDIES, collect
from ssae_kit.studies.real import STATES
from ssae_kit.studies.results import file_of
from ssae_kit.studies.sweep import place, sweep


def main() -> None:
    """Parse the command line, run the study, write its file or files."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.studies", description=__doc__)
    parser.add_argument("name", choices=["real", *sorted(STUDIES)], help="which study")
    parser.add_argument("--folder", type=Path, default=Path("data/results"), help="where to write")
    options = parser.parse_args()
    try:
        for name in REAL if options.name == "real" else [options.name]:
            _run(name, options.folder)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if options.name == "real":
        shutil.rmtree(STATES, ignore_errors=True)


def _run(name: str, folder: Path) -> None:
    study, conditions = STUDIES[name]
    kept = Path(".cache/studies") / name
    results = sweep(study, tqdm(conditions, desc=name, unit="condition"), kept)
    paths = [place(study, condition, kept)[0] for condition in conditions]
    if not all(path.exists() for path in paths):
        raise FileExistsError("another command ran this study too, and has written its result.")
    metadata = {
        "command": f"python -m ssae_kit.studies {'real' if name in REAL else name}",
        "conditions": conditions,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "cpu_seconds": round(sum(load_tensors(p)[1]["cpu_seconds"] for p in paths), 1),
    }
    save_tensors(file_of(name, folder), collect(results), metadata)
    shutil.rmtree(kept, ignore_errors=True)


if __name__ == "__main__":
    main()
