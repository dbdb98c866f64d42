"""What all labs share: compute on a thread, show progress, cancel, go back, explain errors, export.

A lab is only a view. Its computation is a function `run` of frozen settings, and what it returns has
a `figure` and `words`. Between them stands this class; the code that it shows is the source of `run`.
"""

import ast
import functools
import html
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import ipywidgets as widgets
import plotly.graph_objects as go

from ssae_kit.labs.figure import LiveFigure, Still, fitted
from ssae_kit.labs.job import Cancelled, Job, Progress
from ssae_kit.labs.listing import listing
from ssae_kit.labs.parts import Words, assign, box, button, close_all, controls, heading, row
from ssae_kit.plots.show import STATIC, show, show_widget


class Lab:
    """Base of every lab. A subclass brings settings and `run`.

    A change of a control cancels the running computation and starts another on a thread, so the
    kernel stays free. The first one starts when a browser shows the lab; without one (in a test,
    or in a script) call `start`. When the lab is no longer shown, its computation stops.

    Args:
        start_at: Settings at the start, from which places are reached: a frozen dataclass. There is
            a control for each of its fields; a change of any of them starts a computation.
        own: Controls of fields that say none themselves (see `setting`).
    """

    title: str
    """A question."""
    does: str
    """What it does, in a sentence."""
    look: str
    """What the picture of the start shows."""
    run: Callable[..., Any]
    """What is computed: a function of whatever `given` holds, settings, and who is told progress."""
    given: Mapping[str, Any] = {}
    """What `run` takes before the settings, by name; its `source` is the code that makes it."""
    tasks: Sequence[str]
    """Things to try, from easy to hard; each can be answered by looking."""
    below: Sequence[Any] = ()
    """What stands below the figure."""
    places: Mapping[str, tuple[Mapping[str, Any], str]] = {}
    """Settings worth a visit: name, what is changed at the start's settings, and what is seen."""
    visit = "Places to visit"
    """Stands over them."""

    def __init__(self, start_at: Any, **own: Any) -> None:
        self.start_at, self.controls = start_at, controls(start_at, **own)
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
        with self._hush():
            self.adapt("", None)
            self._quietly(**vars(start_at))  # where one narrowed another's bounds, it is refused
        self._still: Still | None = None
        self._outcome = self.beginning()
        """What was drawn last."""
        self.fig = LiveFigure(fitted(self._outcome.figure(), self.words_shown.width))
        self._progress = widgets.FloatProgress(min=0, max=1, layout={"width": "180px"})
        self._status = widgets.Label("Not started.")
        hidden = {"width": "100%", "display": "none"}
        self._code = widgets.Textarea(rows=12, layout=hidden, description="code")
        self._code.style.description_width = "40px"
        self._buttons = [
            button(name, hint, functools.partial(self.go_to, name))
            for name, (_, hint) in self.places.items()
        ]
        self._pinned = widgets.VBox()
        self._seen = box("ssae-seen", self._foot(), self.words_shown, self.fig, *self.below)
        body = box("ssae-body", box("ssae-controls", *self.above()), self._seen)
        first = (heading(self.title, 2), widgets.HTML(self.first_screen()))
        self.view = box("ssae-lab", *first, *self.visits(), body, self._pinned, self._code)
        for name, control in self.controls.items():
            control.observe(functools.partial(self._changed, name), "value")
        self.words_shown.observe(self._shown, "views")
        self.words_shown.observe(self._retry, "retries")
        self.words_shown.observe(self._fit, "width")
        self.words_shown.observe(self._keep, "keeps")

    @classmethod
    def from_link(cls) -> "Lab":
        """Return the lab as the page's address asks for it, for example `…?noise=0.2&seed=3`.

        Raises:
            ValueError: if it names no control of this lab, or a value that one cannot take.
        """
        make: Callable[[], Lab] = cls  # every subclass starts by itself
        lab, said = make(), parse_qsl(os.environ.get("QUERY_STRING", ""))
        theirs = "voila-"  # `?voila-theme=dark` is for the page
        lab._quietly(**{n: _value(text) for n, text in said if not n.startswith(theirs)})
        return lab

    def beginning(self) -> Any:
        """Return the first outcome that a computation tells; it has as many traces as any later."""
        told: list[Any] = []

        def stop(_: float, measure: Callable[[], Any] | None) -> None:
            if measure is not None:
                told.append(measure())
                raise Cancelled

        with suppress(Cancelled):
            self.run(*self.given.values(), self.start_at, stop)
        return told[0]

    @classmethod
    def first_screen(cls) -> str:
        """Return as HTML what a visitor reads first: what the lab does, what to see, what to try."""
        tasks = "".join(f"<li>{html.escape(task)}</li>" for task in cls.tasks)
        todo = f"<details open><summary>Things to try</summary><ol>{tasks}</ol></details>"
        return f"<p>{html.escape(cls.does)} {html.escape(cls.look)}</p>{todo}"

    def above(self) -> list[Any]:
        """Return what stands beside the figure, in order: the controls."""
        return [*self.controls.values()]

    def visits(self) -> list[Any]:
        """Return a button for each of the `places`, under their heading."""
        over = f"{self.visit} (all else as at the start):"
        return [heading(over), row(*self._buttons)] if self.places else []

    def settings(self) -> Any:
        """Return what the controls say, frozen; a ValueError explains what does not fit."""
        said = {name: control.value for name, control in self.controls.items()}
        return type(self.start_at)(**said)

    def compute(self, settings: Any, report: Progress) -> Any:
        """Compute the outcome, calling `report` several times a second."""
        return self.run(*self.given.values(), settings, report)

    def figure(self, result: Any) -> go.Figure:
        """Return the figure of an outcome, and show what stands beside it."""
        return result.figure()

    def words(self, settings: Any, result: Any) -> str:
        """Say what can be seen; one line per paragraph."""
        return str(result.words())

    def go_to(self, place: str) -> None:
        """Go back to the start, and from there to a key of `places`."""
        if place not in self.places:
            raise ValueError(f"`place` must be one of {list(self.places)}; got {place!r}.")
        self.set(**vars(replace(self.start_at, **self.places[place][0])))

    def start(self) -> None:
        """Cancel what is running and compute anew with the settings as they are; returns at once."""
        with self._lock:
            if self.busy and len(self._past) > 1:
                self._past.pop()  # overtaken, as by a slider that is still dragged: one change in all
            self._job.cancelled, self.result = True, None
            self._code.layout.display = "none"  # it was of other settings
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

    def pin(self) -> None:
        """Keep what is shown below whatever comes next; what was pinned before goes."""
        for old in self._pinned.children:
            close_all(old)
        said = widgets.HTML(f"<p>{html.escape(self.words_shown.text)}</p>")
        over = heading(f"Pinned: {html.escape(self.call())}")
        self._pinned.children = (over, said, go.FigureWidget(self.fig))

    def call(self) -> str:
        """Return the line that makes the lab as it stands: what differs from the start, by name."""
        changed = {n: v for n, v in vars(self.settings()).items() if v != getattr(self.start_at, n)}
        said = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        link = f"  # or ?{urlencode(changed)} behind its page's address" if changed else ""
        return f"labs.{type(self).__name__}({said}){link}"

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

    def close(self) -> None:
        """Stop the computation and take the lab off every page. It cannot be used afterwards."""
        self.stop()
        try:
            self.wait()
        finally:
            close_all(self.view)

    def code(self) -> str:
        """Return a code cell that makes this view without the widget."""
        made = {name: one.source for name, one in self.given.items()}
        return f"# The lab itself: {self.call()}\n{listing(self.run, self.settings(), made)}"

    @property
    def sentence(self) -> str:
        """What stands in the lab's place where nothing can run."""
        return f"{self.does} Run this cell in JupyterLab to move its controls. {self.look}"

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

    def _foot(self) -> Any:
        """Return the line with progress and the buttons that every lab has."""
        return row(
            self._progress, self._status,
            button("Stop", "Stop the running computation", self.stop),
            button("Run again", "Start the computation again", self.start),
            button("Undo", "Go back to the settings before the last change", self.undo),
            button("Reset", "Go back to the settings at the start", self.reset),
            button("Pin", "Keep this outcome below the next ones", self.pin),
            button("Show code", "Show a code cell that makes this view", self._show_code),
        )  # fmt: skip

    def _ipython_display_(self) -> None:
        """Show the live lab; in a static reading its picture and a sentence."""
        if os.environ.get(STATIC) == "1":
            self.start()
            self.wait()
            if self.error:
                raise RuntimeError(self.error)
            show(self.figure(self.result), self.sentence)
            return
        show_widget(self.view, self.sentence)
        self._still = Still()

    def adapt(self, name: str, old: Any) -> None:
        """Adapt other controls after `name` left its `old` value; by default nothing."""

    def _changed(self, name: str, change: Any) -> None:
        with self._hush() as quiet:
            self.adapt(name, change["old"])
        if not quiet:
            self.start()

    def _shown(self, change: Any) -> None:
        """A view appeared or vanished."""
        if change["new"] <= 0:
            self.stop()
        elif self.result is None and not self.busy:
            self.start()

    def _fit(self, _: Any) -> None:
        """The place of the figure got another width."""
        with self._lock:
            self._put(self._outcome.figure())
            self.fig.settle()

    def _keep(self, _: Any = None) -> None:
        """Leave a picture of the outcome behind the lab, where the page can."""
        if self._still and self.words_shown.keeps and self.result is not None:
            self._still.take(self.result.figure(), self.words_shown.text)

    def _put(self, fig: go.Figure) -> None:
        """Show a figure in the width that the page has."""
        self.fig.replace(fitted(fig, self.words_shown.width))

    def _retry(self, _: Any) -> None:
        """Put another figure in the place of one that a browser did not start."""
        with self._lock:
            old, self.fig = self.fig, LiveFigure(go.Figure(self.fig))
            seen = self._seen.children
            self._seen.children = [self.fig if one is old else one for one in seen]
            self._tell("The figure did not start. Trying again…", 0.0)
        close_all(old)

    def _work(self, job: Job) -> None:
        """Run on the thread: wait for the cancelled job to end, compute, draw."""
        with suppress(Cancelled), self._turn:
            try:
                job.go_on()
                result = self.compute(job.settings, functools.partial(self._report, job))
                with self._lock:
                    job.go_on()
                    self.result = result
                    self._draw(job.settings, result)
                    self.fig.settle()
                    self._keep()
                    self._tell("Done.", 1.0)
            except Exception as error:
                with self._lock:
                    job.go_on()
                    self._fail(error)

    def _report(self, job: Job, share: float, measure: Callable[[], Any] | None = None) -> None:
        job.go_on(drawing=measure is not None)
        begun = time.monotonic()
        behind = self.words_shown.views > 0 and self.fig.behind
        if begun < job.next_drawing or behind:
            time.sleep(0)  # let the kernel's own thread in
            return
        partial = measure() if measure is not None else None
        with self._lock:
            job.go_on(drawing=partial is not None)
            self._tell(f"Computing… {share:.0%}", share)
            if partial is not None:
                self._draw(job.settings, partial)
        job.drew(time.monotonic() - begun)

    def _draw(self, settings: Any, result: Any) -> None:
        self._outcome = result
        self._put(self.figure(result))
        self.words_shown.text = self.words(settings, result)

    def _tell(self, text: str, share: float) -> None:
        self._status.value, self._progress.value = text, share

    def _fail(self, error: Exception) -> None:
        self.error = f"This did not work: {error}"
        self.words_shown.text = self.error
        self._tell("Stopped by an error.", self._progress.value)

    def _show_code(self) -> None:
        try:
            self._code.value = self.code()
        except ValueError as error:
            self._code.value = f"# {error}"
        self._code.layout.display = "flex"


def _value(text: str) -> Any:
    """Return what a link's text stands for: a Python number, truth value or tuple, else itself."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text
