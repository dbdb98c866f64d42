"""The code that a lab shows: the source of the functions that ran, with what they name."""

import ast
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from types import FunctionType, ModuleType
from typing import Any


def listing(run: Callable[..., Any], settings: Any, made: Mapping[str, str]) -> str:
    """Return a code cell that computes and shows what a lab does, from the source of what ran.

    Args:
        run: The lab's computation; functions and numbers of its module that it uses come with it.
        settings: With what it ran.
        made: Name → code that makes it, for whatever `run` takes before the settings.
    """
    found, kind = _Listing(), type(settings)
    found.add(run)
    found.need(kind.__name__, kind, kind.__module__)
    found.imports |= {("ssae_kit", "plots")}
    if any("labs." in code for code in made.values()):
        found.imports |= {("ssae_kit", "labs")}
    given = [f"{name} = {code}" if code else f"# `{name}` is yours." for name, code in made.items()]
    call = f"outcome = {run.__name__}({', '.join([*made, 'settings'])})"
    show = "plots.show(outcome.figure(), outcome.words())"
    parts = [*found.heads(), "", *sorted(found.constants), *found.sources, "\n", *given]
    return "\n".join([*parts, f"settings = {_written(settings)}", call, show]) + "\n"


class _Listing:
    """Imports, constants and sources that a function needs, gathered from what it names."""

    def __init__(self) -> None:
        self.imports: set[tuple[str, str]] = set()
        """Modules and what is imported from each; "" for a module itself."""
        self.constants: set[str] = set()
        self.sources: list[str] = []
        self._seen: set[Any] = set()

    def add(self, function: Callable[..., Any]) -> None:
        """Add a function's source after that of all it uses of its own module."""
        function = inspect.unwrap(function)
        if function in self._seen:
            return
        self._seen.add(function)
        source = inspect.getsource(function)
        used = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
        known = function.__globals__
        for name in sorted(used & set(known)):
            value = known[name]
            if isinstance(value, FunctionType) and value.__module__ == function.__module__:
                self.add(value)
            else:
                self.need(name, value, function.__module__)
        self.sources.append(f"\n\n{source.rstrip()}")

    def need(self, name: str, value: Any, home: str) -> None:
        """Add an import of a name, or the line that sets it where it is a plain constant."""
        if isinstance(value, ModuleType):
            package, _, last = value.__name__.rpartition(".")
            shown = last if name == last else f"{last} as {name}"
            self.imports.add((package, shown) if package else (shown, ""))
        elif isinstance(value, int | float | str | tuple):
            self.constants.add(f"{name} = {value!r}")
        elif is_dataclass(value) and not isinstance(value, type):
            self.need(type(value).__name__, type(value), home)
            self.constants.add(f"{name} = {_written(value)}")
        else:
            self.imports.add((_home(name, value, home), name))

    def heads(self) -> list[str]:
        """Return the lines with the imports."""
        lines = [f"import {module}" for module, name in sorted(self.imports) if not name]
        for module in sorted({module for module, name in self.imports if name}):
            names = sorted(name for of, name in self.imports if of == module and name)
            lines.append(f"from {module} import {', '.join(names)}")
        return lines


def _home(name: str, value: Any, used_in: str) -> str:
    """Return the shortest module that has a value under its name."""
    parts = getattr(value, "__module__", used_in).split(".")
    for n in range(1, len(parts) + 1):
        module = ".".join(parts[:n])
        if getattr(sys.modules.get(module), name, None) is value:
            return module
    return used_in


def _written(value: Any) -> str:
    """Return the code that makes a dataclass, one field a line."""
    lines = [f"    {name}={given!r},\n" for name, given in vars(value).items()]
    return f"{type(value).__name__}(\n{''.join(lines)})"
