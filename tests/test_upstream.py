"""Where another library's internals are gone, the kit stops and says which, and what to do."""

import subprocess
import sys
from importlib.metadata import version

import pytest

PLACES = {  # library: what is taken away, and who needs it
    "nbval": ("import nbval.plugin as at; del at.coalesce_streams", "ssae_kit.nbtest"),
    "nbclient": (
        "from nbclient.output_widget import OutputWidget as at; del at.sync_state",
        "ssae_kit.nbtest",
    ),
    "plotly": (
        "from plotly.basewidget import BaseFigureWidget as at; del at._last_trace_edit_id",
        "ssae_kit.labs.figure",
    ),
    "cooper-optim": ("import cooper; del cooper.CMPState", "ssae_kit.training"),
}


@pytest.mark.parametrize("library", PLACES)
def test_a_part_that_is_gone_stops_the_import_and_names_library_version_and_remedy(library):
    take_away, module = PLACES[library]
    done = subprocess.run(
        [sys.executable, "-c", f"{take_away}\nimport {module}"], capture_output=True, text=True
    )
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: {library} {version(library)} has no ")
    assert "Install a version" in said
    assert ".ci/constraints.txt" in said
