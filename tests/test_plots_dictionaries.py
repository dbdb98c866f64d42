"""Figures of notebooks 02 and 03: arrays in, figure out, inputs untouched."""

import numpy as np
import pytest

from ssae_kit.plots import dictionaries, identifiability

RNG = np.random.default_rng(0)
RUNS = RNG.random(3)
GRID = RNG.random((4, 3))

FIGURES = {
    "cosines": lambda: dictionaries.cosines(GRID, GRID),
    "architectures": lambda: dictionaries.architectures({"ReLU": {"F1": RUNS}}, {"F1": 0.1}),
    "pareto": lambda: dictionaries.pareto({"ReLU": GRID}, {"ReLU": GRID}),
    "clamping": lambda: dictionaries.clamping(
        [0.0, 1.0], {"French": [(0.1, 0.0, 0.2)] * 2}, "rate"
    ),
    "dead": lambda: dictionaries.dead_over_training([1, 2, 3, 4], {"no cure": GRID}),
    "rates": lambda: dictionaries.firing_rates({"no cure": RUNS}),
    "absorption": lambda: dictionaries.fires_with_children({"ReLU": (RUNS, RUNS)}),
    "splitting": lambda: dictionaries.splitting([8, 16, 32, 64], {"trained": GRID}),
    "histogram": lambda: dictionaries.activation_histogram(RUNS, RUNS, latent=3, label="French"),
    "matches": lambda: identifiability.sorted_matches({"sparse": GRID}),
    "explained": lambda: identifiability.recovery_against_explained({"SAE": (RUNS, RUNS)}, 0.4),
    "rotation": lambda: identifiability.rotation(RUNS, {"error": RUNS}, 30.0),
    "floors": lambda: identifiability.floors(
        [2.0, 3.0, 5.0, 10.0], {"random": GRID}, x_title="concepts", y_title="MCC", title="Floor"
    ),
    "scores": lambda: identifiability.two_scores({"truth": (1.0, 1.0)}),
    "plane": lambda: identifiability.plane(GRID[:, :2], {"true": GRID[:2, :2]}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_has_the_template_a_title_and_named_axes(name):
    before = (RUNS.copy(), GRID.copy())
    fig = FIGURES[name]()
    assert fig.layout.template.layout.colorway is not None
    assert fig.layout.title.text
    assert fig.layout.xaxis.title.text
    assert fig.layout.yaxis.title.text or name == "architectures"
    assert (before[0] == RUNS).all()
    assert (before[1] == GRID).all()


def test_error_bars_span_the_seeds():
    values = np.array([[0.0, 0.1, 0.5]])
    bars = dictionaries.splitting([8], {"trained": values}).data[0]
    assert bars.y[0] + bars.error_y.array[0] == pytest.approx(0.5)
    assert bars.y[0] - bars.error_y.arrayminus[0] == pytest.approx(0.0)
