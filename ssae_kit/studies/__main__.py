"""Run a study at length and keep its result: `python -m ssae_kit.studies NAME`.

The result goes to data/results/shifts_NAME.safetensors, with the command that made it.
"""

import argparse
import time
from pathlib import Path

from tqdm import tqdm

from ssae_kit.storage import save_tensors
from ssae_kit.studies.catalogue import STUDIES, collect
from ssae_kit.studies.sweep import sweep


def main() -> None:
    """Parse the command line, run the study, write its file."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.studies", description=__doc__)
    parser.add_argument("name", choices=sorted(STUDIES), help="which study")
    parser.add_argument("--folder", type=Path, default=Path("data/results"), help="where to write")
    options = parser.parse_args()
    study, conditions = STUDIES[options.name]
    started = time.process_time()
    results = sweep(study, tqdm(conditions, unit="condition"))
    metadata = {
        "command": f"python -m ssae_kit.studies {options.name}",
        "conditions": conditions,
        "cpu_seconds": round(time.process_time() - started, 1),
    }
    save_tensors(options.folder / f"shifts_{options.name}.safetensors", collect(results), metadata)


if __name__ == "__main__":
    main()
