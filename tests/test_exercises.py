"""Exercises: every solution passes, every stub is not attempted, every usual mistake is named.

An exercise is data, and so its own test: each wrong function of its table must get the sentence that
stands beside it.
"""

import ast
import json
import re
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from ssae_kit.exercises import check, judge
from ssae_kit.exercises.core import MIME, NOTEBOOKS, Exercise, exercise, exercises
from ssae_kit.exercises.release import (
    HIDDEN,
    SOLUTION,
    STUB,
    grade_id,
    read,
    student_edition,
    tasks,
)
from ssae_kit.exercises.slips import slip
from ssae_kit.exercises.submission import needed

ROOT = Path(__file__).resolve().parents[1]
COURSE = {
    path.stem.partition("_")[0]: read(path)
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
}
TASKS = {task.name: task for notebook in COURSE.values() for task in tasks(notebook).values()}
ALL = [name for notebook in NOTEBOOKS for name in exercises(notebook)]


def function(name, source):
    """Run an answer's cell, with nothing but what it uses of given cells, and return its function."""
    scope, asked = {}, TASKS[name].function
    cells = COURSE[name.partition(".")[0]].cells
    given = [c.source for c in cells if c.cell_type == "code" and not grade_id(c)]
    exec(needed(given, [{"kind": "answer", "source": source}], {asked}), scope)
    exec(source, scope)
    return scope[asked]


@pytest.mark.parametrize("name", TASKS)
def test_the_solution_in_the_notebook_passes_in_less_than_two_seconds(name):
    answer = function(name, TASKS[name].solution)
    start = time.process_time()
    verdict = judge(name, answer)
    assert verdict.passed, verdict.message
    assert time.process_time() - start < 2


@pytest.mark.parametrize("name", TASKS)
def test_the_stub_is_not_attempted_and_not_passed(name):
    stub = function(name, SOLUTION.sub(STUB, TASKS[name].solution))
    assert judge(name, stub).passed is None


@pytest.mark.parametrize("name", ALL)
def test_the_kits_version_passes_and_each_usual_mistake_gets_its_sentence_and_an_example(
    name,
):
    one = exercise(name)
    assert one.test(lambda *case: one.solution(*case)) == (True, "")
    assert len(one.mistakes) >= 3
    for sentence, wrong in one.mistakes.items():
        passed, message = one.test(wrong)
        assert passed is False
        assert message.startswith(sentence)
        assert re.search(r"For \w+ = |Of \[2000, 5\] numbers", message)  # what it was tried on


WRONG = {  # once these passed
    "06.hook": ("its `output`", lambda v: lambda m, i, o: _plus_last(i[0], v)),
    "01.loss": (
        "cannot be trained",
        lambda x, w, b, i: (i * ((x @ w.T.detach() @ w + b).relu() - x).square()).sum(1).mean(),
    ),
    "02.loss": (
        "cannot be trained",
        lambda x, f, w, b, t: (
            (x - f @ w.T - b).square().sum(1).mean() + t * f.detach().sum(1).mean()
        ),
    ),
    "02.encode": ("no gradient", lambda x, w, b, c: ((x - c) @ w.detach().T + b).relu()),
    "02.unit": ("shorter than 1", lambda w: w / w.norm(dim=0).clamp(min=1)),
    "03.unexplained": (
        "reconstruction's",
        lambda x, y: (x - y).square().sum() / (x - y.mean(0)).square().sum(),
    ),
    "04.dual": ("no upper end", lambda m, s, v, r: min(max(m + r * (s - v), 0), 1)),
    "05.explained": (
        "negative",
        lambda x, c, d: max(0, float(1 - ((x - c @ d) ** 2).sum() / (x**2).sum())),
    ),
    "04.elbow": ("<=", lambda v, e, t: v[e - e.min() < t].min()),
    "04.diversity": (
        "neighbours",
        lambda s: [
            k
            for k in range(s.shape[1])
            if any(s[s[:, k], j].all() for j in (k - 1, k + 1) if 0 <= j < s.shape[1])
        ],
    ),
}
SAMPLES = {
    "not from one of your own": lambda p, n, k, g: _sample(
        p, n, k, torch.Generator().manual_seed(7)
    ),
    "given, not": lambda p, n, k, g: _sample(p, n, k, torch.manual_seed(0)),
    "gave the same sample": lambda p, n, k, g: torch.zeros(n, k),  # no value to look at
    "share one value": lambda p, n, k, g: (
        torch.rand(n, 1, generator=g) * (torch.rand(n, k, generator=g) < p)
    ),
    "as many features": lambda p, n, k, g: (
        torch.rand(n, k, generator=g) * torch.eye(k)[torch.randint(k, (n,), generator=g)]
    ),
}


def _plus_last(states, vectors):
    new = states.clone()
    new[:, -1] += vectors
    return new


def _sample(p, n, k, g):
    return torch.rand(n, k, generator=g) * (torch.rand(n, k, generator=g) < p)


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_that_shows_in_few_cases_only_is_found(name):
    part, wrong = WRONG[name]
    verdict = judge(name, wrong)
    assert verdict.passed is False
    assert part in verdict.message


@pytest.mark.parametrize("part", SAMPLES)
def test_a_sample_that_ignores_its_generator_or_hides_a_dependence_is_found(part):
    assert part in judge("01.sample", SAMPLES[part]).message


RIGHT = {  # right answers in another style
    "00.shift": lambda s, t: np.array(t) - np.array(s),
    "00.cosine": lambda a, b: np.float64(np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)),
    "01.sample": lambda p, n, k, g: _sample(p, n, k, g).numpy(),
    "01.dimensionality": lambda w: [
        float(w[:, i] @ w[:, i] / sum((w[:, i] @ u / w[:, i].norm()) ** 2 for u in w.T))
        for i in range(w.shape[1])
    ],
    "01.shrink": lambda c, t: np.sign(c.numpy()) * np.maximum(abs(c.numpy()) - t, 0),
    "02.encode": lambda x, w, b, c: torch.einsum("nd,ld->nl", x - c, w).add(b).clamp(min=0),
    "02.dead": lambda c: [not (column > 0).any() for column in c.T],
    "02.unit": lambda w: torch.stack([column / column.norm() for column in w.T], 1),
    "03.rotate": lambda c, w, r: [(c @ r).tolist(), (r.T @ w).numpy()],
    "04.terms": lambda x, e, b, d, c: torch.stack(
        [((x @ e.T + b) @ d.T + c - x).square().sum(1).mean(), (x @ e.T + b).abs().mean()]
    ),
    "04.dual": lambda m, s, v, r: torch.tensor([max(m + r * (s - v), 0)]),
    "04.diversity": lambda s: {
        i for i in range(s.shape[1]) for j in range(s.shape[1]) if i != j and s[s[:, i], j].all()
    },
    "04.active": lambda m, s: np.mean(
        [sum(bool((row[pair] != 0).any()) for row in m) for pair in s]
    ),
    "04.elbow": lambda v, e, t: float(v[e - e.min() <= t].min()),
    "05.fit": lambda x, c: np.linalg.lstsq(c.numpy(), x.numpy(), rcond=None)[0],
    "05.code_shift": lambda encode, s, t: (encode(t) - encode(s)).tolist(),
    "06.means": lambda x, c: [
        (x * c[:, [k]]).sum(0) / (c[:, k] != 0).sum() for k in range(c.shape[1])
    ],
    "06.isolate": lambda c, t: np.array(
        [
            np.nanmean([c[i, k] for i, k in enumerate(t)]),
            np.nanmean([c[i, k] for i in range(len(c)) for k in range(3) if k != t[i]]),
        ]
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_answer_passes_whatever_its_type(name):
    assert judge(name, RIGHT[name]).message == ""


def raising(error):
    def answer(*given):
        raise error

    return answer


class _Wordless(Exception):  # noqa: N818
    def __str__(self):
        raise ValueError


class _Odd:
    def __len__(self):
        raise RuntimeError


ENDLESS: list = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    "answer", [raising(SystemExit()), raising(_Wordless()), lambda *a: ENDLESS, lambda *a: _Odd()]
)
def test_an_answer_that_ends_or_returns_oddly_is_judged_like_any_other(answer):
    assert judge("10.hops", answer).passed is False


def test_a_notebook_can_be_interrupted_while_an_answer_is_checked():
    with pytest.raises(KeyboardInterrupt):
        judge("01.loss", raising(KeyboardInterrupt()))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "answer",
    [None, 1.0, lambda: 0, lambda first, *rest, **named: first, lambda *a, **k: None],
    ids=["none", "number", "no arguments", "its own input", "returns none"],
)
def test_whatever_the_answer_is_a_check_gives_a_verdict_and_no_pass(name, answer):
    assert judge(name, answer).passed is False


def test_every_exercise_is_in_its_notebook():
    assert TASKS.keys() == set(ALL)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_notebook_holds_exactly_the_exercises_of_its_table_with_their_points(number):
    held = {t.name: t.points for t in tasks(COURSE[number]).values()}
    assert held == {name: one.points for name, one in exercises(number).items()}
    assert len(held) >= (2 if number in {"00", "02b"} else 4)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_every_exercise_has_a_purpose_two_folded_hints_and_a_further_question(number):
    cells = {cell.id: cell for cell in COURSE[number].cells}
    for key, task in tasks(COURSE[number]).items():
        text = cells[f"{key}-task"].source
        assert task.name in text
        assert text.count("<details><summary>Hint") == 2
        assert "*Go further.*" in text
        assert cells[key].metadata.jupyter.source_hidden  # the solution is folded


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_the_head_of_an_exercise_tells_its_points_and_how_hard_it_is(number):
    heads = "\n".join(c.source for c in COURSE[number].cells if c.cell_type == "markdown")
    told = re.findall(r"^### Exercise ([\w.]+):.*\((\d) points?(?:, (\w+))?\)$", heads, re.M)
    table = exercises(number)
    assert {name for name, _, _ in told} == set(table)
    for name, points, level in told:
        assert int(points) == table[name].points
        assert level == table[name].level or (not level and number in {"08", "09", "10"}), name


def names_of(cell):
    return {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_check_is_one_line_after_which_the_kits_version_carries_on(number):
    cells = [cell for cell in COURSE[number].cells if cell.cell_type == "code"]
    checks = {grade_id(cell): cell.source for cell in cells}
    for key, task in tasks(COURSE[number]).items():
        (answer,) = ast.parse(task.solution).body
        assert (
            HIDDEN.sub("", checks[f"{key}-check"])
            == f'{answer.name} = exercises.check("{task.name}", {answer.name})'
        )
        before = [c for c in cells[: [c.id for c in cells].index(key)] if not grade_id(c)]
        assert not any(answer.name in names_of(cell) for cell in before)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_the_student_edition_of_the_course_holds_no_solution(number):
    notebook = nbformat.from_dict(COURSE[number])
    solved = [SOLUTION.search(t.solution)["lines"].strip() for t in tasks(notebook).values()]
    copy = nbformat.reads(nbformat.writes(notebook), 4)
    text = nbformat.writes(student_edition(copy, number, with_solutions=False))
    for lines in solved:
        assert json.dumps(lines)[1:-1] not in text
    nbformat.validate(copy)


def test_a_check_shows_one_line_and_a_record(displayed):
    check("00.shift", lambda source, target: [t - s for s, t in zip(source, target, strict=True)])
    check("00.shift", lambda source, target: source)
    check("00.shift", ...)
    assert [data[MIME]["passed"] for data in displayed] == [True, False, False]
    assert displayed[0][MIME] == {"name": "00.shift", "passed": True, "points": 1}
    assert [data["text/plain"].partition("): ")[2] for data in displayed[::2]] == [
        "passed.",
        "not attempted yet.",
    ]


def test_an_unknown_exercise_is_a_fault_of_the_notebook():
    with pytest.raises(ValueError, match=r"must be one of .*01\.loss.*got '01\.los'"):
        judge("01.los", None)
    with pytest.raises(ValueError, match="must be one of"):
        exercises("99")


def test_a_check_returns_the_answer_if_it_is_right_else_the_kits_version(displayed):
    right, kit = (lambda n: n - 1), exercise("05.swaps").solution
    assert check("05.swaps", right) is right
    assert check("05.swaps", lambda n: n) is kit
    assert check("05.swaps", ...) is kit
    assert check("05.swaps", kit) is kit  # its cell was run again
    assert [data[MIME]["passed"] for data in displayed] == [True, False, False, False]
    assert "run your own cell again" in displayed[-1]["text/plain"]


def test_under_nbgrader_a_check_raises_so_that_points_are_lost(displayed, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check("05.swaps", lambda n: n - 1)
    with pytest.raises(AssertionError, match="add up to zero"):
        check("05.swaps", lambda n: n)
    with pytest.raises(AssertionError, match="not attempted"):
        check("05.swaps", ...)


DOUBLE = Exercise(
    1,
    lambda x: 2 * x,
    [(torch.tensor([[1.0, 2.0, 3.0]]),)],
    {"halved.": lambda x: x / 2},
    "twice every entry.",
    "[samples, features]",
)


def double(x):
    x *= 2
    return x


def test_a_slip_is_the_solution_with_a_part_of_its_source_changed():
    wrong = slip(exercise("03.floor").solution, "(score - floor) -> floor")
    assert wrong(0.8, 0.6) == pytest.approx(0.6 / 0.4)


def test_a_slip_may_change_what_the_solution_returns():
    assert slip(exercise("03.floor").solution, "-> 1 - right")(0.8, 0.6) == pytest.approx(0.5)


def test_a_slip_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="must change above_floor; no 'ceiling' stands in it"):
        slip(exercise("03.floor").solution, "ceiling -> floor")


TOLD = [
    (
        lambda x: x / 2,
        "halved. For x = [[1, 2, 3]]: you return [[0.5, 1, 1.5]]; right is [[2, 4, 6]].",
    ),
    (lambda x: 3 * x, "twice every entry. For x ="),
    (double, "your function changed `x` in place"),
    (lambda x: None, "returned None. Is a `return` missing? For x = [[1, 2, 3]]: you return None"),
    (lambda x: "twice", "must return [samples, features]; got a value of type str of length 5"),
    (
        lambda x: 2 * x.T,
        "of shape [1, 3]; got numbers of shape [3, 1]. It is transposed. For x = [[1, 2, 3]]: you "
        "return [[2], [4], [6]]; right is [[2, 4, 6]].",
    ),
    (lambda x: np.zeros(4), "of shape [1, 3]; got numbers of shape [4]."),
    (lambda x: x / 0, "not finite"),
    (lambda x: x @ x, "your code raised RuntimeError: mat1 and mat2"),
    (lambda x: x @ x, "Samples are rows"),
    (raising(KeyError("loss")), "your code raised KeyError: 'loss'"),
    (raising(NotImplementedError("not implemented for 'Long'")), "convert by .float()"),
    (7, "must be a function; got a value of type int"),
]


@pytest.mark.parametrize(("answer", "part"), TOLD, ids=[part[:24] for _, part in TOLD])
def test_what_is_wrong_is_said_whatever_it_is(answer, part):
    passed, message = DOUBLE.test(answer)
    assert passed is False
    assert part in message
    assert callable(answer) is ("For x = [[1, 2, 3]]" in message)  # what it was tried on


def test_only_a_stub_counts_as_not_attempted():
    assert DOUBLE.test(...) == (None, "")
    assert DOUBLE.test(lambda x: ...) == (None, "")
    assert DOUBLE.test(raising(NotImplementedError())) == (None, "")
    asking = type("StdinNotImplementedError", (NotImplementedError,), {})
    assert DOUBLE.test(raising(asking())) == (
        False,
        "your code raised StdinNotImplementedError. For x = [[1, 2, 3]]: right is [[2, 4, 6]].",
    )


def test_a_loss_without_gradient_is_told_so_and_not_of_a_fault_in_the_check():
    def answer(x, w, b, i):
        return (i * (x - (x @ w.T @ w + b).relu()).square()).sum(1).mean().item()

    assert "no gradient reaches W" in judge("01.loss", answer).message


def test_of_two_things_that_an_answer_returns_each_earns_its_share():
    one = exercise("06.isolate")
    right = one.solution
    half = (lambda c, t: (right(c, t)[0], 7.0), lambda c, t: (7.0, right(c, t)[1]))
    none = (
        lambda c, t: right(c, t)[::-1],
        lambda c, t: right(c, t) if len(t) > 2 else (7.0, 7.0),  # in one case only
        lambda c, t: 1 / 0,
    )
    shares = [one.share(one.results(answer)) for answer in (lambda c, t: right(c, t), *half, *none)]
    assert shares == [1, 0.5, 0.5, 0, 0, 0]
    assert DOUBLE.share(DOUBLE.results(lambda x: 2 * x)) == 1


def test_an_exercise_without_cases_would_accept_anything():
    """The control of this file: what the tests above would see if a check were empty."""
    empty = Exercise(1, lambda: 0, [], {}, "")
    assert empty.test(lambda: 0)[0] is True
    assert exercise("00.shift").test(lambda source, target: source)[0] is False
