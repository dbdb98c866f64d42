"""Wrong calls by the hundred: every public callable, every argument, one mistake at a time.

`python -m tests.fuzz` (and, if wanted, how names begin) prints, as JSON, what became of each. A call ends well with a finite result
or with an error in words: one that the kit raises, or Python's TypeError. A silent NaN, a hang and
torch's or NumPy's own errors are faults. It runs without the tests' check of types, as a user has the kit.

A room is one entry of `ROOMS`; a callable is one entry of `valid`: a right call, copied for each
mistake.
"""

# ruff: noqa: E731 - right calls are made by name: lambdas keep them a table

import contextlib
import copy
import dataclasses
import functools
import importlib
import inspect
import io
import json
import math
import signal
import sys
import tempfile
import traceback
import types
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

ROOMS = (
    "synthetic",
    "synthetic.supports",
    "autoencoders",
    "training",
    "metrics",
    "superposition",
    "pairs",
    "storage",
    "claims",
    "methods",
    "causes",
    "studies",
    "world",
    "llama",
    "steering",
)
WELL, MISSING = "well", "has no right call in the table"
SECONDS = 5.0
"""Of the processor: a call that takes longer hangs, also on a busy machine; right ones take
milliseconds. One that waits without computing ends by the test's own limit."""
EXCEPTIONS = {
    "pairs.truthful_qa": "downloads",
    "storage.replacing": "a context manager; its tests stand in test_storage.py",
    "autoencoders.Autoencoder": "abstract; its kinds are called",
    "autoencoders.SparseAutoencoder": "abstract; its kinds are called",
    "causes.followed": "NaN where a text shows nothing; its tests stand in test_causes.py",
    "llama.Edit": "abstract; its kinds are called",
    "llama.edit": "a context manager; its tests stand in test_llama_run.py",
}
"""Callables without a right call, with the reason."""


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


def modules():
    """What the right calls use; imported here, so that a failing import is one room's."""
    return {name: importlib.import_module(f"ssae_kit.{name}") for name in ROOMS}


def valid(room, folder):
    """Right calls by name: keyword arguments, or a tuple of positional and keyword arguments."""
    return numeric(room, folder) | learned(room) | spoken(room, folder)


def numeric(room, folder):
    """Right calls of the rooms that know neither fits nor texts."""
    a, t, s = room["autoencoders"], room["training"], room["synthetic"]
    sup, m, p = room["superposition"], room["metrics"], room["pairs"]
    claims, storage = room["claims"], room["storage"]
    relu = lambda **kw: a.ReluSAE(2, 6, 8, generator=seeded(1), **kw)
    shift = lambda n=2: a.ShiftAutoencoder(n, 6, 4, generator=seeded(1))
    design = lambda: s.supports.sizes(4, 2)
    problem = lambda: s.ShiftProblem(design(), 6)
    made = lambda seed=0: s.sample_shifts(problem(), 40, generator=seeded(seed))
    config = lambda: t.TrainingConfig(steps=3, batch_size=8, record_every=1)
    codes = lambda: normal(2, 40, 5).relu()
    matching = lambda: m.mcc_codes(codes(), normal(40, 3, seed=2))
    pairs = lambda: p.ConceptPairs(("a cat", "a dog"), ("the cat", "a cow"), ("x",), ((1,), (0,)))
    history = lambda: t.History([1], *([[torch.ones(2)]] * 5))
    restarts = lambda: t.Restarts(relu(), torch.ones(1, 2))
    sizes = ((2, 6, 8), {"generator": seeded(1)})
    kinds = {
        "BatchTopKSAE": {"k": 2},
        "GatedSAE": {},
        "JumpReluSAE": {"bandwidth": 0.1, "first_threshold": 0.1},
        "MatryoshkaSAE": {"k": 2, "prefixes": (2, 4)},
        "ReluSAE": {"dead_after": 20},
        "TiedSAE": {},
        "TopKSAE": {"k": 2, "dead_after": 20, "revival": 0.03},
    }
    calls = {f"autoencoders.{name}": (sizes[0], sizes[1] | extra) for name, extra in kinds.items()}
    for name in ("ShiftAutoencoder", "LayerNormShiftAutoencoder"):
        calls[f"autoencoders.{name}"] = {
            "n_runs": 2, "d_model": 6, "n_latents": 4, "generator": seeded(1)
        }  # fmt: skip
    saved, sae = folder / "sae.safetensors", folder / "sae"
    if not saved.exists():
        relu().save(saved)
        a.save_saelens(relu(), sae)
        storage.save_tensors(folder / "t.safetensors", {"a": torch.ones(2)}, {})
        p.save_pairs(pairs(), folder / "p.csv")
    directions = lambda n=2, k=5, d=6: torch.nn.functional.normalize(normal(n, k, d), dim=-1)
    features = lambda: normal(2, 10, 5).relu()
    model = lambda: sup.ToyModel(2, 5, 3, generator=seeded(1))
    draw = lambda g: torch.rand(2, 16, 5, generator=g)
    return calls | {
        "autoencoders.clamp": {
            "autoencoder": relu().select(0), "states": normal(7, 6), "latent": 1, "value": 2.0
        },
        "autoencoders.reconstruct": {"autoencoder": relu().select(0), "states": normal(7, 6)},
        "autoencoders.load": {"path": saved},
        "autoencoders.load_saelens": {"folder": sae},
        "autoencoders.load_published": {"folder": sae},
        "autoencoders.save_saelens": {"autoencoder": relu(), "folder": sae, "run": 0},
        "autoencoders.ReluSAE.encode": (relu().encode, {"inputs": normal(7, 6)}),
        "autoencoders.ReluSAE.decode": (relu().decode, {"codes": normal(2, 7, 8)}),
        "autoencoders.ReluSAE.loss": (relu().loss, {"inputs": normal(7, 6)}),
        "autoencoders.ReluSAE.select": (relu().select, {"run": 0}),
        "autoencoders.ReluSAE.calibrate_": (relu().calibrate_, {"inputs": normal(7, 6)}),
        "autoencoders.ReluSAE.save": (relu().save, {"path": folder / "again"}),
        "training.Constraint": {
            "level": 0.1, "start": 3.0, "warmup": 0.1, "ramp": 0.3, "dual_learning_rate": 0.1
        },
        "training.Penalty": {"weight": 0.1, "warmup": 0.1},
        "training.TrainingConfig": dataclasses.asdict(config()),
        "training.History.series": (history().series, {"name": "error"}),
        "training.Restarts.best": (restarts().best, {"group": 0}),
        "training.best_run": {"autoencoder": relu(), "inputs": normal(40, 6)},
        "training.choose_level": {
            "shifts": normal(40, 6), "n_latents": 4, "generator": seeded(), "n_levels": 2,
            "n_restarts": 1, "config": config(),
        },
        "training.evaluate": {"autoencoder": relu(), "inputs": normal(40, 6)},
        "training.fit": {
            "autoencoder": shift(), "inputs": normal(40, 6), "sparsity": t.Constraint(0.2),
            "config": config(), "generator": seeded(),
        },
        "training.fit_restarts": {
            "autoencoder": shift(), "inputs": normal(40, 6), "sparsity": t.Constraint(0.2),
            "n_restarts": 2, "config": config(), "generator": seeded(),
        },
        "training.seeded": {"seed": 3},
        "training.huge": {"inputs": normal(40, 6)},
        "metrics.dead_share": {"codes": codes()},
        "metrics.l0": {"codes": codes()},
        "metrics.firing": {
            "codes": codes(), "active": normal(40, 3, seed=2) > 0, "matching": matching()
        },
        "metrics.handovers": {
            "codes": codes()[0], "ids": torch.arange(40) % 7, "text": torch.arange(40) // 10,
            "promoted": torch.arange(5),
        },
        "metrics.label_mcc": {"codes": codes(), "labels": (normal(40, 3, seed=2) > 0).float()},
        "metrics.loss_recovered": {
            "clean": torch.ones(2), "spliced": 2 * torch.ones(2), "ablated": 4 * torch.ones(2)
        },
        "metrics.mcc_codes": {"codes": codes(), "changes": normal(40, 3, seed=2)},
        "metrics.mcc_directions": {
            "directions": directions(), "concept_directions": directions(1, 3)[0]
        },
        "metrics.mcc_seeds": {"directions": directions()},
        "metrics.mmcs": {"directions": directions(), "reference": directions(1, 3)[0]},
        "metrics.uniqueness": {"directions": directions(), "reference": directions(1, 3)[0]},
        "metrics.rotation_floor": {"n_concepts": 3, "generator": seeded(), "n_draws": 3},
        "metrics.unexplained_variance": {"inputs": normal(2, 7, 6), "decoded": normal(2, 7, 6)},
        "synthetic.Magnitudes": {"correlation": 0.1, "free_signs": True, "values": ()},
        "synthetic.Mixing": {"kind": "gaussian", "condition": 2.0},
        "synthetic.ShiftProblem": {"design": design(), "d_model": 6, "noise": 0.1, "bend": 0.1},
        "synthetic.SupportDesign": {
            "name": "mine", "units": torch.eye(3).bool(), "weights": torch.ones(3), "most": 2,
            "least": 1,
        },
        "synthetic.SupportDesign.sample": (
            design().sample, {"n_samples": 5, "generator": seeded()}
        ),
        "synthetic.Magnitudes.sample": (
            s.Magnitudes().sample, {"n_samples": 5, "n_concepts": 3, "generator": seeded()}
        ),
        "synthetic.Mixing.sample": (
            s.Mixing().sample, {"n_concepts": 3, "d_model": 6, "generator": seeded()}
        ),
        "synthetic.ShiftData.true_level": (made().true_level, {"n_latents": 4}),
        "synthetic.check_diversity": {"supports": design(), "seed": 0},
        "synthetic.sample_shifts": {
            "problem": problem(), "n_samples": 9, "generator": seeded(),
            "directions": directions(1, 4)[0],
        },
        "synthetic.stack": {"datasets": [made(), made(1)]},
        "synthetic.supports.sizes": {"n_concepts": 4, "most": 2, "least": 1},
        "synthetic.supports.blocks": {"n_concepts": 4, "block": 2, "most": 1},
        "synthetic.supports.together": {"n_concepts": 4, "group": (0, 1), "most": 2},
        "synthetic.supports.nested": {"n_concepts": 4, "inner": 0, "outer": 1, "most": 2},
        "synthetic.supports.grouped": {"n_concepts": 4, "group": 2, "joint_share": 0.5},
        "synthetic.supports.family": {"subsets": [[0], [0, 1]]},
        "superposition.ToyModel": {
            "n_runs": 2, "n_features": 5, "d_hidden": 3, "importance": 1.0, "generator": seeded()
        },
        "superposition.ToyModel.loss": (
            model().loss, {"inputs": torch.rand(9, 5), "weights": torch.rand(2, 9)}
        ),
        "superposition.candidate_losses": {
            "density": torch.tensor([0.1]), "importance": torch.tensor([1.0]), "n_features": 2
        },
        **{
            f"superposition.{name}": {"directions": normal(2, 3, 5)}
            for name in (
                "classify", "dimensionality", "interference", "neuron_alignment", "represented"
            )
        },
        "superposition.exactly_active": {
            "n_active": torch.tensor([1, 2]), "n_samples": 6, "n_features": 5,
            "generator": seeded(),
        },
        "superposition.fista": {
            "dictionary": normal(2, 5, 3), "hidden": normal(2, 10, 3), "penalty": 0.01,
            "n_steps": 3,
        },
        "superposition.random_dictionary": {
            "n_runs": 2, "d_hidden": 3, "n_features": 5, "generator": seeded()
        },
        "superposition.random_rotation": {"n_runs": 2, "size": 3, "generator": seeded()},
        "superposition.recovered": {"codes": features(), "features": features()},
        "superposition.share_near": {
            "values": torch.rand(5, generator=seeded()), "fractions": [0.5]
        },
        "superposition.train": {
            "model": model(), "draw": draw, "steps": 3, "learning_rate": 0.01, "generator": seeded()
        },
        "pairs.ConceptPairs": {
            "source": ("a", "b"), "target": ("c", "d"), "concepts": ("x",), "changes": ((1,), (0,))
        },
        "pairs.ConceptPairs.take": (pairs().take, {"rows": [1, 0]}),
        "pairs.category_pairs": {"n_pairs": 3, "generator": seeded()},
        "pairs.dataset": {"name": "binary"},
        "pairs.load_pairs": {"path": folder / "p.csv"},
        "pairs.save_pairs": {"pairs": pairs(), "path": folder / "q.csv"},
        "pairs.truth_pairs": {
            "rows": [{
                "question": "Why?",
                "mc1_targets": {"choices": ["So.", "No."], "labels": [1, 0]},
            }]
        },
        "storage.save_tensors": {
            "path": folder / "s", "tensors": {"a": torch.ones(2)}, "metadata": {}
        },
        "storage.at_home": {"path": folder / "s"},
        "storage.load_tensors": {"path": folder / "t.safetensors"},
        "storage.digest": {"tensors": {"a": torch.ones(2)}, "text": "a"},
        "claims.Register": {"notebook": "06", "table": "a | b | c | >= 1 | d"},
        "claims.Register.settle": (
            claims.Register("06", "a | b | c | >= 1 | d").settle, {"a": (1.0, 0.0)}
        ),
    }  # fmt: skip


def _left(subspaces, bases, sources, step):
    """A loss for causes.align; a partial of it is copied together with the subspaces."""
    return subspaces(bases, sources).square().mean((1, 2))


def learned(room):
    """Right calls of the rooms that fit and score, where the truth is known."""
    m, t, a, s = room["methods"], room["training"], room["autoencoders"], room["studies"]
    config = lambda: t.TrainingConfig(steps=3, batch_size=8, record_every=1)
    syn = room["synthetic"]
    data = syn.sample_shifts(syn.ShiftProblem(syn.supports.sizes(4, 2), 6), 40, generator=seeded())
    changes = data.changes.sign()
    pairs = {"shifts": data.shifts, "changes": changes}
    states = {"states": data.sources, "values": (data.sources[:, :2] > 0).long()}
    kinds = ("difference_of_means", "regression", "least_squares_probe")
    found, values = m.difference_of_means(**pairs), states["values"]
    c = room["causes"]
    space = c.Subspaces(1, 6, 2, generator=seeded())
    states_of_runs = {"bases": data.sources[None], "sources": data.sources[None] + 1}
    one = a.ShiftAutoencoder(1, 6, 4, generator=seeded(1))
    drawn = s.worlds(syn.ShiftProblem(syn.supports.sizes(3, 2), 5),
                     (0,), n_samples=20, n_test=12)  # fmt: skip
    return {
        **{f"methods.{name}": dict(pairs) for name in kinds},
        "methods.as_pairs": {"inputs": data.shifts, "labels": changes},
        "methods.probe": dict(states),
        "methods.class_means": dict(states),
        "methods.value_means": {
            "states": data.sources, "values": torch.arange(40) % 3, "n_values": 3
        },
        "methods.explained": pairs | {"directions": data.directions},
        "methods.score": pairs | {"found": found, "directions": data.directions},
        "methods.in_use": {"found": found, "shifts": data.shifts},
        "methods.merge": {"found": found, "shifts": data.shifts},
        "methods.interactions": {
            "shifts": data.shifts, "before": values, "after": values.flip(0)
        },
        "methods.read_bits": {
            "states": data.sources, "labels": values[:, 0], "new_states": data.sources,
            "new_labels": values[:, 0],
        },
        "causes.whole": {"d_model": 6},
        "causes.exchange": {
            "found": found, "bases": data.sources, "sources": data.sources + 1,
            "chosen": torch.ones(40, len(found.directions), dtype=torch.bool),
        },
        "causes.Subspaces": {"n_runs": 2, "d_model": 6, "k": 2, "generator": seeded()},
        "causes.Subspaces.forward": (space.forward, states_of_runs),
        "causes.Subspaces.found": (space.found, {"run": 0}),
        "causes.align": {
            "subspaces": space, "n_steps": 2,
            "loss": functools.partial(_left, space, *states_of_runs.values()),
        },
        "methods.Found.codes": (found.codes, {"shifts": data.shifts}),
        "methods.Found.from_sources": (found.from_sources, {"sources": data.sources}),
        "methods.Found.named": (found.named, dict(pairs)),
        "methods.known": {"directions": data.directions},
        "methods.of_autoencoder": {"autoencoder": one},
        "methods.random_directions": {"directions": data.directions, "generator": seeded()},
        "methods.rescaled": {"directions": data.directions, "reference": data.directions + 1},
        "methods.require_two_values": {"values": torch.tensor([0, 1])},
        "methods.shuffled": {"changes": changes, "seed": 0},
        **{
            f"methods.{name}": {"shifts": data.shifts, "n_latents": 3}
            for name in ("pca", "fast_ica", "singular_vectors", "dictionary_learning")
        },
        "methods.sae": {
            "states": data.sources, "n_latents": 4, "weight": 0.1, "seed": 1, "config": config()
        },
        "methods.ssae": {
            "shifts": data.shifts, "n_latents": 4, "seed": 1, "n_restarts": 2, "config": config()
        },
        "methods.ssae_seeds": {
            "shifts": data.shifts, "n_latents": 4, "n_seeds": 2, "level": 0.3, "seed": 1,
            "n_restarts": 2, "config": config(),
        },
        "studies.worlds": {
            "problem": syn.ShiftProblem(syn.supports.sizes(3, 2), 5),
            "seeds": (0, 1), "n_samples": 20, "n_test": 12,
        },
        "studies.best_of": {
            "drawn": drawn, "seed": 0, "n_restarts": 2, "level": 0.9, "n_latents": 3,
            "config": config(),
        },
        "studies.recover": {
            "data": data, "seed": 0, "level": 0.3, "n_latents": 4, "n_runs": 2, "config": config(),
        },
        "studies.score": {"autoencoder": one, "data": data},
        "studies.load_study": {"name": "methods"},
        "studies.sweep": {"study": _study, "conditions": [{"x": 1.0}]},
    }  # fmt: skip


def _study(x):
    return {"twice": torch.tensor([2.0 * x])}


def spoken(room, folder):
    """Right calls of the rooms that read and write text."""
    w, ll, st, a = room["world"], room["llama"], room["steering"], room["autoencoders"]
    model = loaded()
    texts, values = w.prompts(2, seeded(1), 1)
    texts = list(texts)
    pairs = w.concept_pairs(20, seeded(2), concepts=("tense", "size", "number"), n_sentences=1)
    pairs_of_tense = room["pairs"].load_pairs(ll.DATA / "pairs" / "tense.csv").take(range(8))
    beginnings, verbs = ["– this lady", "– this guy"] * 2, (["bought"], ["buys"])
    vectors = normal(2, model.d_model)
    push = lambda: {3: ll.Add(vectors, at="all")}
    states = normal(12, 6)
    two = (normal(12, 2, seed=4) > 0).long()
    one = a.ReluSAE(1, 6, 8, generator=seeded(1))
    story = w.sample_story(seeded(3), n_sentences=2)
    read = {"texts": [story.text], "read": w.read, "concepts": ("tense",), "n_sentences": 2}
    eye = torch.eye(model.d_model)[:2]
    clamp = st.clamp_of(one, states, two)
    ones = torch.ones(1, 2)
    matching = room["metrics"].Matching(ones, ones.long(), ones)
    learnt = st.Vectors(3, ("tense", "size"), vectors, matching)
    st.save_vectors(folder / "learnt.safetensors", learnt, model)
    llama = {"llama": model, "texts": texts}
    return {
        "world.State": {"tense": 1, "colour": 2},
        "world.concept_pairs": {
            "n_pairs": 2, "generator": seeded(), "max_changed": 2, "concepts": ("tense", "size"),
            "n_sentences": 1, "co_change": None,
        },
        "world.counterfactual": {"text": story.text, "concept": "tense", "value": 1},
        "world.log_probability_of_story": {"story": story},
        "world.parse": {"text": story.text},
        "world.prompts": {"n": 2, "generator": seeded(), "n_sentences": 1},
        "world.questions": {"relation": w.FACTS[0], "language": 0, "template": 1},
        "world.read": {"text": story.text},
        "world.sample_story": {
            "generator": seeded(), "n_sentences": 2, "state": w.State(), "character": 3,
        },
        "world.value_index": {"concept": "tense", "value": 1},
        "llama.Add": {"vectors": vectors, "at": "all"},
        "llama.Apply": {"function": torch.relu},
        "llama.Clamp": {"values": normal(1, 2), "subspace": eye},
        "llama.Intervention": {"layer": 2, "vectors": vectors},
        "llama.ProjectOut": {"directions": vectors},
        "llama.Site": {"layer": 2, "part": "head", "head": 1},
        "llama.Swap": {"sources": vectors, "subspace": eye},
        "llama.cache_hidden_states": llama | {"layers": [1], "folder": folder / "states"},
        "llama.direct_logits": {"llama": model, "directions": vectors},
        "llama.generate": {
            "llama": model, "prompts": texts, "max_new_tokens": 2, "generator": seeded(),
            "edits": push(), "temperature": 0.7, "n_ways": 1, "batch_size": 4,
        },
        "llama.hidden_states": llama | {"layer": 2, "part": "mlp", "tokens_per_batch": 64},
        "llama.load": {"name": "llama_tiny/seed1", "device": "cpu", "dtype": torch.float32},
        "llama.next_token_log_probs": {
            "llama": model, "prompts": texts, "continuation": torch.tensor([[8, 9], [10, 11]]),
            "edits": push(),
        },
        "llama.run": llama | {"keep": [2], "edits": {1: ll.Add(vectors)}, "tokens_per_batch": 64},
        "llama.text_losses": dict(llama),
        "llama.token_states": llama | {"layer": 2},
        "llama.untrained": {"llama": model, "seed": 0},
        "steering.Prompted": {"prompts": texts, "edits": push()},
        "steering.LatentClamp.vectors": (
            clamp.vectors,
            {"states": states, "values": two, "steered": two > 0, "strength": 1.0},
        ),
        "steering.clamp_of": {"autoencoder": one, "states": states, "values": two},
        "steering.choose_push": {
            "llama": model, "pairs": pairs_of_tense, "prompts": beginnings, "words": verbs,
            "layers": [2], "strengths": [1.0], "most_kl": 9.0, "n_random": 1, "seed": 0,
        },
        "steering.concepts_in_turn": {"n_texts": 3, "n_concepts": 3, "n_together": 2},
        "steering.learn": {
            "llama": model, "pairs": pairs, "layer": 3, "seed": 0,
            "config": room["training"].TrainingConfig(steps=2, batch_size=8),
        },
        "steering.save_vectors": {
            "path": folder / "new.safetensors", "vectors": learnt, "llama": model, "strength": 2.0
        },
        "steering.load_vectors": {"path": folder / "learnt.safetensors", "llama": model},
        "steering.mean_interval": {"amounts": torch.tensor([0.5, 2.0, 1.0])},
        "steering.off_target_kl": {
            "llama": model, "prompts": texts, "continuations": ["the king.", "a cat."],
            "spans": [[], [(0, 1)]], "ways": [st.Prompted(texts, push())],
        },
        "steering.principal_directions": {
            "shifts": normal(12, 6), "changes": normal(12, 2, seed=3).sign()
        },
        "steering.rate_interval": {"rates": torch.tensor([0.5, 0.2, 1.0])},
        "steering.read_concepts": read,
        "steering.score_steering": {
            "expressed": st.read_concepts(**read), "values": torch.zeros(1, 1).long(),
            "steered": torch.ones(1, 1).bool(),
        },
        "steering.shift_vectors": {"llama": model, "pairs": pairs.take(range(2)), "layer": 2},
        "steering.spans_about": {"text": story.text, "read": w.read, "concepts": ("tense",)},
        "steering.stacked": {"ways": [st.Prompted(texts), st.Prompted(texts, push())]},
        "steering.steering_vectors": {
            "directions": normal(2, 6), "values": two, "steered": two > 0, "strength": 1.0
        },
        "steering.word_odds": {
            "llama": model, "prompts": beginnings, "words": verbs, "edits": {3: ll.Add(vectors[:1])}
        },
    }  # fmt: skip


@functools.cache
def loaded():
    """The bundled Llama, once."""
    return importlib.import_module("ssae_kit.llama").load()


def mistakes(value):
    """What people bring instead of a right value, by name."""
    wrong = {"None": None, "a text": "seven", "a list of nothing": []}
    if isinstance(value, bool):
        return {}
    if isinstance(value, int | float):
        numbers = {"negative": -3, "zero": 0, "half": 1.5, "nan": math.nan, "inf": math.inf}
        numbers |= {"a mask": torch.tensor(True), "huge": 1e300}
        return wrong | numbers | {"numpy": np.int64(2), "tensor": torch.tensor([1.0, 2.0])}
    if isinstance(value, Tensor):
        spoiled = value.clone().float()
        spoiled.view(-1)[0] = math.nan
        endless = value.clone().float()
        endless.view(-1)[-1] = math.inf
        return wrong | {
            "nan": spoiled, "inf": endless, "one axis less": value[0], "numpy": value.numpy(),
            "narrower": value[..., :-1], "longer": torch.cat([value, value]),
            "sparse": value.float().to_sparse(), "reversed": value.numpy()[::-1], "integers": (3 * value.float()).int(),
            "mask": value > 0, "empty": value[:0], "negative": -value.float() - 1,
            "zeros": torch.zeros_like(value), "huge": value.float() * 1e30,
            "tiny": value.float() * 1e-30, "huge double": value.double() * 1e200, "half": value.half(), "double": value.double(),
            "constant": torch.ones_like(value.float()), "one number": 1.0,
        }  # fmt: skip
    return wrong | {"a number": 7, "a tensor": torch.ones(3)}


def numbers(result, depth=0):
    """Every tensor and float that a result holds."""
    if isinstance(result, Tensor):
        yield result.detach().float() if not result.is_complex() else result.detach().abs()
    elif isinstance(result, float):
        yield torch.tensor(result)
    elif isinstance(result, torch.nn.Module):
        yield from numbers(list(result.parameters()), depth + 1)
    elif isinstance(result, dict):
        yield from numbers(list(result.values()), depth + 1)
    elif isinstance(result, list | tuple) and depth < 4:
        for item in result[:50]:
            yield from numbers(item, depth + 1)
    elif dataclasses.is_dataclass(result) and depth < 4:
        yield from numbers(list(vars(result).values()), depth + 1)


def outcome(call, may_refuse=True):
    """ "well", or what is wrong with how the call ended; a right call may not be refused."""

    def late(*_):
        raise TimeoutError

    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result = call()
        if any(values.isnan().any() for values in numbers(result)):
            return "NaN in silence"
    except TimeoutError:
        return "hangs"
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        own = "ssae_kit" in last.filename and (last.line or "").startswith("raise")
        # Python's own TypeError names what came: enough for what is of another kind altogether.
        if may_refuse and (own or type(error) is TypeError):
            return WELL
        return f"{type(error).__name__}: {str(error)[:90]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return WELL


def public(room):
    """Names of a room's callables; results that only the kit makes are left out."""
    names = getattr(room, "__all__", None) or [
        name
        for name, value in vars(room).items()
        if not name.startswith("_")
        and (getattr(value, "__module__", None) or "").startswith(room.__name__)
    ]
    for name in names:
        value = getattr(room, name)
        if callable(value) and not isinstance(value, types.ModuleType):
            yield name, value


def is_holder(value):
    """Whether a class only holds results: nothing of its own is checked when it is made."""
    if not isinstance(value, type):
        return False
    plain = issubclass(value, tuple) or dataclasses.is_dataclass(value)
    return plain and "__post_init__" not in vars(value)


def try_all(folder, only=("",)):
    """Every call with one mistake, and the right ones: {what was called: how it ended}."""
    rooms = modules()
    found, table = {}, valid(rooms, folder)
    known = set(table) | set(EXCEPTIONS)
    for room_name, room in rooms.items():
        for name, value in public(room):
            full = f"{room_name}.{name}"
            same = [key for key in known if key.split(".")[-1] == name]
            if not (full in known or same or is_holder(value)):
                found[full] = MISSING
    for name in (name for name in table if name.startswith(tuple(only))):
        entry = table[name]
        function, arguments, positional = parts(rooms, name, entry)
        # What a right call leaves out is tried too.
        given = list(inspect.signature(function).parameters.values())[len(positional) :]
        left = {p.name: p.default for p in given if isinstance(p.default, float | int | str)}
        arguments = left | arguments
        found[name] = outcome(functools.partial(made, rooms, name, entry), may_refuse=False)
        for key in [*range(len(positional)), *arguments]:
            right = positional[key] if isinstance(key, int) else arguments[key]
            for mistake, wrong in mistakes(right).items():
                found[f"{name}({key}: {mistake})"] = outcome(
                    functools.partial(made, rooms, name, entry, {key: wrong})
                )
    return found


def parts(rooms, name, entry):
    """Function, keyword arguments and positional arguments of an entry."""
    if isinstance(entry, tuple) and callable(entry[0]):
        return entry[0], dict(entry[1]), ()
    room = next(r for r in sorted(rooms, key=len, reverse=True) if name.startswith(f"{r}."))
    function = getattr(rooms[room], name.removeprefix(f"{room}."))
    if isinstance(entry, tuple):
        return function, dict(entry[1]), entry[0]
    return function, dict(entry), ()


def made(rooms, name, entry, changes=None):
    """Make a call anew, with some of its arguments changed; only the Llama is not copied."""
    anew = copy.deepcopy(entry, {id(loaded()): loaded()})
    function, arguments, positional = parts(rooms, name, anew)
    positional = list(positional)
    for key, wrong in (changes or {}).items():
        (positional if isinstance(key, int) else arguments)[key] = wrong
    return function(*positional, **arguments)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        json.dump(try_all(Path(place), sys.argv[1:] or [""]), sys.stdout, indent=0)
