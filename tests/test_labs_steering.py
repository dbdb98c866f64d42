"""The Steering lab's own: its texts and figure against the kit's numbers."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssae_kit import labs, llama, methods, steering, world
from ssae_kit.labs import steering as steering_lab
from ssae_kit.labs import subjects
from ssae_kit.labs.job import Cancelled
from ssae_kit.labs.listing import listing
from ssae_kit.labs.steering import SteeringSettings, write
from ssae_kit.labs.texts import side_by_side
from ssae_kit.studies import load_study
from tests import labs as small
from tests.labs import finished, plain

LAB = "SteeringLab"
TRAINING = subjects.TRAINING
"""In full, before `short` shortens it."""


@pytest.fixture(scope="module")
def subject():
    return small.subject()


def test_the_figure_shows_the_kits_own_numbers(lab, subject):
    lab.set(concepts=("tense",), method="difference of means", strength=1.5)
    result = finished(lab)
    prompt = subject.prompts[0]
    changes = torch.tensor(subject.pairs.changes, dtype=torch.float32)
    shifts = steering.shift_vectors(subject.llama, subject.pairs, 3)
    directions = methods.difference_of_means(shifts, changes).directions
    values = torch.tensor([list(subject.values_of(prompt))] * 2)
    steered = torch.tensor([[name == "tense" for name in world.CONCEPTS]] * 2)
    written = llama.generate(
        subject.llama,
        [prompt] * 2,
        max_new_tokens=29,
        generator=torch.Generator().manual_seed(0),
        temperature=0.5,
        edits={3: llama.Add(steering.steering_vectors(directions, values, steered, 1.5))},
    )
    assert result.texts[1.5] == written
    said = steering.read_concepts(written, world.read, world.CONCEPTS, n_sentences=1)
    score = steering.score_steering(said, values, steered)
    np.testing.assert_allclose(lab.fig.data[1].x, said.share.nanmean(0))
    assert list(lab.fig.data[2].x) == [0.0, 1.5, 2.0]
    np.testing.assert_allclose(lab.fig.data[2].y[1], score.target.nanmean())
    np.testing.assert_allclose(lab.fig.data[3].y[1], score.elsewhere.nanmean())


def test_the_texts_stand_side_by_side_with_their_changes_marked():
    table = side_by_side(["a", "b"], ["the king <wept> then"], ["the queen <wept> now then"])
    assert "<td>the <del>king</del> &lt;wept&gt; then</td>" in table
    assert "<td>the <ins>queen</ins> &lt;wept&gt; <ins>now</ins> then</td>" in table
    assert plain(table).startswith("abthe king <wept> then")


def test_strength_zero_changes_nothing(lab):
    lab.set(strength=0.0)
    result = finished(lab)
    assert list(result.texts) == [0.0, 2.0]
    assert "<ins>" not in lab.texts.value


def test_a_prompt_of_ones_own_comes_first_and_a_bad_one_is_explained(lab, subject):
    lab.controls["own"].value = "  " + subject.prompts[1]
    assert lab.settings().text == subject.prompts[1]
    finished(lab)
    lab.controls["own"].value = "the queen slept ."  # no story, and a text all the same
    finished(lab)
    assert "the queen slept ." in lab.texts.value
    lab.controls["own"].value = "colourless green ideas"
    lab.wait()
    assert lab.words_shown.text == lab.error
    assert "it has not seen ['colourless', 'ideas']" in lab.error
    lab.controls["own"].value = ""
    finished(lab)


EFFECTS = {  # lowest and highest share of the words that turn; None: the grammar breaks
    "one concept": (0.95, 1.0),
    "a random direction": (0.0, 0.02),
    "too early": (0.0, 0.75),
    "too late": (0.0, 0.02),
    "too weak": (0.0, 0.8),
    "at every token": None,
}


def test_what_the_places_hints_say_is_what_is_written(monkeypatch):
    monkeypatch.setattr(steering_lab, "STRENGTHS", (0.0,))
    monkeypatch.setattr(steering_lab, "N_TEXTS", 4)
    monkeypatch.setattr(subjects, "TRAINING", TRAINING)
    bundled = labs.bundled()
    start = {"prompt": bundled.prompts[0], "concepts": ("size",)}
    assert labs.SteeringLab(bundled).settings().concepts == start["concepts"]
    for place, bounds in EFFECTS.items():
        at = SteeringSettings(**{**start, **labs.SteeringLab.places[place][0]})
        effect, side, ill_formed = steering_lab.run(bundled, at).rates[at.strength]
        if bounds is None:
            assert not ill_formed < 0.5  # NaN where no sentence ends
        else:
            assert bounds[0] <= effect <= bounds[1], place
            assert side < 0.1
            assert ill_formed == 0
    assert list(EFFECTS) == list(labs.SteeringLab.places)


def test_nothing_is_written_twice(lab, subject, monkeypatch):
    lab.set(seed=5, strength=1.0, concepts=("size",))
    finished(lab)
    written = []

    def counted(subject, settings, vectors, report):
        written.append(len(vectors))
        return write(subject, settings, vectors, report)

    monkeypatch.setattr(steering_lab, "write", counted)
    for change, expected in (
        ({"strength": 1.5}, [1]),
        ({"strength": 1.0}, []),
        ({"concepts": ("tense",)}, [1, 1]),  # at the chosen strength, then at 2; not unsteered
        ({"seed": 6}, [2, 1]),
    ):
        written.clear()
        lab.set(**change)
        assert sorted(finished(lab).texts) == sorted({0.0, 2.0, lab.settings().strength})
        assert written == expected


def test_what_is_kept_is_what_a_fresh_subject_writes(lab, subject):
    lab.set(seed=7, method="difference of means", strength=2.0)
    finished(lab)
    lab.set(strength=1.0)
    kept = finished(lab)
    assert steering_lab.run(replace(subject), lab.settings()).texts == kept.texts


def test_a_change_stops_the_other_strengths_at_the_next_token(lab, subject):
    reports = []

    def stop(share, measure):
        reports.append(measure)
        if len(reports) > 4 and measure is None:  # the texts asked for are told, others begun
            raise Cancelled

    settings = replace(lab.settings(), seed=8, strength=1.0)
    with pytest.raises(Cancelled):
        steering_lab.run(subject, settings, stop)
    assert [measure is None for measure in reports] == [True, True, False, True, True]
    assert 2.0 in steering_lab.run(subject, settings).texts  # no hook is left that stops it


def test_directions_are_found_once_per_layer_and_method(short, subject):
    first = subject.directions("SSAE latent", 2)
    assert subject.directions("SSAE latent", 2) is first
    assert first.shape == (7, subject.llama.d_model)


def test_a_subject_that_nobody_holds_is_forgotten(short, subject):
    own = replace(subject)
    own.directions("random", 2)
    held = weakref.ref(own)
    del own
    gc.collect()
    assert held() is None


def test_the_code_makes_the_bundled_subject_and_asks_for_any_other(lab, subject):
    assert "# `subject` is yours.\n" in lab.code()
    both = labs.bundled(), labs.bundled(subject.llama)
    made = ({"subject": one.source} for one in both)
    bundled, given = (listing(lab.run, lab.settings(), code) for code in made)
    assert "subject = labs.bundled()\n" in bundled
    assert "subject = labs.bundled(model)  # `model` is yours.\n" in given


RANDOM = st.builds(
    dict,
    concepts=st.lists(st.sampled_from(world.CONCEPTS), unique=True).map(tuple),
    method=st.sampled_from(subjects.METHODS),
    layer=st.integers(1, 6),
    strength=st.integers(0, 16).map(lambda n: n / 4),
    everywhere=st.booleans(),
    seed=st.integers(0, 999),
)


@small.randomly
@given(RANDOM)
def test_random_settings_are_what_is_computed(lab, wanted):
    lab.set(**wanted)
    result = finished(lab)
    expected = SteeringSettings(prompt=lab.controls["prompt"].value, **wanted)
    assert set(lab.settings().concepts) == set(expected.concepts)
    assert result.settings.strength == wanted["strength"]
    assert lab.words_shown.text == result.words()
    assert sum("<b>" in name for name in lab.fig.data[0].y) == len(wanted["concepts"])


def test_the_real_llama_is_steered_from_a_free_prompt(smollm2, monkeypatch):
    monkeypatch.setattr(subjects.steering, "shift_vectors", None)  # directions come with the course
    subject = subjects.real()
    n_layers = subject.llama.n_layers
    every = [subject.directions("difference of means", layer) for layer in range(n_layers + 1)]
    assert torch.stack(every).norm(dim=2).min() > 0
    middle = load_study("real_directions").returned(0)["SSAE"]  # by the study of one layer
    torch.testing.assert_close(subject.directions("SSAE latent", 15), 4 * middle, rtol=0, atol=0.01)
    assert subject.directions("SSAE latent", 15).shape == (len(subject.pairs.concepts), 576)
    directions = subject.directions("difference of means", 15)
    assert directions.shape == (len(subject.pairs.concepts), 576)
    assert subject.directions("random", 15).shape == directions.shape
    settings = SteeringSettings(
        "", ("size",), "difference of means", layer=15, everywhere=True, own="The house was"
    )
    size = directions[subject.pairs.concepts.index("size")]
    plain, pushed = write(subject, settings, torch.stack([0 * size, 4 * size]))
    assert plain != pushed
    said = subject.read("A huge house, not a tiny one. They were big.").sentences[0].words
    assert [word.values["size"] for word in said if "size" in word.values] == [0, 1, 1]
