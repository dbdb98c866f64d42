"""The notebook harness: each way a notebook can be wrong turns the run red, and says where."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from ssae_kit.nbtest import uncollected
from ssae_kit.nbtest.outputs import absolute_path, committable

ROOT = Path(__file__).resolve().parents[1]
BAD = sorted((ROOT / "tests" / "notebooks_bad").glob("*.ipynb"))
PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
WIDGET = """from IPython.display import display
view = "application/vnd.jupyter.widget-view+json"
display({view: {"model_id": "x"}, "text/plain": "a slider"}, raw=True)
display({view: {"model_id": "y"}}, raw=True)"""


def code(source, *tags, printed=None):
    cell = new_code_cell(source, metadata={"tags": list(tags)} if tags else {})
    if printed is not None:
        cell.execution_count = 1
        cell.outputs = [new_output("stream", name="stdout", text=printed)]
    return cell


def save(folder, name, *cells):
    for number, cell in enumerate(cells):
        cell["id"] = f"{name}-{number:02d}"
    path = folder / "notebooks" / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": PYTHON}), path)
    return path


def project(folder):
    """An empty project with this repository's own test settings."""
    (folder / "notebooks").mkdir()
    (folder / "tests").mkdir()
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copy(ROOT / "tests" / "sanitize.cfg", folder / "tests")
    return folder


def run_pytest(folder, *args):
    """Run pytest in a project; returns its exit status, its text and {test: (outcome, message)}."""
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]
    command += [f"--junitxml={report}", *args]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    cases = {}
    for case in ElementTree.parse(report).iter("testcase") if report.exists() else ():
        problem = next((part for part in case if part.tag in ("failure", "error", "skipped")), None)
        notebook = case.get("classname").removeprefix("notebooks.").removesuffix(".ipynb")
        outcome = "passed" if problem is None else problem.tag
        message = "" if problem is None else f"{problem.get('message')}\n{problem.text}"
        cases[f"{notebook} {case.get('name')}"] = (outcome, message)
    return done.returncode, done.stdout + done.stderr, cases


@pytest.fixture(scope="module")
def bad_run(tmp_path_factory):
    """One run of every bad notebook and a good one, on two workers."""
    folder = project(tmp_path_factory.mktemp("bad"))
    for path in BAD:
        shutil.copy(path, folder / "notebooks")
    save(
        folder,
        "good",
        code("N = 2", "parameters"),
        code("open('runs.txt', 'a').write('run\\n')"),
        code("print('N is', N)", "nbval-check-output", printed="N is 2\n"),
        code("raise ValueError('shown on purpose')", "raises-exception"),
        code("1 / 0", "nbval-skip"),
        code("import os; print(os.environ['TQDM_DISABLE'], os.environ.get('SSAE_STATIC'))"),
        code("print(os.environ['OMP_NUM_THREADS'])"),
    )

    status, text, cases = run_pytest(folder, "-n2", "--nbval-cell-timeout=8", "notebooks")
    return folder, status, text, cases


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("failing_cell Cell 3", ["IndexError: list index out of range", "answer = first([])"]),
        ("stale_output Cell 2", ["stale output", "loss 0.24", "loss 0.25", "pytest --nb-write"]),
        ("cell_timeout Cell 2", ["cell timeout", "longer than 8 s", "time.sleep(600)"]),
        ("dead_kernel Cell 2", ["dead kernel", "os._exit(1)"]),
        ("missing_kernel Cell 1", ["missing kernel", "my-gpu-env", "python3"]),
    ],
)
def test_a_bad_cell_is_red_and_the_message_says_where_to_look(bad_run, test, words):
    outcome, message = bad_run[3][test]
    name, number = test.split(" Cell ")
    opened = "notebooks" if name == "missing_kernel" else "build/notebooks"  # it was never started
    assert outcome == "failure"
    for word in [
        *words,
        f"notebooks/{name}.ipynb, code cell {number}:",
        f"jupyter lab {opened}/{name}.ipynb",
    ]:
        assert word in message
    assert "\x1b" not in message
    assert (bad_run[0] / opened / f"{name}.ipynb").exists()


def test_a_notebook_that_gave_no_cell_is_red(bad_run):
    found = [message for test, (outcome, message) in bad_run[3].items() if "not collected" in test]
    assert len(found) == 1
    assert "notebooks/not_collected.ipynb was not collected" in found[0]


def test_nothing_else_is_red_and_cells_after_a_failure_are_skipped(bad_run):
    _, status, text, cases = bad_run
    outcomes = [outcome for outcome, _ in cases.values()]
    assert status == 1
    assert outcomes.count("failure") == len(BAD) == 6
    assert outcomes.count("error") == 0
    for test in ("failing_cell Cell 4", "cell_timeout Cell 3", "dead_kernel Cell 3"):
        assert cases[test][0] == "skipped", text


def test_a_good_notebook_is_green_and_runs_once_on_two_workers(bad_run):
    folder, _, _, cases = bad_run
    good = {test: outcome for test, (outcome, _) in cases.items() if test.startswith("good")}
    assert good.pop("good Cell 5") == "skipped"  # tagged nbval-skip
    assert set(good.values()) == {"passed"}
    assert len(good) == 6
    assert (folder / "notebooks" / "runs.txt").read_text() == "run\n"
    executed = nbformat.read(folder / "build" / "notebooks" / "good.ipynb", 4)
    assert executed.cells[-2].outputs[0].text == "1 None\n"
    assert executed.cells[-1].outputs[0].text == "1\n"


@pytest.mark.parametrize(
    ("asked", "missed"),
    [
        (["tests", "notebooks"], ["a.ipynb", "b.ipynb"]),
        (["."], ["a.ipynb", "b.ipynb"]),
        (["tests/../notebooks/a.ipynb"], ["a.ipynb"]),
        (["tests"], []),
        (["notebooks/a.ipynb::Cell 1"], []),
    ],
)
def test_every_notebook_where_the_run_was_to_look_is_missed_if_it_gave_no_cell(
    tmp_path, asked, missed
):
    (tmp_path / "notebooks" / ".ipynb_checkpoints").mkdir(parents=True)
    (tmp_path / "tests").mkdir()
    for name in ("a.ipynb", "b.ipynb", "c.md", ".ipynb_checkpoints/a.ipynb"):
        (tmp_path / "notebooks" / name).touch()
    config = SimpleNamespace(
        invocation_params=SimpleNamespace(dir=tmp_path),
        rootpath=tmp_path,
        args=asked,
    )
    assert [path.name for path in uncollected(config, [])] == missed


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two --nb-write runs over notebooks that pass, fail and print a path of this machine."""
    folder = project(tmp_path_factory.mktemp("written"))
    good = save(
        folder,
        "good",
        new_markdown_cell("# Title"),
        code("N = 2", "parameters"),
        code(""),
        code("import os, sys\nprint('in'); print(os.getcwd())", "nbval-check-output"),
        code("print('N is', N)", "nbval-check-output"),
        code("sys.stderr.write(os.__file__ + '\\n')\nos.environ.get('SSAE_STATIC')"),
        code(WIDGET),
        code("1 / 0", "nbval-skip", printed="kept\n"),
    )
    notebook = nbformat.read(good, 4)
    notebook.metadata.widgets = {"state": "5 MB of it"}
    notebook.metadata.language_info = {"name": "python", "version": "3.9.1"}
    nbformat.write(notebook, good)
    failing = save(folder, "failing", code("print('fresh')"), code("1 / 0"))
    telling = save(folder, "telling", code("print('see', '/home/' + 'somebody/data')"))
    before = {path: path.read_text() for path in (failing, telling)}
    first = run_pytest(folder, "--nb-write", "notebooks")
    once = good.read_text()
    second = run_pytest(folder, "--nb-write", "notebooks/good.ipynb")
    return folder, before, first, once, second


def test_writing_back_gives_numbered_outputs_and_nothing_of_this_machine(written):
    folder, _, _, once, _ = written
    notebook = nbformat.reads(once, 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in notebook.cells] == [f"good-{number:02d}" for number in range(8)]
    assert [cell.execution_count for cell in cells[:6]] == [1, None, 2, 3, 4, 5]
    assert cells[2].outputs[0].text == "in\n./notebooks\n"
    assert cells[3].outputs[0].text == "N is 2\n"
    assert cells[4].outputs[1].data["text/plain"] == "'1'"
    assert [output.data for output in cells[5].outputs] == [{"text/plain": "a slider"}]
    assert cells[6].outputs[0].text == "kept\n"
    assert "widgets" not in notebook.metadata
    assert notebook.metadata.language_info == {"name": "python"}
    for word in ("papermill", str(folder), sys.prefix, "5 MB of it"):
        assert word not in once


def test_writing_back_twice_changes_nothing(written):
    folder, _, _, once, (status, text, _) = written
    assert status == 0, text
    assert (folder / "notebooks" / "good.ipynb").read_text() == once
    assert {path.suffix for path in (folder / "notebooks").iterdir()} == {".ipynb"}


def test_a_notebook_that_fails_is_not_written(written):
    _, before, (status, _, cases), _, _ = written
    assert status == 1
    assert cases["failing Cell 2"][0] == "failure"
    assert "/home/somebody/data" in cases["telling Cell 1"][1]
    for path, text in before.items():
        assert path.read_text() == text


def test_a_written_notebook_passes_until_what_it_prints_changes(written):
    folder, _, _, once, _ = written
    path = folder / "notebooks" / "good.ipynb"
    path.write_text(once.replace('"N = 2"', '"N = 3"'))
    status, _, cases = run_pytest(folder, "notebooks/good.ipynb")
    path.write_text(once)
    assert status == 1
    assert [test for test, case in cases.items() if case[0] == "failure"] == ["good Cell 4"]
    assert "N is 3" in cases["good Cell 4"][1]


def test_prints_cut_into_messages_by_chance_are_one_output(tmp_path):
    parts = [new_output("stream", name="stdout", text=text) for text in ("a\n", "b\n")]
    result = new_output("execute_result", data={"text/plain": "3"}, execution_count=9)
    merged, last = committable([*parts, result], 4, tmp_path)
    assert merged.text == "a\nb\n"
    assert last.execution_count == 4


def test_every_notebook_of_the_course_is_collected():
    notebooks = {path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb")}
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    text = subprocess.run([*command, "notebooks"], cwd=ROOT, capture_output=True, text=True).stdout
    collected = {line.split("::")[0] for line in text.splitlines() if "::Cell" in line}
    assert notebooks, "there is no notebook in notebooks/"
    assert collected == notebooks
    assert "notebooks" in settings["testpaths"]


def test_committed_notebooks_hold_nothing_of_the_machine_that_ran_them():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        notebook = nbformat.read(path, 4)
        assert not {"widgets", "papermill"} & set(notebook.metadata), path.name
        for cell in notebook.cells:
            assert absolute_path(cell.get("outputs", []), ROOT) is None, (path.name, cell.id)
