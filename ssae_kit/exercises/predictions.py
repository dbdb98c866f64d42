"""Predictions: the learner commits before a result, and sees afterwards how good they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SURE = 0.8
"""How sure a predicted range should be. At 100% everyone would predict everything."""


@dataclass
class Prediction:
    """One question and what the learner answered."""

    question: str
    """What is asked."""
    start: Any
    """Range or order that the widgets show at first; an answer left there is none."""
    widgets: list[Any]
    """One range slider, or a menu for each place."""
    unit: str = ""
    """Unit of the number; empty for an order."""
    outcome: Any = None
    """What came out; None until then."""
    asked: Any = None
    """Answer at the time of the outcome; later changes do not count."""

    @property
    def answer(self) -> Any:
        """What the widgets say now: a range of two numbers, or an order."""
        if len(self.widgets) == 1:
            return tuple(self.widgets[0].value)
        return tuple(menu.value for menu in self.widgets)

    @property
    def made(self) -> bool:
        """Whether the learner committed to anything."""
        return bool((self.asked or self.answer) != self.start)


class Predictions:
    """The predictions of one notebook.

    Without a browser nobody moves a slider: then no prediction counts as made, and every cell runs.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Prediction] = {}

    def number(
        self, name: str, question: str, low: float | int, high: float | int, unit: str = "unitless"
    ) -> None:
        """Ask for a range that holds the outcome with a chance of 80%, by a slider.

        Args:
            name: Short; `outcome` finds the prediction by it.
            question: What is asked.
            low: Lowest value of the slider.
            high: Highest value.
            unit: Of the number.

        Raises:
            ValueError: if `low` is not below `high`.
        """
        if not low < high:
            raise ValueError(f"`low` must be below `high`; got {low} and {high}.")
        import ipywidgets

        start = (float(low), float(high))
        slider = ipywidgets.FloatRangeSlider(
            value=start,
            min=low,
            max=high,
            step=(high - low) / 100,
            description=unit,
            layout={"width": "560px"},
            readout_format=".3g",
        )
        self._ask(name, Prediction(question, start, [slider], unit))

    def order(self, name: str, question: str, things: Sequence[str]) -> None:
        """Ask for an order, first place first, by one menu for each place.

        Raises:
            ValueError: if there are fewer than two things, or two are the same.
        """
        if len(things) < 2 or len(set(things)) < len(things):
            raise ValueError(f"`things` must be two or more, all different; got {list(things)}.")
        import ipywidgets

        menus = [
            ipywidgets.Dropdown(options=list(things), value=thing, description=f"{place}.")
            for place, thing in enumerate(things, 1)
        ]
        self._ask(name, Prediction(question, tuple(things), menus))

    def outcome(self, name: str, value: Any) -> None:
        """Show prediction and outcome together. From now on the prediction cannot be changed.

        Args:
            name: As in `number` or `order`.
            value: What came out: a number (a tensor or array of one will do), or the things in order.

        Raises:
            ValueError: if nothing was asked under this name.
        """
        if name not in self.asked:
            raise ValueError(f"`name` must be one of {list(self.asked)}; got {name!r}.")
        one = self.asked[name]
        one.asked, one.outcome = one.answer, float(value) if one.unit else tuple(value)
        for widget in one.widgets:
            widget.disabled = True
        told = f"{one.outcome:.3g}" if one.unit else ", ".join(one.outcome)
        if not one.made:
            _say(f"*You made no prediction. Outcome ({one.question}): {told}.*")
        elif one.unit == "" and sorted(one.asked) != sorted(one.outcome):
            _say(f"*Your order names a thing twice. Outcome: {told}.*")
        else:
            _show(one, told)

    def calibration(self) -> None:
        """Show how well calibrated the predictions of numbers were, and how many orders were right.

        Of ranges that are to hold with a chance of 80%, about 80% should: fewer means too narrow
        (overconfident), all of them, over many notebooks, too wide.
        """
        told = {name: one for name, one in self.asked.items() if one.outcome is not None}
        ranges = {name: one for name, one in told.items() if one.unit and one.made}
        orders = [one for one in told.values() if not one.unit and one.made]
        if not ranges and not orders:
            _say("*You made no predictions in this notebook.*")
            return
        right = sum(tuple(one.asked) == tuple(one.outcome) for one in orders)
        held = sum(one.asked[0] <= one.outcome <= one.asked[1] for one in ranges.values())
        lines = [f"Orders predicted exactly: {right} of {len(orders)}."] * bool(orders)
        if ranges:
            _show_all(ranges)
            lines.append(
                f"Outcomes within your ranges: {held} of {len(ranges)}. Ranges that one is {SURE:.0%} "
                f"sure of should hold {SURE * len(ranges):.1f}."
            )
        _say(" ".join(lines))

    def _ask(self, name: str, one: Prediction) -> None:
        import ipywidgets
        from IPython.display import display

        self.asked[name] = one
        hint = f"Set a range that you are {SURE:.0%} sure of." if one.unit else "Set the order."
        label = ipywidgets.Label(f"{one.question} {hint}")
        view = ipywidgets.VBox([label, *one.widgets])._repr_mimebundle_()
        display({**view, "text/plain": f"Prediction: {one.question}"}, raw=True)


def _say(text: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(text))


def _show(one: Prediction, told: str) -> None:
    from ssae_kit.plots import predictions, show

    if not one.unit:
        fig = predictions.orders(one.asked, one.outcome, title=one.question)
        show(fig, f"Your order: {', '.join(one.asked)}. The outcome: {told}.")
        return
    fig = predictions.intervals(
        [""], [one.asked], [one.outcome], x_title=one.unit, title=one.question
    )
    low, high = one.asked
    show(fig, f"Your range reaches from {low:.3g} to {high:.3g}; the outcome is {told}.")


def _show_all(ranges: dict[str, Prediction]) -> None:
    from ssae_kit.plots import predictions, show

    def share(one: Prediction, value: float) -> float:
        """Position between the ends of the slider."""
        low, high = one.start
        return float((value - low) / (high - low))

    fig = predictions.intervals(
        list(ranges),
        [(share(one, one.asked[0]), share(one, one.asked[1])) for one in ranges.values()],
        [share(one, one.outcome) for one in ranges.values()],
        x_title="position on the slider (0: its lowest value, 1: its highest)",
        title="Your predictions and the outcomes",
    )
    show(fig, "For every prediction of a number: your range as a bar, the outcome as a diamond.")
