"""Cells side by side, with programs in the place of trainings: order, cores, failures, interruptions, logs."""

import io
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from gluon_tricks.core.environment import cores_apart
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.paper import side_by_side
from gluon_tricks.paper.board import Board
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.order import in_turns, next_cell
from gluon_tricks.paper.scales import get_scale

TRAINING = """
import csv, json, os, pathlib, signal, sys, time
place, do = pathlib.Path(sys.argv[1]), sys.argv[2]
options = dict(zip(sys.argv[3::2], sys.argv[4::2]))
recipe, folder = json.loads(pathlib.Path(options["--recipe"]).read_text()), pathlib.Path(options["--save-dir"])
name = recipe["name"].split("/")[-1] + str(recipe["seed"])
def wait_for(*names):
    end = time.monotonic() + 60
    while not all((place / one).exists() for one in names):
        assert time.monotonic() < end
        time.sleep(0.01)
def stop(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    time.sleep(0.3)
    (place / (name + ".stopped")).touch()
    print("stopped after step 3 of 9", flush=True)
    sys.exit(75)
signal.signal(signal.SIGTERM, stop)
state = os.sched_getaffinity(0), os.environ["OMP_NUM_THREADS"], os.getsid(0) == os.getpid()
(place / (name + ".began")).write_text(repr(state))
print("epoch 1/6: top-1 50.00%, top-5 90.00%, train loss 2.000, 100 images/s", flush=True)
exec(do)
(place / (name + ".ended")).touch()
folder.mkdir(exist_ok=True)
(folder / "recipe.json").write_text(json.dumps(recipe))
(folder / "final.params").touch()
with open(folder / "metrics.csv", "w", newline="") as file:
    rows = [[k + 1, 0.5, 0.9] for k in range(recipe["epochs"])]
    csv.writer(file).writerows([["epoch", "val_top1", "val_top5"], *rows])
"""
two_cores = pytest.mark.skipif(len(cores_apart()) < 2, reason="two cells at a time take two cores")


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / "runs", get_scale("imagenette"), ("train.rec",), ("val.rec",))


@pytest.fixture
def trained(tmp_path):
    """trained(cells, **what each is to do, by row and seed): (failed, output)."""

    def train(cells, jobs=2, do=None, out=None, **dos):
        out = out or io.StringIO()

        program = tmp_path / "training.py"
        program.write_text(TRAINING)

        def words(cell):
            name = f"{cell.recipe.name.split('/')[-1]}{cell.recipe.seed}"
            return [sys.executable, str(program), str(tmp_path), dos.get(name, do or "")]

        return side_by_side.train(cells, jobs, words, Board(cells, out)), out.getvalue()

    return train


def rows(runs, *names, seed=0):
    return [runs.cell(f"table6/resnet50_v1d/{name}", seed) for name in names]


def test_what_others_wait_for_comes_first(runs):
    """Cosine, its turn in the table, lets the teacher of distill go before it; the student waits for the teacher."""
    cosine, distill, mixup = rows(runs, "cosine", "distill", "mixup")
    teacher = distill.source
    todo = [cosine, teacher, distill, mixup]
    assert next_cell(todo, []) is teacher
    assert next_cell([cosine, distill, mixup], [teacher]) is cosine
    assert next_cell([distill, mixup], [teacher]) is mixup
    assert next_cell([distill], [teacher, mixup]) is None
    assert next_cell([distill], [mixup]) is distill  # the teacher has ended, whatever came of it
    assert next_cell([], [distill]) is None


@pytest.mark.parametrize(
    "jobs, takes, most",
    [
        (1, 2 + 4 + 3 + 1, 1),
        (2, 7, 2),  # teacher 0-4, cosine 0-2, mixup 2-3, student 4-7
        (9, 7, 3),
    ],
)
def test_how_long_cells_take_in_turns(runs, jobs, takes, most):
    cosine, distill, mixup = rows(runs, "cosine", "distill", "mixup")
    assert in_turns([cosine, distill.source, distill, mixup], [2, 4, 3, 1], jobs) == (takes, most)


def test_three_equal_cells_in_pairs_take_two_turns(runs):
    assert in_turns(rows(runs, "cosine", "smooth", "mixup"), [5.0] * 3, 2) == (10.0, 2)


@two_cores
def test_two_at_a_time_each_on_a_core_of_its_own(runs, trained, tmp_path):
    """Each of the first two ends only when both have begun; the third begins after one of them has ended."""
    cells = rows(runs, "cosine", "smooth", "mixup")
    meet = "wait_for('cosine0.began', 'smooth0.began')"
    failed, out = trained(cells, cosine0=meet, smooth0=meet)
    assert failed == 0 and [cell.state() for cell in cells] == ["done"] * 3
    began = [eval((tmp_path / f"{name}0.began").read_text()) for name in ("cosine", "smooth", "mixup")]
    assert all(threads == "1" and own_session for _, threads, own_session in began)
    cores = [set(cores) for cores, *_ in began]
    assert cores[0] | cores[1] == set(cores_apart()[:2]) and len(cores[0]) == len(cores[1]) == 1
    assert cores[2] in cores[:2]
    first_end = min((tmp_path / f"{name}0.ended").stat().st_mtime for name in ("cosine", "smooth"))
    assert (tmp_path / "mixup0.began").stat().st_mtime >= first_end
    name = "table6/resnet50_v1d/cosine, seed 0"
    log = cells[0].folder.with_name("seed0.log")
    lines = out.splitlines()
    assert lines[0] == f"--- 1 of 3: {name}; its log is {log}"
    said = "epoch 1/6: top-1 50.00%, top-5 90.00%, train loss 2.000, 100 images/s"
    assert f"{name}: {said}" in lines and lines[-1].endswith(", top-5 90.00% (3 of 3 done)")
    command, first = log.read_text().splitlines()
    assert first == said and "--resume auto" in command and str(cells[0].folder) in command


@two_cores
def test_a_failure_stops_no_other_but_those_who_need_it(runs, trained, tmp_path):
    """The teacher fails while another is in training, which goes on; the student is not started, and says why."""
    distill, mixup = rows(runs, "distill", "mixup")
    todo = [distill.source, distill, mixup]
    fails = "wait_for('mixup0.began'); print('stopped: x cannot be written'); sys.exit(1)"
    failed, out = trained(todo, smooth0=fails)
    assert failed == 2 and mixup.state() == "done"
    assert distill.source.state() == "failed: stopped: x cannot be written"
    says = "its teacher table6/resnet152_v1d/smooth has no result (failed: stopped: x cannot be written)"
    assert distill.state() == f"failed: {says}" and not (tmp_path / "distill0.began").exists()
    assert "table6/resnet152_v1d/smooth, seed 0, which other cells need first" in out
    assert f"table6/resnet50_v1d/distill, seed 0: failed: {says} (" in out and out.count("--- ") == 3


def test_the_student_is_started_after_its_teacher(runs, trained, tmp_path):
    (distill,) = rows(runs, "distill")
    check = "assert (place / 'smooth0.ended').exists()"
    failed, _ = trained([distill.source, distill], distill0=check)
    assert failed == 0 and distill.state() == "done"


class Interrupting(io.StringIO):
    """An output at whose words Ctrl-C is pressed, when the files that are waited for are there."""

    def __init__(self, words, *files):
        super().__init__()
        self.words, self.files = words, files

    def write(self, text):
        super().write(text)
        if self.words in text:
            self.words = "\0"
            end = time.monotonic() + 60
            while not all(file.exists() for file in self.files):
                assert time.monotonic() < end
                time.sleep(0.01)
            raise KeyboardInterrupt
        return len(text)


@two_cores
def test_an_interruption_reaches_all_once_and_waits_for_them(runs, trained, tmp_path):
    cells = rows(runs, "cosine", "smooth", "mixup")
    out = Interrupting("epoch 1/6", tmp_path / "cosine0.began", tmp_path / "smooth0.began")
    with pytest.raises(KeyboardInterrupt):
        trained(cells, do="time.sleep(60)", out=out)
    assert {path.name for path in tmp_path.glob("*.stopped")} == {"cosine0.stopped", "smooth0.stopped"}
    assert not (tmp_path / "mixup0.began").exists()
    assert "stopping 2 trainings: each writes a checkpoint; a second Ctrl-C ends at once\n" in out.getvalue()
    assert all(cell.state() == "not run" for cell in cells)  # and not failed
    assert trained(cells)[0] == 0  # the same goes on
    log = cells[0].folder.with_name("seed0.log").read_text().splitlines()
    assert len(log) == 5 and log[2] == "stopped after step 3 of 9" and "--resume auto" in log[3]


@two_cores
def test_one_that_was_stopped_by_itself_stops_all(runs, trained, tmp_path):
    cells = rows(runs, "cosine", "smooth")
    with pytest.raises(KeyboardInterrupt):
        trained(cells, cosine0="wait_for('smooth0.began'); sys.exit(75)", smooth0="time.sleep(60)")
    assert (tmp_path / "smooth0.stopped").exists()


@two_cores
def test_a_disk_that_refuses_stops_all_of_them(runs, trained, tmp_path, monkeypatch):
    """Where why a cell failed cannot be written, the other is not killed but stopped."""

    def refuses(cell, reason, say):
        raise CannotWrite("it is full")

    monkeypatch.setattr(side_by_side, "failed", refuses)
    with pytest.raises(CannotWrite, match="it is full"):
        trained(rows(runs, "cosine", "smooth"), cosine0="wait_for('smooth0.began'); exit(1)", smooth0="time.sleep(60)")
    assert (tmp_path / "smooth0.stopped").exists()


@two_cores
def test_a_run_of_another_recipe_fails_alone(runs, trained):
    cosine, smooth = rows(runs, "cosine", "smooth")
    other = "recipe['batch_size'] = 7"
    failed, out = trained([cosine, smooth], cosine0=other)
    assert failed == 1 and smooth.state() == "done"
    assert "failed: refused: " in out and "holds a run of another recipe (batch_size)" in out


def test_a_killed_one_says_by_what(runs, trained):
    (cosine,) = rows(runs, "cosine")
    assert trained([cosine], do="os.kill(os.getpid(), 9)")[0] == 1
    assert cosine.state() == "failed: killed by SIGKILL; the same command goes on"


ONE_BY_ONE = """
import pathlib, sys, time
from gluon_tricks.cli.training import StopRequest
from gluon_tricks.paper import run_cells
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.scales import get_scale
from gluon_tricks.ranks import heartbeat

if "--recipe" not in sys.argv:
    cell = Runs(pathlib.Path(sys.argv[1]), get_scale("imagenette")).cell("table6/resnet50_v1d/cosine", 0)
    run_cells.run(cell, [sys.executable, __file__], lambda line: print(line, flush=True))
stop = StopRequest()
print("ready", flush=True)
while not stop():
    time.sleep(0.01)
time.sleep(1.5)  # after which another request would end it at once
with heartbeat.heard_or_not():
    print("stopped behind its step", flush=True)
time.sleep(0.5)
pathlib.Path(sys.argv[4] + ".saved").touch()
"""


def test_a_training_by_itself_ends_with_its_parent(tmp_path):
    """Which is killed: it is asked to stop, once, and what it says then, which nobody hears, is no end of it."""
    (tmp_path / "program.py").write_text(ONE_BY_ONE)
    root = pathlib.Path(__file__).resolve().parents[3]
    words = [sys.executable, str(tmp_path / "program.py"), str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}) as parent:
        assert parent.stdout.readline() == b"ready\n"
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while not list(tmp_path.rglob("seed0.saved")):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_trainings_end_with_their_parent(tmp_path):
    """Which is killed: they get SIGTERM, as by a person, and have time for a checkpoint."""
    child = (
        "import pathlib, signal, sys, time\n"
        "def stop(number, frame):\n"
        "    pathlib.Path(sys.argv[1]).touch(); sys.exit()\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('ready', flush=True); time.sleep(60)\n"
    )
    parent = (
        "import signal, subprocess, sys, time\n"
        "from gluon_tricks.core.children import as_child\n"
        "words = [sys.executable, '-c', sys.argv[1], sys.argv[2]]\n"
        "subprocess.Popen(words, start_new_session=True, preexec_fn=as_child(signal.SIGTERM)); time.sleep(60)\n"
    )
    root = pathlib.Path(__file__).resolve().parents[3]
    words = [sys.executable, "-c", parent, child, str(tmp_path / "stopped")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": str(root)}) as one:
        assert one.stdout.readline() == b"ready\n"
        one.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while not (tmp_path / "stopped").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
