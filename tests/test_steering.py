import math
from dataclasses import dataclass

import pytest
import torch

from ssae_kit import steering
from ssae_kit.autoencoders import ShiftAutoencoder
from ssae_kit.pairs import ConceptPairs
from ssae_kit.steering import (
    Expressed,
    difference_of_means,
    latent_directions,
    random_directions,
    rate_interval,
    read_concepts,
    score_steering,
    steering_vectors,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def planted(n_pairs=400, n_concepts=3, d_model=8, seed=0):
    """Shifts that are exact sums of concept directions."""
    generator = seeded(seed)
    directions = torch.randn(n_concepts, d_model, generator=generator)
    changes = torch.randint(-1, 2, (n_pairs, n_concepts), generator=generator).float()
    return changes @ directions, changes, directions


def test_difference_of_means_of_pairs_that_change_one_concept_each_is_exact():
    directions = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    changes = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    torch.testing.assert_close(difference_of_means(changes @ directions, changes), directions)


def test_a_concept_that_never_changes_is_named():
    with pytest.raises(ValueError, match=r"column\(s\) \[1\]"):
        difference_of_means(torch.ones(2, 4), torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))


def test_latent_directions_recover_planted_directions_with_sign_and_length():
    shifts, changes, directions = planted()
    autoencoder = ShiftAutoencoder(1, 8, 3, generator=seeded())
    with torch.no_grad():  # the truth itself, permuted, rescaled to unit norm, one sign turned
        order, flip = [2, 0, 1], torch.tensor([1.0, -1.0, 1.0])
        unit = directions / directions.norm(dim=1, keepdim=True)
        autoencoder.decoder.copy_((unit[order] * flip[:, None]).mT[None])
        autoencoder.encoder.copy_(torch.linalg.pinv(autoencoder.decoder))
        autoencoder.scale.fill_(2.5)
    found, matching = latent_directions(autoencoder, shifts, changes)
    torch.testing.assert_close(found, directions, atol=1e-4, rtol=1e-4)
    assert matching.score.item() > 0.999


def test_latent_directions_need_one_run_and_enough_latents():
    shifts, changes, _ = planted()
    for runs, latents in ((2, 3), (1, 2)):
        with pytest.raises(ValueError, match="one run with at least 3 latents"):
            latent_directions(
                ShiftAutoencoder(runs, 8, latents, generator=seeded()), shifts, changes
            )


def test_random_directions_keep_lengths_and_nothing_else():
    _, _, directions = planted(d_model=512)
    random = random_directions(directions, generator=seeded(1))
    torch.testing.assert_close(random.norm(dim=1), directions.norm(dim=1))
    assert torch.nn.functional.cosine_similarity(random, directions).abs().max() < 0.2  # 4.5 sd


def test_steering_pushes_towards_the_other_value():
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([[0, 1], [0, 1]])
    vectors = steering_vectors(directions, values, torch.tensor([0, 1]), 2.0)
    torch.testing.assert_close(vectors, torch.tensor([[2.0, 0.0], [0.0, -2.0]]))


@dataclass
class Word:
    values: dict


@dataclass
class Sentence:
    words: list
    is_well_formed: bool
    is_complete: bool


@dataclass
class Reading:
    sentences: list


def letters(text):
    """A toy parser: a/A say concept "a" is 0/1, b/B concept "b"; "?" is ill-formed; "." ends."""
    sentences = []
    for part in text.replace(".", ".|").split("|"):
        words = [Word({c.lower(): int(c.isupper())}) for c in part if c.lower() in "ab"]
        if part:
            sentences.append(Sentence(words, "?" not in part, part.endswith(".")))
    return Reading(sentences)


def test_reading_counts_words_of_complete_sentences_only():
    expressed = read_concepts(["aAb.B?.A", "", "BB.a.a."], letters, ["a", "b"], n_sentences=2)
    torch.testing.assert_close(
        expressed.share,
        torch.tensor([[0.5, 0.5], [math.nan, math.nan], [0.0, 1.0]]),
        equal_nan=True,
    )
    torch.testing.assert_close(
        expressed.ill_formed, torch.tensor([0.5, math.nan, 0.0]), equal_nan=True
    )


def test_scores_separate_the_target_from_the_rest():
    share = torch.tensor([[1.0, 0.0, 0.5], [0.0, 1.0, math.nan]])
    expressed = Expressed(share, torch.ones(2, 3), torch.tensor([0.0, 0.5]))
    values = torch.tensor([[0, 0, 0], [1, 1, 1]])
    score = score_steering(expressed, values, torch.tensor([0, 0]))
    assert score.target.tolist() == [1.0, 1.0]
    assert score.elsewhere.tolist() == [0.25, 0.0]
    assert score.strict.tolist() == [True, False]


def test_wilson_interval_of_8_in_10_matches_the_textbook_and_never_collapses():
    mean, low, high = rate_interval(torch.tensor([1.0] * 8 + [0.0] * 2))
    assert (round(mean, 3), round(low, 3), round(high, 3)) == (0.8, 0.490, 0.943)
    mean, low, high = rate_interval(torch.tensor([1.0, 1.0, math.nan]))
    assert mean == 1.0
    assert low < 0.5
    with pytest.raises(ValueError, match="no rate"):
        rate_interval(torch.tensor([math.nan]))


def test_shift_vectors_are_target_minus_source(monkeypatch):
    def lengths(_llama, texts, _layer, progress=False):
        return torch.tensor([[float(len(text))] for text in texts])

    monkeypatch.setattr(steering, "hidden_states", lengths)
    pairs = ConceptPairs(("a", "aa", "a"), ("aaa", "a", "a"))
    assert steering.shift_vectors.__wrapped__(None, pairs, 0).flatten().tolist() == [2.0, -1.0, 0.0]
