"""Pytest plugin: papermill runs each notebook once, nbval judges every cell of that run.

nbval collects the notebooks, reads the cell tags, sanitizes and compares outputs; only its executor
is replaced. Plain ``pytest`` does all of it; two options are added:

``pytest --nb-write``
    Write the outputs of this very run into the notebooks that passed. Commit those.
``pytest --nb-param NAME=VALUE NOTEBOOK``
    Run with another value in the notebook's ``parameters`` cell.

Tags that count: ``parameters``, ``nbval-check-output`` (the committed output must equal the fresh
one), ``raises-exception``, ``nbval-skip`` and ``needs-fetch`` (where this cell finds no file, the
whole notebook is skipped and says why). A notebook that should have been collected but was
not becomes a failing test of its own, so no notebook can drop out silently.
"""

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from nbval import plugin as nbval

from ssae_kit.nbtest.notebook import Cell, Notebook, parameters


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the plugin's two options and two ini values."""
    parser.addini("notebook_folder", "every notebook in it must be collected", default="notebooks")
    parser.addini("notebook_build", "where executed copies go", default="build/notebooks")
    group = parser.getgroup("notebooks", "notebooks run by papermill")
    group.addoption(
        "--nb-write", action="store_true", help="write fresh outputs into the notebooks"
    )
    group.addoption("--nb-param", action="append", default=[], metavar="NAME=VALUE")


def pytest_configure(config: pytest.Config) -> None:
    """Refuse options that cannot be honoured, before anything runs."""
    parameters(config)
    if config.getoption("nb_write") and config.getoption("nb_param"):
        raise pytest.UsageError(
            "--nb-write and --nb-param exclude each other: committed outputs must come from the "
            "notebook's own parameters. Change its `parameters` cell instead."
        )


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[Any], list[Any]]:
    """Replace nbval's notebook by ours, which papermill executes."""
    nodes = yield
    return [
        Notebook.from_parent(parent, path=file_path) if type(node) is nbval.IPyNbFile else node
        for node in nodes
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add one failing test for each notebook or parameter that would be passed over silently."""
    for path in uncollected(config, items):
        name = path.relative_to(config.rootpath).as_posix()
        message = (
            f"{name} was not collected: none of its cells was tested. Is it ignored, "
            "is --nbval-lax missing from the command, or has it no code cell?"
        )
        items.append(complaint(session, f"{name}::not collected", message))
    cells = [item for item in items if isinstance(item, Cell)]
    known = {name for nb in {cell.parent for cell in cells} for name in nb.parameter_names()}
    for name in sorted(parameters(config).keys() - known) if cells else ():
        message = f"No notebook in this run has a parameter {name}; they have {sorted(known)}."
        items.append(complaint(session, f"--nb-param::{name}", message))


def uncollected(config: pytest.Config, items: Iterable[pytest.Item]) -> list[Path]:
    """Notebooks that lie where this run was asked to look but gave no cell."""
    here = config.invocation_params.dir
    asked = [Path(here, arg).resolve() for arg in config.args if "::" not in arg]
    collected = {item.path.resolve() for item in items if isinstance(item, Cell)}
    folder = config.rootpath / config.getini("notebook_folder")
    return [
        path
        for path in sorted(folder.rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
        and path.resolve() not in collected
        and any(place in (path.resolve(), *path.resolve().parents) for place in asked)
    ]


def complaint(session: pytest.Session, nodeid: str, message: str) -> "Complaint":
    """Failing test named ``nodeid`` that says ``message``."""
    item: Complaint = Complaint.from_parent(session, name=nodeid, nodeid=nodeid)
    item.message = message
    return item


class Complaint(pytest.Item):
    """A test that always fails: it stands for something that was not collected."""

    message = ""

    def runtest(self) -> NoReturn:
        """Fail."""
        pytest.fail(self.message, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Head of the report: what the complaint is about."""
        return self.path, None, self.name
