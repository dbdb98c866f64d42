"""Runs the steps of one submission: ``python -m ssae_kit.exercises.submission``, by `sandbox`.

Steps come as JSON on standard input; for each, a line of JSON says what it displayed and what it
raised. Everything here runs beside the learner's code, which is why nothing that matters is
decided here.
"""

import ast
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WATCHED = ("builtins", "math", "json", "importlib", "torch", "IPython", "ssae_kit")
"""Libraries whose functions decide on a verdict: an answer that replaces one is reported."""
CONTROL = "exercises.check({!r}, lambda first, *others, **named: first)"
"""After all checks: a wrong answer. A check that accepts it was tampered with."""


def main() -> None:
    """Run the steps, tell what came of them, and at the end what was tampered with."""
    job = json.load(sys.stdin)
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, mode), number)
    limit(job)
    home = Path(os.environ["HOME"])
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    runner = Runner(job["limits"]["cell_seconds"])
    for name in job["numbers"]:  # what checks need is loaded before anything can change it
        runner.kit.exercises(name)
    before = dict(watched())

    def tell(record: dict[str, Any]) -> None:
        told.write(f"{job['token']}{json.dumps(record)}\n")
        told.flush()

    runner.shell.run_cell(needed(job["course"], job["steps"], job["answers"]))
    for step in job["steps"]:
        for record in runner.run(step):
            tell(record)
    now = dict(watched())
    tell({"tampered": [".".join(k[:2]) for k, value in before.items() if now.get(k) is not value]})
    os._exit(0)  # no learner's thread or exit function is waited for


def limit(job: dict[str, Any]) -> None:
    """Limit this process and all that it starts, for good."""
    if sys.platform == "win32":
        return
    import resource

    sizes = {resource.RLIMIT_CPU: job["limits"]["seconds"], resource.RLIMIT_FSIZE: 64 * 2**20}
    sizes[resource.RLIMIT_CORE] = 0
    if sys.platform == "linux":
        sizes[resource.RLIMIT_DATA] = int(job["limits"]["memory_gib"] * 2**30)
        Path("/proc/self/oom_score_adj").write_text("1000")  # rather this one than the grader
    if job["confined"]:  # else the user's other processes would count
        sizes[resource.RLIMIT_NPROC] = 256
        os.setsid()
    for kind, size in sizes.items():
        resource.setrlimit(kind, (size, size))


class Runner:
    """A shell as in a notebook, which keeps what its cells display."""

    def __init__(self, seconds: int) -> None:
        """Start the shell; each cell may run so many seconds."""
        from IPython.core.interactiveshell import InteractiveShell
        from traitlets.config import Config

        from ssae_kit import exercises

        config = Config()
        config.HistoryManager.enabled = False
        self.shell = InteractiveShell.instance(config=config)
        self.shell.showtraceback = self.shell.showsyntaxerror = lambda *given, **named: None
        self.seconds = seconds
        self.kit: Any = exercises

    def run(self, step: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Run one step; yields what is to be told of it."""
        kind, source = step["kind"], step["source"]
        if kind == "own":  # one statement at a time: a helper counts wherever the cell fails
            for part in statements(self.shell, source):
                self.cell(part)
            return
        if kind == "check":
            self.shell.user_ns["exercises"] = self.kit
        yield {"key": step["key"], "kind": kind, **self.cell(source)}
        if kind == "check":
            self.shell.user_ns["exercises"] = self.kit
            control = self.cell(CONTROL.format(step["name"]))
            yield {"key": step["key"], "kind": "control", **control}

    def cell(self, source: str) -> dict[str, Any]:
        """Run one cell within its time; returns its verdicts and its error."""
        from IPython.utils.capture import capture_output

        error: BaseException | None = None
        outputs: list[Any] = []
        try:
            alarm(self.seconds)
            with capture_output(stdout=False, stderr=False) as captured:
                result = self.shell.run_cell(source)
            outputs = captured.outputs
            error = result.error_before_exec or result.error_in_exec
        except BaseException as stopped:
            error = stopped
        finally:
            alarm(0)
        return {"verdicts": verdicts(self.kit.MIME, outputs), "error": explain(error)}


def alarm(seconds: int) -> None:
    """Interrupt what runs after so many seconds, and every second from then on; 0 ends this."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds, 1))


def verdicts(mime: str, outputs: list[Any]) -> list[dict[str, Any]]:
    """Verdicts among what a cell displayed, each with its text."""
    found = []
    for output in outputs[-1000:]:
        record = output.data.get(mime) if isinstance(output.data, dict) else None
        if isinstance(record, dict):
            text = str(output.data.get("text/plain", ""))[:2000]
            passed = record.get("passed") is True
            found.append({"name": str(record.get("name")), "passed": passed, "text": text})
    return found[-10:]


def explain(error: BaseException | None) -> str:
    """One sentence on an error; empty if there is none."""
    if error is None:
        return ""
    if isinstance(error, KeyboardInterrupt):
        return "it ran too long and was interrupted"
    kind = type(error).__name__
    try:
        text = str(error)[:500]
    except BaseException:
        return f"{kind}, whose text cannot be shown"
    if isinstance(error, NameError):
        return f"{text}: was the function renamed, or does its cell fail?"
    return f"{kind}: {text}"


def statements(shell: Any, source: str) -> list[str]:
    """Statements of a cell; a cell that is no Python is one."""
    try:
        lines = shell.transform_cell(source)
        return [ast.unparse(node) for node in parse(lines)]
    except Exception:
        return [source]


def parse(source: str) -> list[ast.stmt]:
    """Statements of a source; none of one that is no Python."""
    try:
        return ast.parse(source).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []


def needed(course: list[str], steps: list[dict[str, Any]], answers: list[str]) -> str:
    """What a learner's cells use of the cells that the course gives: imports, functions, values.

    Args:
        course: Sources of the given cells, the learner's changes included.
        steps: What will be run.
        answers: Names of the functions to be written, which nothing may give.
    """
    own = [step["source"] for step in steps if step["kind"] != "check"]
    wanted = {name for source in own for node in parse(source) for name in names(node)}
    given = [part for source in course for node in parse(source) for part in single(node)]
    given = [node for node in given if not defines(node) & set(answers)]
    chosen: list[ast.stmt] = []
    while more := [n for n in given if n not in chosen and defines(n) & {*wanted, "*"}]:
        chosen += more
        wanted |= {name for node in more for name in names(node)}
    return "\n".join(ast.unparse(node) for node in given if node in chosen)


def single(node: ast.stmt) -> list[ast.stmt]:
    """An import as one statement for each name, of which only those used are loaded."""
    if isinstance(node, ast.Import):
        return [ast.Import([alias]) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [ast.ImportFrom(node.module, [alias], node.level) for alias in node.names]
    return [node]


def names(node: ast.AST) -> set[str]:
    """Names that occur in a piece of code."""
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def defines(node: ast.stmt) -> set[str]:
    """Names that an import, a function, a class or a plain value defines; else none."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Assign):
        try:
            ast.literal_eval(node.value)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return set()
        return {name for target in node.targets for name in names(target)}
    return set()


def watched() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Functions on which a verdict depends, and what they are made of."""
    for module in list(sys.modules.values()):
        head = getattr(module, "__name__", "")
        if not isinstance(head, str) or head.partition(".")[0] not in WATCHED:
            continue
        for name, value in list(vars(module).items()):
            if callable(value) and (head, name) != ("torch", "manual_seed"):  # torch wraps it late
                yield (head, name), value
                yield (head, name, "code"), getattr(value, "__code__", None)
            if head.startswith("ssae_kit") and isinstance(value, type | dict):
                inside = value if isinstance(value, dict) else vars(value)
                for key, part in list(inside.items()):
                    yield (head, name, str(key)), part
                    for field, held in list(getattr(part, "__dict__", {}).items()):
                        yield (head, name, str(key), field), held


if __name__ == "__main__":
    main()
