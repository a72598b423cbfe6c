"""Looking through packed records for what would spoil a training."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.data.parallel import in_order
from gluon_tricks.data.records import Records, decode_image


class ImageHeader(NamedTuple):
    """What an image's header says: format ("jpeg", "png", "other"), components, EXIF orientation (1: upright)."""

    format: str
    components: int
    orientation: int


# Colour types of PNG's IHDR: grey, RGB, palette (shown as RGB), grey with alpha, RGB with alpha.
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}


def image_header(image: bytes) -> ImageHeader:
    """Reads format, components (1 grey, 3 colour, 4 CMYK) and EXIF orientation of an image without decoding it.

    What cannot be read is taken for 3 components and upright.
    """
    if image.startswith(b"\x89PNG") and len(image) > 25:
        return ImageHeader("png", _PNG_COMPONENTS.get(image[25], 3), 1)
    if not image.startswith(b"\xff\xd8"):
        return ImageHeader("other", 3, 1)
    components, orientation, at = 3, 1, 2
    while at + 4 <= len(image):
        if image[at] != 0xFF or image[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        marker, length = image[at + 1], int.from_bytes(image[at + 2 : at + 4], "big")
        if marker == 0xE1 and image[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(image[at + 10 : at + 2 + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 < len(image):  # a start of frame
            components = image[at + 9]
            break
        if marker == 0xDA:  # the picture itself begins: no frame was found before it
            break
        at += 2 + length
    return ImageHeader("jpeg", components, orientation)


def _orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory of an EXIF block; 1 if there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if order:
            (start,) = struct.unpack_from(order + "I", tiff, 4)
            (count,) = struct.unpack_from(order + "H", tiff, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at)
                if tag == 0x0112 and 1 <= value <= 8:
                    return value
    except struct.error:
        pass  # a damaged block turns nothing
    return 1


# One row per record. `content` tells copies apart: two checksums, 64 bits together.
_ROW = np.dtype(
    [
        ("label", "f4"),
        ("id", "u8"),
        ("content", "u8"),
        ("bytes", "u4"),
        ("decodes", "?"),
        ("components", "u1"),
        ("turned", "?"),
    ]
)


def _row(records: Records, i: int) -> tuple:
    label, id, image = records.read(i)
    header = image_header(image)
    decodes = decode_image(image) is not None
    content = zlib.crc32(image) << 32 | zlib.adler32(image)
    return label, id, content, len(image), decodes, header.components, header.orientation != 1


class Report:
    """What was found in a set of records.

    Attributes:
        per_class: images per class, in label order; labels that are no class are not among them.
        found: images of each kind: name -> indices.
        problems: sentences, one for each thing that would spoil a training.
    """

    def __init__(self, records: Records, rows: np.ndarray):
        self._records, self._rows = records, rows
        label = rows["label"]
        whole = (label >= 0) & (label == np.floor(label)) & (label < 2**24)
        highest = int(label[whole].max()) if whole.any() else -1
        self.classes = records.classes or tuple(str(k) for k in range(highest + 1))
        in_range = whole & (label < len(self.classes))
        self.per_class = np.bincount(label[in_range].astype(int), minlength=len(self.classes))
        self.found = {
            "undecodable": np.flatnonzero(~rows["decodes"]),
            "greyscale": np.flatnonzero(rows["components"] == 1),
            "CMYK": np.flatnonzero(rows["components"] == 4),
            "rotated (EXIF)": np.flatnonzero(rows["turned"]),
            "duplicate ids": _repeated(rows["id"]),
            "duplicate contents": _repeated(rows["content"]),
            "labels not whole": np.flatnonzero(~whole & ~(label < 0)),
            "labels out of range": np.flatnonzero((whole & ~in_range) | (label < 0)),
        }
        self.problems = self._problems()

    def _problems(self) -> list[str]:
        count, found = len(self._rows), self.found
        problems = []
        for kind in ("labels not whole", "labels out of range"):
            if len(found[kind]):
                i = int(found[kind][0])
                problems.append(
                    f"{len(found[kind])} {kind}, first {self._rows['label'][i]:g} in record {i}: "
                    f"the classes are 0 to {len(self.classes) - 1}; pack again"
                )
        if 100 * len(found["undecodable"]) > count:
            problems.append(
                f"{len(found['undecodable'])} of {count} images, more than 1 %, cannot be decoded: pack again"
            )
        if np.count_nonzero(self.per_class) == 1 and count > 1:
            only = self.classes[int(np.argmax(self.per_class))]
            problems.append(
                f"all {count} images are of one class ({only}): an unlabelled folder was packed as if it were a class; "
                "for ImageNet's validation images give --ground-truth"
            )
        return problems

    def lines(self, verbose: bool = False) -> list[str]:
        """The report as lines of text; verbose: every class, and every record found."""
        counts, size = self.per_class, int(self._rows["bytes"].sum(dtype=np.int64))
        lines = [f"{len(self._rows)} images, {len(self.classes)} classes, {size / 1e6:.1f} MB"]
        if len(counts):
            lines.append(f"images per class: min {counts.min()}, median {np.median(counts):g}, max {counts.max()}")
            order = np.argsort(counts, kind="stable") if not verbose else np.arange(len(counts))
            shown = order if verbose else order[:5]
            heading = "all classes" if verbose else "smallest classes"
            lines.append(f"{heading}: " + ", ".join(f"{self.classes[k]} {counts[k]}" for k in shown))
        for kind, indices in self.found.items():
            lines.append(f"{kind}: {len(indices)}")
            if verbose or kind in ("undecodable", "labels not whole", "labels out of range"):
                for i in indices if verbose else indices[:5]:
                    path, offset = self._records.place(int(i))
                    lines.append(f"  record {i} (id {self._rows['id'][i]}) in {path} at byte {offset}")
        return lines + [f"PROBLEM: {problem}" for problem in self.problems]


def _repeated(values: np.ndarray) -> np.ndarray:
    """The indices of values that stood there before."""
    first = np.unique(values, return_index=True)[1]
    return np.setdiff1d(np.arange(len(values)), first)


def check(records: Records, *, jobs: int | None = None) -> Report:
    """Reads and decodes every image of the records on all cores and reports what was found.

    Args:
        jobs: threads; default: all cores.

    Raises: Refused when a record is damaged.
    """
    cv2.setNumThreads(0)  # the images are what runs in parallel
    rows = in_order(lambda i: _row(records, i), range(len(records)), jobs=jobs, what="checking")
    return Report(records, np.fromiter(rows, _ROW, len(records)))
