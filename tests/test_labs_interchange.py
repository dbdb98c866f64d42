"""The Interchange lab's own: its rates, texts and map against the kit's numbers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import causes, labs, llama, methods, steering, world
from ssae_kit.labs import das
from ssae_kit.labs.das import N_STEPS, lessons, search
from ssae_kit.labs.interchange import (
    FEATURIZERS,
    InterchangeSettings,
    draw,
    exchange,
    measure,
    travel,
)
from ssae_kit.labs.job import Cancelled, quiet
from tests import labs as small
from tests.labs import finished, plain

LAB = "InterchangeLab"


@pytest.fixture(scope="module")
def subject():
    return small.subject()


def settings(subject, **changed):
    base, source = subject.prompts[:2]
    return InterchangeSettings(**{"base": base, "source": source, "concept": "tense", **changed})


def test_cause_and_isolate_are_the_kits_own(lab, subject):
    lab.set(concept="tense", featurizer="difference of means", layer=3, seed=4)
    result = finished(lab)
    both = [(lab.controls["base"].value, lab.controls["source"].value)]
    bases, sources = zip(*both, *draw(subject, lab.settings()), strict=True)
    means = methods.known(subject.directions("difference of means", 3))
    at = torch.tensor([name == "tense" for name in world.CONCEPTS]).expand(3, -1)
    states = [llama.hidden_states(subject.llama, side, 3) for side in (bases, sources)]
    moved = causes.exchange(means, *states, at)
    written = llama.generate(
        subject.llama, list(bases), max_new_tokens=29, temperature=0.5,
        generator=torch.Generator().manual_seed(4), edits={3: llama.Add(moved)},
    )  # fmt: skip
    assert result.texts[1] == written[0]
    said = steering.read_concepts(written, world.read, world.CONCEPTS, n_sentences=1).share
    values = [torch.tensor([list(subject.values_of(t)) for t in s]) for s in (bases, sources)]
    expected = causes.followed(said[1:], *(v[1:].float() for v in values), at[1:])
    rates = expected.cause.nanmean(), expected.isolate.nanmean()
    np.testing.assert_allclose(lab.fig.data[1].y, rates)
    assert result.texts[1] in plain(lab.texts.value)


def test_the_pairs_differ_in_the_concept_where_any_do(subject):
    for concept in world.CONCEPTS:
        at = world.CONCEPTS.index(concept)
        values = {text: subject.values_of(text)[at] for text in subject.prompts}
        drawn = draw(subject, settings(subject, concept=concept))
        assert all(a != b for a, b in drawn)
        if len(set(values.values())) == 2:
            assert all(values[a] != values[b] for a, b in drawn)


def test_the_whole_state_makes_base_and_source_equal_and_a_concept_does_not(subject):
    states = torch.randn(4, subject.llama.d_model, generator=torch.Generator().manual_seed(0))
    at = world.CONCEPTS.index(settings(subject).concept)
    meant = torch.arange(7).eq(at).expand(len(states) // 2, -1)
    moved = exchange(subject, settings(subject, featurizer="whole state"), states, meant, quiet)
    torch.testing.assert_close(states[:2] + moved, states[2:])
    one = exchange(
        subject, settings(subject, featurizer="difference of means"), states, meant, quiet
    )
    assert torch.linalg.matrix_rank(one) == 1


def test_the_map_ends_in_the_exchange_at_the_last_token_of_the_layer(subject):
    s = settings(subject, layer=2)
    moved, words = travel(subject, s)
    assert moved.shape == (3, len(words))
    states = llama.hidden_states(subject.llama, [s.base, s.source], 2)
    means = methods.known(subject.directions("difference of means", 2))
    at = world.CONCEPTS.index("tense")
    values = [subject.values_of(text)[at] for text in (s.base, s.source)]
    expected = means.read(states[1:] - states[:1])[0, at] * (-1 if values[1] < values[0] else 1)
    torch.testing.assert_close(moved[-1, -1], expected, rtol=1e-3, atol=1e-3)  # padded otherwise
    assert moved[-1, :-1].abs().max() < 1e-3


def test_das_finds_on_other_texts_what_the_exchange_of_a_concept_needs(monkeypatch):
    monkeypatch.setattr(das, "N_STEPS", N_STEPS)
    subject = labs.bundled()  # whose searches are in full
    assert not set(subject.prompts) & set(lessons(subject, "tense")[0])
    cause, isolate = measure(subject, settings(subject, featurizer="DAS"), quiet)[1]["exchanged"]
    assert cause >= 0.8  # 1.00 when it was written, a random direction 0
    assert isolate >= 0.9


def test_a_lesson_and_its_twin_differ_in_the_concept_alone(subject):
    texts, _, _, _, values = lessons(subject, "size")
    read = torch.tensor([subject.values_of(text) for text in texts]).view(-1, 2, 7)
    differ = read[:, 0] != read[:, 1]
    at = world.CONCEPTS.index("size")
    assert differ[:, at].all()
    assert differ.sum() == len(differ)
    assert (read[..., at].flatten() == values).all()


def test_a_search_is_kept_by_concept_layer_and_seed_and_a_stopped_one_is_not(
    short, subject, monkeypatch
):
    def stop(share, measure):
        raise Cancelled

    own, begun = replace(subject), []
    with pytest.raises(Cancelled):
        search(own, "tense", 3, 0, stop)
    align = causes.align
    monkeypatch.setattr(causes, "align", lambda *a, **k: begun.append(align(*a, **k)))
    for place in (
        ("tense", 3, 0),
        ("tense", 3, 0),
        ("tense", 2, 0),
        ("size", 2, 0),
        ("size", 2, 1),
    ):
        search(own, *place, quiet)
    assert len(begun) == 4


def test_das_says_which_pairs_it_needs(subject):
    together = [i for i, change in enumerate(subject.pairs.changes) if sum(map(bool, change)) > 1]
    without = replace(subject, pairs=subject.pairs.take(together))
    with pytest.raises(ValueError, match="differ in tense alone"):
        search(without, "tense", 3, 0, quiet)


def test_the_code_of_a_search_is_what_ran(lab):
    lab.set(featurizer="DAS", layer=2, concept="size")
    finished(lab)
    assert "from ssae_kit.labs.das import search\n" in lab.code()
    assert "found = search(subject, s.concept, s.layer, s.seed, report)" in lab.code()


def test_a_text_exchanged_with_itself_moves_nothing(lab, subject):
    text = subject.prompts[0]
    lab.set(base=text, source=text)
    result = finished(lab)
    assert result.texts[0] == result.texts[1]
    assert result.moved.abs().max() < 1e-3
    assert "differ in no concept. Both say the same" in lab.words_shown.text


def test_another_concept_or_featurizer_makes_no_new_map_and_the_opening_has_something_to_exchange(
    lab, subject, monkeypatch
):
    start = lab.start_at
    at = world.CONCEPTS.index(start.concept)
    assert subject.values_of(start.base)[at] != subject.values_of(start.source)[at]
    lab.set(layer=2, **{name: getattr(start, name) for name in ("base", "source", "concept")})
    finished(lab)
    monkeypatch.setattr(llama, "run", None)  # a map needs it
    lab.set(concept="size", featurizer="random")
    finished(lab)


def test_every_place_is_reached(lab):
    for place in lab.places:
        lab.go_to(place)
        finished(lab)


RANDOM = st.builds(
    dict,
    concept=st.sampled_from(world.CONCEPTS),
    featurizer=st.sampled_from(FEATURIZERS),
    layer=st.integers(1, 6),
    seed=st.integers(0, 999),
)


@small.randomly
@given(RANDOM)
def test_random_settings_are_what_is_computed(lab, wanted):
    lab.set(**wanted)
    result = finished(lab)
    assert {name: getattr(result.settings, name) for name in wanted} == wanted
    assert len(result.moved) == wanted["layer"] + 1


def test_it_is_a_lab_of_the_package():
    assert labs.InterchangeLab.__name__ in labs.__all__
