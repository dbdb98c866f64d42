import pytest

from ssae_kit.pairs import ConceptPairs


def test_pairs_of_unequal_number_are_refused():
    with pytest.raises(ValueError, match="2 sources and 1 targets"):
        ConceptPairs(("a", "b"), ("c",))


def test_no_pairs_are_refused():
    with pytest.raises(ValueError, match="at least one pair"):
        ConceptPairs((), ())


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_an_empty_text_is_named(empty):
    with pytest.raises(ValueError, match=r"target\[1\] is empty"):
        ConceptPairs(("a", "b"), ("c", empty))


def test_known_changes_must_fit_pairs_and_concepts():
    with pytest.raises(ValueError, match=r"one row per pair \(2\); got 1"):
        ConceptPairs(("a", "b"), ("c", "d"), ("tense",), ((1,),))
    with pytest.raises(ValueError, match=r"one number per concept \(1: tense\)"):
        ConceptPairs(("a",), ("c",), ("tense",), ((1, 0),))
    with pytest.raises(ValueError, match=r"-1, 0 or 1; changes\[1\] is \(2,\)"):
        ConceptPairs(("a", "b"), ("c", "d"), ("tense",), ((1,), (2,)))


def test_taking_pairs_keeps_texts_and_changes_together():
    pairs = ConceptPairs(("a", "b", "c"), ("d", "e", "f"), ("tense",), ((1,), (0,), (-1,)))
    assert pairs.take([2, 0]) == ConceptPairs(("c", "a"), ("f", "d"), ("tense",), ((-1,), (1,)))
    assert len(pairs) == 3
