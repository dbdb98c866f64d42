"""Compute on a thread whenever a control changes: one computation, and who starts and stops them."""

import functools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import ipywidgets as widgets

from ssae_kit.labs.parts import Words, assign

REDRAW_EVERY = 0.1
"""Seconds between two drawings while a computation runs; more where drawing is slow."""
CROWDED = 3.0
"""The same where others want the processors: a drawing costs a browser as much as a kernel."""
TELL_EVERY = 0.5
"""Seconds between two words on how far it is, where nothing is drawn."""
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
        self.drew(0.0)
        self.may_draw = True
        """Whether it goes on to its first drawing if cancelled: a figure follows a slider's drag."""

    def go_on(self, *, drawing: bool = False) -> None:
        """Raise `Cancelled` if it should stop; `drawing` says that it has something to draw."""
        if self.cancelled and not (drawing and self.may_draw):
            raise Cancelled

    def drew(self, seconds: float) -> None:
        """It has drawn, which took so long."""
        self.may_draw, self.wait = False, max(REDRAW_EVERY, 1.5 * seconds)
        self.told = time.monotonic()
        self.last = self.told, time.process_time()

    @property
    def due(self) -> bool:
        """Whether it is time to draw: soon, unless the process gets much less than a processor."""
        passed = time.monotonic() - self.last[0]
        if self.cancelled or passed < self.wait:  # a figure that follows a drag is not put off
            return passed >= self.wait
        share = min(1.0, 1.2 * (time.process_time() - self.last[1]) / passed)
        return passed * share**6 >= self.wait or passed >= CROWDED


class Computing(ABC):
    """Controls, what is computed of them, and how far it is; a lab is the view of one.

    Args:
        start_at: Settings at the start, a frozen dataclass.
        controls: One for each of its fields.
    """

    run: Callable[..., Any]
    """What is computed: a function of whatever `given` holds, settings, and who is told progress."""
    given: Mapping[str, Any] = {}
    """What `run` takes before the settings, by name; its `source` is the code that makes it."""

    def __init__(self, start_at: Any, controls: Mapping[str, Any]) -> None:
        self.start_at, self.controls = start_at, controls
        self.words_shown = Words()
        self.result: Any = None
        """Outcome of the last computation; None until it is done."""
        self.error = ""
        """What went wrong in the last one, as a sentence; empty if nothing did."""
        self._job = Job(start_at, self._work)  # not begun
        self._past: list[dict[str, Any]] = []
        """What the controls said at each computation, for `undo`."""
        self._lock, self._turn = threading.RLock(), threading.Lock()
        self._quiet = False
        self._progress = widgets.FloatProgress(min=0, max=1, layout={"width": "180px"})
        self._status = widgets.Label("Not started.")
        with self._hush():
            self.adapt("", None)
            self._quietly(**vars(start_at))  # where one narrowed another's bounds, it is refused
        for name, control in self.controls.items():
            control.observe(functools.partial(self._changed, name), "value")

    def compute(self, settings: Any, report: Progress) -> Any:
        """Compute the outcome, calling `report` several times a second."""
        return self.run(*self.given.values(), settings, report)

    @property
    @abstractmethod
    def behind(self) -> bool:
        """Whether a browser has still to draw what it was sent."""

    @abstractmethod
    def _draw(self, settings: Any, result: Any) -> None:
        """Show an outcome, or what there is of one so far."""

    @abstractmethod
    def _finish(self, settings: Any, result: Any) -> None:
        """Show the whole outcome."""

    def settings(self) -> Any:
        """Return what the controls say, frozen; a ValueError explains what does not fit."""
        said = {name: control.value for name, control in self.controls.items()}
        return type(self.start_at)(**said)

    def start(self) -> None:
        """Cancel what is running and compute anew with the settings as they are; returns at once."""
        with self._lock:
            if self.busy and len(self._past) > 1:
                self._past.pop()  # overtaken, as by a slider that is still dragged: one change in all
            self._job.cancelled, self.result = True, None
            try:
                settings = self.settings()
            except Exception as error:
                self._fail(error)
                return
            self.error, said = "", {name: one.value for name, one in self.controls.items()}
            self._past += [said] if said not in self._past[-1:] else []
            self._tell("Computing…", 0.0)
            self._job = Job(settings, self._work)
            self._job.start()

    def undo(self) -> None:
        """Go back to what the controls said before the last change; stays at the first."""
        del self._past[max(1, len(self._past) - 1) :]
        self.set(**self._past[-1] if self._past else {})

    def reset(self) -> None:
        """Go back to the start's settings."""
        self.set(**vars(self.start_at))

    def stop(self) -> None:
        """Stop the running computation; what is shown stays."""
        with self._lock:
            if self.busy:
                self._tell("Stopped.", self._progress.value)
            self._job.cancelled, self._job.may_draw = True, False

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until nothing runs any more.

        Raises:
            TimeoutError: if that takes longer than `timeout` seconds.
        """
        job = self._job
        if job.is_alive():
            job.join(timeout)
        if job.is_alive():
            raise TimeoutError(f"the computation still runs after {timeout} seconds.")

    @property
    def busy(self) -> bool:
        """Whether a computation runs that has not been cancelled."""
        return self._job.is_alive() and not self._job.cancelled

    def set(self, **changes: Any) -> None:
        """Set several controls at once, by name, and compute once; `assign` says what it refuses."""
        self._quietly(**changes)
        self.start()

    def _quietly(self, **changes: Any) -> None:
        """Set several controls without computing."""
        with self._hush():
            assign(self.controls, changes)

    @contextmanager
    def _hush(self) -> Iterator[bool]:
        """Let this thread move controls without computing; others' changes wait, and are not lost.

        Gives whether this thread did so already.
        """
        with self._lock:
            before, self._quiet = self._quiet, True
            try:
                yield before
            finally:
                self._quiet = before

    def adapt(self, name: str, old: Any) -> None:  # noqa: B027  # most have nothing to adapt
        """Adapt other controls after `name` left its `old` value; by default nothing."""

    def _changed(self, name: str, change: Any) -> None:
        with self._hush() as quiet:
            self.adapt(name, change["old"])
        if not quiet:
            self.start()

    def _work(self, job: Job) -> None:
        """Run on the thread: wait for the cancelled job to end, compute, draw."""
        with suppress(Cancelled), self._turn:
            try:
                job.go_on()
                result = self.compute(job.settings, functools.partial(self._report, job))
                with self._lock:
                    job.go_on()
                    self.result = result
                    self._finish(job.settings, result)
                    self._tell("Done.", 1.0)
            except Exception as error:
                with self._lock:
                    job.go_on()
                    self._fail(error)

    def _report(self, job: Job, share: float, measure: Callable[[], Any] | None) -> None:
        job.go_on(drawing=measure is not None)
        begun, due = time.monotonic(), job.due and not self.behind
        if due or begun - job.told > TELL_EVERY:
            partial = measure() if due and measure else None
            with self._lock:
                job.go_on(drawing=measure is not None)
                self._tell(f"Computing… {share:.0%}", share)
                if partial is not None:
                    self._draw(job.settings, partial)
            job.told = begun
        if due:
            job.drew(time.monotonic() - begun)
        time.sleep(0)  # let the kernel's own thread in

    def _tell(self, text: str, share: float) -> None:
        self._status.value, self._progress.value = text, share

    def _fail(self, error: Exception) -> None:
        self.error = f"This did not work: {error}"
        self.words_shown.text = self.error
        self._tell("Stopped by an error.", self._progress.value)
