"""One .rec with its .idx and manifest: opened with every check that is cheap, then read at the offsets of the .idx."""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import hashlib
import math
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from gluon_tricks.core.errors import Refused, Told
from gluon_tricks.core.files import write_atomically, write_text
from gluon_tricks.core.reading import read_bytes
from gluon_tricks.core.wording import plural
from gluon_tricks.data.file_names import name_at, read_names
from gluon_tricks.data.handles import Handle
from gluon_tricks.data.label_table import ENDING, read_labels, to_bytes
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.record_index import Offsets, parse_index
from gluon_tricks.data.recordio import MARK, MAX_LENGTH, PART, decode_labels, walk

_NO_MANIFEST = hashlib.sha256(b"{}").hexdigest()
_HEAD = PART.size + 28  # bytes of a record in which its label stands
_LONG = 1 << 20  # bytes
INDEX_REMEDY = "make the .idx anew with `gluon-tricks pack --index {}`"


class BadRecord(Told, RuntimeError):
    """A record that cannot be used, met while training: the message names it, its file and its byte offset."""


@contextlib.contextmanager
def unreadable_told(path: pathlib.Path, kind: type[Exception] = BadRecord) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise kind(f"{path} cannot be read ({error.strerror}): check the disk and the file's permissions") from None


def require_rec(path: pathlib.Path, flag: str = "") -> None:
    """Refuses what is no file, telling what to do about a folder. Args: flag: what the message begins with."""
    if os.path.isdir(path):
        found = sorted(path.glob("*.rec"))[:3]
        images = path / "train" if (path / "train").is_dir() else path
        remedy = f"pack its images with `gluon-tricks pack {images} PREFIX` and name PREFIX.rec"
        if found:
            remedy = f"name the records in it, such as {' or '.join(map(str, found))}"
        raise Refused(f"{flag}{path} is a folder: {remedy}")
    if not os.path.exists(path):
        raise Refused(f"{flag}there is no {path}: check the name, or pack it with gluon-tricks pack")


def _fixed(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


class RecordFile:
    """One .rec with its .idx and, if there is one, its manifest; everything that can be seen cheaply is checked."""

    def __init__(self, path: pathlib.Path):
        self.path = path
        self._labels: tuple[np.ndarray, np.ndarray] | None = None
        require_rec(path)
        with unreadable_told(path, Refused):
            self._handle = Handle(path)
            self.size, self.written = self._handle.state()
        if self.size == 0:
            raise Refused(f"{path} is empty: pack it again with gluon-tricks pack")
        if self._bytes(0, 4) != MARK:
            raise Refused(f"{path} is not a RecordIO file: its first bytes are {self._bytes(0, 4)!r}")
        index = path.with_suffix(".idx")
        if not index.is_file():
            raise Refused(f"there is no {index} beside {path.name}: " + INDEX_REMEDY.format(path))
        if index.stat().st_size > 2 * self.size + (1 << 20):  # a line has at most 42 bytes, a record at least 32
            raise Refused(
                f"{index} lists more records than {path.name} has room for: {path.name} is truncated, or "
                + INDEX_REMEDY.format(path)
            )
        with unreadable_told(index, Refused):
            listing = read_bytes(index, 2 * self.size + (1 << 20))
        self.offsets = self._parse(index, listing)
        manifest = path.with_suffix(".json")
        self.manifest, digest = read_manifest(manifest) if os.path.lexists(manifest) else ({}, _NO_MANIFEST)
        self.identity = (self.size, hashlib.sha256(listing).hexdigest(), digest)
        self._check()

    def _parse(self, index: pathlib.Path, listing: bytes) -> Offsets:
        offsets = parse_index(listing)
        if offsets is None:
            what = "empty" if not listing.strip() else 'damaged or truncated: a line is not "key<tab>offset"'
            raise Refused(f"{index} is {what}; " + INDEX_REMEDY.format(self.path))
        self._last = int(offsets.max())
        return Offsets(offsets, self.size)

    def _check(self) -> None:
        """Compares .rec, .idx and manifest."""
        path, count, last, remedy = self.path, len(self.offsets), self._last, INDEX_REMEDY.format(self.path)
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
            listed = f"it lists {plural(count, 'record')} up to byte {int(min(end, self.size))} of {self.size}"
            told = f"; the manifest says {expected}" if "count" in self.manifest else ""
            raise Refused(
                f"the .idx of {path} is truncated, or the .rec has grown since it was made ({listed}{told}): {remedy}"
            )
        for i in np.linspace(0, count - 1, 16).astype(int).tolist():  # a few places tell the index of another file
            if self._bytes(self.offsets[i], 4) != MARK:
                raise Refused(
                    f"the .idx of {path} belongs to another .rec: no record starts at byte {self.offsets[i]}; {remedy}"
                )

    def _bytes(self, start: int, length: int) -> bytes:
        with unreadable_told(self.path):
            return self._handle.read(int(start), int(length))

    def require_unchanged(self) -> None:
        """To be called after reading: what was read counts only if nobody has written to the file since it was opened.

        A file that was replaced or removed by its name is still there for those who have it open.
        """
        with unreadable_told(self.path):
            size, written = self._handle.state()
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
                remedy = INDEX_REMEDY.format(self.path)
                raise Refused(
                    f"the .idx of {self.path} belongs to another .rec: no record starts at byte {start}; {remedy}"
                )
            kind, length = word >> 29, word & MAX_LENGTH
            start += PART.size + length + -length % 4
        return start

    def record(self, i: int) -> bytes:
        start, end = self.offsets[i], self.offsets.end(i)
        if end - start > _LONG:  # an .idx that leaves records out may have any number of them in between
            end = min(end, self._end(start))
        data = self._bytes(start, end - start)
        self.require_unchanged()
        return data

    def same_as(self, other: RecordFile) -> bool:
        """Whether both hold the same records: as their indices say, and a few of the records themselves."""
        if self.identity[:2] != other.identity[:2]:
            return False
        places = np.linspace(0, len(self.offsets) - 1, 16).astype(int)
        return all(self.record(k) == other.record(k) for k in places)

    def is_as_packed(self) -> bool:
        """Whether the file's sha256 is that of the manifest; True if there is none."""
        digest = hashlib.sha256()
        for start in range(0, self.size, _LONG):
            digest.update(self._bytes(start, _LONG))
        return self.manifest.get("rec", {}).get("sha256", digest.hexdigest()) == digest.hexdigest()

    def look_up_labels(self) -> None:
        """Reads the labels that stand beside the file, if they do."""
        count = len(self.offsets)
        table = None if self._labels else read_labels(self.path, self.manifest, self.identity[1], count)
        if table is not None:
            self.require_unchanged()
            self._labels = _fixed(table.astype(np.float32)), np.broadcast_to(np.uint32(1), count)

    @property
    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """(n,) float32 label words (nan where a record holds several), and (n,) uint32 how many each record holds."""
        self.look_up_labels()
        self._labels = self._labels or self.gathered()
        return self._labels

    def gathered(self) -> tuple[np.ndarray, np.ndarray]:
        """As `labels`, from the heads of all records."""
        count = len(self.offsets)
        pieces = [range(first, min(first + 4096, count)) for first in range(0, count, 4096)]
        with concurrent.futures.ThreadPoolExecutor(32) as pool:  # hide the latency of a disk asked for each of them
            labels, counts = map(np.concatenate, zip(*pool.map(self._gather, pieces)))
        self.require_unchanged()
        return _fixed(labels), _fixed(counts)

    def _gather(self, some: range) -> tuple[np.ndarray, np.ndarray]:
        """As `labels`, from the heads of some of the records."""
        # Not through a memory map: a file that is cut while it is read would end the process.
        heads = b"".join(self._bytes(at, _HEAD).ljust(_HEAD, b"\0") for at in self.offsets.some(some.start, some.stop))
        words = np.frombuffer(heads, "<u4").reshape(-1, _HEAD // 4)  # mark, length, flag, label, ids, further label
        flag = words[:, 2]
        label = np.where(flag == 1, words[:, 8], words[:, 3]).view("<f4")
        if (words[:, 0] != np.frombuffer(MARK, "<u4")).any():
            self.require_unchanged()
            raise Refused(f"{self.path} or its .idx is damaged; " + INDEX_REMEDY.format(self.path))
        return np.where(flag <= 1, label, np.float32(math.nan)), np.maximum(flag, 1)

    def require_label(self, k: int, label: float) -> None:
        """Raises ValueError where the .labels, by which classes were counted, say another label of record k."""
        known = self._labels[0][k] if self._labels else label  # they are not gathered for this
        if label != known and not (math.isnan(label) and math.isnan(known)):
            raise ValueError(f"it has label {label:g}, and {known:g} was counted")

    def label_vectors(self, count: int) -> np.ndarray:
        """(n, count) float32: the labels of each record, all of which hold so many."""
        head = PART.size + 24  # bytes before the further labels
        if 4 * count * len(self.offsets) > self.size:  # before memory is taken for what a damaged record says
            raise Refused(f"{self.path} or its .idx is damaged; " + INDEX_REMEDY.format(self.path))

        def labels_at(k: int) -> np.ndarray:
            start = self.offsets[k]
            data = self._bytes(start, head + 4 * count)
            whole = len(data) == head + 4 * count and data[:4] == MARK
            if whole and PART.unpack_from(data)[1] & MAX_LENGTH >= 24 + 4 * count:
                return np.frombuffer(data, "<f4", count, head)
            labels = decode_labels(self.record(k))  # the format's mark stands among them
            if len(labels) != count:
                raise ValueError(f"record {k} has {len(labels)} labels")
            return np.array(labels, np.float32)

        with concurrent.futures.ThreadPoolExecutor(32) as pool, self._decoding():
            gathered = list(pool.map(labels_at, range(len(self.offsets)), chunksize=256))
        self.require_unchanged()
        return np.stack(gathered)

    @contextlib.contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except ValueError as error:  # Refused is one
            self.require_unchanged()
            raise Refused(f"{self.path} or its .idx is damaged ({error}); " + INDEX_REMEDY.format(self.path)) from None

    @functools.cached_property
    def _names(self) -> bytes:
        return read_names(self.path, self.manifest)

    def name(self, k: int) -> str:
        """The name of the file that record k was packed from; "" if it is not known."""
        return name_at(self._names, self.offsets[k])


def write_index(rec: str | os.PathLike) -> int:
    """Makes FILE.idx anew from FILE.rec; returns the number of records.

    The keys are the images' ids, as when it was first written; if ids repeat, the keys are 0, 1, 2, ...

    Raises: Refused when the .rec is missing, empty or damaged.
    """
    rec = pathlib.Path(rec)
    require_rec(rec)
    records = list(walk(rec))
    if not records:
        raise Refused(f"{rec} is empty: pack it again")
    if len({id for _, id in records}) < len(records):
        records = [(offset, key) for key, (offset, _) in enumerate(records)]
    write_text(rec.with_suffix(".idx"), "".join(f"{id}\t{offset}\n" for offset, id in records))
    return len(records)


def write_labels(rec: str | os.PathLike) -> int:
    """Writes FILE.labels beside records that were packed without it, once more reading all of them; how many they are.

    Raises: Refused where the manifest is missing or tells of another .rec or .idx, or a record has no single class.
    """
    file = RecordFile(pathlib.Path(rec))
    sha256 = file.manifest.get("rec", {}).get("sha256", "")
    if not sha256 or file.manifest.get("idx", {}).get("sha256") != file.identity[1] or not file.is_as_packed():
        raise Refused(
            f"{rec} and its .idx are not those of {file.path.with_suffix('.json').name}, whose digests say which "
            "records the labels belong to: pack again with gluon-tricks pack"
        )
    labels, counts = file.gathered()
    if (counts > 1).any() or not ((labels >= 0) & (labels == np.floor(labels)) & (labels < 1 << 31)).all():
        raise Refused(f"{rec} has records without one class each: see gluon-tricks pack --check {rec}")
    content = to_bytes(labels.astype(int), sha256)
    write_atomically(file.path.with_suffix(ENDING), lambda path: path.write_bytes(content))
    return len(labels)
