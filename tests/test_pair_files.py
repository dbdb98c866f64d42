import csv
import json
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssae_kit.pairs import (
    DATASETS,
    ConceptPairs,
    category_pairs,
    dataset,
    load_pairs,
    save_pairs,
    truth_pairs,
    truthful_qa,
)
from ssae_kit.pairs.sets import CATEGORIES

ARTICLES = {"the", "a", "le", "la", "les", "un", "une", "der", "die", "das", "ein", "eine"}
NOT_FRENCH, NOT_GERMAN = set("äöüßñ"), set("àâçéèêëîïôùûœñ")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def write(tmp_path):
    def write(text, encoding="utf-8"):
        path = tmp_path / "mine.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return write


def test_a_file_of_ones_own_is_read(write):
    path = write('target,source,tense\n"sang, twice", sings ,+1\n\nsings,sang,-1\n')
    pairs = load_pairs(path)
    assert pairs.source == ("sings", "sang")
    assert pairs.target == ("sang, twice", "sings")
    assert (pairs.concepts, pairs.changes) == (("tense",), ((1,), (-1,)))


def test_a_file_without_concepts_leaves_the_changes_unknown(write):
    assert load_pairs(write("source,target\na,b\n")) == ConceptPairs(("a",), ("b",))


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_name(write):
    assert len(load_pairs(write("source,target\na,b\n", "utf-8-sig"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source,tarjet\na,b\n", r"'target' is missing.*tarjet"),
        ("", r"'source' is missing"),
        ("source,target,x,x\na,b,1,1\n", r"'x' is empty or occurs twice"),
        ("source,target,\na,b,1\n", r"'' is empty or occurs twice"),
        ("source,target\n", "no pairs"),
        ("source,target\na,b\n\nc,d,e\n", r"line 4: 2 cells are required .*got 3"),
        ("source,target,x\na,b,1\nc,,1\n", r"line 3, column 'target': the text is empty"),
        ("source,target,x\na,b,1\nc,d,yes\n", r"line 3, column 'x': .*-1, 0 or 1.*'yes'"),
        ("source,target,x\na,b,\n", r"line 2, column 'x'"),
        ('source,target\n"a,b\n', r"line 2: not CSV"),
    ],
)
def test_a_wrong_file_is_refused_by_line_and_column(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_pairs(write(text))


def test_a_file_in_another_encoding_or_no_file_is_refused(write, tmp_path):
    with pytest.raises(ValueError, match="UTF-8"):
        load_pairs(write("source,target\nété,summer\n", "latin-1"))
    with pytest.raises(FileNotFoundError, match="not a file"):
        load_pairs(tmp_path / "none.csv")


TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"))).map(str.strip).filter(bool)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.sampled_from([-1, 0, 1])), min_size=1, max_size=5))
def test_what_is_saved_is_read_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("pairs") / "some" / "pairs.csv"
    sources, targets, changes = zip(*rows, strict=True)
    pairs = ConceptPairs(sources, targets, ("a concept",), tuple((s,) for s in changes))
    save_pairs(pairs, path)
    assert load_pairs(path) == pairs


def test_a_concept_named_like_a_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'source' is empty or occurs twice"):
        save_pairs(ConceptPairs(("a",), ("b",), ("source",), ((1,),)), tmp_path / "x.csv")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "n_pairs", "concepts"),
    [
        ("LANG", 100, ("language",)),
        ("GENDER", 97, ("gender",)),
        ("BINARY", 282, ("gender", "language")),
        ("CORR", 200, ("french", "german")),
        ("TRUTH", 120, ("truth",)),
    ],
)
def test_a_shipped_set_has_its_size_and_no_doubles(name, n_pairs, concepts):
    pairs = dataset(name)
    assert len(pairs) == n_pairs
    assert pairs.concepts == concepts
    both = list(zip(pairs.source, pairs.target, strict=True))
    assert len(set(both)) == n_pairs
    for source, target in both:
        assert source.casefold() != target.casefold()
        assert (source, target) == (source.strip(), target.strip())
    if name != "TRUTH":
        words = {word for text in pairs.source + pairs.target for word in [text]}
        assert not any(word.casefold() in ARTICLES or " " in word for word in words)


@pytest.mark.parametrize("name", ["LANG", "GENDER"])
def test_single_concept_sets_use_every_word_once(name):
    pairs = dataset(name)
    assert len(set(pairs.source)) == len(set(pairs.target)) == len(pairs)
    assert not set(pairs.source) & set(pairs.target)
    assert set(pairs.changes) == {(1,)}


def test_corr_translates_the_same_words_into_one_language_at_a_time():
    pairs, french = dataset("CORR"), dataset("LANG")
    assert pairs.take(range(100)).source == pairs.take(range(100, 200)).source == french.source
    assert pairs.target[:100] == french.target
    assert set(pairs.changes[:100]) == {(1, 0)}
    assert set(pairs.changes[100:]) == {(0, 1)}
    assert not any(set(word) & NOT_FRENCH for word in pairs.target[:100])
    assert not any(set(word) & NOT_GERMAN for word in pairs.target[100:])


def test_binary_pairs_close_into_squares_of_two_words_in_two_languages():
    pairs = dataset("BINARY")
    cells = set()
    for row in range(0, len(pairs), 6):
        (man, woman), (homme, femme), *rest = zip(
            pairs.source[row : row + 6], pairs.target[row : row + 6], strict=True
        )
        assert rest == [(man, homme), (woman, femme), (man, femme), (woman, homme)]
        assert pairs.changes[row : row + 6] == ((1, 0), (1, 0), (0, 1), (0, 1), (1, 1), (-1, 1))
        assert len({man, woman, homme, femme}) == 4
        cells |= {man, woman, homme, femme}
    assert len(cells) == 4 * 47
    gender = dataset("GENDER")
    english = set(zip(gender.source, gender.target, strict=True))
    assert set(zip(pairs.source[::6], pairs.target[::6], strict=True)) <= english


def test_a_truth_pair_asks_the_same_question_twice():
    pairs = dataset("TRUTH")
    questions = []
    for wrong, right in zip(pairs.source, pairs.target, strict=True):
        question, mark, answer = wrong.partition("?")
        assert right.startswith(question + mark)
        assert answer.endswith(".")
        assert right.endswith(".")
        questions.append(question)
    assert len(set(questions)) == len(questions)


def test_a_set_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"one of LANG, GENDER.*'lung'"):
        dataset("lung")
    assert dataset("lang") == dataset("LANG")


def test_every_set_of_the_list_is_there():
    assert len(dataset("CAT")) == 30_000
    assert set(DATASETS) == {"LANG", "GENDER", "BINARY", "CORR", "CAT", "TRUTH"}


def test_category_pairs_state_their_own_changes():
    pairs = category_pairs(400, seeded())
    assert len(pairs.concepts) == 135
    assert all(len(values) == len(set(values)) == 10 for values in CATEGORIES.values())
    sizes = set()
    for source, target, row in zip(pairs.source, pairs.target, pairs.changes, strict=True):
        expected = dict.fromkeys(pairs.concepts, 0)
        for name, old, new in zip(CATEGORIES, source.split(), target.split(), strict=True):
            assert {old, new} <= set(CATEGORIES[name])
            for first, second in combinations(CATEGORIES[name], 2):
                if {old, new} == {first, second}:
                    expected[f"{name}: {first}-{second}"] = 1 if old == first else -1
        assert row == tuple(expected.values())
        sizes.add(sum(map(abs, row)))
    assert sizes == {1, 2, 3}


def test_category_pairs_depend_on_the_generator_alone():
    assert category_pairs(50, seeded(1)) == category_pairs(50, seeded(1))
    assert category_pairs(50, seeded(1)) != category_pairs(50, seeded(2))
    with pytest.raises(ValueError, match="`n_pairs` must be at least 1; got 0"):
        category_pairs(0, seeded())


QUESTIONS = [
    {"question": "Q1?", "mc1_targets": {"choices": ["R", "W", "V"], "labels": [1, 0, 0]}},
    {"question": "Q2?", "mc1_targets": {"choices": ["W", "R"], "labels": [0, 1]}},
]


def test_truthful_questions_become_wrong_to_right():
    pairs = truth_pairs(QUESTIONS)
    assert pairs.source == ("Q1? W", "Q2? W")
    assert pairs.target == ("Q1? R", "Q2? R")
    assert pairs.changes == ((1,), (1,))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Q?"}, "row 0 must have a column 'mc1_targets'"),
        (
            {"question": "Q?", "mc1_targets": {"choices": ["a", "b"], "labels": [0, 0]}},
            r"row 0.*one choice 1.*\[0, 0\]",
        ),
    ],
)
def test_a_question_of_another_schema_is_refused(row, message):
    with pytest.raises(ValueError, match=message):
        truth_pairs([row])


def test_the_loader_reads_local_files_of_the_published_schema(tmp_path, monkeypatch):
    pytest.importorskip("datasets", reason="the extra `data` is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    options = {"split": "train", "cache_dir": str(tmp_path / "cache")}
    text = "\n".join(json.dumps(row) for row in QUESTIONS)
    (tmp_path / "questions.jsonl").write_text(text, encoding="utf-8")
    questions = truthful_qa("json", data_files=str(tmp_path / "questions.jsonl"), **options)
    assert questions == truth_pairs(QUESTIONS)


def test_a_missing_library_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install -e '\.\[data\]'"):
        truthful_qa()


def test_the_shipped_files_are_plain_csv():
    from ssae_kit.pairs.sets import FOLDER

    for path in FOLDER.glob("*.csv"):
        raw = path.read_bytes()
        assert raw.endswith(b"\n")
        assert b"\r" not in raw
        with path.open(encoding="utf-8", newline="") as file:
            assert len({len(row) for row in csv.reader(file)}) == 1


ODD = [
    ' the "king"', "the king ", '"', 'a, "b"', "line\nbreak", "carriage\r\nreturn", "-1", "\u2028x",
    "tab\t", "\x00null", "it's", "source", "\ufeffmark",
]  # fmt: skip


@pytest.mark.parametrize("name", ["gender", " gender", 'he, "she"', "1"])
def test_odd_texts_come_back_as_they_were(name, tmp_path):
    pairs = ConceptPairs(
        tuple(ODD), tuple(reversed(ODD)), (name,), ((1,), (0,), (-1,)) * 4 + ((1,),)
    )
    save_pairs(pairs, tmp_path / "odd.csv")
    assert load_pairs(tmp_path / "odd.csv") == pairs


def test_spaces_around_commas_and_quotes_do_no_harm(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text('source , target, gender\n the king , "the queen, ""she"""  , 1\n')
    pairs = load_pairs(path)
    assert (pairs.source, pairs.target) == (("the king",), ('the queen, "she"',))
    assert pairs.concepts == ("gender",)


def test_a_text_that_utf_8_cannot_hold_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must fit UTF-8"):
        save_pairs(ConceptPairs(("\ud800",), ("b",)), tmp_path / "p.csv")
    assert not list(tmp_path.iterdir())
