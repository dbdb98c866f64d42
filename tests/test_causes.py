"""Interchange, its score, and subspaces that are trained to pass it."""

from functools import partial

import pytest
import torch
from torch.testing import assert_close

from ssae_kit import causes, llama, methods
from tests.pretend import Pretend, on_gpu


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def rows(k=2, width=5):
    return torch.linalg.qr(torch.randn(width, k, generator=generator(3))).Q.mT.contiguous()


BASES, SOURCES = torch.randn(2, 4, 5, generator=generator())


def test_one_chosen_latent_takes_the_sources_value_and_the_rest_stays():
    found = methods.known(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
    base, source = torch.tensor([[1.0, 2.0]]), torch.tensor([[5.0, 7.0]])
    moved = base + causes.exchange(found, base, source, torch.tensor([[False, True]]))
    assert_close(moved, torch.tensor([[1.0, 7.0]]))


def test_the_whole_state_becomes_the_sources():
    assert_close(BASES + causes.exchange(causes.whole(5), BASES, SOURCES), SOURCES)


def test_what_a_featurizer_cannot_say_of_the_base_stays():
    found = methods.Found(rows(), lambda states: states @ rows().mT)
    moved = BASES + causes.exchange(found, BASES, SOURCES)
    outside = torch.eye(5) - rows().mT @ rows()
    assert_close(moved @ outside, BASES @ outside)
    assert_close(moved @ rows().mT, SOURCES @ rows().mT)


def test_an_untrained_subspace_exchanges_what_a_swap_in_the_llama_does():
    subspaces = causes.Subspaces(1, 5, 2, generator=generator(1))
    own = subspaces.found().directions
    swapped = llama.Swap(SOURCES, own, at="all").change(BASES[:, None])[:, 0]
    assert_close(BASES + subspaces(BASES[None], SOURCES[None])[0], swapped)
    assert_close(BASES + causes.exchange(subspaces.found(), BASES, SOURCES), swapped)


def test_a_mask_of_another_shape_or_a_state_of_another_width_is_refused():
    with pytest.raises(ValueError, match="one entry per text and latent"):
        causes.exchange(causes.whole(5), BASES, SOURCES, torch.ones(4, 2) == 1)
    with pytest.raises(ValueError, match="as wide as the directions, 4; got 5"):
        causes.exchange(causes.whole(4), BASES, SOURCES)


def test_cause_and_isolate_count_only_where_base_and_source_differ():
    said = torch.tensor([[1, 0, 0], [0, 0, 1]])
    bases, sources = torch.tensor([[0, 0, 0], [0, 1, 1]]), torch.tensor([[1, 0, 1], [0, 0, 0]])
    exchanged = torch.tensor([[True, False, False]] * 2)
    got = causes.followed(said, bases, sources, exchanged)
    assert_close(got.cause, torch.tensor([1.0, torch.nan]), equal_nan=True)
    assert_close(got.isolate, torch.tensor([1.0, 0.5]))
    assert got.score == 0.875


def test_shares_of_words_count_by_their_size_and_silence_is_left_out():
    said = torch.tensor([[0.75, torch.nan, 0.25]])
    got = causes.followed(
        said, torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([[True, False, False]])
    )
    assert_close(got.cause, torch.tensor([0.75]))
    assert_close(got.isolate, torch.tensor([0.75]))


def test_doing_nothing_and_exchanging_everything_both_score_half():
    bases = torch.randint(2, (50, 4), generator=generator(5))
    sources = torch.randint(2, (50, 4), generator=generator(6))
    exchanged = torch.nn.functional.one_hot(torch.arange(50) % 4, 4) == 1
    for said in (bases, sources):
        assert causes.followed(said, bases, sources, exchanged).score == 0.5


def test_what_is_no_share_is_refused():
    ones = torch.ones(1, 2)
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1; got 2"):
        causes.followed(2 * ones, ones, ones, ones == 1)


def planted(n_steps, n_runs=2, k=2, truth=None, **options):
    """Train subspaces to move a planted one, and return them."""
    truth = rows(2, 8) if truth is None else truth
    subspaces = causes.Subspaces(n_runs, 8, k, generator=generator(7), **options)
    states = torch.randn(2, 64, 8, generator=generator(8))
    wanted = (states[1] - states[0]) @ truth.mT @ truth

    def loss(step):
        moved = subspaces(states[:1].expand(n_runs, -1, -1), states[1:].expand(n_runs, -1, -1))
        return (moved - wanted).square().mean((1, 2))

    cost = 0.02 if options else 0.0
    return subspaces, causes.align(subspaces, loss, n_steps=n_steps, width_cost=cost)


def overlap(found, truth):
    return float((found.directions @ truth.mT).square().sum()) / len(truth)


def test_every_run_finds_a_planted_subspace_and_an_untrained_one_does_not():
    subspaces, loss = planted(300)
    assert loss.max() < 1e-3
    assert min(overlap(subspaces.found(run), rows(2, 8)) for run in range(2)) > 0.99
    assert overlap(planted(1)[0].found(), rows(2, 8)) < 0.9


def test_runs_of_several_widths_train_together():
    subspaces, loss = planted(300, n_runs=3, k=[1, 2, 4])
    found = [subspaces.found(run) for run in range(3)]
    assert [len(one.directions) for one in found] == subspaces.width.tolist() == [1, 2, 4]
    assert (
        loss[1] < 1e-3 < 0.1 < min(loss[0], loss[2])
    )  # one is too few, four move what should stay
    assert overlap(found[0], rows(2, 8)) < 0.6 < 0.99 < overlap(found[1], rows(2, 8))


def test_a_number_of_widths_that_is_not_that_of_the_runs_is_refused():
    with pytest.raises(ValueError, match=r"one number per run, 2; got \[1, 2, 4\]"):
        causes.Subspaces(2, 8, [1, 2, 4], generator=generator())


def test_rows_stay_orthonormal_while_they_are_trained():
    own = planted(50)[0].found().directions
    assert_close(own @ own.mT, torch.eye(2), atol=1e-5, rtol=0)  # float32 products of 8 numbers


def test_a_boundary_finds_the_width_of_a_planted_subspace():
    subspaces, _ = planted(400, k=8, finds_width=True)
    assert [len(subspaces.found(run).directions) for run in range(2)] == [2, 2]


def test_runs_do_not_touch_each_other():
    one, _ = planted(20, n_runs=1)
    both = causes.Subspaces(2, 8, 2, generator=generator(7))
    assert one.basis.shape[0] == 1
    assert_close(both.found(1).directions @ both.found(1).directions.mT, torch.eye(2))


def test_a_loss_that_is_not_finite_or_not_per_run_ends_the_training():
    subspaces = causes.Subspaces(2, 8, 2, generator=generator())
    for bad in (torch.tensor([1.0, torch.nan]), torch.tensor(1.0)):
        with pytest.raises(ValueError, match=r"one finite number per run, \[2\]; at step 0"):
            causes.align(subspaces, lambda step, bad=bad: bad, n_steps=1)


@pytest.mark.parametrize("has_gradient", [False, True])
@pytest.mark.parametrize("finds_width", [False, True])
def test_a_loss_that_does_not_depend_on_the_subspaces_ends_the_training(finds_width, has_gradient):
    subspaces = causes.Subspaces(2, 8, 2, generator=generator(), finds_width=finds_width)
    other = torch.ones(2, requires_grad=has_gradient)
    with pytest.raises(ValueError, match="must depend on `subspaces`"):
        causes.align(subspaces, lambda step: 2 * other, n_steps=1, width_cost=0.1)


def test_training_through_a_llama_leaves_its_own_weights_without_gradients():
    model = llama.untrained(llama.load(), seed=1)
    subspaces = causes.Subspaces(1, model.d_model, 2, generator=generator())
    texts = [[1, 5, 6, 7], [1, 8, 9, 4]]
    bases = llama.run(model, texts, keep=[2]).at_last(2).detach()

    def loss(step):
        edit = llama.Add(subspaces(bases[None], bases.flip(0)[None])[0])
        logits = llama.run(model, texts, edits={2: edit}, logits=True).logits[:, -1]
        return -logits.log_softmax(1)[:, :1].mean(0)

    before = subspaces.basis.detach().clone()
    causes.align(subspaces, loss, n_steps=2)
    assert not torch.equal(subspaces.basis, before)
    assert all(weight.grad is None for weight in model.model.parameters())


def test_the_interchange_is_that_of_pyvene():
    pyvene = pytest.importorskip("pyvene")
    subspaces = causes.Subspaces(1, 8, 3, generator=generator(2))
    theirs = pyvene.LowRankRotatedSpaceIntervention(embed_dim=8, low_rank_dimension=3)
    theirs.rotate_layer.weight = subspaces.basis[0].detach()
    bases, sources = torch.randn(2, 4, 8, generator=generator(4))
    ours = bases + subspaces(bases[None], sources[None])[0]
    assert_close(theirs(bases, sources).detach(), ours.detach(), atol=1e-5, rtol=1e-5)


def test_the_interchange_inside_a_llama_is_that_of_pyvene():
    pyvene = pytest.importorskip("pyvene")
    model, kind = llama.load(), pyvene.LowRankRotatedSpaceIntervention
    subspaces = causes.Subspaces(1, model.d_model, 8, generator=generator(2))
    place = {
        "layer": 2,
        "component": "block_output",
        "low_rank_dimension": 8,
    }  # counts blocks from 0
    theirs = pyvene.IntervenableModel(
        pyvene.IntervenableConfig([place | {"intervention_type": kind}]), model.model
    )
    (intervention,) = theirs.interventions.values()
    intervention.rotate_layer.weight = subspaces.basis[0].detach()
    base, source = [1, 5, 6, 7, 9], [1, 8, 9, 4, 3]
    inputs = [{"input_ids": torch.tensor([ids])} for ids in (base, source)]
    _, edited = theirs(inputs[0], inputs[1:], {"sources->base": (4, 4)})
    states = llama.hidden_states(model, [base, source], 3)
    vectors = subspaces(states[None, :1], states[None, 1:])[0].detach()
    ours = llama.run(model, [base], edits={3: llama.Add(vectors)}, logits=True).logits
    plain = llama.run(model, [base], logits=True).logits
    # Logits are of size 10: float32 sums in another order differ by 1e-5.
    assert_close(edited.logits[:, -1].detach(), ours[:, -1].detach(), atol=1e-4, rtol=1e-4)
    assert (plain[:, -1] - ours[:, -1]).abs().max() > 0.01


@pytest.mark.parametrize("finds_width", [False, True])
def test_an_exchange_stays_on_the_gpu(finds_width):
    with Pretend():
        made = causes.Subspaces(2, 5, 3, generator=generator(), finds_width=finds_width)
        space = on_gpu(made)
        moved = space(BASES.expand(2, -1, -1).to("meta"), SOURCES.expand(2, -1, -1).to("meta"))
        assert moved.device.type == space.width.device.type == "meta"


def missed(space, step):
    """How little of the first two axes the subspaces hold."""
    return 2 - space.basis[:, :2].square().sum((1, 2))


def test_a_search_depends_on_its_own_generator_alone():
    before, found = torch.get_rng_state(), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        space = causes.Subspaces(2, 6, 2, generator=torch.Generator().manual_seed(0))
        assert torch.equal(torch.get_rng_state(), state)
        causes.align(space, partial(missed, space), n_steps=5)
        found.append(space.basis.detach())
    torch.set_rng_state(before)
    assert_close(found[0], found[1])


@pytest.mark.parametrize("wrong", [2, 0.5, -1])
def test_shares_are_not_compared_with_values_that_they_do_not_count(wrong):
    said, values = torch.tensor([[0.2, 0.7]]), torch.tensor([[0.0, 1.0]])
    with pytest.raises(ValueError, match="must be 0 or 1"):
        causes.followed(said, torch.full((1, 2), float(wrong)), values, values == 1)
