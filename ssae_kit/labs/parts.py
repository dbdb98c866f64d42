"""Pieces that every lab is built from: labelled controls, and the read-out that is read aloud."""

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
.ssae-lab { max-width: 900px; font-family: "Open Sans", Arial, sans-serif; color: #000;
  background: #fff; border: 1px solid #bbb; border-radius: 6px; padding: 12px 14px; }
.ssae-lab .ssae-title { font-size: 17px; font-weight: 600; margin: 0 0 6px 0; }
.ssae-lab .ssae-group { font-size: 13px; font-weight: 600; margin: 6px 0 0 0; color: #000; }
.ssae-lab .ssae-words p { font-size: 14px; line-height: 1.45; margin: 0 0 6px 0; color: #000; }
.ssae-lab .widget-label { color: #000; }
.ssae-lab .widget-readout { min-width: 40px; width: 40px; }
.ssae-lab .widget-button { color: #000; background: #f2f2f2; border: 1px solid #767676;
  border-radius: 4px; width: auto; }
.ssae-lab .widget-button:focus-visible, .ssae-lab select:focus-visible,
.ssae-lab .noUi-handle:focus-visible { outline: 3px solid #0072B2; outline-offset: 1px; }
.ssae-lab .ssae-texts { border-collapse: collapse; width: 820px; table-layout: fixed; }
.ssae-lab .ssae-texts th, .ssae-lab .ssae-texts td { text-align: left; vertical-align: top;
  padding: 4px 8px; border: 1px solid #ccc; font-size: 14px; line-height: 1.4; color: #000;
  background: #fff; white-space: normal; }
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


def hinted(control: Any, hint: str) -> Any:
    """Give a control its hint, in place, under the name that ipywidgets 7 or 8 has for it."""
    setattr(control, "tooltip" if control.has_trait("tooltip") else "description_tooltip", hint)
    return control


def whole(label: str, value: int, low: int, high: int, hint: str, step: int = 1) -> Any:
    """Return a slider of whole numbers that reports once the hand lets go.

    Raises:
        ValueError: if the value lies outside `low` to `high`; ipywidgets would move it there.
    """
    _check_range(label, value, low, high)
    made = widgets.IntSlider(
        value=value, min=low, max=high, step=step, description=label,
        continuous_update=False, style=WIDE, layout={"width": "254px"},
    )  # fmt: skip
    return hinted(made, hint)


def real(label: str, value: float, low: float, high: float, step: float, hint: str) -> Any:
    """Return a slider of real numbers that reports once the hand lets go.

    Raises:
        ValueError: if the value lies outside `low` to `high`; ipywidgets would move it there.
    """
    _check_range(label, value, low, high)
    made = widgets.FloatSlider(
        value=value, min=low, max=high, step=step, description=label,
        continuous_update=False, style=WIDE, layout={"width": "254px"}, readout_format=".2f",
    )  # fmt: skip
    return hinted(made, hint)


def _check_range(label: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"`{label}` must lie in {low}..{high}; got {value}.")


def choice(
    label: str, options: Sequence[str], hint: str, width: str = "254px", at: str | None = None
) -> Any:
    """Return a drop-down list; unless `at` says otherwise, the first option is chosen."""
    made = widgets.Dropdown(
        options=list(options), value=options[0] if at is None else at, description=label,
        style=WIDE, layout={"width": width},
    )  # fmt: skip
    return hinted(made, hint)


def switch(label: str, value: bool, hint: str) -> Any:
    """Return a box to tick."""
    made = widgets.Checkbox(
        value=value, description=label, indent=True, style=WIDE, layout={"width": "254px"}
    )
    return hinted(made, hint)


def button(label: str, hint: str, action: Callable[[], None]) -> Any:
    """Return a button; its hint is shown by the mouse and read by screen readers."""
    made = hinted(widgets.Button(description=label), hint)
    made.on_click(lambda _: action())
    return made


def places(named: Mapping[str, tuple[Any, str]], go_to: Callable[[str], None]) -> list[Any]:
    """Return one button per name, with the hint that goes with it; a click goes there."""
    return [button(n, hint, functools.partial(go_to, n)) for n, (_, hint) in named.items()]


def heading(text: str, kind: str = "group") -> Any:
    """Return a line of text over a group of controls."""
    made = widgets.HTML(text)
    made.add_class(f"ssae-{kind}")
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
