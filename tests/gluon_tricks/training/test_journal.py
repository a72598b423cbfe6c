"""The run directory: its name, its lock, its records."""

import concurrent.futures
import csv
import logging
import math
import pathlib

import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.report.told import read_events, read_metrics, read_step_losses, scored_at_end
from gluon_tricks.training.journal import Journal, _clock, early_warnings, make_run_directory, newest_run_directory
from gluon_tricks.tricks.schedule import Plan

SCORES = ("val_loss", "val_top1", "val_top5")
ROW = dict(epoch=1, train_loss=2.0, val_loss=1.5, val_top1=0.25, val_top5=0.5, lr=0.1, images_per_second=100.0)


def test_names_of_run_directories(tmp_path):
    assert newest_run_directory("table6/mixup", tmp_path) is None
    for name in ("table6-mixup-1", "table6-mixup-10", "table6-mixup-2", "table6-mixup-old", "other-99"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.json").touch()
    assert make_run_directory("table6/mixup", tmp_path).name == "table6-mixup-3"
    (tmp_path / "table6-mixup-11").mkdir()  # made by a run that has not begun
    assert newest_run_directory("table6/mixup", tmp_path).name == "table6-mixup-10"


def test_runs_that_start_at_once_get_a_directory_each(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: make_run_directory("tiny", tmp_path / "runs"), range(40)))
    assert sorted(path.name for path in made) == sorted(f"tiny-{n}" for n in range(1, 41))
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="file/tiny-1 cannot be made .*: name a place with --save-dir"):
        make_run_directory("tiny", tmp_path / "file")


def test_a_lock_ends_with_its_holder(tmp_path):
    with Journal(tmp_path / "run"):
        with pytest.raises(Refused, match="in use by another run"):
            Journal(tmp_path / "run")
    Journal(tmp_path / "run").close()


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="the records of a run cannot be written .*give another place"):
        Journal(tmp_path / "file" / "run")


def test_resuming_forgets_later_rows(tmp_path, capsys):
    with Journal(tmp_path / "run", scores=SCORES) as journal:
        journal.start({}, [])
        journal.start_steps(Plan(10, 2), 8, 0, 5)
        journal.epoch([ROW, {**ROW, "epoch": 2}], "all is well")
    with Journal(tmp_path / "run", scores=SCORES) as journal:
        journal.start({}, [ROW])
    rows = list(csv.DictReader(open(tmp_path / "run" / "metrics.csv")))
    assert rows == [{name: str(value) for name, value in ROW.items()}]


def test_the_loss_of_every_step_and_what_going_back_forgets(tmp_path, capsys):
    """Steps 1 to 4; resumed at 2, with the last row half written; taken back to 1."""
    run = tmp_path / "run"
    with Journal(run) as journal:
        journal.start_steps(Plan(10, 2), 8, 0, 50)
        for step in range(1, 5):
            journal.step(step, step / 3, 0.1)
    assert (run / "steps.csv").read_text() == "step,loss\n1,0.333333\n2,0.666667\n3,1\n4,1.33333\n"
    with open(run / "steps.csv", "a") as file:
        file.write("5,")
    with pytest.raises(Refused, match=r"steps.csv is damaged \(a row '5,'\)"):
        read_step_losses(run)
    with Journal(run) as journal:
        journal.start_steps(Plan(10, 2), 8, 2, 50)
        assert read_step_losses(run) == {1: 0.333333, 2: 0.666667}
        journal.step(3, 7, 0.1)
        journal.go_to(1)
        journal.step(2, 0.5, 0.1)
    assert read_step_losses(run) == {1: 0.333333, 2: 0.5}
    assert read_step_losses(tmp_path / "older") == {}


def test_numbers_that_are_not_finite_spoil_neither_lines_nor_files(tmp_path, capsys, caplog):
    """In events.jsonl they are null, in metrics.csv nan and inf; TensorBoard, which would print a line, gets none."""
    nan, inf = float("nan"), float("inf")
    with Journal(tmp_path / "run", scores=SCORES) as journal:
        journal.start_steps(Plan(10, 1), 8, 0, 5)
        journal.step(5, nan, 0.1)
        journal.epoch([{**ROW, "train_loss": nan, "val_loss": inf}], "top-1 25.00%")
        journal.event("final_scores", scores={"mAP": nan, "top-1": 0.25})
    assert len(capsys.readouterr().out.splitlines()) == 2 and not caplog.records
    lines = (tmp_path / "run" / "events.jsonl").read_text().splitlines()
    epoch, _ = map(parse_json, lines)
    assert (epoch["train_loss"], epoch["val_loss"], epoch["val_top1"]) == (None, None, 0.25)
    assert scored_at_end(read_events(tmp_path / "run")) == {"top-1": 0.25}
    (row,) = read_metrics(tmp_path / "run")
    assert math.isnan(row["train_loss"]) and row["val_loss"] == inf
    (board,) = (tmp_path / "run" / "tensorboard").iterdir()
    written = board.read_bytes()
    assert b"epoch/val_top1" in written and b"epoch/val_loss" not in written and b"train/loss" not in written


def test_a_run_of_before_the_training_error_goes_on(tmp_path, capsys):
    columns = dict(scores=SCORES, of_training=("train_loss", "train_error"))
    with Journal(tmp_path / "run", **columns) as journal:
        journal.start({}, [ROW])
        journal.start_steps(Plan(10, 2), 8, 0, 5)
        journal.epoch([ROW, {**ROW, "epoch": 2, "train_error": 0.125}], "all is well")
    rows = list(csv.DictReader(open(tmp_path / "run" / "metrics.csv")))
    assert [row["train_error"] for row in rows] == ["", "0.125"] and list(rows[0])[:3] == [
        "epoch",
        *columns["of_training"],
    ]
    assert "all is well, train loss 2.000, train error 12.50%, 100 images/s" in capsys.readouterr().out


def test_warnings_of_the_packages_reach_the_log(tmp_path, capsys):
    with Journal(tmp_path / "run", extra_log=tmp_path / "more.log", scores=SCORES) as journal:
        logging.getLogger("gluon_tricks.data").warning("image 3 cannot be decoded")
        journal.start_steps(Plan(10, 2), 8, 0, 5)
        journal.step(5, 1.25, 0.1)
    assert "image 3 cannot be decoded" in capsys.readouterr().out
    for path in (tmp_path / "run" / "log.txt", tmp_path / "more.log"):
        text = path.read_text()
        assert "image 3 cannot be decoded" in text and "epoch 1/2  step 5/10  loss 1.250  lr 0.1000" in text


def test_other_ranks_write_nothing(tmp_path, capsys):
    with Journal(tmp_path / "run", silent=True) as journal:
        journal.say("x")
        journal.start({}, [])
        journal.event("x")
    assert not (tmp_path / "run").exists() and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00"), (59.2, "1:00"), (61, "1:01"), (3600, "1:00:00"), (37230, "10:20:30")]
)
def test_time_left(seconds, text):
    assert _clock(seconds) == text


def test_early_warnings_are_told_once(tmp_path, capsys):
    """In the journal, when there is one; on stderr, where the run comes to none."""
    log = logging.getLogger("gluon_tricks.data")
    with early_warnings() as lines:
        log.warning("no mask has the class %s", "猫")
    with Journal(tmp_path / "run") as journal:
        for line in lines:
            journal.warn(line)
    seen = capsys.readouterr()
    assert seen.out == "no mask has the class 猫\n" and seen.err == ""
    assert (tmp_path / "run/log.txt").read_text(encoding="utf-8").count("猫") == 1
    with pytest.raises(Refused), early_warnings():
        log.warning("no mask has the class %s", "猫")
        raise Refused("something else")
    seen = capsys.readouterr()
    assert seen.err == "no mask has the class 猫\n" and seen.out == ""


def test_the_file_that_is_full_is_named(tmp_path):
    """A second log on a full device: not the run's own log is to blame."""
    with Journal(tmp_path / "run", extra_log=pathlib.Path("/dev/full")) as journal:
        with pytest.raises(CannotWrite, match="^/dev/full cannot be written: No space left on device$"):
            journal.say("a line")
