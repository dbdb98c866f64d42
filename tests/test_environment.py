"""One list of dependencies: pyproject.toml, bounded on both sides, each with its reason."""

import ast
import json
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
CPU_INDEX = "--extra-index-url https://download.pytorch.org/whl/cpu"
BROUGHT = {
    module: {canonicalize_name(name) for name in set(names)}
    for module, names in packages_distributions().items()
}
LOCK = "-c .ci/constraints.txt"


def requirements():
    """Every requirement of the project, its extras included."""
    extras = PROJECT["optional-dependencies"].values()
    return [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]


@pytest.mark.parametrize("text", requirements())
def test_a_dependency_has_both_bounds_and_a_reason(text):
    requirement = Requirement(text)
    if requirement.name == PROJECT["name"]:  # an extra that takes in another extra
        return
    operators = {one.operator for one in requirement.specifier}
    assert operators & {">=", ">", "=="}, "no lower bound"
    assert operators & {"<=", "<", "=="}, "no upper bound"
    (line,) = [line for line in PYPROJECT.splitlines() if line.strip().startswith(f'"{text}"')]
    assert re.search(r'",?\s+# \w.{5,}', line), "the line does not say why it is needed"


def test_conda_only_delegates_to_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *plain, pip = environment["dependencies"]
    names = [re.split("[=<>]", one)[0] for one in plain]
    assert environment["name"] == PROJECT["name"]
    assert names == ["python", "pip"]
    assert set(pip) == {"pip"}
    assert set(pip["pip"]) - {CPU_INDEX} == {LOCK, "-e .[test]"}


def test_conda_takes_a_python_that_the_project_allows():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    version = environment["dependencies"][0].removeprefix("python=")
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")


def test_the_lock_lies_within_the_bounds_and_names_no_build_of_one_machine():
    lines = (ROOT / ".ci" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    locked = [Requirement(line) for line in lines if not line.startswith("#")]
    versions = {canonicalize_name(one.name): str(one.specifier)[2:] for one in locked}
    assert not [name for name, version in versions.items() if "+" in version or "nvidia" in name]
    tested = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    for one in map(Requirement, tested):
        if one.name != PROJECT["name"]:
            assert one.specifier.contains(versions[canonicalize_name(one.name)]), one


DECLARED = {canonicalize_name(Requirement(text).name) for text in requirements()}


ELSEWHERE = {"tests", "sparsify"}
"""The tests' own, and what eai-sparsify brings, which only some environments have."""


def python_of(path):
    """Code of a module, or of a notebook's cells."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")


def others(source):
    """Top-level names of what a text imports, inside functions too, that are not Python's own."""
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        yield from {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"ssae_kit"}


def undeclared(source):
    """Modules that a text imports and no requirement brings by its own name."""
    return {
        name
        for name in others(source)
        if not DECLARED & BROUGHT.get(name, {canonicalize_name(name)})
    }


@pytest.mark.parametrize("folder", ["ssae_kit", "notebooks", "tests"])
def test_every_package_that_is_imported_is_declared(folder):
    paths = [*(ROOT / folder).rglob("*.py"), *(ROOT / folder).glob("*.ipynb")]
    found = {str(path.relative_to(ROOT)): undeclared(python_of(path)) for path in paths}
    assert {path: names for path, names in found.items() if names - ELSEWHERE} == {}


def test_an_import_that_nobody_declared_is_found():
    source = (
        "def f():\n    import matplotlib.pyplot\n    from pygments import lexers\nimport torch, os"
    )
    assert undeclared(source) == {"matplotlib", "pygments"}
