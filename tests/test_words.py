"""Words and symbols: what formulas use stands in the table of notebook 00, and the map is honest."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = {
    path.stem.partition("_")[0]: path
    for path in Path(__file__).parents[1].glob("notebooks/[0-9]*.ipynb")
}
GREEK = (
    "alpha|beta|gamma|delta|epsilon|zeta|eta|theta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega|ell"
)
LETTER = re.compile(rf"\\(?:{GREEK})(?![a-zA-Z])|(?<![\\a-zA-Z])[a-zA-Z](?![a-zA-Z])")
NAMED = re.compile(r"\\(?:text|mathrm|operatorname|begin|end)\{[^}]*\}|_(?:\{[^}]*\}|\\?\w)")
"""What is no symbol: words, and what stands below a letter."""


def texts(number):
    return [
        c.source for c in nbformat.read(NOTEBOOKS[number], 4).cells if c.cell_type == "markdown"
    ]


def symbols(text):
    """Letters of the formulas in a text."""
    plain = re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)
    found = re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$", plain, flags=re.DOTALL)
    return {s for shown, inline in found for s in LETTER.findall(NAMED.sub("", shown or inline))}


def table():
    """Number of a notebook → the symbols that the table of 00 explains for it."""
    (text,) = [t for t in texts("00") if "Every symbol of the formulas" in t]
    known = {number: set() for number in NOTEBOOKS}
    for letters, where in re.findall(r"^\| (\$[^|]+) \| ([^|$]+) \|[^|]+\|$", text, re.MULTILINE):
        for number in known if where == "all" else where.split(", "):
            known[number] |= symbols(letters)
    return known


def test_symbols_are_found_in_formulas_and_words_and_marks_are_none():
    text = r"$x' = W_d\,r + b_{d}$, `$q$` and $$\mathrm{relu}(z) \le \frac{1}{K} \sum_{i} \ell, \hat W$$"
    assert symbols(text) == {"x", "W", "r", "b", "z", "K", r"\ell"}


@pytest.mark.parametrize("number", sorted(set(NOTEBOOKS) - {"00"}))
def test_every_symbol_of_a_notebook_stands_in_the_table_of_the_first(number):
    used = set().union(*map(symbols, texts(number)))
    assert used - table()[number] == set(), (
        f"add to 'Every symbol of the formulas' in 00 for {number}"
    )


def test_the_map_names_for_each_notebook_its_minutes_and_what_one_learns():
    (text,) = [t for t in texts("00") if t.startswith("## The map")]
    rows = re.findall(r"^\| \[?(\d\d\w?)_[^|]+\| [^|]+\| (\d+) \| [^|]{20,}\|$", text, re.MULTILINE)
    assert {number for number, _ in rows} == set(NOTEBOOKS)
    assert all(15 <= int(minutes) <= 180 for _, minutes in rows)
