"""What all labs share: compute on a thread, show progress, cancel, go back, explain errors, export.

A lab is only a view. Its computation is a function `run` of frozen settings, and what it returns has
a `figure` and `words`. Between them stands this class; the code that it shows is the source of `run`.
"""

import ast
import functools
import html
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import ipywidgets as widgets
import plotly.graph_objects as go

from ssae_kit.labs.figure import LiveFigure, Still, fitted
from ssae_kit.labs.job import Cancelled, Computing, Job
from ssae_kit.labs.listing import listing
from ssae_kit.labs.parts import box, button, close_all, controls, heading, row
from ssae_kit.plots.show import STATIC, show, show_widget

PATIENCE = 10.0
"""Seconds that a browser has to draw an outcome; then its figure is taken for dead."""


class Lab(Computing):
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
    tasks: Sequence[str]
    """Things to try, from easy to hard; each can be answered by looking."""
    below: Sequence[Any] = ()
    """What stands below the figure."""
    places: Mapping[str, tuple[Mapping[str, Any], str]] = {}
    """Settings worth a visit: name, what is changed at the start's settings, and what is seen."""
    visit = "Places to visit"
    """Stands over them."""

    def __init__(self, start_at: Any, **own: Any) -> None:
        super().__init__(start_at, controls(start_at, **own))
        self._still: Still | None = None
        self._later = threading.Timer(PATIENCE, lambda: None)
        self._outcome = self.beginning()
        """What was drawn last."""
        self.fig = LiveFigure(fitted(self._outcome.figure(), self.words_shown.width))
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
        self.view = box("ssae-lab", *self.first_screen(), body, self._pinned, self._code)
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
        theirs = ("theme", "template", "token")  # `?theme=dark` is for the page
        lab._quietly(**{n: _value(text) for n, text in said if n not in theirs})
        return lab

    def beginning(self) -> Any:
        """Return the first outcome that a computation tells; it has as many traces as any later."""

        def stop(_: float, measure: Callable[[], Any] | None) -> None:
            if measure is not None:
                raise Cancelled(measure())

        try:
            return self.compute(self.start_at, stop)
        except Cancelled as told:
            return told.args[0]

    def first_screen(self) -> list[Any]:
        """Return what a visitor sees first: what the lab does, what to see and try, and `places`."""
        tasks = "".join(f"<li>{html.escape(task)}</li>" for task in self.tasks)
        todo = f"<details open><summary>Things to try</summary><ol>{tasks}</ol></details>"
        about = f"<p>{html.escape(self.does)} {html.escape(self.look)}</p>{todo}"
        first = [heading(self.title, 2), widgets.HTML(about)]
        if self.places:
            over = heading(f"{self.visit} (all else as at the start):")
            first += [over, row(*self._buttons)]
        return first

    def above(self) -> list[Any]:
        """Return what stands beside the figure, in order: the controls."""
        return [*self.controls.values()]

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

    def close(self) -> None:
        """Stop the computation and take the lab off every page. It cannot be used afterwards."""
        self.stop()
        self._later.cancel()
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
            if self.result is None:  # else the new one shows it at once
                self._tell("The figure did not start. Trying again…", 0.0)
        close_all(old)

    def start(self) -> None:
        """Cancel what is running and compute anew with the settings as they are; returns at once."""
        self._code.layout.display = "none"  # it was of other settings
        super().start()

    @property
    def behind(self) -> bool:
        """Whether a browser has still to draw what it was sent."""
        return self.words_shown.views > 0 and self.fig.behind

    def _finish(self, settings: Any, result: Any) -> None:
        self._draw(settings, result)
        self.fig.settle()
        self._keep()
        self._later.cancel()
        if self.behind:
            self._later = threading.Timer(PATIENCE, self._look_after, (self._job,))
            self._later.daemon = True
            self._later.start()

    def _look_after(self, job: Job) -> None:
        """Put another figure in the place of one that a browser shows, but does not draw again.

        A busy page gives up on a figure's model after 2 s; what it has drawn by then stands for ever.
        """
        with self._lock:
            if job is self._job and not job.cancelled and self.behind:
                self._retry(None)

    def _draw(self, settings: Any, result: Any) -> None:
        self._outcome = result
        self._put(self.figure(result))
        self.words_shown.text = self.words(settings, result)

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
