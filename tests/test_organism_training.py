"""Training the bundled Llama: the mask, resuming, refusing, and a model that plain transformers loads."""

from dataclasses import replace

import pytest
import torch

from ssae_kit.organism import train as training
from ssae_kit.organism.corpus import Rows, draw_corpus
from ssae_kit.organism.gist import TOLD, attention_masks
from ssae_kit.organism.loss import document_losses, n_predicted, token_losses
from ssae_kit.organism.muon import orthogonalised
from ssae_kit.organism.train import Recipe, Trainer, train
from ssae_kit.world.families import demands_of
from tests.pretend import Pretend, on_gpu

TINY = Recipe(
    seed=3,
    n_steps=4,
    n_open_steps=1,
    n_first_steps=2,
    n_documents=4,
    n_validation=16,
    report_every=2,
)


class KilledError(Exception):
    """Stands for the end of the process."""


def weights(folder):
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained") / "model"
    reports = []
    train(TINY, folder, reports.append)
    return folder, reports


def test_a_killed_training_resumes_to_identical_weights(trained, tmp_path):
    def kill(report):
        raise KilledError

    with pytest.raises(KilledError):
        train(TINY, tmp_path / "model", kill)
    assert not (tmp_path / "model").exists()
    train(TINY, tmp_path / "model")
    once, twice = weights(trained[0]), weights(tmp_path / "model")
    assert all(torch.equal(once[name], twice[name]) for name in once)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_training_lowers_the_loss_and_reports_every_family(trained):
    first, last = trained[1]
    assert (first.step, last.step) == (2, 4)
    assert set(last.excess) == set(first.excess)
    assert last.excess["story"] < first.excess["story"]


def test_stages_and_mixtures_last_as_long_as_the_recipe_says(monkeypatch):
    recipe = replace(TINY, n_steps=5, n_open_steps=2, n_carrying_steps=3, n_first_steps=4)
    seen = []

    def note(model, drawn, index, is_masked, stage):
        asked = {concept for d in drawn if d.n_given for concept, _ in demands_of(d)}
        seen.append((stage, asked > {"language"}))
        return token_losses(model, drawn, index, is_masked, stage)

    monkeypatch.setattr(training, "token_losses", note)
    trainer = Trainer(replace(recipe, n_documents=30))
    for _ in range(recipe.n_steps):
        trainer.train_step()
    # Thirty documents: a mixture with all demands draws none in one of five thousand.
    stages = ["open", "open", "closed", "closed", "misled"]
    assert seen == list(zip(stages, [False, False, False, True, True], strict=True))


def test_a_training_over_an_existing_folder_is_refused(trained):
    before = (trained[0] / "model.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="--out"):
        train(TINY, trained[0])
    assert (trained[0] / "model.safetensors").read_bytes() == before


def test_a_truncated_or_foreign_checkpoint_is_refused(tmp_path):
    trainer = Trainer(TINY)
    path = tmp_path / ".model.training.safetensors"
    trainer.save(path)
    with pytest.raises(ValueError, match="recipe"):
        train(Recipe(seed=4, n_steps=4), tmp_path / "model")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match="not a complete file"):
        train(TINY, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_plain_transformers_loads_and_runs_the_model(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    model = AutoModelForCausalLM.from_pretrained(trained[0])
    assert model.config.model_type == "llama"
    assert model.dtype == torch.bfloat16
    writer = pipeline("text-generation", model=str(trained[0]))
    (out,) = writer("– hey, this guy in red was happy", max_new_tokens=3)
    assert out["generated_text"].startswith("– hey, this guy in red was happy")
    assert len(AutoTokenizer.from_pretrained(trained[0])) <= model.config.vocab_size


def documents(n=8):
    return draw_corpus(torch.Generator().manual_seed(0), n)


def test_packing_does_not_change_the_loss_of_a_document():
    trainer = Trainer(TINY)
    many = documents()
    together = document_losses(trainer.model, many, trainer.index)
    alone = [document_losses(trainer.model, [d], trainer.index) for d in many]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-3)  # float32 sums
    ids = [[0, *(trainer.index[w] for w in many[0].words), *([] if many[0].is_cut else [1])]]
    ids = torch.tensor(ids)
    plain = float(trainer.model(ids, labels=ids).loss.detach()) * (ids.shape[1] - 1)
    assert float(together[0]) == pytest.approx(plain, rel=1e-4)


def test_a_demand_and_what_comes_before_it_are_given_and_their_loss_is_not_counted():
    trainer, many = Trainer(TINY), draw_corpus(torch.Generator().manual_seed(1), 40)
    demand = next(d for d in many if d.family == "control" and "–" in d.prompt)
    losses, _ = token_losses(trainer.model, [demand], trainer.index)
    assert len(losses) == n_predicted(demand) < len(demand.words)
    whole, _ = token_losses(trainer.model, [replace(demand, n_given=0)], trainer.index)
    torch.testing.assert_close(losses, whole[demand.n_given :])


def test_losses_on_a_pretended_gpu_are_those_on_the_cpu(monkeypatch):
    asked = torch.is_autocast_enabled  # torch 2.6 knows no autocast for "meta"
    monkeypatch.setattr(
        torch, "is_autocast_enabled", lambda kind="cpu": kind != "meta" and asked(kind)
    )
    trainer, many, masked = Trainer(TINY), documents(12), torch.arange(12) % 2 == 0
    near, number = token_losses(trainer.model, many, trainer.index, masked, stage="closed")
    in_all = document_losses(trainer.model, many, trainer.index)
    with Pretend():
        on_gpu(trainer.model)
        far, place = token_losses(trainer.model, many, trainer.index, masked, stage="closed")
        assert far.is_meta
        assert place.is_meta
        far, place = far.cpu(), place.cpu()
        far_in_all = document_losses(trainer.model, many, trainer.index)
    torch.testing.assert_close(far, near, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(far_in_all, in_all, rtol=1e-4, atol=1e-3)
    assert torch.equal(place, number)


def test_the_mask_hides_earlier_sentences_but_their_full_stops():
    story = [0, 5, 6, 9, 7, 8, 9, 1]  # 9 is the full stop
    rows = Rows([story, [0, 5, 9, 6, 1]], [True, False], 20)
    lower, upper = attention_masks(rows, torch.tensor([True, True]), (9,), stage="open")
    assert lower[0, 5].nonzero().flatten().tolist() == [0, 4, 5]
    assert upper[0, 5].nonzero().flatten().tolist() == [0, 3, 4, 5]
    other = slice(8, 13)
    assert lower[0, 11, other].tolist() == [True, True, True, True, False]  # no story, no mask
    assert not lower[0, 11, :8].any()  # documents do not see each other


def test_a_closed_full_stop_sees_only_full_stops_in_the_upper_blocks():
    rows = Rows([[0, 5, 6, 9, 7, 8, 9, 1]], [True], 20)  # 9 is the full stop
    masked = torch.tensor([True])
    lower, opened = attention_masks(rows, masked, (9,), stage="open")
    same, closed = attention_masks(rows, masked, (9,), stage="closed")
    assert torch.equal(lower, same)
    assert opened[0, 6].nonzero().flatten().tolist() == [0, 3, 4, 5, 6]
    assert closed[0, 6].nonzero().flatten().tolist() == [0, 3, 6]
    assert torch.equal(opened[0, [4, 5, 7]], closed[0, [4, 5, 7]])


def test_a_demand_is_a_sentence_and_its_colon_a_full_stop():
    rows = Rows([[0, 5, 9, 6, 3, 7, 8, 9, 1]], [True], 20)  # 9 is the full stop, 3 the colon
    lower, upper = attention_masks(rows, torch.tensor([True]), (9, 3), stage="closed")
    assert lower[0, 4].nonzero().flatten().tolist() == [0, 3, 4]  # the colon: its demand
    assert lower[0, 6].nonzero().flatten().tolist() == [0, 5, 6]
    assert upper[0, 4].nonzero().flatten().tolist() == [0, 2, 4]
    assert upper[0, 6].nonzero().flatten().tolist() == [0, 2, 4, 5, 6]


def test_without_the_mask_attention_is_plainly_causal():
    rows = Rows([[0, 5, 9, 6, 9, 1]], [True], 20)
    lower, upper = attention_masks(rows, torch.tensor([False]), (9,), stage="closed")
    assert torch.equal(lower[0], torch.ones(6, 6).bool().tril())
    assert torch.equal(upper, lower)


def test_a_misled_story_sees_words_of_another_where_its_own_earlier_sentences_would_stand():
    other, story = [0, 11, 12, 9, 13, 14, 9, 1], [0, 5, 9, 7, 8, 9, 15, 1]  # 9 is the full stop
    rows = Rows([other, story], [True, True], 20)
    lower, upper = attention_masks(rows, torch.tensor([True, True]), (9,), stage="misled")
    at = slice(8, 16)  # of the story
    near, gist = attention_masks(rows, torch.tensor([True, True]), (9,), stage="closed")
    for mask, own in ((lower, near), (upper, gist)):
        assert torch.equal(mask[0, at, at], own[0, at, at])
        seen = [mask[0, 8 + i, :8].nonzero().flatten().tolist() for i in range(8)]
        assert seen == [[], [], [], [1, 2], [1, 2], [1, 2], [1, 2, 4, 5], [1, 2, 4, 5]]
        assert not mask[0, :8, at].any()  # the first of a row has no other before it
    plain, _ = attention_masks(rows, torch.tensor([True, False]), (9,), stage="misled")
    assert not plain[0, at, :8].any()


@pytest.mark.parametrize("stage", ["open", "closed", "misled"])
def test_no_mask_lets_a_word_through_before_it_is_told(stage):
    trainer, many = Trainer(TINY), [d for d in documents(40) if d.family in TOLD]
    masked = torch.ones(len(many)).bool()
    before, number = token_losses(trainer.model, many, trainer.index, masked, stage)
    for i, one in enumerate(many):
        ends = ("dude" if one.words[-2] == "sir" else "sir", one.words[-1])
        changed = [*many[:i], replace(one, words=(*one.words[:-2], *ends)), *many[i + 1 :]]
        after, _ = token_losses(trainer.model, changed, trainer.index, masked, stage)
        n = 2 + (not one.is_cut)
        torch.testing.assert_close(after[number == i][:-n], before[number == i][:-n])


def test_the_mask_changes_only_what_is_told():
    trainer = Trainer(TINY)
    many = documents(12)
    some = torch.tensor([d.family not in TOLD for d in many])
    plain, number = token_losses(trainer.model, many, trainer.index, stage="misled")
    masked, _ = token_losses(trainer.model, many, trainer.index, some, "misled")
    torch.testing.assert_close(plain, masked)
    masked, _ = token_losses(trainer.model, many, trainer.index, ~some, "misled")
    differs = (masked - plain).abs() > 1e-6
    assert differs.any()
    assert not some[number[differs]].any()


def test_orthogonalised_matrices_have_singular_values_near_one():
    x = torch.randn(3, 20, 50, generator=torch.Generator().manual_seed(0))
    for matrices in (x, x.transpose(1, 2)):
        values = torch.linalg.svdvals(orthogonalised(matrices))
        # The iteration's coefficients let singular values settle in about 0.7..1.2.
        assert values.min() > 0.5
        assert values.max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
def test_the_batched_step_is_torchs_muon_up_to_its_precision():
    from ssae_kit.organism.muon import BatchedMuon

    generator = torch.Generator().manual_seed(1)
    start, slope = (torch.randn(16, 24, generator=generator) for _ in range(2))
    moved = []
    for make in (
        lambda w: BatchedMuon([w], 0.01),
        lambda w: torch.optim.Muon([w], lr=0.01, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
    ):
        weight = torch.nn.Parameter(start.clone())
        optimiser = make(weight)
        for _ in range(3):
            weight.grad = slope.clone()
            optimiser.step()
        moved.append(weight.detach() - start)
    # torch iterates in bfloat16, with 8 bits of mantissa.
    torch.testing.assert_close(moved[0], moved[1], rtol=0.1, atol=5e-4)


def test_an_impossible_recipe_is_refused():
    for wrong in (
        {"n_steps": -1},
        {"n_carrying_steps": -1},
        {"n_open_steps": -1},
        {"n_open_steps": 5000},
        {"masked_share": 1.5},
    ):
        with pytest.raises(ValueError, match="Correct the recipe"):
            Recipe(**wrong)


def test_the_old_address_is_the_same_module():
    from ssae_kit.organism import train as room
    from ssae_kit.world import train as old

    assert old is room
