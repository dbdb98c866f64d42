"""Pages that no notebook holds: start, teacher, words, messages, claims, API."""

import csv
import html
import inspect
import re
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from importlib import import_module
from io import StringIO
from pathlib import Path
from typing import Any

from ssae_kit.exercises.__main__ import main
from ssae_kit.exercises.core import NOTEBOOKS, Exercise, exercise, exercises
from ssae_kit.exercises.slips import HINTS
from ssae_kit.site.notebooks import Page, fence, raw

CARDS = {
    "card_llama": "data/llama_tiny/CARD.md",
    "card_dictionary": "data/dictionary/CARD.md",
    "format_pairs": "data/pairs/README.md",
}
"""Page → file of the repository that is shown as it stands."""
HISTORY = "data/results/claims_history.csv"
"""What became of a claim from one committed run to the next, and why; kept by hand."""
ROOMS = Path(__file__).resolve().parents[1]
SLIPS: dict[str, Callable[..., Any]] = {
    "An empty answer": lambda *_: ...,
    "No `return`": lambda *_: None,
    "A text instead of numbers": lambda *_: "one",
    "One number too many": lambda source, _: [*source, 0.0],
    "A vector that is changed in place": lambda source, _: source.sort(),
    "An error": lambda source, _: source / 2,
}
"""What goes wrong in any exercise, and an answer to 00.shift that does it."""


def texts(root: Path, notebooks: list[Page]) -> dict[str, str]:
    """Name → Markdown of every page that stands here."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    made = {"teacher": f"# Teaching with it\n{section(readme, 'Teaching with it')}\n{commands()}"}
    made |= {"words": words(notebooks[0].text), "claims": claims(notebooks, root / HISTORY)}
    made |= {"pitfalls": pitfalls(notebooks), "messages": general()}
    every = {name: one for number in NOTEBOOKS for name, one in exercises(number).items()}
    made |= {f"messages_{name}": messages(name, one, notebooks) for name, one in every.items()}
    rooms = sorted({p.stem for p in ROOMS.iterdir() if not p.name.startswith("_")})
    made |= {f"api_{room}": api(room) for room in rooms}
    contents = [
        ("The course", [f"{made.number}: {made.title} <{made.name}>" for made in notebooks]),
        ("Without a kernel", ["lab_superposition", "lab_shift"]),
        ("Look up", ["words", "claims", "pitfalls", "messages", *CARDS]),
        ("Teach", ["teacher"]),
        ("The package", [f"api_{room}" for room in rooms]),
    ]
    trees = "\n".join(tree(caption, names) for caption, names in contents)
    start = section(readme, "Start") + "\n## The course\n" + section(readme, "The course")
    return made | {"index": f"{readme.split('## Start')[0]}## Start\n{start}\n{trees}"}


def section(text: str, title: str) -> str:
    """Return what stands under a heading of second order.

    Raises:
        ValueError: if there is no such heading.
    """
    found = re.search(rf"(?ms)^## {title}\n(.*?)(?=^## |\Z)", text)
    if not found:
        raise ValueError(f"the README needs a heading '## {title}', which the site shows.")
    return found[1]


def commands() -> str:
    """Return what the two commands for a class say of themselves."""
    text = "## The commands\n"
    for name in ("release", "grade"):
        with redirect_stdout(StringIO()) as told, suppress(SystemExit):
            main([name, "--help"])
        text += f"\n{fence(told.getvalue(), 'text')}\n"
    return text


def tree(caption: str, names: list[str]) -> str:
    """Return a part of the contents, shown in the margin of every page."""
    lines = "\n".join(names)
    return f"```{{toctree}}\n:caption: {caption}\n:hidden:\n:maxdepth: 1\n\n{lines}\n```\n"


def words(start: str) -> str:
    """Return the glossary: the table of words of notebook 00, each with a place of its own."""
    rows = re.findall(
        r"(?m)^\| (.+?) \| (.*?) ?\| (.+?) \| ?(.*?) ?\|$", section(start, "Words and symbols")
    )
    terms = [
        f"{word}\n    {f'{symbol}: ' if symbol else ''}{told}.{f' In code: {code}.' if code else ''}\n"
        for word, symbol, told, code in rows[1:]
    ]
    return "# Words and symbols\n\n``````{glossary}\n" + "\n".join(terms) + "``````\n"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [
        [cell.replace("|", r"\|") for cell in row] for row in [head, ["---"] * len(head), *rows]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def claims(notebooks: list[Page], history: Path) -> str:
    """Return the index of claims as the committed runs settled them, and what changed before."""
    text, passed, every = "", 0, 0
    for made in notebooks:
        rows = [
            [
                f"**{one['id']}**: {one['claim']}",
                f"{one['metric']} {one['threshold']}",
                "not measured" if one["value"] is None else f"{one['value']:.3g}",
                one["control"] or "none",
                "PASS" if one["passed"] else "**FAIL**",
            ]
            for one in made.claims
        ]
        passed, every = passed + sum(bool(c["passed"]) for c in made.claims), every + len(rows)
        head = ["claim", "needed", "found", "control, which must fail", "verdict"]
        text += f"\n## {made.number}: [{made.title}]({made.name}.md)\n\n{table(head, rows)}\n"
    about = (
        f"{passed} of {every} claims passed in the runs that the notebooks hold. A claim passes if "
        "its value meets the threshold and its control does not. A claim that fails stays. What "
        "changed from one committed run to a later one stands [at the end](#History)."
    )
    head, *rows = csv.reader(history.read_text(encoding="utf-8").splitlines())
    return f"# All claims\n\n{about}\n{text}\n## History\n\n{table(head, rows)}\n"


def pitfalls(notebooks: list[Page]) -> str:
    """Return the page of our own mistakes; `{{figure CELL}}` in it becomes the figure of a cell.

    Raises:
        ValueError: if no notebook has such a figure.
    """

    def shown(found: re.Match[str]) -> str:
        for made in notebooks:
            if found[1] in made.figures:
                home = f'<a href="{made.name}.html#cell-{found[1]}">{made.number}: {html.escape(made.title)}</a>'
                return raw(f"{made.figures[found[1]]}<p>It stands in {home}</p>")
        raise ValueError(
            f"pitfalls.md shows the figure of cell {found[1]}, which is in no notebook."
        )

    text = (Path(__file__).parent / "pitfalls.md").read_text(encoding="utf-8")
    return re.sub(r"\{\{figure (\S+)\}\}", shown, text)


def general() -> str:
    """Return the page of messages that any exercise may give, and the way to the others."""
    first = exercise("00.shift")
    rows = [
        [what, first.test(slip).message or "not attempted yet."] for what, slip in SLIPS.items()
    ]
    hints = [[f"an error with `{pattern}`", hint] for pattern, hint in HINTS.items()]
    links = [
        [number, ", ".join(f"[{n.partition('.')[2]}](messages_{n}.md)" for n in exercises(number))]
        for number in NOTEBOOKS
    ]
    listed = table(["notebook", "exercises"], links)
    return (
        "# What the checks say\n\nA check tries an answer on cases of its own. It compares a wrong "
        "one with the usual mistakes, and says which gives the same results.\n\n## In one exercise"
        f"\n\n{listed}\n\n## In any exercise\n\nAs 00.shift says it.\n\n"
        f"{table(['what went wrong', 'what the check says'], rows + hints)}\n"
    )


def messages(name: str, one: Exercise, notebooks: list[Page]) -> str:
    """Return the page of one exercise's messages, each with a case that shows the mistake."""
    home = next((made for made in notebooks if made.number == name.partition(".")[0]), None)
    where = f" It stands in [{home.title}]({home.name}.md)." if home else ""
    text = "---\norphan: true\n---\n"  # the contents at every page's side name only `messages`
    text += f"# {name}: what the check says\n\nAn answer returns {one.returns}.{where}\n"
    for sentence, mistake in one.mistakes.items():
        case = replace(one, mistakes={sentence: mistake}).test(mistake).message
        case = case.removeprefix(sentence).strip()
        text += f"\n## {sentence[0].upper()}{sentence[1:].replace('|', chr(92) + '|')}\n\n{fence(case, 'text')}\n"
    return f"{text}\n## Anything else\n\nWhere no usual mistake fits, the check says: {one.otherwise}\n"


def api(room: str) -> str:
    """Return the page of one room: its docstring, and that of all it offers."""
    module = import_module(f"ssae_kit.{room}")
    names = getattr(module, "__all__", [name for name in vars(module) if name[0] != "_"])
    here = f"ssae_kit.{room}"
    # A constant does not tell where it was made; what was made elsewhere is of another page.
    offered = [n for n in names if getattr(getattr(module, n), "__module__", here).startswith(here)]
    parts = [f".. automodule:: ssae_kit.{room}\n   :no-members:\n"]
    for name in sorted(offered):
        value, path = getattr(module, name), f"{here}.{name}"
        if inspect.ismodule(value):
            continue
        if inspect.isclass(value):
            parts.append(f".. autoclass:: {path}\n   :members:\n")
        elif callable(value):
            parts.append(f".. autofunction:: {path}\n")
        else:
            parts.append(f".. py:data:: {path}\n\n   ``{value!s:.300}``\n")
    return f"# {room}\n\n``````{{eval-rst}}\n" + "\n".join(parts) + "\n``````\n"
