"""What is shown of cells that are trained side by side, on a terminal and elsewhere, by what a journal says."""

import io
import os
import re

import pytest

from gluon_tricks.core.wording import columns
from gluon_tricks.paper.board import Board
from gluon_tricks.paper.cell_log import CellLog
from gluon_tricks.paper.cells import Runs
from gluon_tricks.paper.scales import get_scale
from gluon_tricks.training.journal import Journal
from gluon_tricks.tricks.schedule import Plan


class Terminal(io.StringIO):
    """A terminal that knows what its last lines look like."""

    def isatty(self):
        return True

    def screen(self):
        lines = [""]
        for part in re.split(r"(\x1b\[\d*[AJ]|\r|\n)", self.getvalue()):
            if part == "\n":
                lines.append("")
            elif up := re.fullmatch(r"\x1b\[(\d+)A", part):
                above = int(up[1])
                assert lines[-1] == "" and above < len(lines)
                erased, lines = lines[-1 - above :], lines[:-above]
                assert all(erased[:-1])
                lines[-1] = ""
            elif part not in ("\r", "\x1b[J"):
                lines[-1] += part
        return lines[:-1]


@pytest.fixture
def cells(tmp_path):
    runs = Runs(tmp_path, get_scale("imagenette"), ("train.rec",), ("val.rec",))
    return [runs.cell(f"table6/resnet50_v1d/{row}", 0) for row in ("cosine", "smooth")]


@pytest.fixture
def told(tmp_path, capsys):
    """What a journal prints of a step and of an epoch."""
    row = dict(epoch=2, train_loss=2.5, train_error=0.8734, lr=0.1, images_per_second=218.4)
    with Journal(tmp_path / "run", of_training=("train_loss", "train_error")) as journal:
        journal.start_steps(Plan(steps_per_epoch=10, epochs=6), 64, 0, 5)
        journal.step(15, 2.5, 0.1)
        journal.epoch([row], "top-1 18.50%, top-5 53.00%, val loss 2.294")
    step, epoch = capsys.readouterr().out.splitlines()
    return step, epoch


def test_a_live_line_for_each(cells, told, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    board = Board(cells, out)
    log = tmp_path / "seed0.log"
    for cell in cells:
        board.started(cell, log)
    first = [
        f"--- {k} of 2: table6/resnet50_v1d/{row}, seed 0; its log is {log}"
        for k, row in ((1, "cosine"), (2, "smooth"))
    ]
    two = "0 of 2 done, 2 cells in training, 0 waiting"
    waiting = [f"table6/resnet50_v1d/{row}, seed 0  starting" for row in ("cosine", "smooth")]
    assert out.screen() == [*first, *waiting, two]
    monkeypatch.setattr("gluon_tricks.paper.board._EVERY", 0.0)
    board.heard(cells[0], told[0])
    board.heard(cells[0], "a warning\x1b[2J that is in the log alone")
    board.show()
    pace = re.fullmatch(r"epoch 2/6  step 5/10  loss 2.500  lr 0.1000  (\d+ images/s  \S+ left)", told[0])[1]
    assert out.screen()[2:] == [f"table6/resnet50_v1d/cosine, seed 0  epoch 2/6  {pace}", waiting[1], two]
    board.heard(cells[0], told[1])
    board.show()
    left = pace.split("  ")[1]
    now = f"table6/resnet50_v1d/cosine, seed 0  epoch 2/6  top-1 18.50%  218 images/s  {left}"
    assert out.screen()[2:] == [now, waiting[1], two]
    before = out.getvalue()
    board.show()
    assert out.getvalue() == before  # nothing has changed
    board.ended(cells[0], "")
    board.ended(cells[1], "killed by SIGKILL\x1b[2J")
    board.close()
    assert out.screen() == [
        *first,
        "table6/resnet50_v1d/cosine, seed 0: done, top-1 18.50%, top-5 53.00%, val loss 2.294 (1 of 2 done)",
        "table6/resnet50_v1d/smooth, seed 0: failed: killed by SIGKILL\\x1b[2J (1 of 2 done, 1 failed)",
    ]


def test_lines_fit_the_terminal(cells, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "4")
    out = Terminal()
    board = Board(cells, out)
    for cell in cells:
        board.started(cell, tmp_path)
    live = out.screen()[2:]
    assert live == ["table6/resnet50_v1d/cosine, s", "0 of 2 done, 2 cells in train"]  # one row is left for the cursor
    assert all(columns(line) == 29 for line in live)


def test_a_dumb_terminal_and_a_file_get_lines(cells, told, tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    for out in (Terminal(), io.StringIO()):
        board = Board(cells, out)
        board.started(cells[0], tmp_path)
        board.heard(cells[0], told[0])
        board.heard(cells[0], told[1])
        board.show()
        board.close()
        assert "\x1b" not in out.getvalue()
        assert out.getvalue().splitlines()[1:] == [f"table6/resnet50_v1d/cosine, seed 0: {told[1]}"]


def test_a_log_is_read_by_whole_lines_as_it_grows(tmp_path):
    path = tmp_path / "seed0.log"
    path.write_text("of a run before\n")
    log = CellLog(path, ["train", "--save-dir", "a b"])
    assert log.new_lines() == []
    with path.open("ab") as other:
        for data, lines in (
            (b"one\ntw", ["one"]),
            (b"o\nbar 1%\rbar 2%\n\xe9\n", ["two", "bar 2%", "\\xe9"]),
            (b"end", []),
        ):
            other.write(data)
            other.flush()
            assert log.new_lines() == lines
    assert log.last == "\\xe9" and log.new_lines(ended=True) == ["end"] and log.last == "end"
    log.close()
    before, command, first = path.read_bytes().decode("latin1").splitlines()[:3]
    assert before == "of a run before" and first == "one"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d train --save-dir 'a b'", command)


def test_a_link_in_the_place_of_a_log_is_not_followed(tmp_path):
    (tmp_path / "theirs").write_text("theirs\n")
    os.symlink(tmp_path / "theirs", tmp_path / "seed0.log")
    with pytest.raises(Exception, match="it is a link"):
        CellLog(tmp_path / "seed0.log", ["train"])
    assert (tmp_path / "theirs").read_text() == "theirs\n"
