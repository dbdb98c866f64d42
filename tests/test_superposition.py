"""The toy model of superposition: hand-worked cases, closed forms, invariances, errors."""

import math

import pytest
import torch
from sklearn.linear_model import Lasso
from torch.testing import assert_close

from ssae_kit.superposition import (
    PHASES,
    POLYTOPES,
    ToyModel,
    candidate_losses,
    classify,
    dimensionality,
    exactly_active,
    fista,
    interference,
    neuron_alignment,
    random_dictionary,
    random_rotation,
    recovered,
    represented,
    share_near,
    train,
)
from ssae_kit.synthetic.features import pattern_features, pattern_weights, sample_features


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def polygon(n: int) -> torch.Tensor:
    angle = 2 * math.pi * torch.arange(n) / n
    return torch.stack([angle.cos(), angle.sin()], -1)[None]


TETRAHEDRON = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])[None] / 3**0.5


def square_antiprism() -> torch.Tensor:
    """Two squares, one turned by 45°, at the height where the arrangement is tight."""
    height, radius = (1 / 3) ** 0.5, (2 / 3) ** 0.5
    angle = torch.arange(8) * math.pi / 4
    z = height * torch.tensor([1.0, -1.0]).repeat(4)
    return torch.stack([radius * angle.cos(), radius * angle.sin(), z], -1)[None]


REGULAR = {
    "digon": torch.tensor([[[1.0], [-1.0]]]),
    "triangle": polygon(3),
    "pentagon": polygon(5),
    "tetrahedron": TETRAHEDRON,
    "square antiprism": square_antiprism(),
}


@pytest.mark.parametrize("name", sorted(POLYTOPES))
def test_dimensionality_of_every_regular_arrangement_is_its_fraction(name):
    found = dimensionality(REGULAR[name])
    assert_close(found, torch.full_like(found, POLYTOPES[name]))


def test_a_feature_alone_on_its_axis_has_one_dimension_and_no_interference():
    directions = torch.eye(3)[None]
    assert_close(dimensionality(directions), torch.ones(1, 3))
    assert_close(interference(directions), torch.zeros(1, 3))


def test_a_feature_that_is_not_stored_has_no_dimension():
    directions = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    assert dimensionality(directions)[0].tolist() == [1, 0]
    assert interference(directions)[0].tolist() == [0, 0]
    assert represented(directions)[0].tolist() == [True, False]


def test_interference_never_falls_below_nothing():
    alone = torch.randn(200, 1, 30, generator=seeded(3))
    assert interference(alone).min() == 0


def test_interference_of_an_antipodal_pair_is_the_other_ones_squared_length():
    directions = torch.tensor([[[2.0, 0.0], [-3.0, 0.0]]])
    assert_close(interference(directions), torch.tensor([[9.0, 4.0]]))


def test_rotating_the_layer_changes_no_measure_but_the_alignment_with_neurons():
    directions = torch.randn(3, 7, 4, generator=seeded(0))
    turned = directions @ random_rotation(3, 4, generator=seeded(1))
    assert_close(dimensionality(turned), dimensionality(directions))
    assert_close(interference(turned), interference(directions))
    assert (represented(turned) == represented(directions)).all()
    assert not torch.allclose(neuron_alignment(turned), neuron_alignment(directions), atol=0.05)


def test_alignment_is_one_on_a_neuron_and_one_over_d_between_them():
    directions = torch.tensor([[[3.0, 0.0], [1.0, 1.0]]])
    assert_close(neuron_alignment(directions), torch.tensor([[1.0, 0.5]]))


def test_random_rotations_are_orthogonal_and_have_no_preferred_direction():
    rotation = random_rotation(4000, 3, generator=seeded(2))
    assert_close(rotation @ rotation.mT, torch.eye(3).expand(4000, 3, 3), atol=1e-5, rtol=0)
    # An entry has mean 0 and variance 1/3: the standard error of the mean is .0091; 5 of them.
    assert rotation.mean(0).abs().max() < 0.046


def test_share_near_counts_values_within_the_tolerance():
    values = torch.tensor([0.5, 0.515, 0.45, 0.67])
    assert share_near(values, [0.5, 2 / 3]) == 0.75
    assert share_near(values, [0.5]) == 0.5


@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_closed_form_losses_agree_with_samples(density):
    """Four standard errors of 400,000 samples; the model's weights are set by hand."""
    n = 400_000
    x = sample_features(torch.full((1, 2), density), n, generator=seeded(3))
    pair = ToyModel(1, 2, 1, generator=seeded(0))
    pair.weight.data = torch.tensor([[[1.0, -1.0]]])
    _, ignored, antipodal = candidate_losses(torch.tensor(density), torch.tensor(1.0), 2)
    error = (pair(x) - x).square()[0].sum(1).detach()
    assert abs(error.mean() - antipodal) < 4 * error.std() / n**0.5
    error = (x[0, :, 0] - density / 2).square()
    assert abs(error.mean() - ignored) < 4 * error.std() / n**0.5


def test_candidate_losses_by_hand():
    losses = candidate_losses(torch.tensor(0.4), torch.tensor(2.0), 3)
    ignored, paired = 0.4 / 3 - 0.04, 0.16 / 6
    assert_close(losses, torch.tensor([2 * ignored, ignored, 3 * paired, 2 * paired]))
    assert len(candidate_losses(torch.tensor(0.4), torch.tensor(2.0), 2)) == len(PHASES[2])


def test_classify_knows_every_candidate():
    two = torch.tensor([[[1.0, 0.1]], [[0.1, 1.0]], [[1.0, -1.0]], [[0.9, 0.9]], [[0.0, 0.0]]])
    assert classify(two.mT).tolist() == [0, 1, 2, -1, -1]
    three = torch.zeros(4, 2, 3)
    three[0, :, :2] = torch.eye(2)
    three[1, 0, 0] = three[1, 1, 2] = 1
    three[2, 0, 0], three[2, 1, 1], three[2, 0, 2] = 1, 1, -1
    three[3, 0, 0], three[3, 0, 1], three[3, 1, 2] = 1, -1, 1
    assert classify(three.mT).tolist() == [0, 1, 2, 3]


def test_the_model_is_the_formula():
    model = ToyModel(2, 3, 2, generator=seeded(0))
    model.bias.data.normal_(generator=seeded(1))
    x = torch.rand(2, 5, 3, generator=seeded(2))
    for run in range(2):
        w, b = model.weight[run], model.bias[run]
        assert_close(model(x)[run], torch.relu(x[run] @ w.T @ w + b))


def test_one_batch_for_all_runs_gives_the_same_as_a_copy_for_each():
    model = ToyModel(4, 3, 2, generator=seeded(0))
    x = torch.rand(6, 3, generator=seeded(1))
    assert_close(model(x), model(x.expand(4, -1, -1)))
    assert_close(model.loss(x), model.loss(x.expand(4, -1, -1)))


def test_weights_and_importance_enter_the_loss_as_written():
    importance = torch.tensor([[1.0, 2.0], [3.0, 0.0]])
    model = ToyModel(2, 2, 1, importance=importance, relu_output=False, generator=seeded(0))
    model.weight.data.zero_()
    x = torch.tensor([[1.0, 1.0], [2.0, 0.0]])
    weights = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    # Nothing is stored: errors are the squared inputs, (1, 1) and (4, 0).
    assert_close(model.loss(x, weights), torch.tensor([0.5 * 3 + 0.5 * 4, 0.25 * 3 + 0.75 * 12]))
    assert_close(model.loss(x)[0], torch.tensor(3.5))


def test_rotation_leaves_the_loss_alone_only_without_a_nonlinearity_on_the_layer():
    x = torch.rand(1, 200, 6, generator=seeded(1))
    turn = random_rotation(1, 4, generator=seeded(2))
    for relu_hidden in (False, True):
        model = ToyModel(1, 6, 4, relu_hidden=relu_hidden, generator=seeded(0))
        before = model.loss(x)
        model.weight.data = turn @ model.weight.data
        assert torch.allclose(model.loss(x), before, rtol=1e-4) != relu_hidden


def test_the_gradient_is_right_and_every_run_has_its_own():
    model = ToyModel(2, 3, 2, generator=seeded(0)).double()
    x = torch.rand(2, 5, 3, generator=seeded(1), dtype=torch.float64)

    def losses(weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            _Loss(model), {"model.weight": weight, "model.bias": model.bias.detach()}, (x,)
        )

    weight = model.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(losses, weight)
    jacobian = torch.autograd.functional.jacobian(losses, weight)
    assert jacobian[0, 1].abs().max() == 0
    assert jacobian[1, 0].abs().max() == 0


class _Loss(torch.nn.Module):
    def __init__(self, model: ToyModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.loss(x)


def kept(relu_output: bool, density: float) -> list[int]:
    rates = torch.full((3, 6), density)
    importance = 0.7 ** torch.arange(6.0)
    model = ToyModel(3, 6, 2, importance=importance, relu_output=relu_output, generator=seeded(0))
    train(model, lambda g: sample_features(rates, 256, generator=g), steps=800, generator=seeded(1))
    return represented(model.directions).sum(-1).tolist()


def test_the_linear_model_keeps_as_many_features_as_dimensions_and_the_relu_more():
    assert kept(False, 0.02) == [2, 2, 2]
    assert min(kept(True, 0.02)) >= 4


def test_runs_trained_together_end_where_they_end_alone():
    weights = pattern_weights(torch.full((3, 2), 0.1), 4)
    together = ToyModel(3, 2, 1, generator=seeded(0))
    alone = ToyModel(1, 2, 1, generator=seeded(0))
    alone.weight.data = together.weight.data[1:2].clone()
    for model, w in ((together, weights), (alone, weights[1:2])):
        draw = lambda g, w=w: (pattern_features(2, 4, generator=g), w)  # noqa: E731
        train(model, draw, steps=100, generator=seeded(1))
    # Sums in another order, a hundred times over.
    assert_close(together.weight[1:2], alone.weight, atol=1e-4, rtol=1e-4)


def test_fista_ends_where_scikit_learns_lasso_does():
    dictionary = random_dictionary(1, 10, 25, generator=seeded(0))
    x = exactly_active(torch.tensor([3]), 4, 25, generator=seeded(1))
    hidden = x @ dictionary
    codes = fista(dictionary, hidden, penalty=0.05, n_steps=3000)
    lasso = Lasso(alpha=0.05 / 10, fit_intercept=False, tol=1e-10, max_iter=100_000)
    peer = lasso.fit(dictionary[0].T.double(), hidden[0].double().T).coef_
    # Both minimise the same convex function; 1e-3 is what single precision leaves.
    assert_close(codes[0], torch.tensor(peer).float(), atol=1e-3, rtol=0)


def test_sparse_samples_are_read_back_and_dense_ones_are_not():
    n_active = torch.tensor([0, 2, 30])
    dictionary = random_dictionary(3, 24, 60, generator=seeded(0))
    x = exactly_active(n_active, 20, 60, generator=seeded(1))
    assert ((x > 0).sum(-1) == n_active[:, None]).all()
    found = recovered(fista(dictionary, x @ dictionary, 0.005, 500), x)
    assert found[0] == 1
    assert found[1] > 0.9
    assert found[2] == 0


BAD = {
    "n_features": (lambda: ToyModel(1, 0, 1, generator=seeded(0)), "at least 1; got 0"),
    "importance": (
        lambda: ToyModel(1, 2, 1, importance=-1.0, generator=seeded(0)),
        "at least 0",
    ),
    "shape": (
        lambda: ToyModel(2, 3, 1, importance=torch.ones(4), generator=seeded(0)),
        r"\[2, 3\]; got shape \[4\]",
    ),
    "inputs": (
        lambda: ToyModel(1, 3, 1, generator=seeded(0)).loss(torch.rand(5, 2)),
        "must have 3 features",
    ),
    "steps": (
        lambda: train(
            ToyModel(1, 2, 1, generator=seeded(0)),
            lambda g: torch.rand(4, 2, generator=g),
            steps=0,
            generator=seeded(0),
        ),
        "`steps` must be at least 1",
    ),
    "phases": (lambda: candidate_losses(torch.ones(1), torch.ones(1), 4), "2 .* or 3"),
    "nothing": (lambda: share_near(torch.empty(0), [0.5]), "at least one value"),
    "rotation": (lambda: random_rotation(0, 2, generator=seeded(0)), "at least 1; got 0"),
    "active": (
        lambda: exactly_active(torch.tensor([9]), 2, 8, generator=seeded(0)),
        r"0\.\.8 .* got tensor\(\[9",
    ),
    "penalty": (lambda: fista(torch.ones(1, 3, 2), torch.ones(1, 1, 2), -1.0), "at least 0"),
}


@pytest.mark.parametrize("case", sorted(BAD))
def test_bad_input_is_refused_with_a_reason(case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call()


def test_training_that_diverges_names_the_runs():
    model = ToyModel(2, 2, 1, generator=seeded(0))
    model.weight.data[1] = math.nan
    with pytest.raises(FloatingPointError, match=r"run\(s\) \[1\]"):
        train(model, lambda g: torch.ones(2, 4, 2), steps=3, generator=seeded(1))
    with pytest.raises(ValueError, match="`inputs` must be finite"):
        model.loss(torch.full((4, 2), math.nan))
