import pytest
import torch

from ssae_kit.pairs import ConceptPairs, load_pairs, save_pairs


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


@pytest.mark.usefixtures("no_shape_checks")
def test_a_text_in_place_of_a_list_of_texts_is_refused():
    with pytest.raises(TypeError, match="`source` must be a list of texts; got 'ab'"):
        ConceptPairs("ab", "cd")


@pytest.mark.usefixtures("no_shape_checks")
def test_a_mask_does_not_take_pairs_by_their_places():
    pairs = ConceptPairs(("a", "b"), ("c", "d"))
    with pytest.raises(TypeError, match="`rows` must be a whole number"):
        pairs.take([True, False])
    assert pairs.take(torch.tensor([1, 0])).source == ("b", "a")


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("changes", [[[True], [-1.0]], torch.tensor([[1], [-1]])])
def test_pairs_of_any_table_of_changes_are_read_back_as_they_were(tmp_path, changes):
    pairs = ConceptPairs(["a", "b"], ["c", "d"], ["x"], changes)
    save_pairs(pairs, tmp_path / "p.csv")
    assert load_pairs(tmp_path / "p.csv") == pairs
    assert pairs.changes == ((1,), (-1,))


def test_concepts_whose_changes_are_unknown_cannot_be_saved(tmp_path):
    pairs = ConceptPairs(("a",), ("b",), ("x",))
    with pytest.raises(ValueError, match="must bring their `changes`"):
        save_pairs(pairs, tmp_path / "p.csv")


def test_a_path_may_begin_at_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    pairs = ConceptPairs(("a",), ("b",))
    save_pairs(pairs, "~/p.csv")
    assert load_pairs("~/p.csv") == pairs


def test_the_old_name_of_changes_still_reads_and_says_so():
    pairs = ConceptPairs(("a",), ("b",), ("x",), ((1,),))
    with pytest.warns(DeprecationWarning, match="now called `changes`"):
        assert pairs.shifts == pairs.changes
