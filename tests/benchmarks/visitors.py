"""What visitors wait for who come to served labs together, and how much memory each takes.

Four press "Run again" at the same moment: first sign is when the status says so, first drawing when
the figure moves, final when it was drawn last. Then two rounds of eight arrive at once; a figure is
dead if it does not move when a slider is moved (a lab that runs again may have nothing new to draw).
Memory is what a visitor's kernel shares with no other (USS), and the process it is asked for by; the
one that all are forked from holds the rest, once. Seconds depend on what else the machine does, so
processor seconds stand beside them: those of a visitor's kernel, for one run.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import psutil

from ssae_kit.labs import kernels as of_labs
from ssae_kit.labs.__main__ import NAMES as LABS
from ssae_kit.labs.__main__ import page
from tests import browser
from tests.test_browser import DRAWN
from tests.test_browser import LABS as SLIDERS

ROUNDS = (["ShiftLab"] * 8, [*LABS, "ShiftLab", "SuperpositionLab"])
PATIENCE = 180
"""Seconds after which a visitor gives up."""
FOURS = ("SuperpositionLab", "ShiftLab", "DictionaryLab")
PRESS = """(at) => {
  const lab = document.querySelector('.ssae-lab'), seen = window.seen = {}, now = () => Date.now() - at;
  const says = (t) => [...lab.querySelectorAll('.widget-label')].some((l) => l.textContent.startsWith(t));
  let plot, before;
  const watch = () => {  // a figure that did not start is made anew, in another element
    const found = lab.querySelector('.js-plotly-plot');
    if (!found?.data || found === plot) return;
    plot = found;
    plot.on('plotly_afterplot', () => {
      if (now() < 0) return;
      seen.drawing ??= now();
      seen.final = now();
    });
  };
  setTimeout(() => {
    watch();
    before = (DRAWN)();
    const slider = document.querySelector('.noUi-handle:focus');
    const key = new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true });
    if (slider) slider.dispatchEvent(key);
    else [...lab.querySelectorAll('button')].find((b) => b.textContent === 'Run again').click();
    const timer = setInterval(() => {
      watch();
      if (says('Computing')) seen.sign ??= now();
      const still = seen.sign !== undefined && says('Done') && now() - (seen.final ?? now()) > 1000;
      if (!still && now() < 60000) return;
      seen.over = true;
      seen.moved = plot && (DRAWN)() !== before;
      clearInterval(timer);
    }, 5);
  }, -now());
}""".replace("DRAWN", DRAWN)


def run() -> dict[str, Any]:
    """Measure everything; see the module's text."""
    found: dict[str, Any] = {}
    for lab in LABS:
        with _arrived([lab]) as (_, kernels):
            found[f"visitors.one.{lab}.unique_mib"] = _unique(kernels)
    for lab in FOURS:
        with _arrived([lab] * 4) as (visitors, kernels):
            used = _seconds(kernels)
            seen = _pressed(visitors)
            used = (_seconds(kernels) - used) / 4
            for name in ("sign", "drawing", "final"):
                times = [one.get(name, float(np.nan)) / 1000 for one in seen]
                found[f"visitors.four.{lab}.s_to_{name}"] = [round(t, 2) for t in sorted(times)]
            found[f"visitors.four.{lab}.cpu_s_each"] = round(used, 2)
            found[f"visitors.four.{lab}.unique_mib"] = _unique(kernels)
    dead, mib = 0, dict[int, list[int]]()
    for names in ROUNDS:
        with _arrived(names) as (visitors, kernels):
            for visitor in visitors:
                visitor.handle(SLIDERS[Path(visitor.page.url).stem]).focus()
            dead += len(names) - sum(one["moved"] for one in _pressed(visitors))
            mib[len(mib)] = _unique(kernels)
    return found | {"visitors.eight.dead_of_16": dead, "visitors.eight.unique_mib": mib}


@contextmanager
def _arrived(names: list[str]) -> Iterator[tuple[list[Any], list[psutil.Process]]]:
    """Let a visitor come to each lab at once; gives those who are served, and all kernels."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in set(names):
            nbformat.write(page(name), folder / f"{name}.ipynb")
        variables = stack.enter_context(of_labs.forked())
        voila = ("voila", "--no-browser", "--port={port}")
        at = stack.enter_context(browser.served(folder, *voila, **variables))
        chromium = stack.enter_context(browser.started())
        visitors = [stack.enter_context(browser.opened(chromium)) for _ in names]
        for visitor, name in zip(visitors, names, strict=True):
            visitor.page.goto(f"{at}/voila/render/{name}.ipynb", wait_until="commit")
        end = time.monotonic() + PATIENCE
        served = [visitor for visitor in visitors if _is_done(visitor, end - time.monotonic())]
        yield served, _kernels()


def _is_done(visitor: Any, seconds: float) -> bool:
    visitor.page.set_default_timeout(1000 * max(seconds, 1.0))
    try:
        visitor.status("Done")
    except AssertionError:
        return False
    visitor.page.set_default_timeout(browser.WAIT)
    return True


def _pressed(visitors: list[Any]) -> list[dict[str, Any]]:
    """Have all move what is focused, or run their labs again, at once; returns what they saw when.

    Milliseconds from that moment.
    """
    at = 1000 * (time.time() + 2)
    for visitor in visitors:
        visitor.page.evaluate(PRESS, at)
    for visitor in visitors:
        visitor.page.wait_for_function("() => window.seen.over")
    return [visitor.page.evaluate("() => window.seen") for visitor in visitors]


def _below() -> dict[psutil.Process, list[str]]:
    """Processes below this one, and how they were started; nothing of one that has ended."""
    below = psutil.Process().children(recursive=True)
    return {one: one.as_dict(["cmdline"])["cmdline"] or [] for one in below if one.is_running()}


def _kernels() -> list[psutil.Process]:
    """Kernels: forked from the process of the same name. A server starts who asks for one."""
    mine = [one for one, command in _below().items() if command[-1:] == [of_labs.__file__]]
    return [one for one in mine if one.parent() in mine]


def _unique(kernels: list[psutil.Process]) -> list[int]:
    """MiB of each that it shares with no other process, and of one who asks."""
    asking = [one for one, command in _below().items() if of_labs.__file__ in command[:-1]]
    asks = max(one.memory_full_info().uss for one in asking)
    return sorted(round((k.memory_full_info().uss + asks) / 2**20) for k in kernels)


def _seconds(kernels: list[psutil.Process]) -> float:
    """Processor seconds that they have used."""
    return sum(sum(kernel.cpu_times()[:2]) for kernel in kernels)
