"""Writing packed records: PREFIX.rec, .idx, .json (the manifest), .files (names) and .labels, all of them or none."""

from __future__ import annotations

import array
import contextlib
import errno
import hashlib
import numbers
import os
import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, opened_anew, opened_to_append, require_name
from gluon_tricks.core.given import require_kind, require_names, require_path, require_whole
from gluon_tricks.core.locks import lock
from gluon_tricks.core.wording import quoted, some
from gluon_tricks.data import label_table
from gluon_tricks.data.file_names import ENDING, last_line, name_line
from gluon_tricks.data.label_vectors import PRESENT, require_vector
from gluon_tricks.data.lists import require_distinct
from gluon_tricks.data.manifest import to_text
from gluon_tricks.data.recordio import encode_record

FORMAT = 1  # of the manifest
LEFT_OUT = ".left_out.txt"
ENDINGS = (".rec", ".idx", ENDING, label_table.ENDING, ".json")  # the manifest last
_PARTIAL = ".partial"


class RecordWriter:
    """Writes one set of .rec, .idx, .json and, where names are given, .files; a context manager.

    Of images with one label each the labels are written once more, to .labels, where they are read at once.

    The files grow under temporary names beside the target (PREFIX.rec.partial, ...). Leaving the context in peace
    flushes them to the disk and renames them, the manifest last; leaving it by an error removes them. What a killed
    run left is overwritten by the next, and a lock (which dies with its process) keeps two runs apart.

    Args:
        prefix: the files' common name, without .rec.
        classes: class names in label order.
        overwrite: replace what is there: PREFIX.rec, and shards of this name of any number.
        about: further entries of the manifest.

    Raises: Refused when the name is none of files, the files exist and overwrite is False, or another process is
        writing them.
    """

    def __init__(
        self, prefix: str | os.PathLike, classes: Sequence[str], *, overwrite: bool = False, about: dict | None = None
    ):
        require_path("prefix", prefix, "the files' common name")
        if os.path.basename(prefix) in ("", ".", ".."):
            files = os.path.join(prefix, "train")
            raise Refused(f"{quoted(str(prefix))} is a folder's name: name the files in it, such as {files}")
        if str(prefix).endswith((".rec", ".idx", ".json")):
            raise Refused(
                f"{prefix} should be the files' common name without its ending: .rec, .idx and .json are added"
            )
        require_name(f"{prefix}{LEFT_OUT}", "the name of the packed files")
        self.classes = require_distinct(require_names("classes", classes), f"{prefix}.rec")
        require_kind("about", about, (dict, type(None)), "a dict")
        self.about, self._rec = dict(about or {}), None
        self.targets = {ending: pathlib.Path(f"{prefix}{ending}") for ending in ENDINGS}
        if not overwrite:
            require_none(self._there())
        self._require_places()
        self._partial = {ending: pathlib.Path(f"{path}{_PARTIAL}") for ending, path in self.targets.items()}

    def _require_places(self) -> None:
        """Refuses, before any work, folders where files are to be written."""
        folders = [path for path in self.targets.values() if path.is_dir() and not path.is_symlink()]
        if folders:
            raise Refused(
                f"{folders[0]} is a folder, where a file is to be written: move it away, or choose another name"
            )

    def _there(self) -> list[pathlib.Path]:
        """What is replaced."""
        return packed_under(pathlib.Path(str(self.targets[".rec"]).removesuffix(".rec")))

    def __enter__(self) -> RecordWriter:
        with full_disk_told(self.targets[".rec"].parent):
            self.targets[".rec"].parent.mkdir(parents=True, exist_ok=True)
            self._rec = _open_alone(self._partial[".rec"])
            self._idx = opened_anew(self._partial[".idx"])  # closed by __exit__
        self._hashes = {".rec": hashlib.sha256(), ".idx": hashlib.sha256()}
        self._per_class, self._count, self._several = [0] * len(self.classes), 0, None
        self._names: list[str] = []  # lines of .files
        self._labels = array.array("i")
        return self

    def add(self, label: int | Sequence[int], id: int, image: bytes, name: str = "") -> None:
        """Appends one encoded image (JPEG, PNG, ...); label in [0, len(classes)), id unique in the file.

        Several labels are one for each class: 1 (present), 0 (absent) or -1 (not counted). `name` is that of the
        image's file, for messages. Raises Refused: there is no such label or id, or no bytes.
        """
        if self._rec is None:
            raise Refused("records are written inside of a with statement: with RecordWriter(...) as writer: ...")
        id, name = require_whole("id", id, 0, 2**64 - 1), require_path("name", name or "", "the name of a file")
        require_kind("image", image, (bytes, bytearray, memoryview), "the bytes of a file, such as path.read_bytes()")
        present = self._present(label, id)
        if name:
            self._names.append(name_line(id, self._rec.tell(), name))
        line = f"{id}\t{self._rec.tell()}\n".encode()
        record = encode_record(label if isinstance(label, numbers.Integral) else tuple(label), id, bytes(image))
        with full_disk_told(self.targets[".rec"].parent):
            for file, ending, data in ((self._rec, ".rec", record), (self._idx, ".idx", line)):
                file.write(data)
                self._hashes[ending].update(data)
        self._count += 1
        if not self._several:
            self._labels.append(int(label))
        for k in present:
            self._per_class[k] += 1

    def _present(self, label: int | Sequence[int], id: int) -> list[int]:
        """The classes that an image shows."""
        several = isinstance(label, (tuple, list, np.ndarray))
        if self._several not in (None, several):
            has, had = ("several labels", "one") if several else ("one label", "several")
            raise Refused(f"image {id} has {has}, and each image before it {had}: pack one kind of labels at a time")
        self._several = several
        if not several and (not isinstance(label, numbers.Integral) or not 0 <= label < len(self.classes)):
            raise Refused(
                f"label {quoted(label)} of image {id}: it is a whole number from 0 to {len(self.classes) - 1}"
            )
        if several and len(self.classes) == 1:
            raise Refused(f"image {id} has a label for one class alone: pack two class folders, with it and without it")
        if several and len(label) != len(self.classes):
            raise Refused(f"image {id} has {len(label)} labels, and there are {len(self.classes)} classes")
        labels = require_vector(label, f"image {id}") if several else ()
        return [k for k, value in enumerate(labels) if value == PRESENT] if several else [label]

    @property
    def size(self) -> int:
        """Bytes of the .rec so far."""
        return self._rec.tell()

    def finish(self) -> None:
        """Nothing is left to do: as of ShardWriter."""

    def manifest(self) -> dict:
        """What goes into the .json: format, classes, counts, and size and sha256 of the other two.

        Not this project's version: the manifest is in the data's digest, and the same images packed by a later version
        are the same data.
        """
        sizes = {".rec": self._rec.tell(), ".idx": self._idx.tell()}
        return {
            "format": FORMAT,
            "count": self._count,
            **self.about,
            **{end[1:]: {"bytes": sizes[end], "sha256": self._hashes[end].hexdigest()} for end in sizes},
            "classes": list(self.classes),
            "images_per_class": self._per_class,
        }

    def _beside(self) -> dict[str, bytes]:
        """What is written beside .rec and .idx, by ending."""
        sha256, content = self._hashes[".rec"].hexdigest(), {}
        if self._names:
            content[ENDING] = "".join([*self._names, last_line(sha256)]).encode()
        if self._labels:
            content[label_table.ENDING] = label_table.to_bytes(self._labels, sha256)
        return {**content, ".json": to_text(self.manifest())}

    def __exit__(self, kind, error, trace) -> None:
        try:
            if error is None:
                with full_disk_told(self.targets[".rec"].parent):
                    self._commit()
        except BaseException:
            self._discard()
            raise
        else:
            if error is not None:
                self._discard()
        finally:
            for file in (self._idx, self._rec):  # .rec last: it holds the lock
                with contextlib.suppress(OSError):  # a full disk has been told by then
                    file.close()

    def _discard(self) -> None:
        for path in self._partial.values():
            with contextlib.suppress(OSError):  # a disk that turned read-only has been told by then
                path.unlink(missing_ok=True)

    def _commit(self) -> None:
        beside = self._beside()
        with full_disk_told(self.targets[".rec"].parent):
            for ending, content in beside.items():
                with opened_anew(self._partial[ending]) as file:
                    file.write(content)
                    _to_disk(file)
            _to_disk(self._rec)
            _to_disk(self._idx)
        # An old manifest or index must never stand beside new records, not even if the power fails here.
        for path in self._there():
            if path != self.targets[".rec"]:
                path.unlink()
        for ending, partial in self._partial.items():
            if ending in (".rec", ".idx", *beside):
                partial.replace(self.targets[ending])
            else:  # a killed run's
                partial.unlink(missing_ok=True)
        folder = os.open(self.targets[".rec"].parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def packed_under(prefix: pathlib.Path) -> list[pathlib.Path]:
    """What was packed under this name, in one file or in shards of any number; PREFIX.json first, then manifests."""
    number, endings = r"(-\d{5}-of-\d{5})?", "|".join(map(re.escape, ENDINGS))
    ours = re.compile(re.escape(prefix.name) + number + f"({endings})")
    parent = prefix.parent
    found = [path for path in (parent.iterdir() if parent.is_dir() else ()) if ours.fullmatch(path.name)]
    return sorted(found, key=lambda path: (path.name != f"{prefix.name}.json", path.suffix != ".json", path))


def require_none(there: Sequence[pathlib.Path]) -> None:
    """Refuses to write where something was packed before."""
    if there:
        raise Refused(f"{some(sorted(map(str, there)), 3)} exist already: give --overwrite, or another name")


def _open_alone(path: pathlib.Path):
    """Opens a temporary file for this process only: new, and locked until it is closed.

    What a killed process left is replaced, once its lock is ours: a link that somebody put there is not followed.
    """
    before = None
    try:
        if os.path.lexists(path) and not path.is_symlink():
            before = opened_to_append(path)
            lock(before)
            if not os.path.samestat(os.fstat(before.fileno()), os.stat(path)):
                raise FileNotFoundError
        file = opened_anew(path)
        lock(file)
        return file
    except (BlockingIOError, FileNotFoundError, FileExistsError):  # locked, or renamed by its owner while we waited
        raise Refused(
            f"another process is writing {str(path)[: -len(_PARTIAL)]}: wait for it, or choose another name"
        ) from None
    finally:
        if before is not None:
            before.close()


@contextlib.contextmanager
def alone(prefix: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from writing PREFIX.rec. Raises Refused if one does."""
    path = pathlib.Path(f"{prefix}.rec{_PARTIAL}")
    with _open_alone(path):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def full_disk_told(folder: pathlib.Path):
    """Tells of a file in the folder that cannot be written, by CannotWrite."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            wrong = f"the disk of {folder} is full; nothing was packed: free some space, or choose another"
        else:
            place = folder if error.filename is None else error.filename
            wrong = f"{place} cannot be written: {error.strerror or error}; nothing was packed"
        raise CannotWrite(wrong) from None
