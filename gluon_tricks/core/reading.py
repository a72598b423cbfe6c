"""Reading files, of which a hostile one may be anything: a pipe is not waited for, a device does not fill the memory.

Whatever a person or a run names is opened here, so that what is no file, too large or unreadable is told in a sentence.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import stat
from collections.abc import Iterator
from typing import BinaryIO

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import byte_size, printable

# The most that is read of a file, in bytes, by what it is.
LIST_BYTES = 1 << 30  # one of ImageNet's 14 million images would have 0.7e9
JSON_BYTES = 1 << 26  # a manifest with a million class names, the answer to a photo
MEAN_BYTES = 1 << 27  # a mean image of the largest side has 1 << 26 in base64 alone
RECIPE_BYTES = 1 << 22  # ours have 2 kB
IMAGE_BYTES = 1 << 29  # a record cannot hold more
ANNOTATION_BYTES = 1 << 24  # those of VOC have 500 to 20,000
PARAMETER_BYTES = 1 << 32  # a checkpoint of VGG-19, the largest network, has 1.2e9
TOLD_BYTES = 1 << 28  # what a run tells of itself: a line of events or metrics has 500


def expanded(path: str | os.PathLike) -> pathlib.Path:
    """A path whose ~ or ~user is that person's folder; of nobody known it stays as it is, as in a shell.

    pathlib's expanduser ends with a RuntimeError then, and a class may be called ~x.
    """
    return pathlib.Path(os.path.expanduser(path))


def why_unseen(path: str | os.PathLike) -> str:
    """Why the system does not show what a name leads to, such as " (Permission denied)"; "": it does, or there is none.

    It goes behind what is said where os.path finds nothing; pathlib's exists, is_file and is_dir raise an error then.
    """
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError) as error:  # the latter of a NUL in the name
        return f" ({getattr(error, 'strerror', None) or _NO_NAME})"
    return ""


def file_of_run(parameters: pathlib.Path, name: str) -> pathlib.Path:
    """Where a run's file is, or would be, beside its parameters; checkpoints lie in a folder of their own there."""
    folder = parameters.absolute().parent
    folders = [folder, folder.parent] if folder.name == "checkpoints" else [folder]
    return next((place / name for place in folders if os.path.exists(place / name)), folder / name)


class Unreadable(OSError, Refused):
    """What was named cannot be read: it is no file, too large, not there, or the system refuses it.

    strerror is the reason in a few words; caught as OSError, it can be told with another remedy.
    """

    def __str__(self) -> str:
        return f"{printable(self.filename)} cannot be read: {self.strerror}"


def opened(path: str | os.PathLike, most: float = float("inf"), buffering: int = -1) -> BinaryIO:
    """A regular file, opened for reading; links to one are followed.

    Args:
        most: bytes that it may have.
        buffering: as of open.

    Raises:
        Unreadable: it is a pipe, a device, a folder or a socket, is larger, or cannot be opened.
    """
    with _told(path):
        file = open(path, "rb", buffering, opener=_without_waiting)  # noqa: SIM115
        try:
            state = os.fstat(file.fileno())
            kind = stat.S_IFMT(state.st_mode)
            if kind != stat.S_IFREG:
                remedy = ": save what comes out of it to a file first" if kind == stat.S_IFIFO else ""
                raise OSError(errno.EINVAL, KINDS.get(kind, "it is no file") + remedy)
            if state.st_size > most:
                raise OSError(errno.EFBIG, _too_large(state.st_size, most))
        except OSError:
            file.close()
            raise
    return file


def read_bytes(path: str | os.PathLike, most: int) -> bytes:
    """The bytes of a regular file. Raises: Unreadable as `opened` does, too of a file that grows beyond `most`."""
    with opened(path, most) as file, _told(path):
        size = os.fstat(file.fileno()).st_size
        data = file.read(size + 1)  # of most + 1, so much memory would be taken first
        if len(data) <= size:
            return data
        parts, size = [data], len(data)
        while size <= most and (part := file.read(1 << 16)):
            parts.append(part)
            size += len(part)
        if size > most:
            raise OSError(errno.EFBIG, f"it grows while it is read, and {byte_size(most)} are the most")
    return b"".join(parts)


def read_text(path: str | os.PathLike, most: int, errors: str = "strict") -> str:
    """read_bytes as text in UTF-8. Raises: UnicodeDecodeError too."""
    return read_bytes(path, most).decode("utf-8", errors)


KINDS = {
    stat.S_IFIFO: "it is a pipe, not a file",
    stat.S_IFCHR: "it is a device, not a file",
    stat.S_IFBLK: "it is a device, not a file",
    stat.S_IFDIR: "it is a folder, not a file",
    stat.S_IFSOCK: "it is a socket, not a file",
}
_NO_NAME = "no file can have this name"
_REASONS = {errno.EISDIR: KINDS[stat.S_IFDIR], errno.ENXIO: KINDS[stat.S_IFSOCK]}


def _too_large(size: int, most: float) -> str:
    return f"it has {byte_size(size)}, and {byte_size(most)} are the most"


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer would be waited for


@contextlib.contextmanager
def _told(path: str | os.PathLike) -> Iterator[None]:
    """Turns the errors of the file system into Unreadable."""
    try:
        yield
    except OSError as error:
        reason = _REASONS.get(error.errno, error.strerror or str(error))
        raise Unreadable(error.errno or errno.EIO, reason, os.fspath(path)) from None
    except ValueError:  # a NUL in the name
        raise Unreadable(errno.EINVAL, _NO_NAME, os.fspath(path)) from None
