"""Reading .rec files: one or several as one list of images.

Beside FILE.rec lies FILE.idx with a line "key<tab>offset" per record and, if gluon-tricks pack wrote it,
FILE.json, the manifest: classes, counts and sizes; and FILE.files, what the images' files were called. Files of
MXNet's im2rec (.rec and .idx) are read as well.
"""

from __future__ import annotations

import bisect
import collections
import concurrent.futures
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import first_difference
from gluon_tricks.data.crop import REDUCTIONS
from gluon_tricks.data.decoding import decode
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.record_file import INDEX_REMEDY, BadRecord, RecordFile
from gluon_tricks.data.recordio import decode_record
from gluon_tricks.data.shards import record_paths

_SIDE_BY_SIDE = 32  # files that are opened at once
MOST_CLASSES = 1 << 20  # far beyond any data set; the label of a damaged record may be any number


_REDUCED = {1: cv2.IMREAD_COLOR} | {k: getattr(cv2, f"IMREAD_REDUCED_COLOR_{k}") for k in REDUCTIONS}


def decode_image(data: bytes, reduction: int = 1) -> np.ndarray | None:
    """The (height, width, 3) uint8 BGR pixels of an encoded image, turned as its EXIF says; None if it has none.

    Nor are there any of a JPEG that is cut off, or of an image that is not decoded for what its header says (why_not).

    Args:
        reduction: 1, or one of REDUCTIONS: so many times smaller, each side rounded up.
    """
    pixels = decode(data, _REDUCED[reduction])
    if data.startswith((b"RIFF", b"\x89PNG")) and pixels is not None:  # of JPEG and TIFF OpenCV does it
        return _upright(pixels, image_header(data).orientation)
    return pixels


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """An image turned as its EXIF orientation, 1 to 8, says."""
    if orientation >= 5:
        pixels = cv2.transpose(pixels)
    axis = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)  # 0 upside down, 1 left and right, -1 both
    return pixels if axis is None else cv2.flip(pixels, axis)


def _side_by_side(look: Callable[[Any], Any], at: Sequence) -> list:
    """What is found at each of several files, on threads: of a disk far away each one is waited for."""
    if len(at) == 1:
        return [look(at[0])]
    with concurrent.futures.ThreadPoolExecutor(min(_SIDE_BY_SIDE, len(at))) as pool:
        return list(pool.map(look, at))


class Records:
    """The images of one or several .rec files, as one list: image i in [0, n).

    Any number of threads may read at once (os.pread at the offsets of the .idx), and any number of files may be named:
    only so many are open at a time (data.handles). Opening reads the .idx, the manifest and a few places of each file;
    labels are read from the .labels beside it, or else from the heads of the records.

    Args:
        paths: a .rec, or several; patterns (train-*.rec), lists (@shards.txt) and folders of shards (data.shards). The
            .idx must lie beside each, and a .json manifest may (files packed by MXNet's im2rec have none).

    Attributes:
        paths: the files, in order.
        classes: the class names in label order, or None if no file has a manifest.
        digest: hex identity of the data, cheap to get: sizes, indices and manifests, not names and not the images.

    Raises:
        Refused: a file is missing, named twice, empty, truncated or no RecordIO, one of a series of shards is missing,
            or the files name different classes.
    """

    def __init__(self, paths: str | os.PathLike | Sequence[str | os.PathLike]):
        paths = record_paths(paths)
        if not paths:
            raise Refused("no .rec file is named: name at least one")
        self._files = _side_by_side(RecordFile, paths)
        self._firsts = [0, *np.cumsum([len(file.offsets) for file in self._files]).tolist()]
        self.paths = tuple(file.path for file in self._files)
        self.classes = self._common_classes()
        self.digest = hashlib.sha256(repr([file.identity for file in self._files]).encode()).hexdigest()

    def _common_classes(self) -> tuple[str, ...] | None:
        named = [(file.path, file.manifest["classes"]) for file in self._files if "classes" in file.manifest]
        for path, classes in named[1:]:
            if classes is not named[0][1] and (odd := first_difference(named[0][1], classes)):
                raise Refused(
                    f"{named[0][0]} and {path} name different classes ({len(named[0][1])} and {len(classes)}, "
                    f"{odd}), so their labels do not fit together: pack the second "
                    "with --classes and the first's .json"
                )
        return tuple(named[0][1]) if named else None

    def __len__(self) -> int:
        return self._firsts[-1]

    def _find(self, i: int) -> tuple[RecordFile, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        return self._of_all_files(i)

    def _of_all_files(self, i: int) -> tuple[RecordFile, int]:
        f = bisect.bisect_right(self._firsts, i) - 1
        return self._files[f], i - self._firsts[f]

    def read(self, i: int) -> tuple[float, int, bytes]:
        """The (label, id, encoded image) of image i; label is nan if the record holds several.

        Raises: BadRecord when the record is damaged, cannot be read, or its file was written to since it was opened.
        """
        file, k = self._find(i)
        try:
            label, id, image = decode_record(file.record(k))
            file.require_label(k, label)
            return label, id, image
        except ValueError as error:  # Refused is one
            file.require_unchanged()
            (path, offset), name = self.place(i), self.name(i)
            record, remedy = f"record {k}" + (f" ({name})" if name else ""), INDEX_REMEDY.format(path)
            raise BadRecord(f"{record} of {path} at byte {offset}: {error}; copy the file again, or {remedy}") from None

    def place(self, i: int) -> tuple[pathlib.Path, int]:
        """The (file, byte offset) where image i lies, for messages."""
        file, k = self._find(i)
        return file.path, file.offsets[k]

    def name(self, i: int) -> str:
        """The name of the file that image i was packed from; "" where the packing told none."""
        file, k = self._find(i)
        return file.name(k)

    def describe(self, i: int, id: int) -> str:
        """Image i, whose record says `id`, in words: its file's name if it is known, and where it lies."""
        path, offset = self.place(i)
        named = [name] if (name := self.name(i)) else []
        return f"image {i} ({', '.join([*named, f'id {id}'])}) of {path} at byte {offset}"

    def copies(self, other: Records) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
        """Pairs of files, one of these and one of the other records, that hold the same images; each pair once."""
        alike = collections.defaultdict(list)  # of a thousand shards, those that can be the same
        for place, theirs in enumerate(other._files):
            alike[theirs.identity[:2]].append((place, theirs))
        for k, mine in enumerate(self._files):
            for place, theirs in alike[mine.identity[:2]]:
                if (other is not self or place > k) and mine.same_as(theirs):
                    yield mine.path, theirs.path

    def not_as_packed(self) -> list[pathlib.Path]:
        """The files that differ from what was packed, by the sha256 of their manifests; all of them are read."""
        return [file.path for file in self._files if not file.is_as_packed()]

    def labels(self) -> np.ndarray:
        """All labels, (n,) float32 as stored (nan where a record holds several); only the headers are read."""
        return np.concatenate([labels for labels, _ in self._labels()])

    def label_counts(self) -> np.ndarray:
        """How many labels each record holds, (n,): 1, or another number in records for other tasks."""
        return np.concatenate([counts for _, counts in self._labels()])

    def _labels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        _side_by_side(RecordFile.look_up_labels, self._files)  # gathering others has threads of its own
        return [file.labels for file in self._files]

    def label_vectors(self, count: int) -> np.ndarray:
        """All labels of records that hold `count` each, (n, count) float32 as stored; no image is read."""
        return np.concatenate([file.label_vectors(count) for file in self._files])
