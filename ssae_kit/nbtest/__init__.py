"""Pytest plugin: papermill runs each notebook once, nbval judges every cell of that run.

nbval collects the notebooks, reads the cell tags, sanitizes and compares outputs; only its executor
is replaced. Plain ``pytest`` does all of it; ``pytest --nb-write`` also writes the outputs of that
very run into the notebooks that passed. Commit those. To run with another value in a notebook's
``parameters`` cell, use papermill itself.

Tags that count: ``nbval-check-output`` (the committed output must equal the fresh
one), ``raises-exception`` and ``nbval-skip``. A notebook that should have been collected but was
not becomes a failing test of its own, so no notebook can drop out silently.
"""

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from nbval import plugin as nbval

from ssae_kit.nbtest.notebook import Cell, Notebook

FOLDER = "notebooks"
"""Every notebook in it must be collected."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the plugin's option."""
    group = parser.getgroup("notebooks", "notebooks run by papermill")
    group.addoption(
        "--nb-write", action="store_true", help="write fresh outputs into the notebooks"
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
    """Add one failing test for each notebook that would be passed over silently."""
    for path in uncollected(config, items):
        name = path.relative_to(config.rootpath).as_posix()
        message = (
            f"{name} was not collected: none of its cells was tested. Is it ignored, "
            "is --nbval-lax missing from the command, or has it no code cell?"
        )
        named = f"{name}::not collected"
        items.append(Complaint.from_parent(session, name=named, nodeid=named, message=message))


def uncollected(config: pytest.Config, items: Iterable[pytest.Item]) -> list[Path]:
    """Notebooks that lie where this run was asked to look but gave no cell."""
    here = config.invocation_params.dir
    asked = [Path(here, arg).resolve() for arg in config.args if "::" not in arg]
    collected = {item.path.resolve() for item in items if isinstance(item, Cell)}
    return [
        path
        for path in sorted((config.rootpath / FOLDER).rglob("*.ipynb"))
        if ".ipynb_checkpoints" not in path.parts
        and path.resolve() not in collected
        and any(place in (path.resolve(), *path.resolve().parents) for place in asked)
    ]


class Complaint(pytest.Item):
    """A test that always fails: it stands for something that was not collected."""

    def __init__(self, *, message: str, **about: Any) -> None:
        """Note what to say."""
        super().__init__(**about)
        self.message = message

    def runtest(self) -> NoReturn:
        """Fail."""
        pytest.fail(self.message, pytrace=False)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Head of the report: what the complaint is about."""
        return self.path, None, self.name
