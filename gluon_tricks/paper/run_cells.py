"""Running the cells of the paper's tables: each a training in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Sequence

from gluon_tricks.core.children import as_child
from gluon_tricks.core.commands import words_of
from gluon_tricks.core.environment import inherited_environment, threads
from gluon_tricks.core.errors import RESUMABLE
from gluon_tricks.core.files import write_text, writing
from gluon_tricks.core.wording import one_line
from gluon_tricks.networks.checkpoint import list_checkpoints
from gluon_tricks.paper.cells import Cell
from gluon_tricks.tasks.registry import task_of


def run(cell: Cell, train: Sequence[str], say: Callable[[str], None], with_threads: int = 0) -> bool:
    """Trains a cell to its end, from its newest checkpoint if it has one; returns whether it got there.

    An interruption is passed on to the training, once, which then writes a checkpoint; so it does when this process is
    killed.

    Args:
        train: the words of the command that trains, such as gluon-tricks train.
        say: takes every line of its output.
        with_threads: that it computes with; 0: as many as it takes by itself.

    Raises:
        KeyboardInterrupt: the training was asked to stop.
    """
    if missing := missing_source(cell):
        return failed(cell, missing, say)
    words, last, environment = words_for(cell, train), "", inherited_environment()
    if with_threads:
        environment["OMP_NUM_THREADS"] = str(with_threads)
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace")
    # In a session of its own a Ctrl-C does not reach it beside us: a second signal would end it at once.
    own = dict(start_new_session=True, preexec_fn=as_child(signal.SIGTERM))
    with subprocess.Popen(words, env=environment, **own, **pipes) as process:
        try:
            for line in process.stdout:
                say(line.rstrip())
                last = line.strip() or last
        except KeyboardInterrupt:
            process.terminate()
            for line in process.stdout:
                say(line.rstrip())
            raise
    reason = why_not_done(cell, process.returncode, last, words[0])
    return not reason or failed(cell, reason, say)


def missing_source(cell: Cell) -> str:
    """What a cell would have to start from or learn from and is not there, in words; "": nothing.

    Raises:
        Refused: the directory of its source holds another run.
    """
    if not cell.source or cell.source.has_result():
        return ""
    starts = "network to start from" if getattr(cell.recipe, "pretrained", "") else "teacher"
    what = "base network" if cell.recipe.based else starts
    return f"its {what} {cell.source.name} has no result ({cell.source.state()})"


def words_for(cell: Cell, train: Sequence[str]) -> list[str]:
    """Writes a cell's recipe beside its folder, forgets why it failed, and returns the words that train it."""
    with writing(cell.folder.parent):
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        cell.failure.unlink(missing_ok=True)
    recipe = cell.folder.with_name(cell.folder.name + ".json")
    write_text(recipe, json.dumps(cell.recipe.to_json(), indent=2) + "\n")
    return [*train, "--recipe", str(recipe), "--save-dir", str(cell.folder), "--resume", "auto"]


def begun_with(cell: Cell) -> int:
    """With how many threads a cell was begun that can go on; 0: it has no checkpoint.

    With another number of threads sums have other last bits: the result would not be that of a run without
    interruption. Versions that did not tell took all that there are.
    """
    if not list_checkpoints(cell.folder / "checkpoints"):
        return 0
    told = [event.get("threads") for event in cell.events() if event.get("event") == "start"]
    return told[-1] if told and isinstance(told[-1], int) and told[-1] > 0 else threads()


def why_not_done(cell: Cell, code: int, last: str, program: str) -> str:
    """Why a training that has ended has no result, in words; "": it has.

    Args:
        code: as of subprocess.Popen.
        last: what it said last.
        program: which was started.

    Raises:
        KeyboardInterrupt: it was asked to stop.
        Refused: its directory holds another run.
    """
    # Before a training has its handlers, and before Python has any.
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    full = last.startswith("stopped: ")  # by itself: its disk is full
    if code == RESUMABLE and not full or code in [128 + number for number in stops] or -code in stops:
        raise KeyboardInterrupt
    if code < 0:  # what it said last is then no reason
        last = f"killed by {signal.Signals(-code).name}; the same command goes on"
    if code == 0 and not cell.is_done():
        last = f"the training ended without a result ({cell.state()}): see what {program} starts"
    return "" if cell.is_done() else last or f"exit code {code}"


def failed(cell: Cell, reason: str, say: Callable[[str], None]) -> bool:
    """Says and keeps why a cell has failed; returns False."""
    reason = one_line(reason, 500)
    say(f"failed: {reason}")
    with writing(cell.failure):
        cell.failure.parent.mkdir(parents=True, exist_ok=True)
    write_text(cell.failure, reason + "\n")
    return False


def trainer(cell: Cell, launcher: Sequence[str] = ()) -> list[str]:
    """The words that start a cell's training: launcher such as horovodrun -np 8, this Python, its task's command."""
    return [*launcher, *words_of(task_of(cell.recipe).command)]
