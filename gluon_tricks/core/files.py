"""Writing files so that they are whole or not there, and so that a failure names its place."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import TypeVar

from gluon_tricks.core.errors import Refused

_Result = TypeVar("_Result")


class CannotWrite(RuntimeError):
    """A disk is full, read-only or gone; the message names the place."""


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns the errors of the file system into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def no_empty_folders(path: str | os.PathLike) -> Iterator[None]:
    """Around what makes a folder to write into: of the folders made, those still empty at the end are removed.

    So a full disk, whose folders can be made where files cannot, is left as it was.
    """
    path = pathlib.Path(path).absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        yield
    finally:
        for folder, _, _ in os.walk(missing[-1], topdown=False) if missing else ():
            with contextlib.suppress(OSError):  # it holds something
                os.rmdir(folder)


def require_writable(path: pathlib.Path, what: str) -> None:
    """Finds out before any work whether a file can be written.

    Args:
        what: the flag that names the file, for the message.

    Raises:
        Refused: it is a folder, or in a folder that does not exist.
        CannotWrite: the disk is full or read-only.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise Refused(f"{what} {path}: {'it is a folder' if path.is_dir() else 'there is no such folder'}")
    if not _is_device(path):
        with writing(path):
            _require_room(path.absolute().parent)


def write_atomically(path: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Calls write(temporary path), then flushes the file to the disk and renames it to `path`.

    Devices and pipes, such as /dev/stdout, are written to as they are.

    Raises:
        CannotWrite: what was at `path` before is still there.
    """
    if _is_device(path):
        with writing(path):
            write(path)
        return
    target = pathlib.Path(os.path.realpath(path))  # a link stays one
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with writing(path):
        try:
            write(temporary)
            _to_disk(temporary)
            _require_room(target.parent)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        _to_disk(target.parent)


def write_text(path: pathlib.Path, text: str) -> None:
    """write_atomically of a text in UTF-8."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_together(folder: pathlib.Path, write: Callable[[pathlib.Path], _Result]) -> _Result:
    """Calls write(temporary folder), then moves its files into `folder`: all of them, or none if it failed.

    Raises:
        CannotWrite: what was in `folder` before is still there.
    """
    with writing(folder), tempfile.TemporaryDirectory(dir=folder, prefix=".writing") as scratch:
        result = write(pathlib.Path(scratch))
        files = sorted(pathlib.Path(scratch).iterdir())
        _require_room(folder)
        for file in files:
            _to_disk(file)
            if (folder / file.name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{file.name} is a folder")
        for file in files:
            os.replace(file, folder / file.name)
        _to_disk(folder)
    return result


def bytes_of(write: Callable[[str], object]) -> bytes:
    """What write(name of a file) writes.

    For libmxnet, which has errors of its own for a disk and does not notice when the end of a file is refused.
    """
    with os.fdopen(os.memfd_create("bytes_of"), "rb") as file:
        write(f"/proc/self/fd/{file.fileno()}")
        return file.read()


def _require_room(folder: pathlib.Path) -> None:
    """Raises OSError where a disk has no room for one more block.

    After a file was written: C libraries, libmxnet's among them, do not say that the disk refused their last block.
    """
    with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
        probe.write(bytes(4096))


def _to_disk(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_device(path: pathlib.Path) -> bool:
    """Whether it is no file that another could take the place of."""
    in_dev = pathlib.Path("/dev") in path.absolute().parents and pathlib.Path("/dev/shm") not in path.absolute().parents
    return path.exists() and (in_dev or not path.is_file())
