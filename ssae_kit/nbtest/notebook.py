"""A notebook as a pytest collector and its cells as tests."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from jupyter_client import kernelspec
from nbclient import client, exceptions, output_widget
from nbval import plugin as nbval
from papermill import engines

from ssae_kit.nbtest.outputs import absolute_path, committable, write_outputs
from ssae_kit.upstream import require

require("nbval", nbval, "IPyNbCell", "IPyNbFile", "NbCellError", "coalesce_streams")
require("nbval", nbval.IPyNbFile, "setup_sanitize_files", "get_sanitize_files")
require("nbval", nbval.IPyNbCell, "compare_outputs", "raise_cell_error")
require("jupyter_client", kernelspec, "KernelSpecManager", "NoSuchKernel")
require("nbclient", output_widget, "OutputWidget")
require("nbclient", output_widget.OutputWidget, "sync_state")
require("nbclient", client, "NotebookClient")
require("nbclient", client.NotebookClient, "skip_cells_with_tag")  # papermill hands it on
require("nbclient", exceptions, "CellTimeoutError", "DeadKernelError")
require("papermill", papermill, "execute_notebook", "PapermillExecutionError")
require("papermill", engines, "NBClientEngine")
require("papermill", engines.NBClientEngine, "execute_managed_notebook")

#: Figures and claims hold raw floats, which differ between processors: never compared.
NEVER_COMPARED = (
    "application/vnd.plotly.v1+json",
    "application/vnd.ssae-claims+json",
    "image/svg+xml",
    "text/html",
)

BUILD = "build/notebooks"
"""Where executed copies go."""
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class Notebook(nbval.IPyNbFile):
    """A notebook: collected by nbval, executed once by papermill before its first cell is judged."""

    def collect(self) -> Iterator["Cell"]:
        """Yield nbval's cells as ours, numbered from 1."""
        self.skip_compare: tuple[str, ...] = (*self.skip_compare, *NEVER_COMPARED)
        try:
            cells = list(super().collect())
        except Exception as error:
            raise self.CollectError(f"{self.path} is not a readable notebook: {error}") from error
        ids = [old.cell.get("id") for old in cells]
        if None in ids or len(set(ids)) < len(ids):
            raise self.CollectError(
                f"{self.path}: every code cell needs an id of its own (notebook format 4.5). "
                "Save the notebook once in JupyterLab 4."
            )
        self.options = {old.cell.id: old.options for old in cells}
        for old in cells:
            yield Cell.from_parent(
                self,
                name=f"Cell {old.cell_num + 1}",
                cell_num=old.cell_num,
                cell=old.cell,
                options=old.options,
            )

    def get_sanitize_files(self) -> list[Path]:
        """Sanitize file, found from wherever pytest is called."""
        return [self.config.rootpath / name for name in super().get_sanitize_files()]

    def setup(self) -> None:
        """Run the notebook, note what went wrong in which cell, write back if asked to."""
        self.setup_sanitize_files()
        self.out = self.config.rootpath / BUILD / self.path.name
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.unlink(missing_ok=True)  # never judge an older run
        crash = self._execute()
        cells = nbformat.read(self.out, 4).cells if self.out.exists() else []
        self.fresh = {cell.id: cell for cell in cells if cell.cell_type == "code"}
        self.problems: dict[str, tuple[str, str]] = {}
        self._judge(crash)
        if self.config.getoption("nb_write") and not self.problems:
            write_outputs(self.path, self.nb, self.fresh, self.config.rootpath)

    def teardown(self) -> None:
        """Do nothing: papermill has stopped its kernel already."""

    def _execute(self) -> Exception | None:
        """Run by papermill; returns what kept the run from ending, not an error in a cell."""
        option = self.config.option
        named = self.nb.metadata.get("kernelspec", {}).get("name", "python3")
        kernel = option.nbval_kernel_name or named
        with _surroundings(figures_as_png=option.nb_write):
            try:
                kernelspec.KernelSpecManager().get_kernel_spec(
                    kernel
                )  # fails in one line, papermill in many
                papermill.execute_notebook(
                    self.path,
                    self.out,
                    kernel_name=kernel,
                    language="python",
                    cwd=self.path.parent,
                    progress_bar=False,
                    start_timeout=option.nbval_kernel_startup_timeout,
                    execution_timeout=max(1, round(option.nbval_cell_timeout)),
                    skip_cells_with_tag="nbval-skip",
                    extra_arguments=["--log-level=ERROR"],
                )
            except papermill.PapermillExecutionError:
                return None  # found again in the cell's outputs
            except Exception as error:
                return error
        return None

    def _judge(self, crash: Exception | None) -> None:
        """Fill ``problems`` and ``unreached`` from the executed copy."""
        run = [i for i, option in self.options.items() if not option["skip"]]
        reached = {i for i, c in self.fresh.items() if c.metadata.papermill.get("start_time")}
        started = [i for i in run if i in reached]
        self.unreached = set(run) - set(started)
        writes = self.config.getoption("nb_write")
        for i in started:
            if writes and (path := absolute_path(self.fresh[i].outputs, self.config.rootpath)):
                self.problems[i] = (f"the output names a path of this machine: {path}", "")
            for output in self.fresh[i].outputs:
                if output.output_type == "error" and not self.options[i]["check_exception"]:
                    trace = "\n".join(output.traceback)
                    self.problems[i] = (f"{output.ename}: {output.evalue}", trace)
        if run and (crash is not None or (self.unreached and not self.problems)):
            culprit = (started[-1:] or run)[0]
            self.problems[culprit] = (explain(crash, self.config.option), "")
        self.unreached -= set(self.problems)


@contextmanager
def _surroundings(*, figures_as_png: bool) -> Iterator[None]:
    """What a kernel started inside the `with` block inherits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TQDM_DISABLE", "1")
        # Kernels of several workers would wait for each other's threads; and with one thread the
        # outputs do not depend on the number of cores.
        patch.setenv("OMP_NUM_THREADS", "1")
        if figures_as_png:
            patch.setenv("SSAE_STATIC", "1")  # GitHub draws no plotly
        # nbclient issue 312: the echo of an Output widget makes about 2 cells in 100 sleep until
        # the cell timeout. The kernel does not need it.
        patch.setattr(output_widget.OutputWidget, "sync_state", lambda widget: None)
        yield


class Cell(nbval.IPyNbCell):
    """One code cell, judged from the notebook's one run."""

    def setup(self) -> None:
        """Do nothing: the notebook has run as a whole."""

    def runtest(self) -> None:
        """Fail if the cell failed, was never reached or prints what is not committed."""
        notebook, key = self.parent, self.cell.id
        if self.options["skip"]:
            pytest.skip("tagged nbval-skip")

        if key in notebook.problems:
            self.raise_cell_error(*notebook.problems[key])
        if key in notebook.unreached:
            selected = {x.cell.id for x in self.session.items if x.parent is notebook}
            if selected & set(notebook.problems):
                pytest.skip("not reached: an earlier cell failed")
            self.raise_cell_error("not reached: an earlier cell, not selected here, failed")
        if self.options["check"] and not self.config.getoption("nb_write"):
            fresh = committable(notebook.fresh[key].outputs, 0, self.config.rootpath)
            self._compare(fresh)

    def _compare(self, fresh: list[Any]) -> None:
        fresh, committed = map(nbval.coalesce_streams, (fresh, self.cell.outputs))
        if not self.compare_outputs(fresh, committed):
            self.raise_cell_error(
                "stale output: what is committed differs from a fresh run. "
                "If the fresh one is right, write it: pytest --nb-write",
                "\n".join(self.comparison_traceback),
            )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Say what went wrong, in which cell of which notebook, and where to look."""
        error, notebook = excinfo.value, self.parent
        if not isinstance(error, nbval.NbCellError):
            return pytest.Item.repr_failure(self, excinfo)
        place = shown(notebook.path, self.config.rootpath)
        opened = notebook.out if notebook.out.exists() else notebook.path  # never started
        source = "\n".join("    " + line for line in error.source.splitlines())
        parts = [str(error), f"{place}, code cell {error.cell_num + 1}:\n{source}"]
        parts += [error.inner_traceback] if error.inner_traceback else []
        parts += [f"Open it: jupyter lab {shown(opened, self.config.rootpath)}"]
        text = "\n\n".join(parts)
        return text if self.config.get_terminal_writer().hasmarkup else ANSI.sub("", text)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that the cell is."""
        return self.path, 0, f"{shown(self.path, self.config.rootpath)}::{self.name}"


def shown(path: Path, root: Path) -> str:
    """Path as a person types it from the repository's root."""
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def explain(crash: Exception | None, option: Any) -> str:
    """One sentence on what stopped a run."""
    match crash:
        case exceptions.CellTimeoutError():
            limit = max(1, round(option.nbval_cell_timeout))
            return f"cell timeout: it ran longer than {limit} s (--nbval-cell-timeout)"
        case exceptions.DeadKernelError():
            return "dead kernel: it ended while this cell ran (out of memory, or ended from within)"
        case kernelspec.NoSuchKernel():
            known = sorted(kernelspec.KernelSpecManager().find_kernel_specs())
            return (
                f"missing kernel: the notebook asks for {crash.name!r}, installed are {known}. "
                "Choose 'Python 3 (ipykernel)' in JupyterLab and save."
            )
        case None:
            return "the run stopped in this cell without an error"
    return f"{type(crash).__name__}: {crash}"
