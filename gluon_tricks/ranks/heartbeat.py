"""Signs of life of ranks: each tells where it is, whether it moves and whether it waits; the launcher, who is stuck."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

from gluon_tricks.core import moves
from gluon_tricks.core.commands import output_to_nowhere
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted

MARK = "gluon_tricks heartbeat:"  # then: step, number of moves so far, 1 if it waits for other ranks
VARIABLE = "GLUON_TRICKS_HEARTBEAT"  # seconds between two; without it there are none

_unheard = threading.Lock()  # taken once there is no launcher any more, nor another who reads what is said
_stopping = threading.Event()  # set once the process has been asked to stop
_place = {"step": 0, "waiting": 0}


def start() -> None:
    """From now on a thread writes a line to stderr every few seconds, if a launcher asked for it."""
    if VARIABLE in os.environ:
        try:
            seconds = float(os.environ[VARIABLE])
        except ValueError:
            seconds = math.nan
        if not 0 < seconds < 1e6:
            raise Refused(f"{VARIABLE} is {quoted(os.environ[VARIABLE])}: it takes a number of seconds; leave it out")
        threading.Thread(target=_beat, args=(seconds,), daemon=True).start()


def moved(step: int | None = None) -> None:
    """The process has got further: a step is done, or a batch of an evaluation."""
    moves.moved()
    if step is not None:
        _place["step"] = step


@contextlib.contextmanager
def waiting() -> Iterator[None]:
    """What is done inside ends only when all ranks have come there."""
    _place["waiting"] = 1
    try:
        yield
    finally:
        _place["waiting"] = 0


def _beat(seconds: float) -> None:
    """Without anyone to hear it, as when the launcher was killed on another machine, the rank is asked to stop."""
    while True:
        try:
            sys.stderr.write(f"{MARK} {_place['step']} {moves.moves()} {_place['waiting']}\n")
            sys.stderr.flush()
        except OSError:
            _nobody_hears()
            return
        time.sleep(seconds)


def stopping() -> None:
    """The process has been asked to stop: it does not ask itself once more, as a second request ends it at once."""
    _stopping.set()


@contextlib.contextmanager
def heard_or_not() -> Iterator[None]:
    """What is printed inside may find nobody to hear it any more: then, too, a process that can be is asked to stop."""
    try:
        yield
    except BrokenPipeError:
        if not callable(signal.getsignal(signal.SIGTERM)):
            raise
        _nobody_hears()


def _nobody_hears() -> None:
    """The process asks itself to stop, unless it was asked before; what it says until then goes nowhere."""
    if _unheard.acquire(blocking=False):
        output_to_nowhere(1, 2)
        if not _stopping.is_set():
            os.kill(os.getpid(), signal.SIGTERM)


class RankMonitor:
    """What the ranks' heartbeats tell: which of them hangs while the others wait for it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._begun = math.inf  # when one first moved or waited: until then all start, which may take long
        self._beats: dict[int, tuple[float, float, str, list[str]]] = {}  # rank -> last beat, last move, step, words

    def hear(self, rank: int, line: str) -> bool:
        """Whether a line of a rank is a heartbeat."""
        if not line.startswith(MARK):
            return False
        step, *words = line[len(MARK) :].split()
        now, (_, moved, _, before) = self._clock(), self._beats.get(rank, (0, self._clock(), "", []))
        self._begun = min(self._begun, now if words != ["0", "0"] else math.inf)
        self._beats[rank] = now, moved if words[:1] == before[:1] else now, step, words
        return True

    def silent(self, after: float) -> dict[int, tuple[float, str]]:
        """Rank -> seconds since its last sign of life and the step that it told, where these are more than `after`."""
        now = self._clock()
        return {rank: (now - beat, step) for rank, (beat, _, step, _) in self._beats.items() if now - beat > after}

    @property
    def are_told(self) -> bool:
        """Whether any rank gives signs of life; a program without this package gives none."""
        return bool(self._beats)

    def has_begun(self) -> bool:
        """Whether any rank has done a step."""
        return any(step != "0" for _, _, step, _ in self._beats.values())

    def stuck(self, after: float) -> str:
        """Which ranks have been silent for so many seconds, or else hang while others wait; "": none."""
        now, beats = self._clock(), sorted(self._beats.items())
        silent = [(rank, step) for rank, (_, step) in sorted(self.silent(after).items())]
        still = [
            (rank, step)
            for rank, (_, moved, step, words) in beats
            if now - max(moved, self._begun) > after and words[1:] == ["0"]
        ]
        if not still and beats and all(now - moved > after for _, (_, moved, _, _) in beats):
            still = [(rank, step) for rank, (_, _, step, _) in beats]  # all wait for each other
        words = f"has not moved for {after:g} s; the step it last reported:"
        return ", ".join(f"rank {rank} {words} {step}" for rank, step in silent or still)
