"""Prompts and concept pairs."""

import pytest
import torch

from ssae_kit.world import CONCEPTS, CoChange, concept_pairs, parse, prompts
from ssae_kit.world.text import split_words


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_prompts_state_the_values_they_come_with():
    texts, values = prompts(8, generator())
    for text, row in zip(texts, values.tolist(), strict=True):
        story = parse(text)
        assert len(story.sentences) == 2
        assert all(list(plan.state.binary()) == row for plan in story.sentences)


def test_pairs_differ_exactly_in_their_changes():
    pairs = concept_pairs(20, generator())
    for source, target, change in zip(pairs.source, pairs.target, pairs.changes, strict=True):
        before, after = parse(source).sentences[0], parse(target).sentences[0]
        difference = [
            b - a for a, b in zip(before.state.binary(), after.state.binary(), strict=True)
        ]
        assert difference == list(change)
        assert 1 <= sum(map(abs, change)) <= 3
        assert before.character == after.character
        assert before.state.colour == after.state.colour
        assert len(split_words(source)) == len(split_words(target))
        assert before.fillers == after.fillers


def test_only_the_chosen_concepts_change():
    pairs = concept_pairs(40, generator(), concepts=("tense", "size"), max_changed=1)
    assert pairs.concepts == ("tense", "size")
    for source, target in zip(pairs.source, pairs.target, strict=True):
        a, b = parse(source).sentences[0].state, parse(target).sentences[0].state
        assert sum(x != y for x, y in zip(a.binary(), b.binary(), strict=True)) == 1
        assert a.language == b.language


def test_colour_takes_one_column_per_value():
    pairs = concept_pairs(40, generator(), concepts=("gender", "colour"), max_changed=1)
    assert pairs.concepts[1:] == ("colour=red", "colour=blue", "colour=green", "colour=white")
    for row in pairs.changes:
        assert sorted(row[1:]) in ([0, 0, 0, 0], [-1, 0, 0, 1])


def test_coupled_concepts_change_together_as_often_as_asked():
    rule = CoChange("gender", "tense", 0.8)
    pairs = concept_pairs(500, generator(), co_change=rule)
    i, j = CONCEPTS.index("gender"), CONCEPTS.index("tense")
    either = [row for row in pairs.changes if row[i] or row[j]]
    both = [row for row in either if row[i] and row[j]]
    # 4 standard errors of a share of about 0.8 among some 250 pairs.
    assert abs(len(both) / len(either) - 0.8) < 4 * (0.16 / len(either)) ** 0.5
    assert all(row[i] == row[j] for row in both)


def test_the_same_generator_seed_gives_the_same_pairs():
    assert concept_pairs(5, generator(3)) == concept_pairs(5, generator(3))
    assert concept_pairs(5, generator(3)) != concept_pairs(5, generator(4))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concepts": ("mood",)}, "one of language"),
        ({"concepts": ()}, "at least one"),
        ({"max_changed": 9}, "1..7"),
        ({"co_change": CoChange("gender", "gender", 0.5)}, "two different binary concepts"),
        ({"co_change": CoChange("gender", "tense", 1.5)}, "0..1"),
        ({"n_sentences": 0}, "at least 1"),
    ],
)
def test_impossible_designs_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        concept_pairs(3, generator(), **options)
