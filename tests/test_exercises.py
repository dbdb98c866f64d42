"""Exercises: every solution passes, every stub is not attempted, every usual mistake is named."""

import ast
import json
import time
from pathlib import Path

import nbformat
import pytest

from ssae_kit.exercises import MIME, NOTEBOOKS, Mistake, check, exercises, judge, passes
from ssae_kit.exercises.core import Exercise, attempt
from ssae_kit.exercises.grade import imports
from ssae_kit.exercises.release import SOLUTION, STUB, grade_id, read, student_edition, tasks
from tests.exercise_mistakes import MISTAKES

ROOT = Path(__file__).resolve().parents[1]
COURSE = {path.stem[:2]: read(path) for path in sorted((ROOT / "notebooks").glob("0*.ipynb"))}
TASKS = {task.name: task for notebook in COURSE.values() for task in tasks(notebook).values()}
ALL = [name for notebook in NOTEBOOKS for name in exercises(notebook)]


def function(name, source):
    """Run an answer's cell, with nothing but its notebook's imports, and return its function."""
    scope = {}
    exec(imports(COURSE[name[:2]]), scope)
    exec(source, scope)
    return scope[ast.parse(source).body[0].name]


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
    assert not passes(name, stub)


@pytest.mark.parametrize("name", ALL)
def test_at_least_three_wrong_answers_fail_each_with_its_own_message(name):
    assert len(MISTAKES[name]) >= 3
    said = []
    for part, wrong in MISTAKES[name]:
        verdict = judge(name, wrong)
        assert verdict.passed is False
        assert part in verdict.message
        said.append(verdict.message)
    assert len(set(said)) == len(said)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "answer",
    [None, 1.0, lambda: 0, lambda first, *rest, **named: first, lambda *a, **k: None],
    ids=["none", "number", "no arguments", "its own input", "returns none"],
)
def test_whatever_the_answer_is_a_check_gives_a_verdict_and_no_pass(name, answer):
    assert judge(name, answer).passed is False


def test_wrong_answers_are_kept_for_existing_exercises_only():
    assert MISTAKES.keys() == set(ALL)


def test_every_exercise_is_in_its_notebook():
    assert TASKS.keys() == set(ALL)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_a_notebook_holds_exactly_the_exercises_of_its_table_with_their_points(number):
    held = {t.name: t.points for t in tasks(COURSE[number]).values()}
    assert held == {name: one.points for name, one in exercises(number).items()}
    assert len(held) >= (2 if number == "00" else 4)


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_every_exercise_has_a_purpose_two_folded_hints_and_a_further_question(number):
    cells = {cell.id: cell for cell in COURSE[number].cells}
    for key, task in tasks(COURSE[number]).items():
        text = cells[f"{key}-task"].source
        assert task.name in text
        assert text.count("<details><summary>Hint") == 2
        assert "*Go further.*" in text
        assert f'exercises.check("{task.name}"' in task.check
        assert cells[key].metadata.jupyter.source_hidden  # the solution is folded


def names_of(cell):
    return {node.id for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Name)}


@pytest.mark.parametrize("number", NOTEBOOKS)
def test_no_cell_depends_on_an_answer_so_an_unsolved_notebook_runs(number):
    cells = [cell for cell in COURSE[number].cells if cell.cell_type == "code"]
    plain = [cell for cell in cells if not grade_id(cell)]
    used = set().union(*(names_of(cell) for cell in plain))
    for task in tasks(COURSE[number]).values():
        (answer,) = ast.parse(task.solution).body
        assert isinstance(answer, ast.FunctionDef)
        assert answer.name not in used


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


def test_an_answer_that_raises_is_told_what_it_raised():
    def test(answer):
        answer()

    def raising():
        raise KeyError("loss")

    assert attempt(test, raising) == (False, "your code raised KeyError: 'loss'")


def test_a_planted_exercise_without_a_test_of_its_own_would_accept_anything():
    """The control of this file: what the tests above would see if a check were empty."""
    empty = Exercise(1, lambda answer: None)
    assert attempt(empty.test, lambda: 0)[0] is True
    with pytest.raises(Mistake):
        exercises("00")["00.shift"].test(lambda source, target: source)
