"""Runs the steps of one submission: ``python -m ssae_kit.exercises.submission``, by `sandbox`.

Steps come as JSON on standard input; for each, a line of JSON says what it raised and, for a check,
what the answer gives. Everything here runs beside the learner's code and may be changed by it, so
nothing is decided here: right and wrong are told apart by `grade`, in a process of its own.
"""

import ast
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from ssae_kit.exercises.core import exercise
from ssae_kit.exercises.values import Mistake, Raised, raised


def main() -> None:
    """Run the steps and tell what came of each."""
    job = json.load(sys.stdin)
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for number, mode in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        os.dup2(os.open(os.devnull, mode), number)
    limit(job)
    home = Path(os.environ["HOME"])
    home.mkdir(parents=True, exist_ok=True)
    os.chdir(home)
    runner = Runner(job["limits"]["cell_seconds"])
    for name in job["answers"].values():  # no answer's time is spent on loading its check
        exercise(name)
    told.write('{"kind": "ready"}\n')
    told.flush()
    runner.shell.run_cell(needed(job["course"], job["steps"], set(job["answers"])))
    for step in job["steps"]:
        told.write(f"{runner.run(step)}\n")
        told.flush()
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
        os.setsid()  # its process group is its own: it may kill that
    for kind, size in sizes.items():
        resource.setrlimit(kind, (size, size))


class Runner:
    """A shell as in a notebook."""

    def __init__(self, seconds: int) -> None:
        """Start the shell; each step may run so many seconds."""
        unwritten = Config({"HistoryManager": {"enabled": False}})
        self.shell = InteractiveShell.instance(config=unwritten)
        self.shell.system = self.shell.system_raw  # "!": there is no terminal here
        self.shell.showtraceback = self.shell.showsyntaxerror = lambda *given, **named: None
        self.seconds = seconds

    def run(self, step: dict[str, Any]) -> str:
        """Run one step; returns what is to be told of it."""
        told = {"key": step["key"], "kind": step["kind"]}
        if step["kind"] == "check":
            return json.dumps({**told, **self.timed(self.check, step)})
        # Of a learner's own cell every statement is run, whichever fails: there a helper counts.
        parts = [ast.unparse(n) for n in parse(step["source"])] if step["kind"] == "own" else ()
        for part in parts or [step["source"]]:
            told |= self.timed(self.cell, part)
        return json.dumps(told)

    def timed(self, work: Callable[[Any], dict[str, Any]], given: Any) -> dict[str, Any]:
        """Do something within the time of a step."""
        try:
            alarm(self.seconds)
            return work(given)
        except Mistake as mistake:
            return {"mistake": str(mistake)}
        except BaseException as error:
            return {"error": explain(error)}
        finally:
            alarm(0)

    def cell(self, source: str) -> dict[str, Any]:
        """Run a cell; returns its error."""
        result = self.shell.run_cell(source)
        return {"error": explain(result.error_before_exec or result.error_in_exec)}

    def check(self, step: dict[str, Any]) -> dict[str, Any]:
        """Return what an answer gives. As in a notebook, the kit's version replaces a wrong one."""
        names, key, one = self.shell.user_ns, step["function"], exercise(step["name"])
        if key not in names:
            return {"error": f"'{key}' is not defined: was it renamed, or does its cell fail?"}
        answer, names[key] = names[key], one.solution
        results = one.results(answer)
        if one.judge(results).passed:
            names[key] = answer
        return {"results": [encode(one) for one in results]}


def encode(value: Any) -> Any:
    """Return a result as JSON can hold it."""
    if isinstance(value, list | set):
        return [encode(one) for one in value]
    if isinstance(value, Raised):
        return vars(value)
    return value.tolist() if hasattr(value, "tolist") else value


def alarm(seconds: int) -> None:
    """Interrupt what runs after so many seconds, and every second from then on; 0 ends this."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, seconds, min(seconds, 1))


def explain(error: BaseException | None) -> str:
    """One sentence on an error; empty if there is none."""
    if error is None:
        return ""
    if isinstance(error, KeyboardInterrupt):
        return "it ran too long and was interrupted"
    told = raised(error)
    return f"{told.kind}: {told.text}"


def parse(source: str) -> list[ast.stmt]:
    """Statements of a cell, its magics as calls; none of one that is no Python."""
    try:
        plain: str = TransformerManager().transform_cell(source)
        tree = ast.parse(plain)
        ast.unparse(tree)  # what is nested too deeply for that is run as it stands
        return tree.body
    except (SyntaxError, ValueError, MemoryError, RuntimeError):
        return []


def needed(course: list[str], steps: list[dict[str, Any]], answers: set[str]) -> str:
    """What a learner's cells use of the cells that the course gives: imports, functions, values.

    Args:
        course: Sources of the given cells, the learner's changes included.
        steps: What will be run.
        answers: Names of the functions to be written, which nothing may give.
    """
    own = [step["source"] for step in steps if step["kind"] != "check"]
    wanted = {name for source in own for node in parse(source) for name in names(node)} | {"*"}
    given = [part for source in course for node in parse(source) for part in single(node)]
    given = [node for node in given if not defines(node) & answers]
    chosen: list[ast.stmt] = []
    while more := [n for n in given if n not in chosen and defines(n) & wanted]:
        chosen += more
        wanted |= {name for node in more for name in names(node)}
    return "\n".join(ast.unparse(node) for node in given if node in chosen)


def single(node: ast.stmt) -> list[ast.stmt]:
    """An import as one statement for each name, of which only those used are loaded."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [type(node)(**vars(node) | {"names": [alias]}) for alias in node.names]
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
    if isinstance(node, ast.Assign) and not names(node.value):
        return {name for target in node.targets for name in names(target)}
    return set()


if __name__ == "__main__":
    main()
