"""Running the cells of the paper's tables: each a training in a process of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Callable, Sequence

from gluon_tricks.core.commands import words_of
from gluon_tricks.core.environment import inherited_environment
from gluon_tricks.core.errors import RESUMABLE
from gluon_tricks.core.files import write_text, writing
from gluon_tricks.core.wording import one_line
from gluon_tricks.paper.cells import Cell
from gluon_tricks.tasks.registry import task_of


def run(cell: Cell, train: Sequence[str], say: Callable[[str], None]) -> bool:
    """Trains a cell to its end, from its newest checkpoint if it has one; returns whether it got there.

    An interruption is passed on to the training, once, which then writes a checkpoint.

    Args:
        train: the words of the command that trains, such as gluon-tricks train.
        say: takes every line of its output.

    Raises:
        KeyboardInterrupt: the training was asked to stop.
    """
    with writing(cell.folder.parent):
        cell.folder.parent.mkdir(parents=True, exist_ok=True)
        cell.failure.unlink(missing_ok=True)
    if cell.source and not cell.source.has_result():
        starts = "network to start from" if getattr(cell.recipe, "pretrained", "") else "teacher"
        what = "base network" if cell.recipe.based else starts
        return _failed(cell, f"its {what} {cell.source.name} has no result ({cell.source.state()})", say)
    recipe = cell.folder.with_name(cell.folder.name + ".json")
    write_text(recipe, json.dumps(cell.recipe.to_json(), indent=2) + "\n")
    words = [*train, "--recipe", str(recipe), "--save-dir", str(cell.folder), "--resume", "auto"]
    pipes, last = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="backslashreplace"), ""
    # In a session of its own a Ctrl-C does not reach it beside us: a second signal would end it at once.
    with subprocess.Popen(words, env=inherited_environment(), start_new_session=True, **pipes) as process:
        try:
            for line in process.stdout:
                say(line.rstrip())
                last = line.strip() or last
        except KeyboardInterrupt:
            process.terminate()
            for line in process.stdout:
                say(line.rstrip())
            raise
    code = process.returncode
    stops = (signal.SIGINT, signal.SIGTERM)  # before a training has its handler, and before Python has any
    full = last.startswith("stopped: ")  # by itself: its disk is full
    if code == RESUMABLE and not full or code in [128 + number for number in stops] or -code in stops:
        raise KeyboardInterrupt
    if code < 0:  # what it said last is then no reason
        last = f"killed by {signal.Signals(-code).name}; the same command goes on"
    if code == 0 and not cell.is_done():
        last = f"the training ended without a result ({cell.state()}): see what {words[0]} starts"
    return cell.is_done() or _failed(cell, last or f"exit code {code}", say)


def _failed(cell: Cell, reason: str, say: Callable[[str], None]) -> bool:
    reason = one_line(reason, 500)
    say(f"failed: {reason}")
    write_text(cell.failure, reason + "\n")
    return False


def trainer(cell: Cell, launcher: Sequence[str] = ()) -> list[str]:
    """The words that start a cell's training: launcher such as horovodrun -np 8, this Python, its task's command."""
    return [*launcher, *words_of(task_of(cell.recipe).command)]
