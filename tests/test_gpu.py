"""Every door that takes numbers, on a real GPU: the results of the CPU, and they stay where they are.

The calls are the right ones of the fuzz test's table. Where torch sees no GPU, all is skipped, and
`test_llama_device.py` and `test_training_device.py` pretend one.
"""

import dataclasses
from contextlib import suppress

import pytest
import torch
from torch import Tensor

from ssae_kit import autoencoders, llama, methods, training
from tests import fuzz
from tests.pretend import REAL, needs_gpu

pytestmark = needs_gpu

ROOMS = ("autoencoders", "training", "superposition", "metrics", "methods", "causes", "llama")
ROOMS += ("steering", "storage.digest", "storage.save_tensors")
"""The others make or read data, on the CPU."""

DRAWN = ("llama.generate", "llama.load", "llama.untrained", "superposition.ToyModel.loss")
"""Not compared: a GPU draws other random numbers, `load` and `untrained` say where they go, and the
table draws the last one's inputs anew."""

ON_CPU = (
    "autoencoders.BatchTopKSAE",
    "autoencoders.GatedSAE",
    "autoencoders.JumpReluSAE",
    "autoencoders.LayerNormShiftAutoencoder",
    "autoencoders.MatryoshkaSAE",
    "autoencoders.ReluSAE",
    "autoencoders.ShiftAutoencoder",
    "autoencoders.TiedSAE",
    "autoencoders.TopKSAE",
    "autoencoders.load",
    "autoencoders.load_published",
    "autoencoders.load_saelens",
    "causes.Subspaces",
    "causes.whole",
    "llama.direct_logits",
    "llama.hidden_states",
    "llama.run",
    "llama.text_losses",
    "llama.token_states",
    "metrics.rotation_floor",
    "steering.choose_push",
    "steering.concepts_in_turn",
    "steering.load_vectors",
    "steering.off_target_kl",
    "steering.read_concepts",
    "steering.shift_vectors",
    "steering.word_odds",
    "superposition.ToyModel",
    "superposition.exactly_active",
    "superposition.random_dictionary",
    "superposition.random_rotation",
    "training.choose_level",
    "training.fit",
    "training.fit_restarts",
)
"""What says so, is read from a file, or is made from nothing but sizes and a generator of the CPU; of
`llama.run` the tokens' places, of trainings the errors."""

CLOSE = {"rtol": 1e-4, "atol": 1e-4}
"""A GPU sums in another order than the CPU, and a small Llama's logits pass six blocks of such sums."""
TRAINED = {"rtol": 2e-2, "atol": 2e-2}
"""Adam's first steps are as long for a gradient of 1e-7 as for one of 1: last digits move weights by
a share of the learning rate, 0.01."""


@pytest.fixture(scope="module")
def rooms():
    return fuzz.modules()


@pytest.fixture(scope="module")
def here():
    return llama.load(device="cpu")


@pytest.fixture(scope="module")
def there():
    return llama.load(device=REAL)


@pytest.fixture(autouse=True)
def _on_the_cpu(monkeypatch, here):
    monkeypatch.setattr(fuzz, "loaded", lambda: here)


def moved(value, there):
    """The same with all of its numbers on the GPU."""
    if isinstance(value, llama.Llama):
        return there
    if isinstance(value, Tensor | torch.nn.Module):
        return value.to(REAL)
    if isinstance(value, dict):
        return {key: moved(item, there) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(moved(item, there) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(moved(item, there) for item in value)
    if isinstance(value, methods.Found):
        rows = value.directions.to(REAL)
        return methods.Found(rows, lambda shifts: value.read(shifts.cpu()).to(REAL))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [field.name for field in dataclasses.fields(value) if field.init]
        return dataclasses.replace(
            value, **{name: moved(getattr(value, name), there) for name in fields}
        )
    if isinstance(getattr(value, "__self__", None), torch.nn.Module) or dataclasses.is_dataclass(
        getattr(value, "__self__", None)
    ):
        return getattr(moved(value.__self__, there), value.__name__)
    return value


def called(rooms, name, folder, move=lambda value, _key: value):
    """What the right call of this name gives, its arguments moved; a fit gives codes as well."""
    function, named, placed = fuzz.parts(rooms, name, fuzz.valid(rooms, folder, name)[name])
    placed = [move(value, i) for i, value in enumerate(placed)]
    named = {key: move(value, key) for key, value in named.items()}
    result = move(function, "self")(*placed, **named)
    read = named.get("shifts", named.get("states"))
    if isinstance(result, methods.Found) and read is not None:
        return result, result.codes(read)
    return result


def names(room, folder):
    table = fuzz.valid(fuzz.modules(), folder)
    return [name for name in table if name.startswith(room)]


def tensors(result, depth=0):
    """Every tensor a result holds."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, torch.nn.Module):
        yield from result.state_dict().values()
    elif isinstance(result, list | tuple) and depth < 4:
        for item in result:
            yield from tensors(item, depth + 1)
    elif dataclasses.is_dataclass(result) and depth < 4:
        yield from tensors(list(vars(result).values()), depth + 1)


def difference(name, first, second):
    """What differs between two results, in words; nothing where they are the same."""
    pairs = list(fuzz.numbers(first)), list(fuzz.numbers(second))
    tolerance = TRAINED if _trains(name) else CLOSE
    with suppress(AssertionError):
        one, other = ([values.double().cpu() for values in side] for side in pairs)
        torch.testing.assert_close(one, other, **tolerance)
        return None
    far = [
        float((a.cpu().double() - b.cpu().double()).abs().max()) if a.shape == b.shape else a.shape
        for a, b in zip(*pairs, strict=False)
        if a.numel()
    ]
    return f"{name} differs by {far}"


def _trains(name):
    made = ("fit", "choose_level", "train", "sae", "ssae", "learn", "align", "fast_ica", "diction")
    return any(word in name for word in made)


@pytest.mark.parametrize("room", ROOMS)
def test_every_door_gives_on_the_gpu_what_it_gives_on_the_cpu(rooms, there, room, tmp_path):
    wrong = []
    for name in names(room, tmp_path):
        try:
            expected = called(rooms, name, tmp_path)
        except Exception:  # the fuzz test judges the table
            continue
        try:
            found = called(rooms, name, tmp_path, lambda value, _key: moved(value, there))
        except Exception as error:
            wrong.append(f"{name}: {type(error).__name__}: {str(error)[:150]}")
            continue
        wrong.append(None if name in DRAWN else difference(name, expected, found))
    assert [text for text in wrong if text] == []


@pytest.mark.parametrize("room", ROOMS)
def test_results_stay_on_the_gpu(rooms, there, room, tmp_path):
    wrong = []
    for name in names(room, tmp_path):
        if name in (*DRAWN, *ON_CPU):
            continue
        with suppress(Exception):  # the test before says which calls end in an error
            found = called(rooms, name, tmp_path, lambda value, _key: moved(value, there))
            places = {values.device.type for values in tensors(found)}
            wrong += [f"{name}: {places}"] if places - {REAL} else []
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_one_argument_on_the_gpu_and_the_others_on_the_cpu_are_understood(
    rooms, there, room, tmp_path
):
    wrong = []
    for name in names(room, tmp_path):
        table = fuzz.valid(rooms, tmp_path, name)[name]
        _, named, placed = fuzz.parts(rooms, name, table)
        for one in [*range(len(placed)), *named, "self"]:
            try:
                called(rooms, name, tmp_path)
            except Exception:
                continue
            try:
                called(
                    rooms,
                    name,
                    tmp_path,
                    lambda v, key, one=one: moved(v, there) if key == one else v,
                )
            except Exception as error:
                wrong.append(f"{name}({one}): {type(error).__name__}: {str(error)[:120]}")
    assert wrong == []


def test_states_and_logits_of_a_pass_stay_on_the_gpu(there):
    done = llama.run(there, ["the queen was sad.", "this lady wept."], keep=[2], logits=True)
    assert {done[2].device.type, done.logits.device.type} == {REAL}


PROMPTS = ["the queen", "this lady wept. the", "a king", "this guy was"]


def written(model, seed=1, **options):
    stream = torch.Generator().manual_seed(seed)
    options = {"max_new_tokens": 12} | options
    return llama.generate(model, PROMPTS, generator=stream, **options)


@pytest.mark.parametrize("is_steered", [False, True])
def test_the_same_seed_writes_the_same_text_however_it_is_batched(there, is_steered):
    vectors = 3 * torch.randn(1, there.d_model, generator=fuzz.seeded())
    edits = {3: llama.Add(vectors, at="all")} if is_steered else None
    texts = written(there, edits=edits)
    assert all(written(there, edits=edits, batch_size=size) == texts for size in (1, 2, 3))
    assert written(there, seed=2, edits=edits) != texts


def test_nearly_without_chance_it_writes_what_the_cpu_writes(here, there):
    vectors = 3 * torch.randn(1, here.d_model, generator=fuzz.seeded())
    options = {"temperature": 1e-4, "edits": {3: llama.Add(vectors, at="all")}}
    assert written(there, **options) == written(here, **options)


def test_a_whole_ssae_training_under_its_constraint_finds_what_it_finds_on_the_cpu(rooms):
    syn = rooms["synthetic"]
    problem = syn.ShiftProblem(syn.supports.sizes(5, 2), 16)
    data = syn.sample_shifts(problem, 1000, generator=fuzz.seeded())
    scores = []
    for device in ("cpu", REAL):
        model = autoencoders.ShiftAutoencoder(4, 16, 5, generator=fuzz.seeded(1)).to(device)
        rule = training.Constraint(data.true_level(5))
        training.fit(model, data.shifts.to(device), rule, generator=fuzz.seeded(2))
        assert {values.device.type for values in model.state_dict().values()} == {device}
        best = training.Restarts(model, training.evaluate(model, data.shifts).error[None]).best()
        found = methods.of_autoencoder(best)
        scores.append(methods.score(found, data.shifts, data.changes, data.directions))
    for score in scores:
        assert score.codes.score.min() > 0.95
        assert score.directions.score.min() > 0.95


def test_a_training_goes_on_from_its_checkpoint_on_the_gpu(tmp_path):
    inputs = torch.randn(200, 8, generator=fuzz.seeded()).to(REAL)

    def train(file, on_record=None):
        config = training.TrainingConfig(20, 32, record_every=1, checkpoint_every=5)
        model = autoencoders.ShiftAutoencoder(2, 8, 4, generator=fuzz.seeded(1)).to(REAL)
        rule, stream = training.Constraint(0.2), fuzz.seeded(2)
        with suppress(KeyboardInterrupt):
            training.fit(
                model, inputs, rule, config, generator=stream, checkpoint=file, on_record=on_record
            )
        return model.state_dict()

    def interrupt(history):
        if history.step[-1] == 13:
            raise KeyboardInterrupt

    whole = train(tmp_path / "whole.safetensors")
    cut = train(tmp_path / "cut.safetensors", interrupt)
    again = train(tmp_path / "cut.safetensors")
    assert not torch.equal(cut["decoder"], whole["decoder"])
    # Sums of a GPU may differ in their last digits from run to run.
    torch.testing.assert_close(again, whole, rtol=1e-4, atol=1e-5)


def test_the_scale_of_huge_and_of_tiny_inputs_is_right_on_the_gpu():
    inputs = torch.randn(100, 8, generator=fuzz.seeded())
    for size, dtype in ((3e4, torch.float16), (1e12, torch.float32), (1e-12, torch.float32)):
        given = (size * inputs).clamp(-6e4, 6e4).to(dtype)
        scales = []
        for device in ("cpu", REAL):
            model = autoencoders.ReluSAE(1, 8, 4, generator=fuzz.seeded(1)).to(device)
            model.calibrate_(given.to(device))
            scales.append(model.scale.cpu())
        torch.testing.assert_close(scales[1], scales[0], rtol=1e-5, atol=0)
