"""Labs made small and quick, for the tests of what they share and of each one's own."""

import functools
import html
import re
import threading

import torch
from hypothesis import HealthCheck, settings

from ssae_kit import labs, llama, world
from ssae_kit.autoencoders import TopKSAE
from ssae_kit.labs import das, interchange, latents, shift, steering, subjects, superposition
from ssae_kit.labs import dictionary as dictionary_lab
from ssae_kit.training import TrainingConfig

NAMES = (
    "DictionaryLab",
    "InterchangeLab",
    "LatentLab",
    "ShiftLab",
    "SteeringLab",
    "SuperpositionLab",
)
BRIEF = TrainingConfig(steps=6, batch_size=16, record_every=2)
SHORT = {
    "DictionaryLab": {dictionary_lab: {"STEPS": 6, "N_TRAIN": 300, "N_TEST": 60}},
    "InterchangeLab": {
        das: {"N_STEPS": 2},
        interchange: {"N_PAIRS": 2},
        subjects: {"TRAINING": TrainingConfig(steps=20, batch_size=16)},
    },
    "LatentLab": {latents: {"N_TEXTS": 2, "N_TOKENS": 6}},
    "ShiftLab": {shift: {"TRAINING": BRIEF, "N_TRAIN": 60, "N_TEST": 40}},
    "SteeringLab": {
        steering: {"N_TEXTS": 2, "STRENGTHS": (0.0, 2.0)},
        subjects: {"TRAINING": TrainingConfig(steps=20, batch_size=16)},
    },
    "SuperpositionLab": {superposition: {"STEPS": 60}},
}
"""What is shortened where: here the view is tested, not what is learned."""

randomly = settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def shorten(monkeypatch, name):
    for module, values in SHORT[name].items():
        for key, value in values.items():
            monkeypatch.setattr(module, key, value)


def make(name):
    """A lab on the smallest subject of its kind."""
    if name in ("InterchangeLab", "SteeringLab"):
        return getattr(labs, name)(subject())
    return labs.LatentLab(dictionary()) if name == "LatentLab" else getattr(labs, name)()


def hold(lab, monkeypatch):
    """Make its computation go on until it is cancelled; returns an event: it has begun."""
    begun = threading.Event()

    def endless(_, report):
        while True:
            begun.set()
            report(0.5, None)

    monkeypatch.setattr(lab, "compute", endless)
    return begun


def plain(marked):
    """Text without its marks, as it was before `side_by_side` or `shaded`."""
    return html.unescape(re.sub("<[^>]*>", "", marked))


def finished(lab):
    lab.wait(300.0)
    assert lab.error == ""
    return lab.result


@functools.cache
def subject():
    """The bundled Llama with few pairs and short texts."""
    values_of = labs.bundled().values_of
    pairs = world.concept_pairs(60, torch.Generator().manual_seed(0))
    prompts, _ = world.prompts(3, torch.Generator().manual_seed(1), 1)
    return labs.Subject(
        llama.load(), pairs, prompts, values_of, world.read, world.VALUES, n_sentences=1, n_tokens=29
    )  # fmt: skip


@functools.cache
def dictionary():
    """An untrained dictionary of the bundled Llama with a dead latent, the last one."""
    model = subject().llama
    texts, _ = world.prompts(20, torch.Generator().manual_seed(2))
    states = llama.token_states(model, texts, 3).states
    sae = TopKSAE(1, model.d_model, 24, generator=torch.Generator().manual_seed(3), k=4)
    sae.calibrate_(states)
    with torch.no_grad():
        sae.encoder_bias[0, -1] = -100.0
    return labs.TokenDictionary(model, 3, sae, texts)


def ends(control):
    """The values at the ends of a control, or all that it offers."""
    if hasattr(control, "options"):
        several = isinstance(control.value, tuple)
        return [(), tuple(control.options)] if several else list(control.options)
    if isinstance(control.value, str):
        return ["", "the queen"]
    return [getattr(control, "min", False), getattr(control, "max", True)]


def anywhere(control, choose):
    """A random value that a control can take."""
    if hasattr(control, "options") or isinstance(control.value, bool | str):
        return choose.choice(ends(control))
    places = int((control.max - control.min) / control.step + 1.5)
    return control.min + control.step * choose.randrange(places)
