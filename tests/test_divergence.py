"""Predictions under steering, and how far they move where they say nothing about the target."""

import pytest
import torch

from ssae_kit.llama import Add, Apply, load, next_token_log_probs, run
from ssae_kit.steering import Prompted, divergence, off_target_kl, stacked

PROMPTS = (
    "– the queen in red was sad and the girls wept in a small hut.",
    "– yesterday the awful queen in blue saw this bad lady in a small attic, sir.",
)
WRITTEN = ("– the queen in red was sad.", "– this lady in blue was sad and the queen wept.")


@pytest.fixture(scope="module")
def llama():
    return load(device="cpu")


def ids_of(llama, texts):
    rows = [llama.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [0] * (longest - len(row)) for row in rows]), rows


def test_predictions_equal_those_of_one_pass_over_the_whole_text(llama):
    ids, rows = ids_of(llama, WRITTEN)
    found = next_token_log_probs(llama, PROMPTS, ids)
    for text, row, log_probs in zip(PROMPTS, rows, found, strict=True):
        start = llama.tokenizer(text)["input_ids"]
        logits = llama.model(torch.tensor([start + row])).logits[0, len(start) - 1 : -1]
        # Other batch shapes round differently; log-probabilities are sums of a few hundred terms.
        torch.testing.assert_close(
            log_probs[: len(row)], logits.log_softmax(-1), atol=1e-3, rtol=1e-3
        )


def test_a_nudge_acts_at_the_last_token_of_the_prompt_and_on_all_that_follows(llama):
    ids, _ = ids_of(llama, WRITTEN[:1])
    vector = 30 * torch.randn(1, llama.d_model, generator=torch.Generator().manual_seed(0))
    plain, steered = (
        next_token_log_probs(llama, PROMPTS[:1], ids, edits=how) for how in (None, {3: Add(vector)})
    )
    moved = (plain - steered).abs().amax(-1)[0]
    assert moved.min() > 1e-4  # far above rounding, also at the last token


def test_a_push_at_every_token_acts_on_the_continuation_too(llama):
    ids, rows = ids_of(llama, WRITTEN[:1])
    vector = 3 * torch.randn(1, llama.d_model, generator=torch.Generator().manual_seed(0))
    push = {3: Add(vector, at="all")}
    found = next_token_log_probs(llama, PROMPTS[:1], ids, edits=push)
    start = llama.tokenizer(PROMPTS[0])["input_ids"]
    logits = run(llama, [start + rows[0]], edits=push, logits=True).logits[0, len(start) - 1 : -1]
    # Other batch shapes round differently.
    torch.testing.assert_close(found[0], logits.log_softmax(-1), atol=1e-3, rtol=1e-3)


def test_a_continuation_is_required_for_every_prompt(llama):
    with pytest.raises(ValueError, match="one continuation per prompt"):
        next_token_log_probs(llama, PROMPTS, torch.ones(1, 2, dtype=torch.int64))


def test_unsteered_diverges_by_nothing_and_a_push_or_another_prompt_by_something(
    llama, monkeypatch
):
    push = 30 * torch.randn(2, llama.d_model, generator=torch.Generator().manual_seed(0))
    ways = [
        Prompted(PROMPTS),
        Prompted(PROMPTS, {3: Add(push)}),
        Prompted(PROMPTS[::-1]),
    ]
    kl = off_target_kl(llama, PROMPTS, WRITTEN, [[], []], ways)
    torch.testing.assert_close(kl[0], torch.zeros(2))
    assert kl[1:].min() > 1e-4
    # Batches of one give the same: padding does not leak in.
    monkeypatch.setattr(divergence, "BATCH", 1)
    alone = off_target_kl(llama, PROMPTS, WRITTEN, [[], []], ways)
    torch.testing.assert_close(alone, kl, atol=1e-4, rtol=1e-3)


def test_only_tokens_outside_the_spans_count(llama):
    push = 30 * torch.randn(1, llama.d_model, generator=torch.Generator().manual_seed(0))
    way = Prompted(PROMPTS[:1], {3: Add(push)})
    text = WRITTEN[0]
    ids, _ = ids_of(llama, [text])
    plain, steered = (
        next_token_log_probs(llama, PROMPTS[:1], ids, edits=how) for how in (None, way.edits)
    )
    per_token = (plain.exp() * (plain - steered)).sum(-1)[0]
    queen = text.index("queen")
    found = off_target_kl(llama, PROMPTS[:1], [text], [[(queen, queen + 5)]], [way])
    keep = torch.ones(len(per_token), dtype=torch.bool)
    keep[2] = False  # "–", "the", "queen"
    torch.testing.assert_close(found[0, 0], per_token[keep].mean(), atol=1e-4, rtol=1e-3)
    nothing = off_target_kl(llama, PROMPTS[:1], [text], [[(0, len(text))]], [way])
    assert nothing.isnan().all()


def test_a_story_that_ended_at_once_has_no_divergence_and_disturbs_no_other(llama):
    push = 30 * torch.randn(2, llama.d_model, generator=torch.Generator().manual_seed(0))
    ways = [Prompted(PROMPTS, {3: Add(push)})]
    kl = off_target_kl(llama, PROMPTS, ("", WRITTEN[1]), [[], []], ways)
    assert kl[0].isnan().tolist() == [True, False]
    both = off_target_kl(llama, PROMPTS, WRITTEN, [[], []], ways)
    torch.testing.assert_close(kl[0, 1], both[0, 1], atol=1e-4, rtol=1e-3)
    alone = off_target_kl(llama, PROMPTS[:1], ("",), [[]], [ways[0].rows(0, 1)])
    assert alone.isnan().all()


def test_unequal_lengths_are_refused(llama):
    with pytest.raises(ValueError, match="got 2, 1 and 1"):
        off_target_kl(llama, PROMPTS, WRITTEN[:1], [[]], [])


def test_a_way_for_other_texts_is_refused(llama):
    with pytest.raises(ValueError, match="same 2 texts; got one with 4 prompts"):
        off_target_kl(llama, PROMPTS, WRITTEN, [[], []], [Prompted(PROMPTS), Prompted(PROMPTS * 2)])
    with pytest.raises(ValueError, match=r"one row of `vectors` per text is required \(2\).*got 3"):
        Prompted(PROMPTS, {3: Add(torch.ones(3, 4))})


def test_stacked_ways_are_one_batch_and_must_fit_together():
    push = {3: Add(torch.ones(2, 4))}
    both = stacked([Prompted(PROMPTS), Prompted(PROMPTS[::-1], push)])
    assert both.prompts == [*PROMPTS, *PROMPTS[::-1]]
    assert both.edits[3].vectors.tolist() == [[0.0] * 4] * 2 + [[1.0] * 4] * 2
    assert (list(both.edits), both.edits[3].at) == ([3], "last")
    assert stacked([Prompted(PROMPTS)] * 2).edits == {}
    for other in (
        Prompted(PROMPTS[:1]),
        Prompted(PROMPTS, {2: Add(torch.ones(2, 4))}),
        Prompted(PROMPTS, {3: Add(torch.ones(2, 4), at="all")}),
        Prompted(PROMPTS, {3: Apply(torch.neg, at="last")}),
    ):
        with pytest.raises(ValueError, match="by themselves"):
            stacked([Prompted(PROMPTS, push), other])


def test_one_vector_for_all_texts_is_stacked_as_one_for_each():
    one, each = {3: Add(torch.ones(1, 4))}, {3: Add(torch.zeros(2, 4))}
    both = stacked([Prompted(PROMPTS, one), Prompted(PROMPTS, each)])
    assert both.edits[3].vectors.tolist() == [[1.0] * 4] * 2 + [[0.0] * 4] * 2
