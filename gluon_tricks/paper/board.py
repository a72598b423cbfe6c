"""What is shown of cells that are trained side by side: a live line each on a terminal, else lines as things happen."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shutil
import sys
import time
from collections.abc import Sequence
from typing import TextIO

from gluon_tricks.core.wording import control, fitting, one_line, plural
from gluon_tricks.paper.cells import Cell

# As training/journal.py tells of steps and epochs.
_STEP = re.compile(r"(epoch \d+/\d+)  step \d+/\d+  .*  (\S+ images/s)  (\S+ left)$")
_EPOCH = re.compile(r"(epoch \d+/\d+): (.*), train loss [^ ]+(?:, train error [^ ]+)?, (\S+ images/s)$")
_EVERY = 0.5  # seconds between two drawings


@dataclasses.dataclass
class _Live:
    """What is known of a running cell.

    Args:
        epoch, pace, left: as its steps tell them.
        scores: of its last finished epoch.
    """

    name: str
    epoch: str = "starting"
    scores: str = ""
    pace: str = ""
    left: str = ""

    def hear(self, line: str) -> bool:
        """Takes what a line tells; returns whether it is of a finished epoch."""
        if step := _STEP.match(line):
            self.epoch, self.pace, self.left = step.groups()
        epoch = _EPOCH.match(line)
        if epoch:
            self.epoch, self.scores, self.pace = epoch.groups()
        return epoch is not None

    def __str__(self) -> str:
        first = self.scores.partition(", ")[0]  # such as top-1
        return "  ".join(part for part in (self.name, self.epoch, first, self.pace, self.left) if part)


class Board:
    """What a person sees of cells that are trained at the same time.

    Args:
        todo: all that are to be trained.
        out: a terminal gets a block of lines that is drawn again in place; anything else a line for each start, epoch
            and end.
    """

    def __init__(self, todo: Sequence[Cell], out: TextIO | None = None):
        self._out = out or sys.stdout
        self._live = self._out.isatty() and os.environ.get("TERM", "dumb") != "dumb"
        self._running: dict[int, _Live] = {}  # id of a cell -> what is known of it
        self._needed, self._all = [cell.source for cell in todo if cell.source], len(todo)
        self._begun, self._done, self._failed = 0, 0, 0
        self._block: list[str] = []  # on the terminal
        self._at = 0.0  # when it was drawn

    def started(self, cell: Cell, log: pathlib.Path) -> None:
        """A cell is about to be started."""
        self._begun += 1
        self._running[id(cell)] = _Live(f"{cell.name}, seed {cell.recipe.seed}")
        needed = ", which other cells need first" if cell in self._needed else ""
        self._say(f"--- {self._begun} of {self._all}: {self._running[id(cell)].name}{needed}; its log is {log}")

    def note(self, cell: Cell, line: str) -> None:
        """Something to know of a running cell."""
        self._say(f"{self._running[id(cell)].name}: {line}")

    def heard(self, cell: Cell, line: str) -> None:
        """A cell has printed a line."""
        live = self._running[id(cell)]
        if live.hear(line) and not self._live:
            self.note(cell, line)

    def ended(self, cell: Cell, reason: str) -> None:
        """A cell has ended. Args: reason: why it has no result; "": it has."""
        live = self._running.pop(id(cell))
        self._done, self._failed = self._done + (not reason), self._failed + bool(reason)
        how = f"failed: {one_line(reason, 500)}" if reason else f"done{', ' if live.scores else ''}{live.scores}"
        self._say(f"{live.name}: {how} ({self._count()})")

    def stopping(self, count: int) -> None:
        """All have been asked to stop."""
        if count:
            each = "it writes a checkpoint" if count == 1 else "each writes a checkpoint"
            self._say(f"stopping {plural(count, 'training')}: {each}; a second Ctrl-C ends at once")

    def show(self) -> None:
        """Draws the block again, if it is time to and something in it has changed."""
        if self._live and time.monotonic() - self._at >= _EVERY and self._lines() != self._block:
            self._erase()
            self._draw()

    def close(self) -> None:
        """Takes the block away."""
        self._erase()
        self._live = False

    def _count(self) -> str:
        failed = f", {self._failed} failed" if self._failed else ""
        return f"{self._done} of {self._all} done{failed}"

    def _say(self, line: str) -> None:
        """A line that stays."""
        self._erase()
        print(one_line(line), file=self._out, flush=True)
        if self._live:
            self._draw()

    def _lines(self) -> list[str]:
        """The block, as it fits the terminal now."""
        width, height = shutil.get_terminal_size()
        waiting = self._all - self._done - self._failed - len(self._running)
        last = f"{self._count()}, {plural(len(self._running), 'cell')} in training, {waiting} waiting"
        shown = [str(live) for live in self._running.values()][: max(height - 3, 1)]
        return [fitting(one_line(line), width - 1) for line in (*shown, last)]

    def _draw(self) -> None:
        self._block, self._at = self._lines(), time.monotonic()
        print(*self._block, sep="\n", file=self._out, flush=True)

    def _erase(self) -> None:
        if self._block:
            control(self._out, f"\x1b[{len(self._block)}A\r\x1b[J")  # up, to the left, clear what is below
            self._out.flush()
        self._block = []
