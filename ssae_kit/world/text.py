"""Between words and text: splitting, natural spacing, elision."""

import re

WORD_PATTERN = r"aujourd'hui|[^\W_]+'|[^\W_]+|[^\w\s]"
"""How a text is cut into words; the bundled tokenizer cuts by the same pattern."""

NO_SPACE_BEFORE = (",", ".", ":")
"""Marks that stand directly after the word before them."""

_VOWELS = frozenset("aeiouàâäéèêëîïôöùûüœ")
_SILENT_H = frozenset({"horrible", "horribles", "héritier", "héritière"})
_ELIDED = {"le": "l'", "la": "l'", "de": "d'", "que": "qu'", "ce": "cet", "a": "an"}


def split_words(text: str) -> list[str]:
    """Cut a text into words and marks; accepts any string, lower-cases it."""
    return re.findall(WORD_PATTERN, text.lower().replace("’", "'"))


def join_words(words: list[str] | tuple[str, ...]) -> str:
    """Write words with natural spacing, so that `split_words` gives them back."""
    text = " ".join(words)
    for mark in NO_SPACE_BEFORE:
        text = text.replace(f" {mark}", mark)
    return text.replace("' ", "'")


def elide(words: list[str]) -> list[str]:
    """Apply le/la/de/que → l'/d'/qu', ce → cet and a → an where the next word begins with a vowel.

    The words must be one language's; "la" and "ce" are taken to be articles.
    """
    out = list(words)
    for i, word in enumerate(words[:-1]):
        following = words[i + 1]
        if word in _ELIDED and (following[:1] in _VOWELS or following in _SILENT_H):
            out[i] = _ELIDED[word]
    return out
