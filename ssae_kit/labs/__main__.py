"""Serve one lab as a page, without its code: `python -m ssae_kit.labs ShiftLab`.

Needs the extra `app` (`pip install -e '.[app]'`). What follows the lab's name goes to `voila`, for
example `--port=8866 --no-browser`. Every visitor gets a kernel of their own; how much memory that
takes is measured by `python -m tests.benchmarks visitors`. A kernel ends a minute after its visitor
has left. `?noise=0.2&seed=3` behind the page's address sets controls.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from ssae_kit import labs
from ssae_kit.labs.kernels import forked

NAMES = [name for name in labs.__all__ if name.endswith("Lab") and name != "Lab"]
CULLED = ("--MappingKernelManager.cull_idle_timeout=60", "--MappingKernelManager.cull_interval=15")
"""Seconds. The page also asks for its kernel's end when it is left, but voila 0.5 refuses that."""


def page(lab: str) -> nbformat.NotebookNode:
    """Return a notebook that shows a lab and nothing else; one thread, to leave room for others."""
    source = f"import torch\n\nfrom ssae_kit import labs\n\ntorch.set_num_threads(1)\nlabs.{lab}.from_link()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    return notebook


def main() -> int:
    """Parse the command line, and serve until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m ssae_kit.labs", description=__doc__)
    parser.add_argument("lab", choices=NAMES, help="which lab")
    options, rest = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, forked() as variables:
        path = Path(folder) / f"{options.lab}.ipynb"
        nbformat.write(page(options.lab), path)
        command = [sys.executable, "-m", "voila", str(path), *CULLED, *rest]
        return subprocess.call(command, env=os.environ | variables)


if __name__ == "__main__":
    sys.exit(main())
