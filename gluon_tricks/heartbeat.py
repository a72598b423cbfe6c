"""Signs of life of a rank, for scripts/launch.py: where it is, whether it moves, and whether it waits for others."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

MARK = "gluon_tricks heartbeat:"  # then: step, number of moves so far, 1 if it waits for other ranks
VARIABLE = "GLUON_TRICKS_HEARTBEAT"  # seconds between two; without it there are none

_place = {"step": 0, "moves": 0, "waiting": 0}


def start() -> None:
    """From now on a thread writes a line to stderr every few seconds, if a launcher asked for it."""
    if VARIABLE in os.environ:
        threading.Thread(target=_beat, args=(float(os.environ[VARIABLE]),), daemon=True).start()


def moved(step: int | None = None) -> None:
    """The process has got further: a step is done, or a batch of an evaluation."""
    _place["moves"] += 1
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
    while True:
        sys.stderr.write(f"{MARK} {_place['step']} {_place['moves']} {_place['waiting']}\n")
        sys.stderr.flush()
        time.sleep(seconds)
