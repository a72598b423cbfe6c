"""Cells trained side by side: each a process of one thread on a core of its own, which ends with this one.

Their order is order.next_cell; what is shown of them, board.Board.
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import subprocess
import time
from collections.abc import Callable, Sequence

from gluon_tricks.core.children import as_child
from gluon_tricks.core.environment import cores_apart, inherited_environment
from gluon_tricks.core.errors import REFUSED, Refused
from gluon_tricks.core.files import no_empty_folders
from gluon_tricks.paper.board import Board
from gluon_tricks.paper.cell_log import CellLog
from gluon_tricks.paper.cells import Cell
from gluon_tricks.paper.order import next_cell
from gluon_tricks.paper.run_cells import begun_with, failed, missing_source, why_not_done, words_for

_PAUSE = 0.2  # seconds between looks at the processes


@dataclasses.dataclass
class _Training:
    """A cell whose process has been started.

    Args:
        program: what was started.
        core: of its own, a logical core's number.
    """

    cell: Cell
    program: str
    core: int
    log: CellLog
    process: subprocess.Popen

    def listen(self, board: Board, ended: bool = False) -> None:
        for line in self.log.new_lines(ended):
            board.heard(self.cell, line)


def train(todo: Sequence[Cell], jobs: int, trainer: Callable[[Cell], list[str]], board: Board) -> int:
    """Trains cells, up to `jobs` at a time, each from its newest checkpoint if it has one; returns how many failed.

    A failed one stops no other, but those who need its network fail too. An interruption is passed on to all of them,
    once, each then writes a checkpoint, and all are waited for.

    Args:
        todo: in the order of cells.missing.
        jobs: up to the number of cores that this process may use.
        trainer: cell -> the words of the command that trains it.

    Raises:
        KeyboardInterrupt: this process, or one of the trainings by itself, was asked to stop.
        CannotWrite: beside the runs; the trainings have been stopped as by an interruption.
    """
    waiting, failures, cores = list(todo), 0, cores_apart()[:jobs]
    running: list[_Training] = []
    with contextlib.ExitStack() as folders:  # around all: at the end of one, those of another may be empty yet
        for folder in {cell.folder.parent for cell in todo}:
            folders.enter_context(no_empty_folders(folder))
        try:
            while waiting or running:
                busy = [training.core for training in running]
                free = [core for core in cores if core not in busy]
                cell = next_cell(waiting, [training.cell for training in running]) if free else None
                if cell:
                    waiting.remove(cell)
                    failures += not _start(cell, trainer(cell), free[0], running, board)
                    continue
                time.sleep(_PAUSE)
                failures += sum(not _end(training, running, board) for training in [*running] if _look(training, board))
                board.show()
        except BaseException:
            _stop(running, board)
            raise
        finally:
            board.close()
    return failures


def _start(cell: Cell, train: Sequence[str], core: int, running: list[_Training], board: Board) -> bool:
    """Starts a cell's process and adds it to those that run; or says why it fails at once, and returns False."""
    log = cell.folder.with_name(cell.folder.name + ".log")
    board.started(cell, log)
    try:
        missing = missing_source(cell)
    except Refused as refused:
        missing = f"{REFUSED}{refused}"
    if missing:
        board.ended(cell, missing)
        return failed(cell, missing, lambda line: None)
    if (begun := begun_with(cell)) > 1:
        board.note(cell, f"begun with {begun} threads, it goes on with one: the last bits of its result are others")
    words = words_for(cell, train)
    told = CellLog(log, words)
    # In a session of its own, as a Ctrl-C reaches all processes of a terminal's: a second signal would end it at once.
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=told.file, stderr=subprocess.STDOUT, start_new_session=True,
        env={**inherited_environment(), "OMP_NUM_THREADS": "1"}, preexec_fn=as_child(signal.SIGTERM, core),
    )  # fmt: skip
    running.append(_Training(cell, words[0], core, told, process))
    return True


def _look(training: _Training, board: Board) -> bool:
    """Passes on what a training has said since; returns whether it has ended."""
    ended = training.process.poll() is not None
    training.listen(board, ended)
    return ended


def _end(training: _Training, running: list[_Training], board: Board) -> bool:
    """Says how a training has ended; returns whether it has a result."""
    running.remove(training)
    training.log.close()
    try:
        reason = why_not_done(training.cell, training.process.returncode, training.log.last, training.program)
    except Refused as refused:
        reason = f"{REFUSED}{refused}"
    board.ended(training.cell, reason)
    return not reason or failed(training.cell, reason, lambda line: None)


def _stop(running: Sequence[_Training], board: Board) -> None:
    """Asks all trainings to stop, once, and waits until each has written its checkpoint."""
    for training in running:
        training.process.terminate()  # nothing, of one that has ended
    board.stopping(len(running))
    for training in running:
        while not _look(training, board):
            time.sleep(_PAUSE)
            board.show()
        training.log.close()
