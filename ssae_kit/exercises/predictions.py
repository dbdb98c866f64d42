"""Predictions: the learner commits before a result, and sees afterwards how good they were."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SURE = 0.8
"""How sure a predicted range should be. At 100% everyone would predict everything."""


@dataclass
class Prediction:
    """One question and what the learner answered: a range, an order or a curve."""

    question: str
    """What is asked."""
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

    def __post_init__(self) -> None:
        self.kind = "curve" if self.places else "range" if self.unit else "order"
        self.start = self.answer  # an answer left there is none

    @property
    def answer(self) -> tuple[Any, ...]:
        """What the widgets say now: both ends of a range, the things in order, or a curve."""
        values = [one.value for one in self.widgets]
        return tuple(values[0] if self.kind == "range" else values)

    def settle(self, value: Any) -> None:
        """Note what came out; from now on the answer cannot be changed."""
        if self.kind == "range":
            self.outcome = float(value)
        else:
            asked = self.places or self.start
            outcome = tuple(map(float, value) if self.places else value)
            if len(asked) != len(outcome) or not (self.unit or set(asked) == set(outcome)):
                raise ValueError(
                    "the outcome needs one value for each of the things that were asked for, "
                    f"{list(asked)}; got {list(outcome)}."
                )
            self.outcome = outcome
        self.asked = self.answer
        for widget in self.widgets:
            widget.disabled = True

    def told(self, values: Any) -> str:
        """Return an order, a curve or an outcome in words."""
        if self.places:
            return ", ".join(f"{p}: {v:.3g}" for p, v in zip(self.places, values, strict=True))
        return f"{values:.3g}" if self.unit else ", ".join(values)

    def said(self) -> str:
        """Return the answer at the time of the outcome in words."""
        if self.kind == "range":
            return f"{self.asked[0]:.3g} to {self.asked[1]:.3g}"
        return self.told(self.asked)

    def show(self) -> None:
        """Show prediction and outcome in one figure."""
        from ssae_kit.plots import predictions, show  # 0.5 s, which only a notebook should pay

        asked, outcome, title = self.asked, self.outcome, self.question
        if self.kind == "range":
            fig = predictions.intervals([""], [asked], [outcome], x_title=self.unit, title=title)
        elif self.kind == "curve":
            fig = predictions.sketch(self.places, asked, outcome, y_title=self.unit, title=title)
        else:
            fig = predictions.orders(asked, outcome, title=title)
        show(fig, f"Your {self.kind}: {self.said()}. The outcome: {self.told(outcome)}.")


class Predictions:
    """The predictions of one notebook.

    Without a browser nobody moves a slider: then no prediction counts as made, and every cell runs.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Prediction] = {}

    def made(self) -> dict[str, str]:
        """Name → what was predicted before the outcome, in words; without those left untouched."""
        return {
            name: f"{one.question} {one.said()}"
            for name, one in self.asked.items()
            if one.asked not in (None, one.start)
        }

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

        ends = {"value": (low, high), "min": low, "max": high, "step": (high - low) / 100}
        look = {"layout": {"width": "560px"}, "readout_format": ".3g"}
        slider = ipywidgets.FloatRangeSlider(description=unit, **ends, **look)
        hint = f"Set a range that you are {SURE:.0%} sure of."
        self._ask(name, hint, Prediction(question, [slider], unit))

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
        self._ask(name, "Set the order.", Prediction(question, menus))

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

        ends = {"value": low, "min": low, "max": high, "step": (high - low) / 50}
        look = {"orientation": "vertical", "readout_format": ".2g"}
        sliders = [ipywidgets.FloatSlider(description=str(p), **ends, **look) for p in places]
        one = Prediction(question, sliders, unit, tuple(map(str, places)))
        self._ask(name, f"Draw the curve ({unit}).", one)

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
        one.settle(value)
        told = one.told(one.outcome)
        if one.asked == one.start:
            _say(f"*You made no prediction. Outcome ({one.question}): {told}.*")
        elif one.kind == "order" and set(one.asked) != set(one.outcome):
            _say(f"*Your order names a thing twice. Outcome: {told}.*")
        else:
            one.show()

    def calibration(self) -> None:
        """Show how well calibrated the predictions of numbers were, and how many orders were right.

        Of ranges that are to hold with a chance of 80%, about 80% should: fewer means too narrow
        (overconfident), all of them, over many notebooks, too wide.
        """
        made = {name: self.asked[name] for name in self.made()}
        if not made:
            _say("*You made no predictions in this notebook.*")
            return
        orders = [one.asked == one.outcome for one in made.values() if one.kind == "order"]
        lines = [f"Orders predicted exactly: {sum(orders)} of {len(orders)}."] * bool(orders)
        for one in made.values():
            if one.places:
                gaps = [abs(a - b) for a, b in zip(one.asked, one.outcome, strict=True)]
                away = f"{sum(gaps) / len(gaps):.2g} away, on average."
                lines.append(f"Your sketch ({one.question}) lay {away}")
        if ranges := {name: one for name, one in made.items() if one.kind == "range"}:
            _show_all(ranges)
            held = sum(one.asked[0] <= one.outcome <= one.asked[1] for one in ranges.values())
            lines.append(
                f"Outcomes within your ranges: {held} of {len(ranges)}. Ranges that one is {SURE:.0%} "
                f"sure of should hold {SURE * len(ranges):.1f}."
            )
        _say(" ".join(lines))

    def _ask(self, name: str, hint: str, one: Prediction) -> None:
        import ipywidgets

        from ssae_kit.plots.show import show_widget

        self.asked[name] = one
        label = ipywidgets.Label(f"{one.question} {hint}")
        widgets = [ipywidgets.HBox(one.widgets)] if one.places else one.widgets
        show_widget(ipywidgets.VBox([label, *widgets]), f"Prediction: {one.question}")


def _say(text: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(text))


def _show_all(ranges: dict[str, Prediction]) -> None:
    from ssae_kit.plots import predictions, show

    places = []  # of both ends and of the outcome, between the ends of the slider
    for one in ranges.values():
        low, high = one.start
        places.append([(x - low) / (high - low) for x in (*one.asked, one.outcome)])
    fig = predictions.intervals(
        list(ranges),
        [(low, high) for low, high, _ in places],
        [outcome for _, _, outcome in places],
        x_title="position on the slider (0: its lowest value, 1: its highest)",
        title="Your predictions and the outcomes",
    )
    show(fig, "For every prediction of a number: your range as a bar, the outcome as a diamond.")
