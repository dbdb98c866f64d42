"""Pieces that every lab is built from: labelled controls, and the read-out that is read aloud."""

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import field, fields
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

_ESM = """
function render({ model, el }) {
  const region = document.createElement("div");
  region.setAttribute("role", "status");
  region.setAttribute("aria-live", "polite");
  region.className = "ssae-words";
  el.append(region);
  const write = () => region.replaceChildren(...model.get("text").split("\\n").map((line) => {
    const p = document.createElement("p");
    p.textContent = line;
    return p;
  }));
  model.on("change:text", write);
  write();
  // ipywidgets gives a slider's handle no name: take it from the label beside it.
  const name = () => {
    for (const handle of document.querySelectorAll(".ssae-lab .noUi-handle:not([aria-label])")) {
      const label = handle.closest(".widget-slider")?.querySelector(".widget-label");
      if (label) handle.setAttribute("aria-label", label.textContent);
    }
  };
  const timers = [100, 500, 1500, 4000].map((wait) => setTimeout(name, wait));
  // The lab counts as seen once its figure stands: an update of a figure not yet drawn is lost.
  let seen = false;
  const count = (by) => { model.set("views", model.get("views") + by); model.save_changes(); };
  const see = () => { if (!seen) { seen = true; count(1); } };
  const own = (figure) => figure && region.closest(".ssae-lab")?.contains(figure);
  const drawn = (event) => { if (own(event.detail.element)) see(); };
  document.addEventListener("plotlywidget-after-render", drawn);
  const late = setInterval(() => {  // in case it stood before this was listening
    if (region.closest(".ssae-lab")?.querySelector(".js-plotly-plot")?.calcdata?.length) see();
  }, 3000);
  return () => {
    timers.forEach(clearTimeout);
    clearInterval(late);
    document.removeEventListener("plotlywidget-after-render", drawn);
    model.off("change:text", write);
    if (seen) count(-1);
  };
}
export default { render };
"""

_CSS = """
.ssae-lab { max-width: 900px; box-sizing: border-box; overflow-x: auto; color: #000; background: #fff;
  font-family: "Open Sans", Arial, sans-serif; border: 1px solid #bbb; border-radius: 6px;
  padding: 12px 14px; color-scheme: light; --jp-widgets-color: #000; --jp-ui-font-color1: #000;
  --jp-widgets-label-color: #000; --jp-widgets-readout-color: #000; --jp-content-font-color1: #000;
  --jp-widgets-input-color: #000; --jp-widgets-input-background-color: #fff;
  --jp-layout-color1: #fff; --jp-layout-color2: #f2f2f2; }
.ssae-lab .ssae-h2 h2 { font-size: 17px; font-weight: 600; margin: 0 0 6px 0; color: #000; }
.ssae-lab .ssae-h3 h3 { font-size: 13px; font-weight: 600; margin: 6px 0 0 0; color: #000; }
.ssae-lab .ssae-words p { font-size: 14px; line-height: 1.45; margin: 0 0 6px 0; color: #000; }
.ssae-lab .widget-label, .ssae-lab .widget-readout, .ssae-lab .widget-checkbox label,
.ssae-lab input, .ssae-lab select, .ssae-lab textarea { color: #000; }
.ssae-lab input, .ssae-lab select, .ssae-lab textarea { background-color: #fff; }
.ssae-lab .widget-readout { min-width: 40px; width: 40px; }
.ssae-lab .widget-button { color: #000; background: #f2f2f2; border: 1px solid #767676;
  border-radius: 4px; width: auto; }
.ssae-lab .widget-button:focus-visible, .ssae-lab select:focus-visible,
.ssae-lab .noUi-handle:focus-visible { outline: 3px solid #0072B2; outline-offset: 1px; }
.ssae-lab .ssae-texts { border-collapse: collapse; width: 100%; table-layout: fixed; }
.ssae-lab .ssae-texts th, .ssae-lab .ssae-texts td { text-align: left; vertical-align: top;
  padding: 4px 8px; border: 1px solid #ccc; font-size: 14px; line-height: 1.4; color: #000;
  background: #fff; white-space: normal; overflow-wrap: anywhere; }
.ssae-lab .ssae-texts ins { font-weight: 700; text-decoration: underline; color: #0072B2; }
.ssae-lab .ssae-texts del { text-decoration: line-through; color: #A04000; }
.ssae-lab .ssae-texts mark { color: #000; padding: 1px 2px; }
.ssae-lab .ssae-texts mark b { text-decoration: underline; }
.ssae-lab textarea { font-family: monospace; font-size: 13px; }
"""


class Words(anywidget.AnyWidget):  # type: ignore[misc]
    """Text that a screen reader speaks when it changes, and a count of the views on screen.

    Lines are paragraphs. `views` is kept by the browser: it is 0 as long as nobody sees the lab,
    and goes back to 0 when its output is cleared or its cell deleted.
    """

    _esm = _ESM
    _css = _CSS
    text = traitlets.Unicode("").tag(sync=True)
    views = traitlets.Int(0).tag(sync=True)


WIDE = {"description_width": "106px"}
NARROW = {"width": "254px"}


def hinted(control: Any, hint: str) -> Any:
    """Give a control its hint, in place, under the name that ipywidgets 7 or 8 has for it."""
    setattr(control, "tooltip" if control.has_trait("tooltip") else "description_tooltip", hint)
    return control


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
    made = {}
    for one in fields(at):
        given = others.get(one.name)
        made[one.name] = given or one.metadata["control"](getattr(at, one.name))
    return made


def whole(label: str, value: int, low: int, high: int, hint: str, step: int = 1) -> Any:
    """Return a slider of whole numbers that reports once the hand lets go.

    Raises:
        ValueError: if the value lies outside `low` to `high`; ipywidgets would move it there.
    """
    return _slider(widgets.IntSlider, label, value, low, high, hint, step=step)


def real(label: str, value: float, low: float, high: float, step: float, hint: str) -> Any:
    """Return a slider of real numbers that reports once the hand lets go.

    Raises:
        ValueError: if the value lies outside `low` to `high`; ipywidgets would move it there.
    """
    more = {"step": step, "readout_format": ".2f"}
    return _slider(widgets.FloatSlider, label, value, low, high, hint, **more)


def _slider(
    kind: Any, label: str, value: float, low: float, high: float, hint: str, **more: Any
) -> Any:
    if not low <= value <= high:
        raise ValueError(f"`{label}` must lie in {low}..{high}; got {value}.")
    shared = {"description": label, "style": WIDE, "layout": NARROW, "continuous_update": False}
    return hinted(kind(value=value, min=low, max=high, **shared, **more), hint)


def choice(
    label: str, value: str | None, options: Sequence[str], hint: str, width: str = "254px"
) -> Any:
    """Return a drop-down list; without a value, the first option is chosen."""
    shared = {"description": label, "style": WIDE, "layout": {"width": width}}
    value = options[0] if value is None else value
    return hinted(widgets.Dropdown(options=list(options), value=value, **shared), hint)


def switch(label: str, value: bool, hint: str) -> Any:
    """Return a box to tick."""
    shared = {"description": label, "style": WIDE, "layout": NARROW}
    return hinted(widgets.Checkbox(value=value, indent=True, **shared), hint)


def line(label: str, value: str, placeholder: str, hint: str, width: str = "254px") -> Any:
    """Return a line of text that reports once Enter is pressed."""
    shared = {"description": label, "style": WIDE, "layout": {"width": width}}
    made = widgets.Text(value=value, placeholder=placeholder, continuous_update=False, **shared)
    return hinted(made, hint)


def button(label: str, hint: str, action: Callable[[], None]) -> Any:
    """Return a button; its hint is shown by the mouse and read by screen readers."""
    made = hinted(widgets.Button(description=label), hint)
    made.on_click(lambda _: action())
    return made


def places(named: Mapping[str, tuple[Any, str]], go_to: Callable[[str], None]) -> list[Any]:
    """Return one button per name, with the hint that goes with it; a click goes there."""
    return [button(n, hint, functools.partial(go_to, n)) for n, (_, hint) in named.items()]


def heading(text: str, level: int = 3) -> Any:
    """Return a heading over a group of controls; level 2 is the lab's title."""
    made = widgets.HTML(f"<h{level}>{text}</h{level}>")
    made.add_class(f"ssae-h{level}")
    return made


def row(*children: Any) -> Any:
    """Place widgets side by side, on further lines where there is no room."""
    return widgets.HBox(list(children), layout={"flex_flow": "row wrap", "grid_gap": "2px 10px"})


def values(controls: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the controls say, by name."""
    return {name: control.value for name, control in controls.items()}


def assign(controls: Mapping[str, Any], changes: Mapping[str, Any]) -> None:
    """Set controls by name.

    Raises:
        ValueError: if there is no such control, or one cannot take its value; all stay as they were.
    """
    unknown = [name for name in changes if name not in controls]
    if unknown:
        raise ValueError(f"names must be among {list(controls)}; got {unknown}.")
    before = values(controls)
    refused = _move(controls, changes)
    if refused:
        _move(controls, before)
        raise ValueError(" ".join(refused))


def _move(controls: Mapping[str, Any], changes: Mapping[str, Any]) -> list[str]:
    """Set controls; return a sentence about each that did not take its value."""
    for name, value in [*changes.items()] * 2:  # twice: one may widen another's bounds
        with suppress(traitlets.TraitError):
            controls[name].value = value
    return [
        f"`{name}` must {_required(controls[name])}; got {value!r}."
        for name, value in changes.items()
        if controls[name].value != (tuple(value) if isinstance(value, list) else value)
    ]


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
