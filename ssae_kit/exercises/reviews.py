"""Recall: five questions end a notebook, and come back at growing intervals.

Questions are text, one file for each notebook. What is due when stands in one small file in the
learner's home. It is written when a button is pressed and at no other time: where nobody presses
one, as in a test, nothing is kept.
"""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

QUESTIONS = Path(__file__).parent / "questions"
STATE = Path("~/.ssae_kit/review.json")
DAYS = (1, 3, 7, 21, 60)
"""Until questions are asked again: further each time they were known."""
ENOUGH = 4
"""Answers of five that must have been known, or the intervals begin anew."""


def questions(notebook: str) -> list[tuple[str, str]]:
    """Questions on a notebook with their answers.

    Args:
        notebook: Its number, such as ``"03"``.

    Raises:
        ValueError: if there are none for this notebook.
    """
    files = {path.stem: path for path in sorted(QUESTIONS.glob("*.md"))}
    if notebook not in files:
        raise ValueError(f"`notebook` must be one of {list(files)}; got {notebook!r}.")
    blocks = files[notebook].read_text(encoding="utf-8").strip().split("\n\n")
    asked = [block.partition("\n") for block in blocks]
    return [(question, answer) for question, _, answer in asked]


def recall(notebook: str, today: date | None = None) -> None:
    """Ask five questions on a notebook, each with its answer folded below it.

    How many of them one knew decides when `review` asks them again.

    Args:
        notebook: Its number, such as ``"03"``.
        today: By default the day it is.

    Raises:
        ValueError: if there are no questions on this notebook.
    """
    import ipywidgets
    from IPython.display import Markdown, display  # 0.1 s, which only a notebook should pay

    from ssae_kit.plots.show import show_widget

    folded = "{}. {}\n\n   <details><summary>Answer</summary>\n\n   {}\n\n   </details>"
    asked = questions(notebook)
    display(Markdown("\n\n".join(folded.format(i, *pair) for i, pair in enumerate(asked, 1))))
    buttons = ipywidgets.ToggleButtons(options=range(len(asked) + 1), value=None)
    buttons.style.button_width = "48px"
    told = ipywidgets.Label("They come back in `exercises.review()`.")
    before: list[int] = []

    def pressed(change: dict[str, Any]) -> None:
        if not before:  # who presses twice has changed their mind, not reviewed twice
            before.append(_state().get(notebook, (-1, ""))[0])
        due = note(notebook, before[0], change["new"], today or date.today())
        told.value = f"Noted: exercises.review() asks them again from {due} on."

    buttons.observe(pressed, "value")
    label = ipywidgets.Label("How many did you know without looking?")
    text = f"Questions on notebook {notebook}: in JupyterLab, note how many you knew."
    show_widget(ipywidgets.VBox([label, buttons, told]), text)


def note(notebook: str, step: int, known: int, today: date) -> date:
    """Note how many answers were known; returns when the questions are asked again.

    Args:
        notebook: Its number.
        step: Place in `DAYS` of the last interval; -1 if there was none.
        known: Of the five answers.
        today: The day it is.
    """
    step = min(step + 1, len(DAYS) - 1) if known >= ENOUGH else 0
    due = today + timedelta(DAYS[step])
    path = STATE.expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    state = _state() | {notebook: (step, due.isoformat())}
    path.write_text(json.dumps(state, indent=1, sort_keys=True), encoding="utf-8")
    return due


def review(today: date | None = None) -> None:
    """Ask the questions that are due, of all notebooks whose questions were answered before.

    Args:
        today: By default the day it is.

    Raises:
        ValueError: if the file of what is due cannot be read.
    """
    from IPython.display import Markdown, display

    state, day = _state(), (today or date.today()).isoformat()
    due = [notebook for notebook, (_, when) in sorted(state.items()) if when <= day]
    for notebook in due:
        display(Markdown(f"### Notebook {notebook}"))
        recall(notebook, today)
    if not due:
        later = min((when for _, when in state.values()), default="")
        told = f"Nothing is due before {later}." if later else "No notebook is finished so far."
        display(Markdown(f"*{told}* A notebook counts once you have answered its questions."))


def _state() -> dict[str, tuple[int, str]]:
    """Notebook → place in `DAYS`, and the day from which it is due."""
    path = STATE.expanduser()
    try:
        held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        return {
            name: (int(step), date.fromisoformat(due).isoformat())
            for name, (step, due) in held.items()
        }
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read ({error}). Delete it to begin anew.") from error
