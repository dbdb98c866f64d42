"""Colab: `python -m tests.badges` gives every notebook its badge and the cell that sets Colab up.

Both name the project's address, which stands in one place: pyproject.toml, `[project.urls]`. Run it
again when the address has changed or there is a new notebook; what is right already stays as it is.
"""

import json
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Repository"]
COLAB = "https://colab.research.google.com"
BADGE = "[![Open in Colab]({colab}/assets/colab-badge.svg)]({place}/blob/main/notebooks/{name})\n\n"
SETUP = """\
import sys

if "google.colab" in sys.modules:  # install the kit beside what Colab brings; nothing elsewhere
    kit = "git+{address}"
    get_ipython().system(f"pip list --format=freeze > kept.txt && pip install -q -c kept.txt {kit}")
    sys.modules["google.colab"].output.enable_custom_widget_manager()"""


def badge(name):
    """The first line of a notebook with this file name, and the empty line after it."""
    place = ADDRESS.replace("https://github.com", f"{COLAB}/github")
    return BADGE.format(colab=COLAB, place=place, name=name)


def setup(number):
    """The cell that sets Colab up in the notebook of this number, such as "00"."""
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"{number}-colab",
        "metadata": {"jupyter": {"source_hidden": True}, "tags": ["colab"]},
        "outputs": [],
        "source": SETUP.replace("{address}", ADDRESS).splitlines(keepends=True),
    }


def badged(notebook, name):
    """Copy of a notebook, as JSON gives it, with badge and cell; what they were before is gone."""
    number = name.partition("_")[0]
    own = f"{number}-colab"
    (old,) = [cell for cell in notebook["cells"] if cell["id"] == own] or [{}]
    title, *others = (cell for cell in notebook["cells"] if cell["id"] != own)
    text = "".join(title["source"])
    text = text.partition("\n\n")[2] if text.startswith("[![Open in Colab]") else text
    title = title | {"source": (badge(name) + text).splitlines(keepends=True)}
    run = {"execution_count": old.get("execution_count")}  # a run has numbered it
    return notebook | {"cells": [title, setup(number) | run, *others]}


def main():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        notebook = badged(json.loads(path.read_text(encoding="utf-8")), path.name)
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
