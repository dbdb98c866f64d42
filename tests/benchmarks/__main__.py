"""Run one benchmark: `python -m tests.benchmarks ssae --json`.

A benchmark is a module of this folder with a function `run() -> dict`, whose keys are the
measured quantities (`ssae.batch_gain_32`) and whose values are numbers or nested dicts. It prints
nothing itself.
"""

import argparse
import json
from importlib import import_module

MODULES = {
    "extract": "tests.benchmarks.extract",
    "full": "tests.benchmarks.full",
    "imports": "tests.benchmarks.imports",
    "kills": "tests.benchmarks.kills",
    "labs": "tests.benchmarks.labs",
    "sae": "tests.benchmarks.sae",
    "ssae": "tests.benchmarks.ssae",
    "toy": "tests.benchmarks.toy",
    "visitors": "tests.benchmarks.visitors",
    "wide": "tests.benchmarks.wide",
}


def main() -> None:
    """Parse the command line, run, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("name", choices=sorted(MODULES), help="which benchmark")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--kills", type=int, help="how many, in `kills`")
    options = parser.parse_args()
    settings = {"n_kills": options.kills} if options.name == "kills" and options.kills else {}
    result = import_module(MODULES[options.name]).run(**settings)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print("\n".join(f"{key:48} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
