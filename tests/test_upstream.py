"""Where another library's internals are gone, the kit stops and says which, and what to do."""

import importlib
import sys
from importlib.metadata import version

import cooper
import papermill
import pytest
from jupyter_client import kernelspec
from nbclient import exceptions
from nbclient.output_widget import OutputWidget
from nbval import plugin
from papermill import engines
from plotly.basedatatypes import BaseFigure
from plotly.basewidget import BaseFigureWidget
from torch.nn.modules import module as every
from transformers import DynamicCache, GenerationConfig, LlamaModel
from transformers.utils import logging

PLACES = [  # library, what is taken away, and who needs it
    ("nbval", plugin, "coalesce_streams", "ssae_kit.nbtest"),
    ("nbclient", OutputWidget, "sync_state", "ssae_kit.nbtest"),
    ("nbclient", exceptions, "DeadKernelError", "ssae_kit.nbtest"),
    ("papermill", papermill, "execute_notebook", "ssae_kit.nbtest"),
    ("papermill", engines, "NBClientEngine", "ssae_kit.nbtest"),
    ("jupyter_client", kernelspec, "NoSuchKernel", "ssae_kit.nbtest"),
    ("plotly", BaseFigureWidget, "_last_trace_edit_id", "ssae_kit.labs.figure"),
    ("plotly", BaseFigure, "batch_update", "ssae_kit.labs.figure"),
    ("cooper-optim", cooper, "CMPState", "ssae_kit.training"),
    ("cooper-optim", cooper, "optim", "ssae_kit.training"),
    ("cooper-optim", cooper.multipliers, "DenseMultiplier", "ssae_kit.training"),
    ("transformers", logging, "disable_progress_bar", "ssae_kit.llama"),
    ("transformers", GenerationConfig, "to_diff_dict", "ssae_kit.llama"),
    ("torch", every, "_global_forward_hooks", "ssae_kit.llama"),
]


@pytest.mark.parametrize(("library", "place", "part", "module"), PLACES)
def test_a_part_that_is_gone_stops_the_import_and_names_library_version_and_remedy(
    library, place, part, module, monkeypatch
):
    monkeypatch.delattr(place, part)
    import_anew_fails(library, module, monkeypatch)


MOVED = [
    (
        "transformers",
        LlamaModel,
        "forward",
        lambda self, input_ids, position_ids, attention_mask: 0,
    ),
    ("transformers", DynamicCache, "__init__", lambda self, data=None: None),
    ("cooper-optim", cooper.multipliers.DenseMultiplier, "__init__", lambda self, size: None),
]


@pytest.mark.parametrize(("library", "place", "part", "other"), MOVED)
def test_parameters_that_were_moved_or_renamed_stop_the_import(
    library, place, part, other, monkeypatch
):
    monkeypatch.setattr(place, part, other)
    module = "ssae_kit.llama" if library == "transformers" else "ssae_kit.training"
    import_anew_fails(library, module, monkeypatch)


def import_anew_fails(library, module, monkeypatch):
    for name in [one for one in sys.modules if one == module or one.startswith(f"{module}.")]:
        monkeypatch.delitem(sys.modules, name)  # so that it is imported as for the first time
    with pytest.raises(ImportError) as error:
        importlib.import_module(module)
    said = str(error.value)
    assert said.startswith(f"{library} {version(library)} has no ")
    assert "Install a version" in said
    assert ".ci/constraints.txt" in said
