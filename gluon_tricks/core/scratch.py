"""A temporary folder beside what is made in it; those of processes that were killed are removed by the next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator


@contextlib.contextmanager
def scratch_folder(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
    """A folder PREFIX.xxxxxxxx in `parent`, removed at the end. Its process holds a lock on it as long as it lives.

    Folders of this name whose lock nobody holds are left over from processes that were killed: they are removed first.
    """
    _remove_leftovers(parent, prefix)
    with tempfile.TemporaryDirectory(dir=parent, prefix=f"{prefix}.") as name:
        lock = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: then its leftovers stay
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield pathlib.Path(name)
        finally:
            os.close(lock)


def _remove_leftovers(parent: pathlib.Path, prefix: str) -> None:
    for path in parent.iterdir():
        if not re.fullmatch(re.escape(prefix) + r"\.[a-z0-9_]{8}", path.name):
            continue
        with contextlib.suppress(OSError):  # a link, somebody else's, one that is gone, or one that is at work
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _seconds_old(lock) > 60:  # one that was made a moment ago may not have its lock yet
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _seconds_old(descriptor: int) -> float:
    return time.time() - os.fstat(descriptor).st_mtime
