"""Writing files so that they are whole or not there, and so that a failure names its place."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator


class CannotWrite(RuntimeError):
    """A disk is full, read-only or gone in the middle of a run; the message names the place."""


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
    """Turns the errors of the file system into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror or error}") from error


def write_atomically(path: pathlib.Path, write: Callable[[pathlib.Path], None]) -> None:
    """Calls write(temporary path), then flushes the file to the disk and renames it to `path`.

    Raises:
        CannotWrite: what was at `path` before is still there.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
