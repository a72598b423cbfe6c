"""Reading .rec files: one or several as one list of images.

Beside FILE.rec lies FILE.idx with a line "key<tab>offset" per record and, if scripts/pack_records.py wrote it,
FILE.json, the manifest: classes, counts and sizes. Files of MXNet's im2rec (.rec and .idx) are read as well.
"""

from __future__ import annotations

import bisect
import concurrent.futures
import contextlib
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from gluon_tricks.data.headers import image_header
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.recordio import MARK, MAX_LENGTH, PART, decode_record
from gluon_tricks.runtime import Refused

MOST_CLASSES = 1 << 20  # far beyond any data set; the label of a damaged record may be any number
# Of an image: 1.5 times what the largest cameras give, and 400 MB decoded. An image of a few hundred bytes may claim
# 60000 x 60000, and libjpeg would fill all of it with grey.
MOST_PIXELS = 1 << 27
_NO_MANIFEST = hashlib.sha256(b"{}").hexdigest()
_HEAD = PART.size + 28  # bytes of a record in which its label stands
_LONG = 1 << 20  # bytes
_INDEX_REMEDY = "make the .idx anew with `scripts/pack_records.py --index {}`"


class BadRecord(RuntimeError):
    """A record that cannot be used, met while training: the message names it, its file and its byte offset."""


def decode_image(data: bytes) -> np.ndarray | None:
    """The (height, width, 3) uint8 BGR pixels of an encoded image, turned as its EXIF says; None if it has none.

    Nor are there any of an image that says that it has more than MOST_PIXELS: it is not decoded.
    """
    if image_header(data).pixels > MOST_PIXELS:
        return None
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:  # no bytes at all, or more pixels than OpenCV accepts
        return None


@contextlib.contextmanager
def _unreadable_told(path: pathlib.Path, kind: type[Exception] = BadRecord) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"{path} cannot be read ({error.strerror}): check the disk and the file's permissions") from None


class _File:
    """One .rec with its .idx and, if there is one, its manifest; everything that can be seen cheaply is checked."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        if not path.is_file():
            raise Refused(f"there is no {path}: check the name, or pack it with scripts/pack_records.py")
        with _unreadable_told(path, Refused):
            self.file = open(path, "rb", buffering=0)  # noqa: SIM115  open as long as the records are
        self.size, self.written = self._state()
        if self.size == 0:
            raise Refused(f"{path} is empty: pack it again with scripts/pack_records.py")
        if self._bytes(0, 4) != MARK:
            raise Refused(f"{path} is not a RecordIO file: its first bytes are {self._bytes(0, 4)!r}")
        index = path.with_suffix(".idx")
        if not index.is_file():
            raise Refused(f"there is no {index} beside {path.name}: " + _INDEX_REMEDY.format(path))
        if index.stat().st_size > 2 * self.size + (1 << 20):  # a line has at most 42 bytes, a record at least 32
            raise Refused(
                f"{index} lists more records than {path.name} has room for: {path.name} is truncated, or "
                + _INDEX_REMEDY.format(path)
            )
        with _unreadable_told(index, Refused):
            listing = index.read_bytes()
        self.offsets = self._parse(index, listing)
        manifest = path.with_suffix(".json")
        self.manifest, digest = read_manifest(manifest) if manifest.is_file() else ({}, _NO_MANIFEST)
        self.identity = (self.size, hashlib.sha256(listing).hexdigest(), digest)
        self.ends = self._check()

    def _parse(self, index: pathlib.Path, listing: bytes) -> np.ndarray:
        try:
            offsets = np.array(listing.split(), np.int64).reshape(-1, 2)[:, 1]
        except (ValueError, OverflowError):
            offsets = np.array([-1])
        if (offsets < 0).any() or (offsets % 4).any() or not listing.endswith(b"\n"):
            what = "empty" if not listing else 'damaged or truncated: a line is not "key<tab>offset"'
            raise Refused(f"{index} is {what}; " + _INDEX_REMEDY.format(self.path))
        return offsets

    def _check(self) -> np.ndarray:
        """Compares .rec, .idx and manifest; returns where each record ends at the latest."""
        path, count, remedy = self.path, len(self.offsets), _INDEX_REMEDY.format(self.path)
        in_order = np.sort(self.offsets)
        last = int(in_order[-1])
        end = self._end(last) if last + PART.size <= self.size else math.inf
        if end > self.size:
            raise Refused(
                f"{path} is truncated: it has {self.size} bytes, and the last record of its .idx starts at byte {last} "
                "and ends beyond: copy or pack it again"
            )
        expected = self.manifest.get("rec", {}).get("bytes", self.size)
        if expected != self.size:
            how = "has grown since it was packed" if self.size > expected else "is not whole"
            raise Refused(
                f"{path} {how}: it has {self.size} bytes where its manifest says {expected}; "
                "copy .rec, .idx and .json again"
            )
        expected = self.manifest.get("count", count)
        if end < self.size or expected != count:
            listed = f"it lists {count} records up to byte {int(min(end, self.size))} of {self.size}"
            told = f"; the manifest says {expected}" if "count" in self.manifest else ""
            raise Refused(
                f"the .idx of {path} is truncated, or the .rec has grown since it was made ({listed}{told}): {remedy}"
            )
        for i in np.linspace(0, count - 1, 16).astype(int):  # a few places tell the index of another file
            if self._bytes(self.offsets[i], 4) != MARK:
                raise Refused(
                    f"the .idx of {path} is not its own: no record starts at byte {self.offsets[i]}; {remedy}"
                )
        following = np.append(in_order[1:], self.size)
        return following[np.searchsorted(in_order, self.offsets)]

    def _bytes(self, start: int, length: int) -> bytes:
        with _unreadable_told(self.path):
            return os.pread(self.file.fileno(), int(length), int(start))

    def _state(self) -> tuple[int, int]:
        state = os.fstat(self.file.fileno())
        return state.st_size, state.st_mtime_ns

    def require_unchanged(self) -> None:
        """To be called after reading: what was read counts only if nobody has written to the file since it was opened.

        A file that was replaced or removed by its name is still there for those who have it open.
        """
        size, written = self._state()
        if (size, written) != (self.size, self.written):
            how = f"it had {self.size} bytes and has {size}" if size != self.size else f"it still has {size} bytes"
            raise BadRecord(
                f"{self.path} was written to while it was in use ({how}), so its images may be others: "
                "copy it again (with its .idx and .json), then go on from the last checkpoint"
            )

    def _end(self, start: int) -> float:
        """Where the record at `start` ends; infinity if a part of it lies beyond the file's end."""
        kind = 1
        while kind in (1, 2):
            head = self._bytes(start, PART.size)
            if len(head) < PART.size:
                return math.inf
            mark, word = PART.unpack(head)
            if mark != MARK:
                remedy = _INDEX_REMEDY.format(self.path)
                raise Refused(f"the .idx of {self.path} is not its own: no record starts at byte {start}; {remedy}")
            kind, length = word >> 29, word & MAX_LENGTH
            start += PART.size + length + -length % 4
        return start

    def record(self, i: int) -> bytes:
        start, end = int(self.offsets[i]), int(self.ends[i])
        if end - start > _LONG:  # an .idx that leaves records out may have any number of them in between
            end = min(end, self._end(start))
        data = self._bytes(start, end - start)
        self.require_unchanged()
        return data

    def is_as_packed(self) -> bool:
        """Whether the file's sha256 is that of the manifest; True if there is none."""
        digest = hashlib.sha256()
        for start in range(0, self.size, _LONG):
            digest.update(self._bytes(start, _LONG))
        return self.manifest.get("rec", {}).get("sha256", digest.hexdigest()) == digest.hexdigest()

    @functools.cached_property
    def labels(self) -> np.ndarray:
        """The label words; threads hide the latency of a disk that has to be asked for each of them."""
        # Not through a memory map: a file that is cut while it is read would end the process.

        def gather(offsets: np.ndarray) -> np.ndarray:
            heads = b"".join(self._bytes(at, _HEAD).ljust(_HEAD, b"\0") for at in offsets.tolist())
            words = np.frombuffer(heads, "<u4").reshape(-1, _HEAD // 4)  # mark, length, flag, label, ids, further label
            flag = words[:, 2]
            label = np.where(flag == 1, words[:, 8], words[:, 3]).view("<f4")
            if (words[:, 0] != np.frombuffer(MARK, "<u4")).any():
                self.require_unchanged()
                raise Refused(f"{self.path} or its .idx is damaged; " + _INDEX_REMEDY.format(self.path))
            return np.where(flag <= 1, label, np.float32(math.nan))

        pieces = np.array_split(self.offsets, math.ceil(len(self.offsets) / 4096))
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            labels = np.concatenate(list(pool.map(gather, pieces)))
        self.require_unchanged()
        labels.flags.writeable = False
        return labels


class Records:
    """The images of one or several .rec files, as one list: image i in [0, n).

    Reading keeps no state (os.pread at the offsets of the .idx), so any number of threads may read at once.

    Args:
        paths: a .rec, or several; the .idx must lie beside each, and a .json manifest may (files packed by MXNet's
            im2rec have none).

    Attributes:
        paths: the files, in order.
        classes: the class names in label order, or None if no file has a manifest.
        digest: hex identity of the data, cheap to get: sizes, indices and manifests, not names and not the images.

    Raises:
        Refused: a file is missing, empty, truncated or no RecordIO, or the files name different classes.
    """

    def __init__(self, paths: str | os.PathLike | Sequence[str | os.PathLike]):
        paths = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
        if not paths:
            raise Refused("no .rec file is named: name at least one")
        self._files = [_File(pathlib.Path(path)) for path in paths]
        self._firsts = [0, *np.cumsum([len(file.offsets) for file in self._files]).tolist()]
        self.paths = tuple(file.path for file in self._files)
        self.classes = self._common_classes()
        self.digest = hashlib.sha256(repr([file.identity for file in self._files]).encode()).hexdigest()

    def _common_classes(self) -> tuple[str, ...] | None:
        named = [(file.path, tuple(file.manifest["classes"])) for file in self._files if "classes" in file.manifest]
        for path, classes in named[1:]:
            if classes != named[0][1]:
                raise Refused(
                    f"{named[0][0]} and {path} name different classes ({len(named[0][1])} and {len(classes)}), so "
                    "their labels do not fit together: pack the second with --classes and the first's .json"
                )
        return named[0][1] if named else None

    def __len__(self) -> int:
        return self._firsts[-1]

    def _find(self, i: int) -> tuple[_File, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        f = bisect.bisect_right(self._firsts, i) - 1
        return self._files[f], i - self._firsts[f]

    def read(self, i: int) -> tuple[float, int, bytes]:
        """The (label, id, encoded image) of image i; label is nan if the record holds several (detection).

        Raises: BadRecord when the record is damaged, cannot be read, or its file was written to since it was opened.
        """
        file, k = self._find(i)
        try:
            return decode_record(file.record(k))
        except ValueError as error:  # Refused is one
            file.require_unchanged()
            path, offset = self.place(i)
            remedy = _INDEX_REMEDY.format(path)
            raise BadRecord(
                f"record {k} of {path} at byte {offset}: {error}; copy the file again, or {remedy}"
            ) from None

    def place(self, i: int) -> tuple[pathlib.Path, int]:
        """The (file, byte offset) where image i lies, for messages."""
        file, k = self._find(i)
        return file.path, int(file.offsets[k])

    def not_as_packed(self) -> list[pathlib.Path]:
        """The files that differ from what was packed, by the sha256 of their manifests; all of them are read."""
        return [file.path for file in self._files if not file.is_as_packed()]

    def labels(self) -> np.ndarray:
        """All labels, (n,) float32 as stored (nan where a record holds several); only the headers are read."""
        return np.concatenate([file.labels for file in self._files])
