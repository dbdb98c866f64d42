"""Natural English: pairs that state eight concepts, word lists, what one can ask."""

import pytest
import torch

from ssae_kit.world import natural


def pairs(n=60, **options):
    return natural.natural_pairs(n, torch.Generator().manual_seed(0), **options)


def words(texts):
    return {word.strip(".,") for text in texts for word in text.split()}


def test_a_pair_of_known_draws_reads_as_english_and_says_what_changed():
    own = pairs(2)
    assert own.source[0] == ("Hey guys, the man cleaned a big lamp at night, and it was ugly.")
    assert own.target[0] == ("Hey guys, the men cleaned a small lamp at night, and it was ugly.")
    assert dict(zip(own.concepts, own.changes[0], strict=True)) == dict.fromkeys(
        own.concepts, 0
    ) | {"number": 1, "size": -1}


def test_one_to_three_concepts_change_and_every_concept_does_in_some_pair():
    changed = torch.tensor(pairs(200).changes).abs()
    assert set(changed.sum(1).tolist()) == {1, 2, 3}
    assert (changed.sum(0) > 20).all()


def test_equal_changes_never_leave_a_text_as_it_was():
    own = pairs(200, wordings="many")
    assert all(a != b for a, b in zip(own.source, own.target, strict=True))


def test_held_out_words_and_template_are_never_used_otherwise():
    seen = pairs(400, wordings="many")
    said = words(seen.source + seen.target)
    assert not said & {"wizard", "witch", "nephews", "lady", "drew", "brings", "chose"}
    new = words(pairs(held_out="words").source)
    assert new & {"wizard", "witch", "wizards", "witches"}
    assert new & {"drew", "draw", "draws"}
    assert not any(", but the " in text for text in seen.source)
    assert all(", but the " in text for text in pairs(held_out="template").source)


def test_one_wording_says_a_concept_by_one_pair_of_phrases_and_documents_repeat_the_values():
    assert not words(pairs().source) & {"lovely", "tiny", "dawn", "folks"}
    assert words(pairs(wordings="many").source) & {"lovely", "nasty", "wonderful"}
    own = pairs(1, n_sentences=5)
    assert own.source[0].count(".") == own.target[0].count(".") == 5


def test_an_article_fits_its_word():
    texts = " ".join(pairs(300, wordings="many").source)
    assert " a awful" not in texts
    assert " an excellent" in texts


def test_word_counts_are_those_of_the_lists_and_a_not_counts_against_one_word_in_ten():
    counts = natural.word_counts(
        ["The queen was sad. She didn't smile, not once, in the huge hall."]
    )
    found = dict(zip(natural.CONCEPTS, counts[0].tolist(), strict=True))
    assert found["gender"] == [0, 2]
    assert found["tense"] == [0, 2]
    assert found["sentiment"] == [1, 1]
    assert found["size"] == [0, 1]
    assert found["negation"] == [0, 2]


def test_every_concept_has_prompts_words_and_a_wish():
    assert set(natural.NEXT_WORD) == set(natural.CONCEPTS)
    for concept in natural.CONCEPTS:
        prompts, (low, high) = natural.NEXT_WORD[concept]
        assert len(prompts) == 8
        assert not set(low) & set(high)
        assert natural.request("The dog", concept, 1).endswith("\n\nThe dog")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"wordings": "two"}, "`wordings` must be one of"),
        ({"held_out": "nouns"}, "`held_out` must be one of"),
        ({"n_sentences": 0}, "`n_sentences`"),
    ],
)
def test_a_wrong_choice_is_told(options, told):
    with pytest.raises(ValueError, match=told):
        pairs(2, **options)


def test_asking_for_an_unknown_value_is_told():
    with pytest.raises(ValueError, match="0 or 1"):
        natural.request("The dog", "colour", 1)
