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
    """Range, order or curve that the widgets show at first; an answer left there is none."""
    widgets: list[Any]
    """One range slider; a menu for each place of an order; a slider for each place of a curve."""
    unit: str = ""
    """Unit of the number or curve; empty for an order."""
    places: tuple[str, ...] = ()
    """Places along a curve; empty for numbers and orders."""
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

    def sketch(
        self,
        name: str,
        question: str,
        places: Sequence[str | float | int],
        low: float | int,
        high: float | int,
        unit: str = "unitless",
    ) -> None:
        """Ask for a curve, by one upright slider for each place along it.

        Args:
            name: Short; `outcome` finds the prediction by it.
            question: What is asked.
            places: Where the curve is asked for, from left to right.
            low: Lowest value of the sliders, where they start.
            high: Highest value.
            unit: Of the values.

        Raises:
            ValueError: if there are fewer than two places, or `low` is not below `high`.
        """
        if len(places) < 2 or not low < high:
            raise ValueError(
                "`places` must be two or more and `low` below `high`; got "
                f"{list(places)}, {low} and {high}."
            )
        import ipywidgets

        sliders = [
            ipywidgets.FloatSlider(
                value=low,
                min=low,
                max=high,
                step=(high - low) / 50,
                description=str(place),
                orientation="vertical",
                readout_format=".2g",
            )
            for place in places
        ]
        start = tuple(float(slider.value) for slider in sliders)
        self._ask(name, Prediction(question, start, sliders, unit, tuple(map(str, places))))

    def outcome(self, name: str, value: Any) -> None:
        """Show prediction and outcome together. From now on the prediction cannot be changed.

        Args:
            name: As in `number`, `order` or `sketch`.
            value: What came out: a number (a tensor or array of one will do), the things in order,
                or one number for each place of a sketch.

        Raises:
            ValueError: if nothing was asked under this name, an order gets other things than were
                asked for, or a sketch another number of values than it has places.
        """
        if name not in self.asked:
            raise ValueError(f"`name` must be one of {list(self.asked)}; got {name!r}.")
        one = self.asked[name]
        one.outcome = _outcome(one, value)
        one.asked = one.answer
        for widget in one.widgets:
            widget.disabled = True
        told = _told(one)
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
        made = {name: one for name, one in told.items() if one.made}
        ranges = {name: one for name, one in made.items() if one.unit and not one.places}
        orders = [one for one in made.values() if not one.unit]
        if not made:
            _say("*You made no predictions in this notebook.*")
            return
        right = sum(tuple(one.asked) == tuple(one.outcome) for one in orders)
        held = sum(one.asked[0] <= one.outcome <= one.asked[1] for one in ranges.values())
        lines = [f"Orders predicted exactly: {right} of {len(orders)}."] * bool(orders)
        lines += [_distance(one) for one in made.values() if one.places]
        if ranges:
            _show_all(ranges)
            lines.append(
                f"Outcomes within your ranges: {held} of {len(ranges)}. Ranges that one is {SURE:.0%} "
                f"sure of should hold {SURE * len(ranges):.1f}."
            )
        _say(" ".join(lines))

    def _ask(self, name: str, one: Prediction) -> None:
        import ipywidgets

        from ssae_kit.plots.show import show_widget

        self.asked[name] = one
        hint = f"Set a range that you are {SURE:.0%} sure of." if one.unit else "Set the order."
        hint = f"Draw the curve ({one.unit})." if one.places else hint
        label = ipywidgets.Label(f"{one.question} {hint}")
        widgets = [ipywidgets.HBox(one.widgets)] if one.places else one.widgets
        show_widget(ipywidgets.VBox([label, *widgets]), f"Prediction: {one.question}")


def _outcome(one: Prediction, value: Any) -> Any:
    """Return what came out, in the form of the answer."""
    if not one.unit:
        if sorted(value) != sorted(one.start):
            raise ValueError(
                f"the outcome must hold the things that were asked for, {list(one.start)}; got "
                f"{list(value)}."
            )
        return tuple(value)
    if not one.places:
        return float(value)
    values = tuple(float(v) for v in value)
    if len(values) != len(one.places):
        raise ValueError(
            f"the outcome needs one value for each of {list(one.places)}; got {len(values)}."
        )
    return values


def _told(one: Prediction) -> str:
    """Return the outcome in words."""
    if one.places:
        return ", ".join(f"{p}: {v:.3g}" for p, v in zip(one.places, one.outcome, strict=True))
    return f"{one.outcome:.3g}" if one.unit else ", ".join(one.outcome)


def _distance(one: Prediction) -> str:
    """Say how far a sketch lay from the outcome."""
    gaps = [abs(a - b) for a, b in zip(one.asked, one.outcome, strict=True)]
    return f"Your sketch ({one.question}) lay {sum(gaps) / len(gaps):.2g} away, on average."


def _say(text: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(text))


def _show(one: Prediction, told: str) -> None:
    from ssae_kit.plots import predictions, show

    if one.places:
        fig = predictions.sketch(
            one.places, one.asked, one.outcome, y_title=one.unit, title=one.question
        )
        drawn = ", ".join(f"{p}: {v:.3g}" for p, v in zip(one.places, one.asked, strict=True))
        show(fig, f"Your curve: {drawn}. The outcome: {told}.")
        return
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
