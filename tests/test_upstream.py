"""Where another library's internals are gone, the kit stops and says which, and what to do."""

import importlib
import sys
from importlib.metadata import version

import cooper
import pytest
from nbclient.output_widget import OutputWidget
from nbval import plugin
from plotly.basewidget import BaseFigureWidget

PLACES = {  # library: what is taken away, and who needs it
    "nbval": (plugin, "coalesce_streams", "ssae_kit.nbtest"),
    "nbclient": (OutputWidget, "sync_state", "ssae_kit.nbtest"),
    "plotly": (BaseFigureWidget, "_last_trace_edit_id", "ssae_kit.labs.figure"),
    "cooper-optim": (cooper, "CMPState", "ssae_kit.training"),
}


@pytest.mark.parametrize("library", PLACES)
def test_a_part_that_is_gone_stops_the_import_and_names_library_version_and_remedy(
    library, monkeypatch
):
    place, part, module = PLACES[library]
    monkeypatch.delattr(place, part)
    for name in [one for one in sys.modules if one == module or one.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)  # so that it is imported as for the first time
    with pytest.raises(ImportError) as error:
        importlib.import_module(module)
    said = str(error.value)
    assert said.startswith(f"{library} {version(library)} has no ")
    assert "Install a version" in said
    assert ".ci/constraints.txt" in said
