"""The log of a cell that is trained beside others: what its process prints, in a file, and what of it is new."""

from __future__ import annotations

import datetime
import pathlib
import shlex
from collections.abc import Sequence

from gluon_tricks.core.files import opened_to_append, writing
from gluon_tricks.core.reading import opened
from gluon_tricks.core.wording import one_line

_AT_ONCE = 1 << 20  # bytes


class CellLog:
    """A file to which a process writes by itself, so that it needs nobody who reads.

    Args:
        path: appended to, as a cell may go on.
        words: the command, which is written before what it prints.
    """

    def __init__(self, path: pathlib.Path, words: Sequence[str]):
        with writing(path):
            self.file = opened_to_append(path)
            now = f"{datetime.datetime.now():%Y-%m-%d %H:%M:%S}"
            print(now, one_line(shlex.join(words)), file=self.file, flush=True)
        self._read, self._rest, self.last = opened(path), b"", ""
        self._read.seek(0, 2)

    def new_lines(self, ended: bool = False) -> list[str]:
        """The lines that have been written since; of one that is not complete nothing, unless the process has ended."""
        found: list[bytes] = []
        while data := self._read.read(_AT_ONCE):
            *whole, self._rest = (self._rest + data).split(b"\n")
            found += whole
        if ended and self._rest:
            found, self._rest = [*found, self._rest], b""
        lines = [line.decode("utf-8", "backslashreplace").rsplit("\r", 1)[-1].rstrip() for line in found]
        self.last = next((line.strip() for line in reversed(lines) if line.strip()), self.last)
        return lines

    def close(self) -> None:
        self.file.close()
        self._read.close()
