"""Work on many images with all cores: results in order, a bounded number in flight, progress shown."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TextIO, TypeVar

import tqdm

from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.moves import moved
from gluon_tricks.core.wording import Harmless

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result], items: Sequence[Item], *, jobs: int | None = None, what: str
) -> Iterator[Result]:
    """Yields work(item) for each item, in the items' order, computed on threads.

    Threads suit what OpenCV, file reading and hashing do: they let go of Python's lock.

    Args:
        jobs: number of threads; default: all cores.
        what: what the progress bar calls this ("packing").
    """
    return progress(_results(work, items, jobs or usable_cores()), len(items), what)


@contextlib.contextmanager
def silent_codecs() -> Iterator[None]:
    """Keeps what libjpeg and libpng write of odd images to file descriptor 2 from the terminal; it names no file.

    Python's own sys.stderr goes on to where it went.
    """
    theirs, nowhere, ours = os.dup(2), os.open(os.devnull, os.O_WRONLY), sys.stderr
    try:
        ours.flush()
        if _descriptor(ours) == 2:
            sys.stderr = Harmless(open(theirs, "w", buffering=1, errors="backslashreplace", closefd=False))
        os.dup2(nowhere, 2)
        yield
    finally:
        sys.stderr.flush()
        sys.stderr = ours
        os.dup2(theirs, 2)
        os.close(theirs)
        os.close(nowhere)


def _descriptor(file: TextIO) -> int:
    try:
        return file.fileno()
    except (OSError, ValueError, AttributeError):  # something else stands in for it
        return -1


def _results(work: Callable, items: Iterable, jobs: int) -> Iterator:
    pool, pending = concurrent.futures.ThreadPoolExecutor(jobs), collections.deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) > 8 * jobs:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def progress(results: Iterable, total: int, what: str, seconds: float = 30, unit: str = "images") -> Iterator:
    """A bar on a terminal; in a log file or pipe a plain line every `seconds`. Each result is a move of the process."""
    results = _moving(results)
    if sys.stderr.isatty():
        yield from tqdm.tqdm(results, total=total, desc=what, unit=f" {unit}")
        return
    said = time.monotonic()
    for done, result in enumerate(results, start=1):
        yield result
        if time.monotonic() - said >= seconds:
            said = time.monotonic()
            print(f"{what}: {done} of {total} {unit}", file=sys.stderr, flush=True)


def _moving(results: Iterable) -> Iterator:
    for result in results:
        moved()
        yield result
