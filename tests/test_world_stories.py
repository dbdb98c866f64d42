"""The grammar of the stories: words, agreement, sampler, parser."""

import math
from itertools import pairwise

import pytest
import torch

from ssae_kit.world import (
    VALUES,
    State,
    counterfactual,
    log_probability_of_story,
    parse,
    read,
    sample_story,
    value_index,
)
from ssae_kit.world.lexicon import TEMPLATES
from ssae_kit.world.parse import word_values
from ssae_kit.world.sentences import all_states, draw_plan, realise, recognise, story_words
from ssae_kit.world.state import Draws
from ssae_kit.world.stories import MAX_SENTENCES
from ssae_kit.world.text import elide, join_words, split_words

CASES = [
    # template, state, character, fillers of the choosing slots left at 0
    (
        0,
        State(),
        0,
        "– yesterday the kind king in red and silk met this good gentleman in ruby and lace "
        "in a small hamlet in summer, sir, in july.",
    ),
    (
        0,
        State(language=1, gender=1, number=1, tense=1, sentiment=1, formality=1, size=1, colour=3, cloth=2, season=1),
        7,
        "– aujourd'hui les méchantes actrices en blanc et lin rencontrent ces mauvaises nanas en perle "
        "et coton dans une grande ville en automne, mec, en octobre.",
    ),
    (
        1,
        State(language=1),
        7,
        "– certes, ce seigneur en rubis et dentelle était heureux en juillet et l'acteur en rouge "
        "et soie chanta dans un petit hameau en été.",
    ),
    (
        4,
        State(language=1, gender=1),
        8,
        "– certes, l'héritière en rouge et dentelle était heureuse en été quand cette dame en rubis "
        "et soie chanta dans un petit hameau en juillet.",
    ),
    (
        2,
        State(language=1, number=1, tense=1),
        9,
        "– heureusement, une petite pièce en rouge et dentelle charme les oncles en rubis et soie "
        "en été et ces seigneurs partent en juillet, monsieur.",
    ),
    (
        3,
        State(size=1, formality=1, season=2),
        5,
        "– yesterday the kind monk in ruby and silk found a large throne in red and lace "
        "for this good guy in winter, dude, in january.",
    ),
    (
        5,
        State(language=1, gender=1, tense=1, cloth=1),
        4,
        "– cette dame en rubis et laine trouve une petite pièce en rouge et feutre en juillet "
        "et heureusement la gentille sorcière part en été, monsieur.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("template", "state", "character", "expected"), CASES)
def test_a_planned_sentence_reads_as_written_by_hand(template, state, character, expected):
    from ssae_kit.world.sentences import Plan

    fillers = tuple(character if name == "noun" else 0 for name in TEMPLATES[template])
    assert join_words(realise(Plan(state, character, template, fillers))) == expected


FRENCH_FORMS = {
    # slot: forms under (masculine, feminine) x (singular, plural), or (past, present) x (...)
    ("mood", 0, 1): ("joyeux", "joyeux", "joyeuse", "joyeuses"),
    ("mood", 0, 2): ("fier", "fiers", "fière", "fières"),
    ("mood", 1, 2): ("jaloux", "jaloux", "jalouse", "jalouses"),
    ("mood", 1, 3): ("inquiet", "inquiets", "inquiète", "inquiètes"),
    ("adj", 0, 0): ("gentil", "gentils", "gentille", "gentilles"),
    ("adj", 1, 1): ("horrible", "horribles", "horrible", "horribles"),
    ("other", 0, 0): ("bon", "bons", "bonne", "bonnes"),
    ("other", 1, 1): ("affreux", "affreux", "affreuse", "affreuses"),
    ("noun", 0, 10): ("neveu", "neveux", "nièce", "nièces"),
    ("noun", 0, 3): ("frère", "frères", "sœur", "sœurs"),
    ("man", 0, 1): ("gentilhomme", "gentilshommes", "demoiselle", "demoiselles"),
    ("get", 0, 1): ("acheta", "achetèrent", "achète", "achètent"),
    ("get", 0, 4): ("nettoya", "nettoyèrent", "nettoie", "nettoient"),
    ("get", 0, 5): ("prit", "prirent", "prend", "prennent"),
    ("meet", 0, 1): ("vit", "virent", "voit", "voient"),
    ("leave", 0, 1): ("revint", "revinrent", "revient", "reviennent"),
    ("leave", 0, 3): ("dormit", "dormirent", "dort", "dorment"),
    ("feel", 1, 0): ("pleura", "pleurèrent", "pleure", "pleurent"),
    ("be", 0, 0): ("était", "étaient", "est", "sont"),
}


@pytest.mark.parametrize("cell", FRENCH_FORMS, ids=str)
def test_french_forms_cell_by_cell(cell):
    from ssae_kit.world.lexicon import SLOTS
    from ssae_kit.world.sentences import inflect

    slot, value, filler = cell
    entry, expected = SLOTS[slot].choices[value][filler], FRENCH_FORMS[cell]
    verb = SLOTS[slot].agreement == "verb"
    states = [
        State(1, tense=a, number=b) if verb else State(1, gender=a, number=b)
        for a in (0, 1)
        for b in (0, 1)
    ]
    assert tuple(inflect(entry, SLOTS[slot], state) for state in states) == expected


def test_elision_and_linking_forms():
    assert elide(["la", "actrice"]) == ["l'", "actrice"]
    assert elide(["le", "héritier"]) == ["l'", "héritier"]
    assert elide(["ce", "affreux", "type"]) == ["cet", "affreux", "type"]
    assert elide(["la", "hutte"]) == ["la", "hutte"]  # h aspiré
    assert elide(["le", "hameau"]) == ["le", "hameau"]
    assert elide(["a", "enormous", "hat"]) == ["an", "enormous", "hat"]


def test_parsing_gives_back_every_state():
    generator = torch.Generator().manual_seed(0)
    for i, state in enumerate(all_states()[::7]):
        plan = draw_plan(Draws(generator), state, i % 12)
        words = realise(plan)
        assert recognise(words) == plan
        assert split_words(join_words(words)) == list(words)


def test_every_sentence_states_every_concept_in_two_different_words():
    generator = torch.Generator().manual_seed(1)
    for state in all_states()[::43]:
        words = set(realise(draw_plan(Draws(generator), state, 3)))
        for concept in VALUES:
            marked = {w for w in words if concept in word_values(w)}
            assert len(marked) >= 2, (concept, words)
            assert all(word_values(w)[concept] == getattr(state, concept) for w in marked)


def test_the_vocabulary_is_large_and_no_word_is_of_both_languages():
    assert len(story_words()) >= 500
    unmarked = {word for word in story_words() if "language" not in word_values(word)}
    assert unmarked == {"–", ",", "."}


def test_a_story_parses_to_itself():
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        story = sample_story(generator)
        assert parse(story.text) == story


def test_log_probability_of_a_switch_by_hand():
    generator = torch.Generator().manual_seed(3)
    one = sample_story(generator, n_sentences=1, state=State(), character=0)
    from ssae_kit.world.stories import Story

    first = one.sentences[0]
    from ssae_kit.world.sentences import Plan, log_probability_of_wording

    second = Plan(State(colour=2, gender=1), 0, first.template, first.fillers)
    expected = (
        -7 * math.log(2) - math.log(4 * 3 * 3) - math.log(12) + 2 * log_probability_of_wording(first.template)
        + math.log(0.9) + math.log(0.1) + 8 * math.log(0.95) + math.log(0.05) + math.log(0.05 / 3)
    )  # fmt: skip
    assert log_probability_of_story(Story((first, second))) == pytest.approx(expected)


def test_the_sampler_matches_its_probabilities():
    """Switches, ends and templates are counted against their probabilities, within 4 SE."""
    generator = torch.Generator().manual_seed(4)
    stories = [sample_story(generator) for _ in range(400)]
    pairs = [(a.state, b.state) for s in stories for a, b in pairwise(s.sentences)]
    for concept in VALUES:
        rate = sum(getattr(a, concept) != getattr(b, concept) for a, b in pairs) / len(pairs)
        assert abs(rate - 0.05) < 4 * math.sqrt(0.05 * 0.95 / len(pairs))
    ended = sum(len(s.sentences) == 1 for s in stories) / len(stories)
    assert abs(ended - 0.1) < 4 * math.sqrt(0.09 / len(stories))
    assert max(len(s.sentences) for s in stories) == MAX_SENTENCES


def test_a_counterfactual_is_aligned_and_changes_one_concept():
    generator = torch.Generator().manual_seed(5)
    for _ in range(6):
        story = sample_story(generator, n_sentences=2)
        state = story.sentences[0].state
        for concept, names in VALUES.items():
            value = (getattr(state, concept) + 1) % len(names)
            other = counterfactual(story.text, concept, names[value])
            assert len(split_words(other)) == len(story.words)
            wanted = [plan.state.changed(**{concept: value}) for plan in story.sentences]
            assert [plan.state for plan in parse(other).sentences] == wanted


def test_reading_junk_never_raises():
    for junk in (
        "",
        "...",
        "l' l' l'",
        "– the – the",
        "日本語 ♥ \n\t",
        "a" * 3000,
        "– ’ aujourd'hui",
    ):
        assert not any(sentence.is_well_formed for sentence in read(junk).sentences)
    assert read("the queens").words[1].values == {"language": 0, "gender": 1, "number": 1}
    assert not read("the queens").sentences[0].is_complete


def test_unparseable_texts_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="Unknown words: hello"):
        parse("hello world.")
    with pytest.raises(ValueError, match="at least one sentence"):
        parse("  ")
    good = (
        "– hey, this guy in ruby and lace was happy in july and the king in red and silk sang "
        "in a small hut in summer."
    )
    with pytest.raises(ValueError, match="sentence 1"):
        parse(good.replace("was", "were"))
    assert parse(good)
    with pytest.raises(ValueError, match="same character"):
        parse(good + " " + good.replace("king", "monk"))


def test_concepts_and_values_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="one of language"):
        State().changed(mood=1)
    with pytest.raises(ValueError, match="formal, informal"):
        value_index("formality", "rude")
    with pytest.raises(ValueError, match=r"0\.\.1"):
        State(gender=2)
    with pytest.raises(ValueError, match="character"):
        sample_story(torch.Generator(), character=99)


def test_what_a_word_says_cannot_be_changed_for_later_readers():
    with pytest.raises(TypeError):
        word_values("queens")["gender"] = 0
    with pytest.raises(TypeError, match="item assignment"):
        read("the queens").words[1].values["gender"] = 0
    assert word_values("queens")["gender"] == read("queens").words[0].values["gender"] == 1
