"""The package from above: `python -m tests.rooms` prints code lines by room and the import graph.

Code is what is left without docstrings, comments and blank lines. The graph is Mermaid, as it
stands in CONTRIBUTING.md; edges that another path implies are left out.
"""

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "ssae_kit"
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}


def modules(package):
    """Yield (room, path) of every module; room "" is the package's own `__init__`."""
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package)
        room = inside.parts[0] if len(inside.parts) > 1 else inside.stem
        yield "" if room == "__init__" else room, path


def code_lines(source):
    """Number of lines that hold code: no docstring, no string that stands alone, no comment."""
    texts = set()
    for node in ast.walk(ast.parse(source)):
        alone = node.value if isinstance(node, ast.Expr) else None
        if isinstance(alone, ast.Constant) and isinstance(alone.value, str):
            texts.update(range(node.lineno, node.end_lineno + 1))
    held = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT and token.string:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - texts)


def count(package=PACKAGE):
    """Code lines by room."""
    lines = Counter()
    for room, path in modules(package):
        lines[room or "__init__"] += code_lines(path.read_text(encoding="utf-8"))
    return lines


def imported(path, package):
    """Dotted names that a module imports, at its top or inside a function."""
    folder = [package.name, *path.relative_to(package).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = folder[: len(folder) + 1 - node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def graph(package=PACKAGE):
    """Room -> the rooms it imports."""
    rooms = {room for room, _ in modules(package)} - {""}
    edges = {room: set() for room in rooms}
    for room, path in modules(package):
        for name in imported(path, package) if room else ():
            head, target, *_ = [*name.split("."), ""]
            if head == package.name and target in rooms - {room}:
                edges[room].add(target)
    return edges


def reached(edges, start):
    """Every room that one room needs, by any path."""
    found = set()
    waiting = [start]
    while waiting:
        for room in edges[waiting.pop()] - found:
            found.add(room)
            waiting.append(room)
    return found


def mermaid(edges):
    """The graph as Mermaid, without the edges that others imply."""
    lines = ["graph BT"]
    for room, needed in sorted(edges.items()):
        implied = set().union(*(reached(edges, one) for one in needed)) if needed else set()
        direct = sorted(needed - implied)
        lines += [f"    {one} --> {room}" for one in direct] or [f"    {room}"]
    return "\n".join(lines)


if __name__ == "__main__":
    lines = count()
    for room, n in sorted(lines.items(), key=lambda row: -row[1]):
        print(f"{room:16}{n:6,}")
    print(f"{'all':16}{lines.total():6,}")
    print(f"{'but organism':16}{lines.total() - lines['organism']:6,}\n")
    print(mermaid(graph()))
