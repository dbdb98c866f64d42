"""One computation of a lab on its thread, and how it reports."""

import threading
import time
from collections.abc import Callable
from typing import Any

REDRAW_EVERY = 0.1
"""Seconds between two drawings while a computation runs; more where drawing is slow."""
Progress = Callable[[float, Callable[[], Any] | None], None]
"""Called by a computation with its share done (0 to 1) and a function that measures what there is
so far, which is called only when it is time to draw."""


def quiet(share: float, measure: Callable[[], Any] | None) -> None:
    """Report progress to nobody."""


class Cancelled(BaseException):  # no `except Exception` on its way is meant to catch it
    """Raised inside a computation whose settings are out of date."""


class Job(threading.Thread):
    """One computation: its settings, and whether it should stop."""

    def __init__(self, settings: Any, work: Callable[["Job"], None]) -> None:
        super().__init__(target=work, args=(self,), daemon=True)
        self.settings, self.cancelled = settings, False
        self.may_draw = True
        """Whether it goes on to its first drawing if cancelled: a figure follows a slider's drag."""
        self.next_drawing = time.monotonic() + REDRAW_EVERY

    def go_on(self, *, drawing: bool = False) -> None:
        """Raise `Cancelled` if it should stop; `drawing` says that it has something to draw."""
        if self.cancelled and not (drawing and self.may_draw):
            raise Cancelled

    def drew(self, seconds: float) -> None:
        """It has drawn, which took so long."""
        self.may_draw = False
        self.next_drawing = time.monotonic() + max(REDRAW_EVERY, 1.5 * seconds)
