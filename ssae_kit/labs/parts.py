"""Pieces that every lab is built from: labelled controls, and the read-out that is read aloud."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, fields
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

HERE = Path(__file__).parent
WIDE, NARROW = {"description_width": "106px"}, {"width": "254px"}
"""Style of a control, so that labels stand in line, and its layout."""


class Words(anywidget.AnyWidget):  # type: ignore[misc]
    """Text that a screen reader speaks when it changes, and a count of the views on screen.

    Lines are paragraphs. `views` is kept by the browser: it is 0 as long as nobody sees the lab,
    and goes back to 0 when its output is cleared or its cell deleted.
    """

    _esm = HERE / "words.js"
    _css = HERE / "lab.css"
    text = traitlets.Unicode("").tag(sync=True)
    views = traitlets.Int(0).tag(sync=True)
    retries = traitlets.Int(0).tag(sync=True)
    """How often the browser has waited in vain for the lab's figure."""
    width = traitlets.Int(800).tag(sync=True)
    """Pixels there are for the figure, kept by the browser."""
    keeps = traitlets.Bool(False).tag(sync=True)
    """Whether the page can keep a still picture behind the lab."""


def setting(default: Any, make: Callable[..., Any], label: str, *arguments: Any) -> Any:
    """Return a field of a lab's settings that says which control sets it.

    Args:
        default: Its value at first.
        make: One of the functions below.
        label: Shown beside the control.
        arguments: What `make` takes after label and value; the hint says what the field means.
    """
    return field(default=default, metadata={"control": lambda at: make(label, at, *arguments)})


def controls(at: Any, **others: Any) -> dict[str, Any]:
    """Return a control for every field of a lab's settings, standing where they are.

    Args:
        at: The settings.
        others: Controls for fields that are not made by `setting`.
    """
    return {
        one.name: others.get(one.name) or one.metadata["control"](getattr(at, one.name))
        for one in fields(at)
    }


def slider(label: str, value: float, low: float, high: float, step: float, hint: str) -> Any:
    """Return a slider that reports while it moves; a whole `step` gives whole numbers.

    Raises:
        ValueError: if the value lies outside `low` to `high`; ipywidgets would move it there.
    """
    if not low <= value <= high:
        raise ValueError(f"`{label}` must lie in {low}..{high}; got {value}.")
    ends: dict[str, Any] = {"min": low, "max": high, "step": step}
    if isinstance(step, int):
        return labelled(widgets.IntSlider, label, value, hint, **ends)
    return labelled(widgets.FloatSlider, label, value, hint, **ends, readout_format=".2f")


def choice(label: str, value: str, options: Sequence[str], hint: str) -> Any:
    """Return a drop-down list."""
    return labelled(widgets.Dropdown, label, value, hint, options=list(options))


def switch(label: str, value: bool, hint: str) -> Any:
    """Return a box to tick."""
    return labelled(widgets.Checkbox, label, value, hint)


def line(label: str, value: str, placeholder: str, hint: str) -> Any:
    """Return a line of text that reports once Enter is pressed."""
    later = {"continuous_update": False}
    return labelled(widgets.Text, label, value, hint, placeholder=placeholder, **later)


def labelled(kind: Any, label: str, value: Any, hint: str, **more: Any) -> Any:
    """Return a control with its label beside it, and a hint."""
    return hinted(kind(value=value, description=label, style=WIDE, layout=NARROW, **more), hint)


def hinted(control: Any, hint: str) -> Any:
    """Give a control its hint, in place, under the name that ipywidgets 7 or 8 has for it."""
    setattr(control, "tooltip" if control.has_trait("tooltip") else "description_tooltip", hint)
    return control


def button(label: str, hint: str, action: Callable[[], Any]) -> Any:
    """Return a button; its hint is shown by the mouse and read by screen readers."""
    made = hinted(widgets.Button(description=label), hint)
    made.on_click(lambda _: action())
    return made


def heading(text: str, level: int = 3) -> Any:
    """Return a heading over a group of controls; level 2 is the lab's title."""
    made = widgets.HTML(f"<h{level}>{text}</h{level}>")
    made.add_class(f"ssae-h{level}")
    return made


def box(name: str, *children: Any) -> Any:
    """Place widgets in a box whose look the style sheet says under this name."""
    made = widgets.VBox(list(children))
    made.add_class(name)
    return made


def row(*children: Any) -> Any:
    """Place widgets side by side, on further lines where there is no room."""
    return widgets.HBox(list(children), layout={"flex_flow": "row wrap", "grid_gap": "2px 10px"})


def assign(controls: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Set controls by name.

    Raises:
        ValueError: if there is no such control, or one cannot take its value; all stay as they were.
    """
    unknown = [name for name in changes if name not in controls]
    if unknown:
        raise ValueError(f"names must be among {list(controls)}; got {unknown}.")
    before = {name: control.value for name, control in controls.items()}
    for name, value in [*changes.items()] * 2:  # twice: one may widen another's bounds
        with suppress(traitlets.TraitError):
            controls[name].value = value
    refused = [
        f"`{name}` must {_required(controls[name])}; got {value!r}."
        for name, value in changes.items()
        if controls[name].value != (tuple(value) if isinstance(value, list) else value)
    ]
    if refused:
        assign(controls, before)
        raise ValueError(" ".join(refused))


def _required(control: Any) -> str:
    if hasattr(control, "options"):
        return f"be among {list(control.options)}"
    if hasattr(control, "max"):
        return f"lie in {control.min}..{control.max}"
    return f"be like {control.value!r}"


def close_all(widget: Any) -> None:
    """Close a widget with all inside it, layouts and styles too, which have models of their own."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for name in ("layout", "style"):
        part = getattr(widget, name, None)
        if isinstance(part, widgets.Widget):  # a figure's layout is plotly's
            part.close()
    widget.close()
