"""Writing files so that they are whole or not there, through no link, and so that a failure names its place.

While it is written, a file has a name that nobody can know before: a link that somebody put there is not followed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import secrets
import shutil
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, TextIO, TypeVar

from gluon_tricks.core.errors import Refused, Told
from gluon_tricks.core.owned import require_unowned
from gluon_tricks.core.reading import KINDS
from gluon_tricks.core.wording import is_plain, one_line, printable

_Result = TypeVar("_Result")


class CannotWrite(Told, RuntimeError):
    """A disk is full, read-only or gone; the message names the place."""


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turns the errors of the file system into CannotWrite."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(f"{printable(path)} cannot be written: {error.strerror or error}") from error


def require_name(path: str | os.PathLike, what: str) -> None:
    """Refuses, before any work, a name for a new file or folder that a disk does not take or that cannot be told.

    Args:
        what: the flag that gives the name, for the message.

    Raises:
        Refused: a part of it is longer than 255 bytes, is no UTF-8, or holds control characters.
    """
    text = os.fspath(path)
    longest = max(len(os.fsencode(part)) for part in text.split(os.sep))
    if longest > 255 or len(os.fsencode(text)) > 4095:
        raise Refused(f"{what} {printable(text)}: no file can have a name of {longest} bytes, choose one of up to 255")
    if not is_plain(text):
        raise Refused(f"{what} {printable(text)}: the name holds control characters or is no UTF-8, choose another")


def file_name(text: str, most: int = 255) -> str:
    """A name that a file or folder can have, made of any text: on one line, in a folder, not hidden, not too long.

    Args:
        most: bytes.
    """
    name = one_line(text).replace("/", "_")
    name = f"_{name[1:]}" if name[:1] in ("", ".") else name
    return name.encode()[:most].decode("utf-8", "ignore")


def distinct_names(texts: Sequence[str]) -> list[str]:
    """file_name of each text, with -2, -3, ... behind those that are the same, too where capitals do not count."""
    names: dict[str, str] = {}  # as they are compared -> as they are
    for text in texts:
        name, number = file_name(text), 1
        while unicodedata.normalize("NFC", name).casefold() in names:
            number += 1
            ending = f"-{number}"
            name = file_name(text, 255 - len(ending)) + ending
        names[unicodedata.normalize("NFC", name).casefold()] = name
    return [*names.values()]


@contextlib.contextmanager
def no_empty_folders(path: str | os.PathLike) -> Iterator[None]:
    """Around what makes a folder to write into: of the folders made, those still empty at the end are removed.

    So a full disk, whose folders can be made where files cannot, is left as it was.
    """
    path = pathlib.Path(path).absolute()
    missing = [folder for folder in (path, *path.parents) if not os.path.exists(folder)]
    try:
        yield
    finally:
        for folder, _, _ in os.walk(missing[-1], topdown=False) if missing else ():
            with contextlib.suppress(OSError):  # it holds something
                os.rmdir(folder)


def require_writable(path: pathlib.Path, what: str, over_owned: bool = False) -> None:
    """Finds out before any work whether a file that a person names can be written.

    Args:
        what: the flag that names the file, for the message.
        over_owned: whether it may be a file that a run or records need (see core.owned).

    Raises:
        Refused: no file can be called so, it is a folder or in one that does not exist, or a file that a run or records
            need.
        CannotWrite: the disk is full or read-only, the device refuses, or it is a pipe that nobody reads.
    """
    require_name(path, what)
    target = pathlib.Path(os.path.realpath(path))  # of a link the place that it leads to
    if target.is_dir() or not target.parent.is_dir() or target.is_symlink():  # the last: links in a circle
        wrong = "it is a folder" if target.is_dir() else "there is no such folder"
        raise Refused(f"{what} {path}: {'its links lead nowhere' if target.is_symlink() else wrong}")
    if not over_owned:
        require_unowned(target, what)
    with writing(path):
        if not _is_device(path):
            _require_room(target.parent)
        elif path.is_fifo():
            _to_named(path, os.O_WRONLY)  # left open, as whoever reads it would take its closing for the end
        else:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY))


def require_folder(path: pathlib.Path, what: str, *files: str) -> None:
    """Finds out before any work whether a folder can be made and written in, without making it.

    Args:
        what: the flag that names it, for the message.
        files: names of what will be written there: none of them may be a folder.

    Raises:
        Refused: no folder can be called so, it or one that it would lie in is a file, or one of the files is a folder.
        CannotWrite: the disk is full or read-only.
    """
    require_name(path, what)
    there = path.absolute()
    while not os.path.lexists(there):
        there = there.parent
    if not there.is_dir():
        raise Refused(f"{what} {path}: {there} is {'no folder' if there.exists() else 'a link that leads nowhere'}")
    for name in files:
        if (path / name).is_dir():
            raise Refused(f"{what} {path}: {name} in it is a folder, where a file is to be written: move it away")
    with writing(path):
        _require_room(there)


def opened_to_append(path: pathlib.Path, named: bool = False) -> TextIO:
    """A file to add lines to, made if it is not there; its name is a program's own, so a link there is not followed.

    Args:
        named: a person gave the name: it may be a link, a device, or a pipe that is being read.

    Raises:
        OSError: it is no file, or the system refuses it.
    """
    file = open(path, "a", encoding="utf-8", opener=_to_named if named else _to_own)  # noqa: SIM115
    kind = stat.S_IFMT(os.fstat(file.fileno()).st_mode)
    if kind not in ((stat.S_IFREG, stat.S_IFCHR, stat.S_IFIFO) if named else (stat.S_IFREG,)):
        file.close()
        raise OSError(errno.EINVAL, f"{KINDS.get(kind, 'it is no file')}: remove it", str(path))
    os.set_blocking(file.fileno(), True)
    return file


def _to_named(path: str, flags: int) -> int:
    return _telling(path, flags | os.O_NONBLOCK, {errno.ENXIO: "it is a pipe that nobody reads"})


def _to_own(path: str, flags: int) -> int:
    reasons = {errno.EISDIR: f"{KINDS[stat.S_IFDIR]}: remove it", errno.ELOOP: "it is a link: remove it"}
    reasons[errno.ENXIO] = f"{KINDS[stat.S_IFIFO]}: remove it"
    return _telling(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW, reasons)


def _telling(path: str, flags: int, reasons: dict[int, str]) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise OSError(error.errno, reasons.get(error.errno, error.strerror), path) from None


def opened_anew(path: pathlib.Path) -> BinaryIO:
    """A new file for writing; what was there under this name goes, and what a link there leads to stays as it is."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    return open(path, "xb", opener=_to_own)


def write_atomically(path: pathlib.Path, write: Callable[[pathlib.Path], object], named: bool = False) -> None:
    """Calls write(temporary path), then flushes the file to the disk and renames it to `path`.

    Args:
        named: a person gave the name: a link there stays one, and devices and pipes, such as /dev/stdout, are written
            to as they are. Of a program's own name a link or a pipe is replaced, and what it leads to stays as it is.

    Raises:
        CannotWrite: what was at `path` before is still there. Also for a device under a program's own name: replaced,
            which root could do, it would be lost to the whole machine.
    """
    if named and _is_device(path):
        with writing(path):
            write(path)
        return
    if not named and _is_hardware(path):
        raise CannotWrite(f"{printable(path)} cannot be written: it is a device, not a file")
    target = pathlib.Path(os.path.realpath(path)) if named else path
    temporary = target.with_name(f"{_TEMPORARY}{secrets.token_hex(8)}")
    with writing(path):
        try:
            open(temporary, "xb").close()  # nobody else has made it
            write(temporary)
            _to_disk(temporary)
            _require_room(target.parent)
            os.replace(temporary, target)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()
        _to_disk(target.parent)


def write_text(path: pathlib.Path, text: str, named: bool = False) -> None:
    r"""write_atomically of a text in UTF-8; what is none, of a file's name, becomes \xe9."""
    write_atomically(path, lambda temporary: temporary.write_text(text, "utf-8", "backslashreplace"), named)


_TEMPORARY = ".gluon-tricks-"


def is_leftover(name: str) -> bool:
    """Whether a file or folder is called as only those of a killed process are, of which none was finished."""
    return re.fullmatch(re.escape(_TEMPORARY) + "[0-9a-f]{16}", name) is not None


def write_together(folder: pathlib.Path, write: Callable[[pathlib.Path], _Result]) -> _Result:
    """Calls write(temporary folder), then moves its files into `folder`: all of them, or none if it failed.

    Raises:
        CannotWrite: what was in `folder` before is still there.
    """
    with writing(folder), _scratch(folder) as scratch:
        result = write(scratch)
        files = sorted(scratch.iterdir())
        _require_room(folder)
        for file in files:
            _to_disk(file)
            if (folder / file.name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{file.name} is a folder")
        for file in files:
            os.replace(file, folder / file.name)
        _to_disk(folder)
    return result


@contextlib.contextmanager
def _scratch(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    path = folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
    path.mkdir(0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


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


def _is_hardware(path: pathlib.Path) -> bool:
    """Whether a name is a device's own, or in the folder of devices."""
    return not path.is_symlink() and not path.is_fifo() and _is_device(path)


def _is_device(path: pathlib.Path) -> bool:
    """Whether it is no file that another could take the place of."""
    in_dev = pathlib.Path("/dev") in path.absolute().parents and pathlib.Path("/dev/shm") not in path.absolute().parents
    return path.exists() and (in_dev or not path.is_file()) and not path.is_dir()
