"""Natural English: sentences that state eight concepts of two values, from `natural.toml`.

For Llamas that know English; nothing was trained on them. Every sentence states all eight concepts
once or more. In a pair everything else (noun, verb, object, wording, template) stays.
"""

import re
import tomllib

import torch
from jaxtyping import Float
from torch import Tensor

from ssae_kit import checks
from ssae_kit.pairs import ConceptPairs
from ssae_kit.world.entities import TABLES
from ssae_kit.world.state import Draws

_TABLE = tomllib.loads((TABLES / "natural.toml").read_text("utf-8"))
_SENTENCES, _WORDINGS, WRITING = _TABLE["sentences"], _TABLE["wordings"], _TABLE["writing"]
_NOUNS, _VERBS = ([row.split() for row in _SENTENCES[key]] for key in ("nouns", "verbs"))

VALUES: dict[str, tuple[str, str]] = {name: tuple(pair) for name, pair in _TABLE["values"].items()}
"""Concept -> its value 0 and its value 1."""
CONCEPTS = tuple(VALUES)
"""Columns of `changes`."""
PROMPTS: tuple[str, ...] = tuple(WRITING["prompts"])
"""Beginnings of texts that favour no value."""
NEXT_WORD: dict[str, tuple[tuple[str, ...], tuple[tuple[str, ...], tuple[str, ...]]]] = {
    name: (tuple(row["prompts"]), (tuple(row["words"][0].split()), tuple(row["words"][1].split())))
    for name, row in _TABLE["next"].items()
}
"""Concept -> prompts after which the next word may show it, and the words of either value."""
_LEXICA = [[set(words.split()) for words in _TABLE["lexica"][name]] for name in CONCEPTS]

N_HELD_OUT = 3
"""Nouns and verbs that only the held-out words have."""
N_PLAIN = 4
"""Nouns that are used with one wording."""


def natural_pairs(
    n_pairs: int,
    generator: torch.Generator,
    *,
    wordings: str = "one",
    held_out: str | None = None,
    n_sentences: int = 1,
) -> ConceptPairs:
    """Draw pairs of English texts in which one to three of the eight concepts change.

    Args:
        n_pairs: Number of pairs.
        generator: Source of every choice.
        wordings: "one" or "many" pairs of phrases that say a concept.
        held_out: "template" or "words": use the template, or the nouns and verbs, that are never
            used otherwise.
        n_sentences: Sentences per text, each with words of its own, all with the same values.

    Raises:
        ValueError: if a number is below 1, or a choice is unknown.
    """
    checks.whole("n_pairs", n_pairs)
    checks.whole("n_sentences", n_sentences)
    for name, value, known in (
        ("wordings", wordings, ("one", "many")),
        ("held_out", held_out, (None, "template", "words")),
    ):
        if value not in known:
            raise ValueError(f"`{name}` must be one of {known}; got {value!r}.")
    sources, targets, changes = [], [], []
    for _ in range(n_pairs):
        draws = Draws(generator)
        before = [draws.index(2) for _ in CONCEPTS]
        n_changed = 1 + draws.index(3)
        order = torch.rand(len(CONCEPTS), generator=generator).argsort().tolist()
        after = [1 - v if k in order[:n_changed] else v for k, v in enumerate(before)]
        said = [_fillers(draws, wordings, held_out) for _ in range(n_sentences)]
        sources.append(" ".join(_sentence(before, one) for one in said))
        targets.append(" ".join(_sentence(after, one) for one in said))
        changes.append(tuple(b - a for a, b in zip(before, after, strict=True)))
    return ConceptPairs(tuple(sources), tuple(targets), CONCEPTS, tuple(changes))


def word_counts(texts: list[str]) -> Float[Tensor, "texts concepts values"]:
    """Count the words that say value 0 and value 1 of each concept, by word lists.

    A list knows no context: it counts *not bad* as bad. Negation has words for value 1 only; for
    value 0 one word in ten counts that is none, so that a share can be taken of it too.
    """
    rows = []
    for text in texts:
        words = re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower().replace("’", "'"))
        row = [[float(sum(w in side for w in words)) for side in sides] for sides in _LEXICA]
        negated = row[CONCEPTS.index("negation")]
        negated[1] += sum(word.endswith("n't") for word in words)
        negated[0] = max(len(words) / 10 - negated[1], 0.0)
        rows.append(row)
    return torch.tensor(rows)


def request(text: str, concept: str, value: int) -> str:
    """Return what a user would ask: continue this text, and say this value of the concept."""
    if concept not in CONCEPTS or value not in (0, 1):
        raise ValueError(f"needs one of {CONCEPTS} and 0 or 1; got {concept!r} and {value!r}.")
    asked: str = WRITING["request"].format(wish=WRITING["wishes"][concept][value], text=text)
    return asked


def _fillers(draws: Draws, wordings: str, held_out: str | None) -> dict[str, int]:
    """What does not change in a pair: the place of each word in its list, and the template."""
    counts = {name: len(rows) if wordings == "many" else 1 for name, rows in _WORDINGS.items()}
    n_nouns, n_verbs = len(_NOUNS) - N_HELD_OUT, len(_VERBS) - N_HELD_OUT
    counts |= {"noun": n_nouns if wordings == "many" else N_PLAIN, "verb": n_verbs}
    counts |= {"object": len(_SENTENCES["objects"]), "template": len(_SENTENCES["templates"]) - 1}
    drawn = {name: draws.index(count) for name, count in counts.items()}
    if held_out == "words":
        drawn["noun"] = n_nouns + draws.index(N_HELD_OUT)
        drawn["verb"] = n_verbs + draws.index(N_HELD_OUT)
    if held_out == "template":
        drawn["template"] = counts["template"]
    return drawn


def _sentence(values: list[int], said: dict[str, int]) -> str:
    is_ = dict(zip(CONCEPTS, values, strict=True))
    words = {
        name: rows[said[name]][is_["formality" if name == "opener" else name]]
        for name, rows in _WORDINGS.items()
    }
    noun = _NOUNS[said["noun"]][2 * is_["gender"] + is_["number"]]
    base, third, past = _VERBS[said["verb"]]
    verb = past if is_["tense"] else base if is_["number"] else third
    if is_["negation"]:
        helper = "did" if is_["tense"] else "do" if is_["number"] else "does"
        verb = f"{helper} not {base}"
    opener, time = words["opener"], words["time"]
    text: str = _SENTENCES["templates"][said["template"]].format(
        **words,
        lopener=opener[0].lower() + opener[1:],
        Time=time[0].upper() + time[1:],
        noun=noun,
        verb=verb,
        be="was" if is_["tense"] else "is",
        object=_SENTENCES["objects"][said["object"]],
    )
    return re.sub(r"\ba (?=[aeu])", "an ", text)
