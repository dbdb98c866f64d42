"""Studies: scoring against the truth, keeping restarts without it, results read back as written."""

import json

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from ssae_kit import llama
from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.storage import save_tensors
from ssae_kit.studies import best_of, load_study, persons, recover, score, worlds
from ssae_kit.studies.catalogue import STUDIES, collect
from ssae_kit.studies.phases import METHODS, compared
from ssae_kit.synthetic import ShiftProblem, stack, supports
from ssae_kit.training import TrainingConfig

EASY = ShiftProblem(supports.sizes(3, 1), 6)
BRIEF = TrainingConfig(steps=30, batch_size=32)


def truth(*worlds):
    """The true solution of each world as a run of an autoencoder."""
    model = ShiftAutoencoder(len(worlds), 6, 3, generator=torch.Generator())
    directions = torch.stack([world.directions for world in worlds])
    with torch.no_grad():
        model.decoder.copy_(directions.mT)
        model.encoder.copy_(torch.linalg.pinv(directions).mT)
    return model


def test_the_truth_as_autoencoder_scores_one_and_costs_its_own_level():
    (train, test), _ = worlds(EASY, [0, 1], n_samples=500)
    model = truth(train)
    model.calibrate_(train.shifts)
    found = score(model, test)
    # Sums of 2000 pairs in float32: on some processors a correlation of 1 misses it by 2e-5.
    assert_close(found.worst, torch.ones(1, 3), atol=1e-4, rtol=0)
    assert_close(found.error, torch.zeros(1), atol=1e-9, rtol=0)
    assert_close(score(model, train).sparsity[0], train.true_level(), atol=0, rtol=1e-4)


def test_stacked_worlds_are_scored_each_against_its_own_truth():
    pairs = [pair[0] for pair in worlds(EASY, [0, 1], n_samples=50)]
    both = stack(pairs)
    assert_close(score(truth(*pairs), both).directions.score, torch.ones(2))
    swapped = score(truth(*reversed(pairs)), both)
    assert (swapped.directions.score < 0.99).all()


def test_the_kept_restart_of_each_world_has_its_lowest_error():
    pairs = worlds(EASY, [0, 1], n_samples=200)
    found, kept = best_of(pairs, seed=0, n_restarts=3, config=BRIEF)
    assert found.error.shape == (6,)
    assert kept[0] in (0, 1, 2)
    assert kept[1] in (3, 4, 5)
    assert_close(found.keep(kept).codes.score, found.codes.score[kept])


def test_training_is_repeatable():
    train = worlds(EASY, [0], n_samples=200)[0][0]
    first, second = (recover(train, seed=3, config=BRIEF)[0] for _ in range(2))
    assert torch.equal(first.directions, second.directions)


@pytest.mark.parametrize("name", METHODS)
def test_every_baseline_scores_every_concept(name):
    pair = worlds(EASY, [0], n_samples=300, n_test=100)[0]
    codes, directions = compared(name, *pair)
    assert codes.per_concept.shape == directions.per_concept.shape == (1, 3)


def test_ica_recovers_independent_concepts_and_pca_does_not():
    pair = worlds(ShiftProblem(supports.sizes(6, 2), 16), [0])[0]
    assert compared("FastICA", *pair)[1].score > 0.98
    assert compared("PCA", *pair)[1].score < 0.9


def test_a_result_is_read_back_as_a_grid(tmp_path):
    conditions = [{"x": x, "y": y} for x in (1, 2) for y in (5, 3) if (x, y) != (2, 3)]
    values = torch.arange(3.0)[:, None, None].expand(-1, 4, 2)
    metadata = {"conditions": conditions, "command": "make it", "cpu_seconds": 7.0}
    save_tensors(tmp_path / "shifts_mine.safetensors", {"SSAE": values}, metadata)
    result = load_study("mine", tmp_path)
    expected = np.array([[1.0, np.nan], [0.0, 2.0]])  # rows: y 3, 5; columns: x 1, 2
    np.testing.assert_array_equal(result.grid("SSAE", "y", "x"), expected)
    assert "make it" in result.note()
    with pytest.raises(FileNotFoundError, match="shifts_other"):
        load_study("other", tmp_path)
    save_tensors(tmp_path / "shifts_other.safetensors", {"SSAE": values}, {})
    with pytest.raises(ValueError, match="must be the result of a study"):
        load_study("other", tmp_path)


def test_a_result_says_what_it_ran_on_besides_a_processor(tmp_path):
    metadata = {"conditions": [], "command": "make it", "cpu_seconds": 7.0, "device": "NVIDIA H200"}
    save_tensors(tmp_path / "shifts_mine.safetensors", {"SSAE": torch.zeros(1)}, metadata)
    assert "7 s of one core and an NVIDIA H200" in load_study("mine", tmp_path).note()
    assert "NVIDIA" not in load_study("league").note()


def test_no_product_matters_in_any_shipped_llama_and_stream():
    study = load_study("protocol")
    assert study.conditions == STUDIES["protocol"][1]
    gain = study.tensors["gain"]
    assert gain.shape == (60,)
    assert (gain < 0.1).all()


def test_conditions_can_be_written_down_and_results_of_unequal_size_kept():
    for _, conditions in STUDIES.values():
        assert json.loads(json.dumps(conditions))
    collected = collect(
        [{"a": torch.zeros(2), "b": torch.zeros(1)}, {"a": torch.ones(3), "b": torch.ones(1)}]
    )
    assert set(collected) == {"a.0", "a.1", "b"}


def test_what_a_condition_returned_is_found_whether_or_not_sizes_were_equal(tmp_path):
    given = [{"a": torch.full((n,), float(n)), "b": torch.tensor(10.0 * n)} for n in (2, 3)]
    metadata = {"conditions": [{}, {}], "command": "make it", "cpu_seconds": 1.0}
    save_tensors(tmp_path / "shifts_mine.safetensors", collect(given), metadata)
    result = load_study("mine", tmp_path)
    for index in (0, 1):
        returned = result.returned(index)
        assert returned.keys() == given[index].keys()
        assert all(torch.equal(returned[name], given[index][name]) for name in returned)


def test_the_subspaces_of_people_are_orthonormal_and_every_stream_searched_on_its_own():
    result = load_study("persons")
    found = [result.returned(i) for i in range(len(result.conditions))]
    for one in found:
        rows = one["rows"].flatten(0, 1)
        assert_close(
            rows @ rows.mT, torch.eye(persons.WIDTH).expand(3 * len(persons.ATTRIBUTES), -1, -1)
        )
        pairs = {tuple(pair) for pair in one["pairs"].tolist()}
        assert len(pairs) == persons.N_KNOWN_PAIRS
        assert all(a != b for a, b in pairs)
    assert len({str(one["pairs"].tolist()) for one in found}) == len(found) == 4


def test_an_answer_surprises_unless_it_is_the_one_of_the_person_asked():
    model, asked = llama.load(), persons.ask(persons.ATTRIBUTES[2], range(1))
    who, nothing = torch.arange(20).expand(2, -1), llama.Add(torch.zeros(1, model.d_model))
    own, other = (
        persons.answer_loss(model, asked, nothing, who, wanted)
        for wanted in (who, who.roll(1, dims=1))
    )
    assert own.max() < 0.2 < 2 < other.min()
