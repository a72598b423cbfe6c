"""Files that are read at any time, of which only so many are open at once: a thousand shards under a limit of 1024."""

from __future__ import annotations

import itertools
import os
import pathlib
import resource
import threading
import weakref
from typing import BinaryIO

from gluon_tricks.core.reading import opened

_FEWEST, _MOST = 16, 4096
_clock = itertools.count()  # next() of it is one step for all threads


class _Open:
    """An open file, closed when nobody has it any more: a thread that still reads from it keeps it open."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.descriptor = file.fileno()

    def __del__(self):
        self.file.close()


class Handles:
    """So many files of a process may be open; of more, the one that was read longest ago is closed.

    Args:
        most: files, >= 1.
    """

    def __init__(self, most: int):
        self.most = most
        self._open: weakref.WeakSet[Handle] = weakref.WeakSet()
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        """A lock of this process's own: a thread of the parent may have held the other one."""
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, handle: Handle) -> None:
        """Takes in a file that has been opened, and closes others for it."""
        with self._lock:
            self._open.add(handle)
            among = sorted(self._open, key=lambda other: other.used)
            for other in among[: max(0, len(among) - self.most)]:
                self._open.discard(other)
                other.close()


class Handle:
    """A file that is opened when it is read and may be closed in between; any number of threads may read at once.

    Args:
        path: of a regular file.
        handles: those among which it counts.
    """

    def __init__(self, path: pathlib.Path, handles: Handles | None = None):
        self.path, self.used = path, 0
        self._handles = HANDLES if handles is None else handles
        self._file: _Open | None = None

    def _opened(self) -> _Open:
        file = self._file
        self.used = next(_clock)
        if file is None:
            file = self._file = _Open(opened(self.path, buffering=0))
            self._handles.add(self)
        return file

    def read(self, start: int, length: int) -> bytes:
        """The bytes at [start, start + length), or what the file has of them. Raises: OSError."""
        file = self._opened()  # a local name keeps it open
        return os.pread(file.descriptor, length, start)

    def state(self) -> tuple[int, int]:
        """The size in bytes and the time of writing in ns. Raises: OSError."""
        file = self._opened()
        state = os.fstat(file.descriptor)
        return state.st_size, state.st_mtime_ns

    def close(self) -> None:
        self._file = None


def _limit() -> int:
    """A quarter of what the process may open: the rest is for libraries, devices and other ranks' connections."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(_MOST, max(_FEWEST, soft // 4))


HANDLES = Handles(_limit())  # of all record files


def open_at_once(files: int) -> int:
    """How many of so many record files are open at the same time, at most."""
    return min(files, HANDLES.most)
