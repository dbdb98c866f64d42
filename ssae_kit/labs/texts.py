"""Texts as HTML: two side by side with the changed words marked, and tokens shaded by a code.

And shares in words.
"""

import difflib
import html
import re
from collections.abc import Iterable, Sequence


def side_by_side(head: Sequence[str], before: Sequence[str], after: Sequence[str]) -> str:
    """Return an HTML table of texts under two names; what left is struck out, what came is bold."""
    pairs = zip(before, after, strict=True)
    return table(head, [_marked(a.split(), b.split()) for a, b in pairs])


def table(head: Sequence[str], rows: Iterable[Sequence[str]], first: str = "auto") -> str:
    """Return an HTML table; cells hold HTML already. `first` is the first column's CSS width."""
    names = "".join(f"<th scope='col'>{name}</th>" for name in head)
    names = names.replace("<th", f"<th style='width: {first}'", 1)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table class='ssae-texts'><tr>{names}</tr>{lines}</table>"


def _marked(old: list[str], new: list[str]) -> tuple[str, str]:
    left, right = [], []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, False).get_opcodes():
        gone, came = html.escape(" ".join(old[a:b])), html.escape(" ".join(new[c:d]))
        if kind == "equal":
            left.append(gone)
            right.append(came)
            continue
        left += [f"<del>{gone}</del>"] if gone else []
        right += [f"<ins>{came}</ins>"] if came else []
    return " ".join(left), " ".join(right)


def shaded(tokens: Sequence[str], codes: Sequence[float], largest: float) -> str:
    """Return a text as HTML with each token shaded by its code; the strongest is bold, underlined.

    Args:
        tokens: As they are to be read.
        codes: Of each token, 0 or more; tokens with 0 stay plain.
        largest: Code that gets the darkest shade.
    """
    strongest, pieces = max(codes, default=0.0), []
    for token, strength in zip(tokens, codes, strict=True):
        word = html.escape(token)
        if strength > 0:
            word = f"<b>{word}</b>" if strength == strongest else word
            shade = f"rgba(86, 180, 233, {0.1 + 0.5 * min(strength / largest, 1.0):.2f})"
            tab = " tabindex='0'" if strength == strongest else ""
            said = f"title='{strength:.2f}' data-code='{strength:.6g}'{tab}"
            word = f"<mark style='background: {shade}' {said}>{word}</mark>"
        pieces.append(word)
    return " ".join(pieces)


def linked(written: str, words: Iterable[str]) -> str:
    """Mark words in HTML that the figure beside it names: hover or focus lights both."""
    names = "|".join(re.escape(html.escape(word)) for word in words if word.strip())
    outside = rf"(?<![\w&])({names or '(?!)'})(?!\w)(?![^<]*>)"  # of tags
    return re.sub(outside, r"<span class='ssae-word' tabindex='0'>\1</span>", written)


def percent(share: float) -> str:
    """Return a share in per cent; "none" for NaN, where there was nothing to count."""
    return "none" if share != share else f"{share:.0%}"
