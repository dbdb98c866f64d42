"""Grading: hostile, odd and honest submissions, graded together, and what becomes of each."""

import csv
import json
import os
import socket
import subprocess
import sys
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell

from ssae_kit.exercises import sandbox
from ssae_kit.exercises.collect import code_cells
from ssae_kit.exercises.grade import Limits, grade
from ssae_kit.exercises.release import read
from ssae_kit.exercises.report import _file_names, by_exercise
from tests.test_exercises_release import COSINE, SHIFT, small_course

WRONG = "\ndef shift(source, target):\n    return [s - t for s, t in zip(source, target)]"
VERDICT = """
from IPython.display import display
def forge():
    display({"application/vnd.ssae-check+json": {"name": "00.shift", "passed": True, "points": 1},
             "text/plain": "00.shift: passed."}, raw=True)
"""
LIE = """
import IPython.display
_display = IPython.display.display
def _lie(data, **options):
    for record in data.values():
        if isinstance(record, dict):
            record["passed"] = True
    _display(data, **options)
IPython.display.display = _lie"""
PATCH = """
import ssae_kit.exercises.core as core
core.attempt = lambda test, answer: (getattr(answer, "__name__", "") != "<lambda>", "")"""
EXERCISES = """
import sys
for _name, _module in list(sys.modules.items()):
    if _name.startswith("ssae_kit.exercises.") and hasattr(_module, "EXERCISES"):
        for _one in _module.EXERCISES.values():
            object.__setattr__(_one, "judge", lambda results: type("", (), {"passed": True}))"""
JUDGE = """
from ssae_kit.exercises import core, values
core.Exercise.judge = lambda one, results: core.Verdict(True)
core.agree = values.agree = lambda *given: True"""
TELL = """
import os
for _file in range(3, 64):
    try:
        os.write(_file, b'{"key": "00-shift", "kind": "check", "passed": true, "results": []}\\n')
    except OSError:
        pass"""
ODD = """
from ssae_kit.exercises import core
core.Exercise.results = lambda one, answer: [{"passed": True}] * 3
core.Exercise.judge = lambda one, results: core.Verdict(True)"""
KIT = "\nimport ssae_kit\nopen(ssae_kit.__file__, 'a').write('#')"
BOMB = """
import os, time
try:
    for _ in range(2000):
        if os.fork() == 0:
            time.sleep(60)
except OSError:
    pass"""
DAEMON = "\nimport subprocess\nsubprocess.Popen(['sleep', '6543'], start_new_session=True)"
HIDDEN = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", "6543"], {})
    os._exit(0)
os.wait()
"""
STARTUP = """
import os
_folder = os.path.expanduser("~/.ipython/profile_default/startup")
os.makedirs(_folder)
open(_folder + "/00.py", "w").write("x = 1")
open(os.path.expanduser("~/.profile"), "w").write("x")"""
SPY = "\nimport glob\nraise ValueError(glob.glob('{}/*'))"
HTML = "\nraise ValueError('<img src=x onerror=alert(1)> [a](javascript:b) | c')"
SECRET = "\nimport os\nraise ValueError(os.environ.get('A_SECRET', 'none'))"
DIFF = "def shift(source, target):\n    return [diff(s, t) for s, t in zip(source, target)]"
HELP = "def diff(a, b):\n    return b - a"
NUMPY = "def cosine(a, b):\n    return np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b)"
EVIL = "\nclass E(Exception):\n    def __str__(self): raise SystemExit\nraise E"
HIDE = "\nimport signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: signal.pause()"

# student: (answer to 00.shift, answer to 00.cosine, own cells in front, points, part of the report)
CASES = {
    "ann": (SHIFT, COSINE, [], "11", "passed."),
    "atlas": (SHIFT + "\n_x = bytearray(2**45)", COSINE, [], "11", "2 of 2"),
    "ben": ("def shift(a, b):\n    raise NotImplementedError", "", [], "00", "not attempted yet"),
    "cai": (WRONG, COSINE, [], "01", "turned round"),
    "dia": (SHIFT, COSINE + "\nimport os\nos._exit(1)", [], "10", "its process ended early"),
    "eli": ("def shift(a, b):\n    while True: pass", COSINE, [], "01", "ran too long and was"),
    "fay": (None, COSINE, [], "01", "the answer's cell is missing"),
    "hui": (WRONG + VERDICT + "forge()", COSINE, [], "01", "READ IT: no answer needs ssae-check"),
    "ivy": (WRONG + LIE, COSINE, [], "01", "turned round"),
    "jon": ("def shift(source, target)\n    return target", COSINE, [], "01", "SyntaxError"),
    "kim": ("def shift(a, b):\n    return bytearray(2**45)", COSINE, [], "01", "MemoryError"),
    "lou": (None, None, [], "  ", "no answer cell of this course was found"),
    "exits": (VERDICT + "def shift(*a):\n    forge()\n    raise SystemExit", COSINE, [], "01",
              "SystemExit"),
    "twice": (VERDICT + "def shift(*a):\n    forge()\n    return 0", COSINE, [], "01",
              "READ IT: no answer needs ssae-check"),
    "dies": (VERDICT + "def shift(*a):\n    forge()\n    import os\n    os._exit(0)", COSINE, [], "00",
             "its process ended early"),
    "patches": (WRONG + PATCH, COSINE, [], "01", "turned round"),
    "replaces": (WRONG + EXERCISES, COSINE, [], "01", "READ IT: no answer needs ssae_kit.exercises, sys.modules"),
    "patches-apart": (WRONG, COSINE, [PATCH], "01", "READ IT: no answer needs ssae_kit.exercises"),
    "judges": (WRONG + JUDGE, COSINE, [], "01", "turned round"),
    "tells": (WRONG + TELL, COSINE, [], "01", "turned round"),
    "odd results": (WRONG + ODD, COSINE, [], "00", "what it gave cannot be read"),
    "kit's own": ("", COSINE, ['from ssae_kit import exercises\nshift = exercises.check("00.shift", 1)'],
                  "01", "the kit's version carries on"),
    "peeks": ("def shift(*a):\n    import sys\n    return sys._getframe(1).f_locals['x']", COSINE, [],
              "01", "READ IT: no answer needs"),
    "kills": ("import os\nos.kill(os.getppid(), 9)\n" + SHIFT, COSINE, [], None, ""),
    "kit": (KIT + WRONG, COSINE, [], None, ""),
    "bomb": (SHIFT + BOMB, COSINE, [], None, ""),
    "daemon": (SHIFT + DAEMON, COSINE, [], "11", ""),
    "startup": (SHIFT + STARTUP, COSINE, [], "11", ""),
    "spy": (SPY + "\n" + SHIFT, COSINE, [], "11", "") ,
    "html": (HTML, COSINE, [], "01", "&lt;img src=x onerror=alert(1)&gt; \\[a\\]"),
    "env": (SECRET, COSINE, [], "01", "ValueError: none"),
    "=HYPERLINK(1)": (SHIFT, COSINE, [], "11", ""),
    "helper": (DIFF, COSINE, [HELP], "11", "passed."),
    "broken helper": (DIFF, COSINE, [f"print(nowhere)\n{HELP}"], "11", "passed."),
    "magic": (DIFF, COSINE, [f"%precision 3\n{HELP}"], "11", "passed."),
    "import": (SHIFT, NUMPY, ["import numpy as np"], "11", "passed."),
    "evil text": (EVIL, COSINE, [], "01", "its text cannot be shown"),
    "adamant": (HIDE, COSINE, [], "00", "ran longer than 9 s and was stopped"),
    "asks": ("def shift(a, b):\n    return input()", COSINE, [], "01", "EOFError"),
    "shell": ("!true\n" + SHIFT, COSINE, [], "11", "passed."),
    "deep cell": (SHIFT, COSINE, ["x = " + "lambda:" * 1000 + "1"], "11", "passed."),
    "terminal": ("raise ValueError('\\x1b[2J\\n\\u202e')", COSINE, [], "01", "\\\\x1b\\[2J \\\\x202e"),
    "＝1+1": (SHIFT, COSINE, [], "11", ""),
    "ANN": (SHIFT, COSINE, [], "11", ""),
    "surrogate": ("raise ValueError('\\ud800')", COSINE, [], "01", "ValueError"),
}  # fmt: skip
CONFINED = {  # what is only so where the system lets a submission be confined
    "kills": ("11", ""),
    "kit": ("01", "PermissionError"),
    "bomb": ("11", ""),
    "spy": ("01", "ValueError: \\[\\]"),
}


def submission(source, shift, cosine, own=()):
    """A student's notebook; its checks and outputs lie, and nobody believes them."""
    notebook = read(source / "00_small.ipynb")
    for key, answer in (("00-shift", shift), ("00-cosine", cosine)):
        (cell,) = [cell for cell in notebook.cells if cell.id == key]
        cell.source = answer or ""
        if answer is None:
            notebook.cells.remove(cell)
    for cell in notebook.cells:
        cell.source = cell.source.replace("exercises.check", "print")
        if cell.cell_type == "code":
            lie = {"application/vnd.ssae-check+json": {"name": "00.shift", "passed": True}}
            cell.outputs = [nbformat.v4.new_output("display_data", lie)]
    notebook.cells[2:2] = [new_code_cell(text) for text in own]
    return notebook


def submit(folder, source, student, shift=SHIFT, cosine=COSINE, own=(), name="00_small"):
    (folder / student).mkdir(parents=True, exist_ok=True)
    path = folder / student / f"{name}.ipynb"
    nbformat.write(submission(source, shift, cosine, own), path)
    return path


def rows(out):
    with (out / "grades.csv").open(newline="", encoding="utf-8") as file:
        return {row["student"].lstrip("'"): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("class")
    source = small_course(folder / "notebooks")
    for student, (shift, cosine, own, *_) in CASES.items():
        shift = shift and shift.replace("{}", str(folder))
        submit(folder / "in", source, student, shift, cosine, own)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("A_SECRET", "42")
        grade(folder / "in", source, folder / "out", Limits(2, 9, 4.0), jobs=2)
    return folder / "out"


@pytest.mark.parametrize("student", CASES)
def test_each_submission_gets_its_points_and_its_remark(graded, student):
    points, remark = CASES[student][3:]
    if student in CONFINED:
        if not sandbox.confined():
            pytest.skip("no namespaces here")
        points, remark = CONFINED[student]
    row = rows(graded)[student]
    assert (row["00.shift"] or " ") + (row["00.cosine"] or " ") == points
    assert remark in (graded / f"{_file_names(list(CASES))[student]}.md").read_text("utf-8")


def test_only_what_should_be_looked_at_is_trouble(graded):
    table = rows(graded)
    fine = [s for s, case in CASES.items() if s not in CONFINED and case[3] == "11"]
    assert [student for student in fine if table[student]["trouble"]] == []


def test_nothing_that_a_submission_started_runs_on(graded):
    left = [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == ["sleep", "6543"]]
    assert left == []


def test_the_summary_counts_each_exercise_and_names_the_commonest_remark(graded):
    with (graded / "exercises.csv").open(newline="", encoding="utf-8") as file:
        shift, cosine = sorted(csv.DictReader(file), key=lambda row: row["exercise"], reverse=True)
    assert int(shift["submitted"]) == len(CASES) - 1  # one had no answer cells
    assert 0 < int(shift["passed"]) < int(cosine["passed"])
    assert shift["commonest remark on the others"]


def test_without_namespaces_a_submission_still_changes_nothing_but_its_result(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sandbox, "confined", lambda: False)
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "1 kit", KIT + WRONG)
    submit(tmp_path / "in", source, "2 daemon", SHIFT + DAEMON)
    submit(tmp_path / "in", source, "3 parent", "import os\nos.kill(os.getppid(), 9)\n" + SHIFT)
    submit(tmp_path / "in", source, "4 startup", SHIFT + STARTUP)
    kit, daemon, _, startup = grade(tmp_path / "in", source, tmp_path / "out", jobs=2)
    assert (kit.score, daemon.score, startup.score) == (1, 2, 2)
    test_nothing_that_a_submission_started_runs_on(None)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux hands orphans to a subreaper")
@pytest.mark.parametrize("end", ["", "\nwhile True: pass", HIDE])
def test_without_namespaces_a_daemon_that_hides_where_it_comes_from_is_ended(
    tmp_path, monkeypatch, end
):
    monkeypatch.setattr(sandbox, "confined", lambda: False)
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "daemon", SHIFT + HIDDEN + end)
    grade(tmp_path / "in", source, tmp_path / "out", Limits(1, 3, 4.0))
    test_nothing_that_a_submission_started_runs_on(None)


@pytest.mark.parametrize(
    ("limit", "wrong"),
    [("cell_seconds", 0), ("seconds", -1), ("memory_gib", -1.0), ("memory_gib", float("nan"))],
)
def test_a_limit_that_would_limit_nothing_is_refused(limit, wrong):
    with pytest.raises(ValueError, match=f"`{limit}` must be above 0"):
        Limits(**{limit: wrong})


def test_where_no_submission_can_start_none_gets_a_grade(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "RUNNER", "ssae_kit.nowhere")
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "ann")
    with pytest.raises(OSError, match=r"no submission could be started.* ssae_kit.nowhere"):
        grade(tmp_path / "in", source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_names_that_differ_in_capitals_only_have_files_of_their_own():
    ann, other, bob = _file_names(["ann", "ANN", "bob"]).values()
    assert ann.casefold() != other.casefold()
    assert bob == "bob"


def test_a_folder_that_is_nested_too_deeply_harms_nobody(tmp_path, monkeypatch):
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "bob")
    (tmp_path / "in" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "in" / "deep")
    for _ in range(2100):  # twice as deep as Python recurses, and longer than a path may be
        os.mkdir("d")
        os.chdir("d")
    bob, deep = grade(tmp_path / "in", source, tmp_path / "out")
    for _ in range(2100):  # what removes folders goes no deeper than Python recurses
        os.chdir("..")
        os.rmdir("d")
    assert (bob.score, deep.trouble) == (2, ["there is no notebook"])


def test_a_formula_in_full_width_is_none_for_a_spreadsheet(graded):
    text = (graded / "grades.csv").read_text("utf-8")
    assert "\n'＝1+1," in text


def test_files_that_are_no_notebooks_are_named_and_harm_nobody(tmp_path):
    source = small_course(tmp_path / "notebooks")
    place = tmp_path / "in"
    good = submit(place, source, "bob")
    for name in ("fifo", "socket", "link", "linked", "twin", "huge", "empty", "__MACOSX/bob"):
        (place / name).mkdir(parents=True)
    os.mkfifo(place / "fifo" / "a.ipynb")
    with socket.socket(socket.AF_UNIX) as server:
        os.chdir(place / "socket")  # the path of a socket must be short
        server.bind("a.ipynb")
        os.chdir(tmp_path)
    (place / "link" / "a.ipynb").symlink_to(good)
    (place / "loop").symlink_to(place)
    os.link(source / "00_small.ipynb", place / "linked" / "a.ipynb")
    os.link(good, place / "twin" / "00_small.ipynb")
    with (place / "huge" / "a.ipynb").open("wb") as file:
        file.truncate(2**40)
    (place / "nia.ipynb").write_text("[" * 100_000)
    (place / "odd.ipynb").write_text('{"cells": [1, {"cell_type": "code", "metadata": "x"}]}')
    for name in ("__MACOSX/bob/._00_small.ipynb", "bob/._00_small.ipynb", ".DS_Store"):
        (place / name).write_bytes(b"\0\5\x16\7")
    grades = {g.student: g for g in grade(place, source, tmp_path / "out")}
    parts = {
        "fifo": "a named pipe", "socket": "a socket", "link": "a symbolic link",
        "loop": "a symbolic link", "linked": "a hard link to the course's own notebook",
        "twin": "one file (a hard link)", "huge": "larger than 20 MiB",
        "empty": "there is no notebook", "nia": "not a readable notebook", "odd": "no answer cell",
    }  # fmt: skip
    assert grades.keys() == {"bob", *parts}
    assert (grades["bob"].score, grades["bob"].trouble) == (2, [])
    for student, part in parts.items():
        assert part in "; ".join(grades[student].trouble)
        assert grades[student].score == 0 or student == "twin"


def test_every_encoding_of_json_is_read(tmp_path):
    text = json.dumps({"cells": [{"cell_type": "code", "source": ["a", "b"]}]})
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        assert code_cells(text.encode(encoding))[0]["source"] == "ab"


def test_a_student_has_one_row_and_of_two_files_the_last_counts(tmp_path):
    source = small_course(tmp_path / "notebooks")
    old = submit(tmp_path / "in", source, "ann", WRONG)
    submit(tmp_path / "in", source, "ann", name="new")
    os.utime(old, (1, 1))
    roster = ["ann", "zoe"]
    ann, zoe = grade(tmp_path / "in", source, tmp_path / "out", roster=roster)
    assert (ann.score, ann.file) == (2, "ann/new.ipynb")
    assert "ann/new.ipynb, changed last, counts; ann/00_small.ipynb does not" in ann.trouble[0]
    assert zoe.trouble == ["on the roster, but nothing was handed in"]
    (stranger, _) = grade(tmp_path / "in", source, tmp_path / "out", roster=["zoe"])
    assert "not on the roster" in stranger.trouble


def test_what_is_half_right_earns_half_the_points_and_has_not_passed(tmp_path):
    source = small_course(tmp_path / "notebooks")
    notebook = read(source / "00_small.ipynb")
    for cell in notebook.cells:  # an exercise that asks for two things, in place of one of lists
        cell.source = cell.source.replace("00.shift", "06.isolate").replace("shift", "isolate")
        if cell.id.startswith("00-shift"):
            cell.metadata.nbgrader.grade_id = cell.id.replace("00-shift", "06-isolate")
            cell.metadata.nbgrader |= {"points": 2} if "check" in cell.id else {}
    nbformat.write(notebook, source / "00_small.ipynb")
    effect = "def isolate(c, t):\n    return c[range(len(t)), t].nanmean(), 7"
    for cell in notebook.cells:
        cell.source = effect if cell.id == "00-shift" else cell.source
    (tmp_path / "in").mkdir()
    nbformat.write(notebook, tmp_path / "in" / "ann.ipynb")
    (ann,) = grade(tmp_path / "in", source, tmp_path / "out")
    assert (ann.points["06.isolate"], ann.worth["06.isolate"]) == (1, 2)
    assert "right is" in ann.remarks["06.isolate"]
    told = {name: (passed, of) for name, passed, of, _ in by_exercise([ann])}
    assert told == {"00.cosine": (1, 1), "06.isolate": (0, 1)}


def test_of_copies_of_an_answer_all_above_its_check_are_run_in_order(tmp_path):
    source = small_course(tmp_path / "notebooks")
    path = submit(tmp_path / "in", source, "ann")
    notebook = read(path)
    (place,) = [n for n, cell in enumerate(notebook.cells) if cell.id == "00-shift"]
    for number, name in ((place, "older"), (len(notebook.cells) + 1, "below")):
        copy = {**notebook.cells[place], "id": name, "source": "def shift(source target):"}
        notebook.cells.insert(number, nbformat.from_dict(copy))
        place += number <= place
    nbformat.write(notebook, path)
    (ann,) = grade(tmp_path / "in", source, tmp_path / "out")
    assert ann.score == 2
    assert ann.trouble == ["3 cells answer 00.shift; all above its check were run"]


def test_an_answer_whose_cell_was_split_counts_as_in_the_notebook(tmp_path):
    source = small_course(tmp_path / "notebooks")
    path = submit(tmp_path / "in", source, "ann")
    notebook = read(path)
    (place,) = [n for n, cell in enumerate(notebook.cells) if cell.id == "00-shift"]
    part = {**notebook.cells[place], "id": "part", "source": "shift([1], [2])"}
    notebook.cells.insert(place + 1, nbformat.from_dict(part))
    nbformat.write(notebook, path)
    assert grade(tmp_path / "in", source, tmp_path / "out")[0].score == 2


def test_a_right_answer_in_an_own_cell_below_the_stub_counts_as_in_the_notebook(tmp_path):
    source = small_course(tmp_path / "notebooks")
    path = submit(tmp_path / "in", source, "ann", "def shift(a, b):\n    raise NotImplementedError")
    notebook = read(path)
    (place,) = [n for n, cell in enumerate(notebook.cells) if cell.id == "00-shift"]
    notebook.cells.insert(place + 1, new_code_cell(SHIFT))
    nbformat.write(notebook, path)
    assert grade(tmp_path / "in", source, tmp_path / "out")[0].score == 2


def test_what_answers_use_of_the_given_cells_is_there_but_no_answer_is(tmp_path):
    source = small_course(tmp_path / "notebooks")
    notebook = read(source / "00_small.ipynb")
    given = "from operator import sub as shift\nZERO = 0\ndef less(a, b):\n    return a - b + ZERO"
    notebook.cells.insert(0, new_code_cell(given + "\nimport sys\nsys.modules\nraise SystemError"))
    nbformat.write(notebook, source / "00_small.ipynb")
    less = "def shift(source, target):\n    return [less(t, s) for s, t in zip(source, target)]"
    submit(tmp_path / "in", source, "ann", less)
    submit(tmp_path / "in", source, "ben", "")
    ann, ben = grade(tmp_path / "in", source, tmp_path / "out")
    assert (ann.score, ben.score) == (2, 1)
    assert ann.trouble == []  # what the course itself needs need not be read
    assert "'shift' is not defined" in ben.remarks["00.shift"]


def test_a_link_among_the_results_is_replaced_not_followed(tmp_path):
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "x" * 250)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "grades.csv").symlink_to(victim)
    grade(tmp_path / "in", source, tmp_path / "out")
    assert victim.read_text() == "mine"
    assert not (tmp_path / "out" / "grades.csv").is_symlink()


def test_a_process_that_has_ended_by_itself_need_not_be_killed():
    ended = subprocess.Popen([sys.executable, "-c", ""], env={"SSAE_SUBMISSION": "t"})
    time.sleep(0.1)
    sandbox.end("t")
    ended.wait()


def test_nothing_to_grade_is_said(tmp_path):
    source = small_course(tmp_path / "notebooks")
    with pytest.raises(ValueError, match="found none"):
        grade(tmp_path / "empty", source, tmp_path / "out")
    with pytest.raises(ValueError, match="must hold notebooks with exercises"):
        grade(source, tmp_path / "empty", tmp_path / "out")


def test_the_command_prints_the_pass_rates(tmp_path):
    source = small_course(tmp_path / "notebooks")
    submit(tmp_path / "in", source, "ann", "raise ValueError('\\ud800\\nforged')")
    (tmp_path / "names.txt").write_text("\ufeffann\nzoe\n", encoding="utf-8")
    command = [sys.executable, "-m", "ssae_kit.exercises", "grade", "in", "--out", "out"]
    done = subprocess.run(
        [*command, "--notebooks", "notebooks", "--roster", "names.txt", "--jobs", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    first, second, *_, last = done.stdout.splitlines()
    assert first == "00.cosine: 1 of 1 passed. "
    assert second == "00.shift: 0 of 1 passed. ValueError: \\xd800 forged"
    assert last == f"2 students graded, 1 with trouble; see {os.path.join('out', 'grades.csv')}"
