"""The code that a lab shows: the source of the functions that ran, with what they name."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from types import FunctionType, ModuleType
from typing import Any


def listing(run: Callable[..., Any], settings: Any, made: Mapping[str, str]) -> str:
    """Return a code cell that computes and shows what a lab does, from the source of what ran.

    Args:
        run: The lab's computation; functions and numbers of its module that it uses come with it.
        settings: With what it ran, of a class of the same module.
        made: Name → code that makes it, for whatever `run` takes before the settings.
    """
    home, sources = sys.modules[run.__module__], dict[str, str]()
    used = {type(settings).__name__, "plots"}
    _add(run.__name__, home, used, sources)
    heads = [*_imports(home, used)]
    if any("labs." in code for code in made.values()):
        heads.append("from ssae_kit import labs")
    given = [f"{name} = {code}" if code else f"# `{name}` is yours." for name, code in made.items()]
    call = f"outcome = {run.__name__}({', '.join([*made, 'settings'])})"
    show = "plots.show(outcome.figure(), outcome.words())"
    constants = [f"{name} = {_written(vars(home)[name])}" for name in sorted(used - sources.keys())]
    parts = [*heads, "", *constants, *sources.values(), "\n", *given]
    return "\n".join([*parts, f"settings = {_written(settings)}", call, show]) + "\n"


def _add(name: str, home: ModuleType, used: set[str], sources: dict[str, str]) -> None:
    """Note a name of a module; the source of a function goes after that of all it uses."""
    if name in used:
        return
    used.add(name)
    value = vars(home)[name]
    if isinstance(value, FunctionType) and value.__module__ == home.__name__:
        source = inspect.getsource(value)
        named = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        for other in sorted(named & vars(home).keys()):
            _add(other, home, used, sources)
        sources[name] = f"\n\n{source.rstrip()}"
    elif _is_settings(value):
        used.add(type(value).__name__)


def _imports(home: ModuleType, used: set[str]) -> Iterator[str]:
    """Yield the lines that import what is used, and take it away; plain values and sources stay."""
    for node in ast.parse(inspect.getsource(home)).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            node.names = [one for one in node.names if (one.asname or one.name) in used]
            used -= {one.asname or one.name for one in node.names}
            if node.names:
                yield ast.unparse(node)
    plain = (int, float, str, tuple, FunctionType)
    own = {
        n for n in used if not isinstance(value := vars(home)[n], plain) and not _is_settings(value)
    }
    used -= own
    yield f"from {home.__name__} import {', '.join(sorted(own))}"


def _is_settings(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _written(value: Any) -> str:
    """Return the code that makes a plain value, or a dataclass, one field a line."""
    if not _is_settings(value):
        return repr(value)
    lines = [f"    {name}={given!r},\n" for name, given in vars(value).items()]
    return f"{type(value).__name__}(\n{''.join(lines)})"
