"""Documents: what the families write, each with its log-probability and its question."""

from dataclasses import dataclass

from ssae_kit.world.text import elide, join_words, split_words


@dataclass(frozen=True)
class Document:
    """One text of the corpus."""

    family: str
    """Which family wrote it."""
    words: tuple[str, ...]
    """Words and marks in order."""
    log_probability: float
    """Nats, under the family's training sampler; the choice of the family is not counted."""
    n_prompt: int = 0
    """Words that come before the answer; 0 where the document has no question."""
    n_given: int = 0
    """Words at the beginning that nothing predicts: `log_probability` is of what follows them."""
    is_cut: bool = False
    """Whether it stops for want of room, without an end."""

    @property
    def text(self) -> str:
        """The document as one would write it."""
        return join_words(self.words)

    @property
    def prompt(self) -> str:
        """Its beginning, up to the answer."""
        return join_words(self.words[: self.n_prompt])

    @property
    def answer(self) -> str:
        """The words of the answer, without the full stop."""
        return join_words(self.words[self.n_prompt : -1])


def question_words(before: str, answer: str) -> tuple[tuple[str, ...], int]:
    """Join a question and its answer with elision across the seam.

    Returns:
        The words with a full stop, and how many of them come before the answer.
    """
    head, tail = split_words(before), split_words(answer)
    words = elide([*head, *tail])
    return (*words, "."), len(head)
