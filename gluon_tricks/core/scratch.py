"""Folders that are made whole or not at all; what processes that were killed have left of one, the next removes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator

from gluon_tricks.core.locks import lock
from gluon_tricks.core.reading import expanded

CACHE = "GLUON_TRICKS_CACHE"  # names the folder of what can be made again


def cache_folder() -> pathlib.Path:
    """Where what can be made again is kept: $GLUON_TRICKS_CACHE, without that variable ~/.cache/gluon_tricks."""
    return expanded(os.environ.get(CACHE) or "~/.cache/gluon_tricks").absolute()


def make_whole(
    folder: pathlib.Path, make_into: Callable[[pathlib.Path], None], instead: bool = False, scratch_name: str = ""
) -> None:
    """Makes a folder under another name and renames it when it is whole; of two processes the first one's stays.

    Args:
        make_into: is given the folder to fill.
        instead: of what is there, which goes.
        scratch_name: of the temporary folder, where leftovers of other folders are to go too; "": the folder's.

    Raises:
        OSError: of the file system.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder.parent, scratch_name or folder.name) as scratch:
        whole = scratch / folder.name
        whole.mkdir()
        make_into(whole)
        if instead:
            folder.rename(scratch / "old")
        try:
            whole.rename(folder)
        except OSError:  # another process was first and has made the same
            if not folder.is_dir():
                raise


@contextlib.contextmanager
def scratch_folder(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
    """A folder PREFIX.<16 hex digits> in `parent`, removed at the end. Its process holds a lock on it while it lives.

    Folders of this name whose lock nobody holds are left over from processes that were killed: they are removed first.
    """
    _remove_leftovers(parent, prefix)
    path = parent / f"{prefix}.{secrets.token_hex(8)}"
    path.mkdir(0o700)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with contextlib.suppress(OSError):  # another looks at its age, or there are no locks: then leftovers stay
                lock(folder)
            yield path
        finally:
            os.close(folder)
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _remove_leftovers(parent: pathlib.Path, prefix: str) -> None:
    for path in parent.iterdir():
        if not re.fullmatch(re.escape(prefix) + r"\.([0-9a-f]{16}|[a-z0-9_]{8})", path.name):
            continue
        with contextlib.suppress(OSError):  # a link, somebody else's, one that is gone, or one that is at work
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # One that was made a moment ago may not have its lock yet. Versions up to 0.5 gave names of 8 letters,
                # such as .original: what a person called so holds the pictures themselves, not a folder of them.
                ours = len(path.name) == len(prefix) + 17 or {*os.listdir(lock)} <= {prefix, "old"}
                if ours and _seconds_old(lock) > 60:
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def _seconds_old(descriptor: int) -> float:
    return time.time() - os.fstat(descriptor).st_mtime
