"""Packing images into RecordIO: PREFIX.rec, .idx, .json (the manifest) and .files (names), all of them or none."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import hashlib
import json
import numbers
import os
import pathlib
import shutil
from collections.abc import Sequence

import cv2

import gluon_tricks
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import (
    CannotWrite,
    no_empty_folders,
    opened_anew,
    opened_to_append,
    require_name,
    write_text,
)
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import byte_size, printable, quoted
from gluon_tricks.data.encoding import NoImage, encoded
from gluon_tricks.data.file_names import ENDING, last_line, name_line
from gluon_tricks.data.lists import require_distinct
from gluon_tricks.data.parallel import in_order, silent_codecs
from gluon_tricks.data.recordio import encode_record
from gluon_tricks.data.sources import Entry, Source

FORMAT = 1  # of the manifest
_RECORD_OVERHEAD = 64  # bytes per image, at most: mark, header, padding and the line of the .idx
_PARTIAL = ".partial"
_LEFT_OUT = ".left_out.txt"
_SHOWN = 10  # files left out that are told one by one


class RecordWriter:
    """Writes one set of .rec, .idx, .json and, where names are given, .files; a context manager.

    The files grow under temporary names beside the target (PREFIX.rec.partial, ...). Leaving the context in peace
    flushes them to the disk and renames them, the manifest last; leaving it by an error removes them. What a killed
    run left is overwritten by the next, and a lock (which dies with its process) keeps two runs apart.

    Args:
        prefix: the files' common name, without .rec.
        classes: class names in label order.
        overwrite: replace files that are there.
        about: further entries of the manifest.

    Raises: Refused when the files exist and overwrite is False, or another process is writing them.
    """

    def __init__(
        self, prefix: str | os.PathLike, classes: Sequence[str], *, overwrite: bool = False, about: dict | None = None
    ):
        if str(prefix).endswith((".rec", ".idx", ".json")):
            raise Refused(
                f"{prefix} should be the files' common name without its ending: .rec, .idx and .json are added"
            )
        require_name(f"{prefix}{_LEFT_OUT}", "the name of the packed files")
        self.classes, self.about = require_distinct(classes, f"{prefix}.rec"), dict(about or {})
        self.targets = {ending: pathlib.Path(f"{prefix}{ending}") for ending in (".rec", ".idx", ENDING, ".json")}
        there = [str(path) for path in self.targets.values() if os.path.lexists(path)]
        if there and not overwrite:
            raise Refused(f"{' and '.join(there)} exist already: give --overwrite, or another name")
        self._require_places()
        self._partial = {ending: pathlib.Path(f"{path}{_PARTIAL}") for ending, path in self.targets.items()}

    def _require_places(self) -> None:
        """Refuses, before any work, folders where files are to be written."""
        folders = [path for path in self.targets.values() if path.is_dir() and not path.is_symlink()]
        if folders:
            raise Refused(
                f"{folders[0]} is a folder, where a file is to be written: move it away, or choose another name"
            )

    def __enter__(self) -> RecordWriter:
        with _full_disk_told(self.targets[".rec"].parent):
            self.targets[".rec"].parent.mkdir(parents=True, exist_ok=True)
            self._rec = _open_alone(self._partial[".rec"])
            self._idx = opened_anew(self._partial[".idx"])  # closed by __exit__
        self._hashes = {".rec": hashlib.sha256(), ".idx": hashlib.sha256()}
        self._per_class = [0] * len(self.classes)
        self._names: list[str] = []  # lines of .files
        return self

    def add(self, label: int, id: int, image: bytes, name: str = "") -> None:
        """Appends one encoded image (JPEG, PNG, ...); label in [0, len(classes)), id unique in the file.

        `name` is that of the image's file, for messages. Raises Refused: there is no such label.
        """
        if not isinstance(label, numbers.Integral) or not 0 <= label < len(self.classes):
            raise Refused(
                f"label {quoted(label)} of image {id}: it is a whole number from 0 to {len(self.classes) - 1}"
            )
        if name:
            self._names.append(name_line(id, self._rec.tell(), name))
        line = f"{id}\t{self._rec.tell()}\n".encode()
        record = encode_record(label, id, image)
        with _full_disk_told(self.targets[".rec"].parent):
            for file, ending, data in ((self._rec, ".rec", record), (self._idx, ".idx", line)):
                file.write(data)
                self._hashes[ending].update(data)
        self._per_class[label] += 1

    def manifest(self) -> dict:
        """What goes into the .json: format, version, classes, counts, and size and sha256 of the other two."""
        sizes = {".rec": self._rec.tell(), ".idx": self._idx.tell()}
        return {
            "format": FORMAT,
            "gluon_tricks": gluon_tricks.__version__,
            "count": sum(self._per_class),
            **self.about,
            **{end[1:]: {"bytes": sizes[end], "sha256": self._hashes[end].hexdigest()} for end in sizes},
            "classes": list(self.classes),
            "images_per_class": self._per_class,
        }

    def __exit__(self, kind, error, trace) -> None:
        try:
            if error is None:
                with _full_disk_told(self.targets[".rec"].parent):
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
        with _full_disk_told(self.targets[".rec"].parent):
            with opened_anew(self._partial[".json"]) as file:
                file.write(json.dumps(self.manifest(), indent=1).encode())
                _to_disk(file)
            with opened_anew(self._partial[ENDING]) as file:
                file.writelines(line.encode() for line in self._names)
                file.write(last_line(self._hashes[".rec"].hexdigest()).encode())
                _to_disk(file)
            _to_disk(self._rec)
            _to_disk(self._idx)
        # An old manifest or index must never stand beside new records, not even if the power fails here.
        for ending in (".json", ".idx", ENDING):
            self.targets[ending].unlink(missing_ok=True)
        if not self._names:
            self._partial.pop(ENDING).unlink()
        for ending, partial in self._partial.items():
            partial.replace(self.targets[ending])
        folder = os.open(self.targets[".rec"].parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)


def _open_alone(path: pathlib.Path):
    """Opens a temporary file for this process only: new, and locked until it is closed.

    What a killed process left is replaced, once its lock is ours: a link that somebody put there is not followed.
    """
    before = None
    try:
        if os.path.lexists(path) and not path.is_symlink():
            before = opened_to_append(path)
            fcntl.flock(before, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(before.fileno()), os.stat(path)):
                raise FileNotFoundError
        file = opened_anew(path)
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file
    except (BlockingIOError, FileNotFoundError, FileExistsError):  # locked, or renamed by its owner while we waited
        raise Refused(
            f"another process is writing {str(path)[: -len(_PARTIAL)]}: wait for it, or choose another name"
        ) from None
    finally:
        if before is not None:
            before.close()


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


@contextlib.contextmanager
def _full_disk_told(folder: pathlib.Path):
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            wrong = f"the disk of {folder} is full; nothing was packed: free some space, or choose another"
        else:
            place = folder if error.filename is None else error.filename
            wrong = f"{place} cannot be written: {error.strerror or error}; nothing was packed"
        raise CannotWrite(wrong) from None


def pack(
    source: Source,
    prefix: str | os.PathLike,
    *,
    resize: int | None = None,
    quality: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> tuple[dict, list[str]]:
    """Packs the images of a source, globally shuffled, into PREFIX.rec, .idx, .json and .files.

    Without `resize` the files' own bytes are stored, untouched. With it the shorter edge becomes
    `resize` px: images are turned as their EXIF says, made smaller or larger (as MXNet's im2rec does) and stored as
    JPEG; one that has this size already, or would be too long for a JPEG, is stored untouched. What is no image is
    left out; if that is many files, PREFIX.left_out.txt lists them.

    Args:
        source: the images and classes: one of the functions of sources.py makes it.
        prefix: the files' common name.
        resize: px of the shorter edge, >= 1, or None.
        quality: of the JPEGs that are made, 1 to 100; default 95. Only with resize.
        seed: of the shuffle.
        jobs: threads; default: all cores.
        overwrite: replace files that are there.
        verify: decode every image, to leave out what is broken; else only the first bytes are looked at.

    Returns: (manifest, what was left out and why).

    Raises:
        Refused: there is nothing to pack, the disk is too small, the files exist, or an argument is wrong.
        CannotWrite: the disk is full or read-only; nothing was packed.

    Differs: im2rec shrinks by bilinear sampling, which aliases; here pixels are averaged (cv2.INTER_AREA).
    """
    quality = _quality(resize, quality)
    if resize and source.stored:
        raise Refused(f"--resize {resize}: the images of {source.folder} are stored as they are; leave it out")
    if resize is None:
        _require_space(source.entries, pathlib.Path(prefix).parent)
    shuffled = [source.entries[i] for i in generator(seed, "pack").permutation(len(source.entries))]
    broken: list[str] = []
    about = {"resize": resize, "quality": quality, "seed": seed}
    folder = os.path.join(source.folder, "")
    cv2.setNumThreads(0)  # the images are what runs in parallel

    attempt = source.stored or functools.partial(_attempt, resize=resize, quality=quality, verify=verify)
    writer = RecordWriter(prefix, source.classes, overwrite=overwrite, about=about)
    with no_empty_folders(pathlib.Path(prefix).parent), writer, silent_codecs():
        for entry, image in zip(shuffled, in_order(attempt, shuffled, jobs=jobs, what="packing")):
            if isinstance(image, NoImage):
                broken.append(f"{entry.path} ({image})")
            else:
                writer.add(entry.label, entry.id, image, entry.path.removeprefix(folder))
        manifest = writer.manifest()
        if manifest["count"] == 0:
            raise Refused(f"no images found: none of the {len(shuffled)} files is an image; the first is {min(broken)}")
        left_out = [printable(line, 5000) for line in (*sorted(broken), *sorted(source.left_out))]
        _list_left_out(prefix, left_out)
    return manifest, left_out


def _attempt(entry: Entry, resize: int | None, quality: int | None, verify: bool) -> bytes | NoImage:
    """An image as it is stored, or why it is none: returned, as an exception would end the packing of all."""
    try:
        return encoded(entry.path, resize, quality, verify)
    except NoImage as why:
        return why


def _quality(resize: int | None, quality: int | None) -> int | None:
    """Of the JPEGs that are made; None: none are. Raises Refused where the two do not go together."""
    if resize is None and quality is not None:
        raise Refused("--quality is for images made anew: give --resize too; without it files are stored as they are")
    if not (resize is None or resize >= 1) or not 1 <= (quality or 95) <= 100:
        raise Refused(f"--resize must be at least 1 and --quality 1 to 100, not {resize} and {quality}")
    return None if resize is None else quality or 95


def _list_left_out(prefix: str | os.PathLike, left_out: Sequence[str]) -> None:
    """Writes what does not fit on a screen to a file beside the records; removes that of an earlier packing."""
    path = pathlib.Path(f"{prefix}{_LEFT_OUT}")
    with _full_disk_told(path.parent):
        path.unlink(missing_ok=True)
    if len(left_out) > _SHOWN:
        write_text(path, "".join(f"{line}\n" for line in left_out))


def left_out_lines(left_out: Sequence[str], prefix: str | os.PathLike, verbose: bool = False) -> list[str]:
    """What packing left out, in words: how much, the first few of it, and where the rest is listed."""
    shown = left_out if verbose else left_out[:_SHOWN]
    lines = [f"left out: {line}" for line in shown]
    if len(left_out) > 1:
        rest = f"; {prefix}{_LEFT_OUT} lists all" if len(left_out) > _SHOWN else ""
        lines.append(f"left out: {len(left_out)} files and folders in all{rest}")
    return lines


def _require_space(entries: Sequence[Entry], folder: pathlib.Path) -> None:
    while not folder.exists():
        folder = folder.parent
    needed, free = sum(entry.size + _RECORD_OVERHEAD for entry in entries), shutil.disk_usage(folder).free
    if needed > free:
        raise Refused(
            f"packing needs {byte_size(needed)} and {folder} has {byte_size(free)} free: "
            "free some space, choose another disk, or give --resize"
        )
