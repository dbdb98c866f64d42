"""What every test shares: shape checks, and which files are not tests."""

import os
import sys

import jaxtyping
import pytest
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

# A kernel, and a worker behind its shape checks, takes seconds to compile the package: once is enough.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# The tests' tensors are small: a second thread costs more than it brings. OMP_NUM_THREADS=2 asks
# for one all the same, to see that no result hangs on it.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))

# Every annotated shape and type of the package is checked while the tests run. The option
# --jaxtyping-packages cannot do it here: pytest has imported ssae_kit.nbtest by then.
# A whole number may stand for a float, as for mypy (PEP 484, the numeric tower): of a sequence
# beartype looks at one item drawn at random, so one that holds both would fail in some runs only.
check = beartype(conf=BeartypeConf(is_pep484_tower=True))
install_import_hook("ssae_kit", f"{__name__}.check")

collect_ignore = ["notebooks_bad"]  # they must fail; test_nbtest.py runs copies of them

LONG = (
    "test_browser.py",
    "test_labs.py",
    "test_site.py",
    "test_exercises.py",
    "test_exercises_grade.py",
    "test_install.py",
    "test_labs_steering.py",
    "test_nbtest.py",
    "test_sweep.py",
    "test_studies_real.py",
    "test_fuzz.py",
    "test_style.py",
    "test_kills.py",
)
"""Files that take longest, the longest first: whoever begins one at the end is waited for."""


def pytest_collection_modifyitems(items):
    """Run what takes long first, then notebooks; what takes a moment fills up the workers' ends."""

    def place(item):
        name = item.path.name
        return LONG.index(name) if name in LONG else len(LONG) + (item.path.suffix == ".py")

    items.sort(key=place)


@pytest.fixture(scope="session")
def smollm2():
    """The real Llama; where it was not fetched, the test is skipped and says how to."""
    from ssae_kit import llama

    try:
        return llama.load("smollm2")
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def no_shape_checks():
    """As users run it: the kit's own messages, not the test suite's shape checks, answer."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def displayed(monkeypatch):
    """What the code under test shows in a notebook: a list of {MIME type: data}."""
    outputs = []

    def display(item, raw=False, **_):
        assert raw, "give display a dictionary {MIME type: data} and raw=True"
        outputs.append(item)

    monkeypatch.setattr("IPython.display.display", display)
    from IPython.display import DisplayHandle

    home = sys.modules[DisplayHandle.__module__]  # IPython 7 has it in another one
    monkeypatch.setattr(home, "display", display)
    return outputs


@pytest.fixture(scope="module")
def short(request):
    """Make the lab that the test module names (`LAB = "ShiftLab"`) quick; gives its name."""
    from tests import labs

    with pytest.MonkeyPatch.context() as patch:
        labs.shorten(patch, request.module.LAB)
        yield request.module.LAB


@pytest.fixture(scope="module")
def lab(short):
    """One quick lab for all tests of a module that names it."""
    from tests import labs

    made = labs.make(short)
    yield made
    made.close()
