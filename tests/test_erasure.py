"""Bits that a probe reads, and the edit that erases what a reader reads."""

import pytest
import torch

from ssae_kit import llama, methods


def planted(n=2000, width=6, seed=0):
    """States of unequal spread with one concept of two values in them."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 2, (n,), generator=generator)
    direction = torch.randn(width, generator=generator)
    spread = torch.tensor([3.0, 1.0, 0.3, 0.3, 1.0, 0.1])
    return torch.randn(n, width, generator=generator) * spread + labels[:, None] * direction, labels


def halves(states, labels):
    return states[::2], labels[::2], states[1::2], labels[1::2]


def test_a_value_in_plain_sight_is_one_bit_and_shuffled_labels_are_none():
    states, labels = planted()
    states[:, 0] += 30 * labels
    found = methods.read_bits(*halves(states, labels))
    assert found.bits == pytest.approx(1, abs=0.02)  # 1,000 texts: shares of the values vary
    assert found.accuracy == 1
    other = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))]
    assert methods.read_bits(*halves(states, other)).bits < 0.02


def test_always_naming_the_frequent_value_is_right_often_and_reads_nothing():
    states, _ = planted()
    labels = (torch.arange(len(states)) % 20 < 2).long()
    found = methods.read_bits(*halves(states, labels))
    assert found.accuracy > 0.85
    assert found.bits < 0.02


def test_labels_may_be_any_whole_numbers():
    states, labels = planted()
    renamed = torch.where(labels == 1, 40, 7)
    same = methods.read_bits(*halves(states, labels))
    assert methods.read_bits(*halves(states, renamed)) == pytest.approx(same)


def test_what_a_probe_learned_by_heart_is_not_read_in_other_texts():
    states, labels = planted(n=120)
    states = torch.cat(
        [states, torch.randn(120, 200, generator=torch.Generator().manual_seed(2))], 1
    )
    other = labels[torch.randperm(120, generator=torch.Generator().manual_seed(1))]
    found = methods.read_bits(*halves(states, other))
    assert found.bits < 0  # sure of what it knows by heart, and wrong
    assert found.accuracy < 0.7


def test_a_value_that_was_never_fitted_and_a_number_that_is_none_are_errors():
    states, labels = planted()
    old, known, new, asked = halves(states, labels)
    with pytest.raises(ValueError, match="every value of `new_labels`"):
        methods.read_bits(old, known, new, asked + 1)
    with pytest.raises(ValueError, match="two values or more"):
        methods.read_bits(old, 0 * known, new, 0 * asked)
    old[3, 2] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        methods.read_bits(old, known, new, asked)


def fitted(states, labels):
    """LEACE for a concept of two values: vector, reader, mean."""
    away, y = states - states.mean(0), labels.to(states) - labels.to(states).mean()
    shared = away.mT @ y / len(y)
    whitened = torch.linalg.solve(away.mT @ away / len(y), shared)
    return shared, whitened / (whitened @ shared), states.mean(0)


def test_erase_is_what_the_authors_of_leace_publish():
    erasure = pytest.importorskip("concept_erasure")
    states, labels = (x.double() for x in planted())
    plain = {"shrinkage": False, "constrain_cov_trace": False}  # the formula alone
    theirs = erasure.LeaceFitter.fit(states, labels[:, None], **plain).eraser(states)
    edit = llama.Erase(*(row[None] for row in fitted(states, labels)), at="all")
    assert torch.allclose(edit.change(states[:, None])[:, 0], theirs, atol=1e-6)
    assert not torch.allclose(states, theirs, atol=1e-2)


def test_each_text_has_an_eraser_of_its_own_and_only_the_last_token_is_erased():
    model = llama.load(device="cpu")
    texts = ["the queen wept.", "the king in red wept."]
    generator = torch.Generator().manual_seed(0)
    rows = torch.linalg.qr(torch.randn(model.d_model, 2, generator=generator)).Q.mT
    means = torch.randn(2, model.d_model, generator=generator)
    plain = llama.run(model, texts, keep=[3])
    done = llama.run(model, texts, keep=[3], edits={3: llama.Erase(rows, rows, means)})
    read = (done.at_last(3) * rows).sum(1)
    assert torch.allclose(read, (means * rows).sum(1), atol=1e-3)  # states have length about 10
    assert not torch.allclose((plain.at_last(3) * rows).sum(1), read, atol=1e-2)
    for i, last in enumerate(plain.last.tolist()):
        assert torch.equal(done[3][i, :last], plain[3][i, :last])
