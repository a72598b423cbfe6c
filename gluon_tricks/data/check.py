"""Looking through packed records for what would spoil a training."""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import byte_size, plural
from gluon_tricks.data.headers import image_header
from gluon_tricks.data.label_vectors import IGNORED, PRESENT, vectors_of
from gluon_tricks.data.parallel import in_order, silent_codecs
from gluon_tricks.data.records import MOST_CLASSES, Records, decode_image
from gluon_tricks.data.requirements import is_shard, of_one_class

# One row per record. `content` identifies copies: two checksums, 64 bits together.
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
        self._vectors, self._why_none = _vectors(records)
        label, several = rows["label"], records.label_counts() > 1
        several &= self._vectors is None
        whole = (label >= 0) & (label == np.floor(label)) & (label < MOST_CLASSES)
        highest = int(label[whole].max()) if whole.any() else -1
        if self._vectors is not None:
            whole, highest = np.ones(len(label), bool), self._vectors.shape[1] - 1
            label = np.zeros(len(label))
        self.classes = records.classes or tuple(str(k) for k in range(highest + 1))
        in_range = whole & (label < len(self.classes))
        self.per_class = np.bincount(label[in_range].astype(int), minlength=len(self.classes))
        if self._vectors is not None:
            self.per_class = (self._vectors == PRESENT).sum(axis=0)
        self.found = {
            "undecodable": np.flatnonzero(~rows["decodes"]),
            "greyscale": np.flatnonzero(rows["components"] == 1),
            "CMYK": np.flatnonzero(rows["components"] == 4),
            "rotated (EXIF)": np.flatnonzero(rows["turned"]),
            "duplicate ids": _repeated(rows["id"]),
            "duplicate contents": _repeated(rows["content"]),
            "several labels": np.flatnonzero(several),
            "labels not whole": np.flatnonzero(~whole & ~several & ~(label < 0)),
            "labels out of range": np.flatnonzero((whole & ~in_range) | (label < 0)),
        }
        self.problems = self._problems()

    def _problems(self) -> list[str]:
        count, found = len(self._rows), self.found
        problems = [
            f"{path} does not have the sha256 in its manifest: it is damaged, or the manifest is another file's: "
            "copy or pack it again"
            for path in self._records.not_as_packed()
        ]
        if len(found["several labels"]):
            problems.append(
                f"{len(found['several labels'])} of {count} records have several labels, first "
                f"{self._described(found['several labels'][0])}: classification takes one label for each image, and "
                f"gluon-tricks tag one for each class ({self._why_none})"
            )
        for kind in ("labels not whole", "labels out of range"):
            if len(found[kind]):
                i = int(found[kind][0])
                known = f": the classes are 0 to {len(self.classes) - 1}" if self.classes else ""
                problems.append(
                    f"{kind}: {len(found[kind])}, first {self._rows['label'][i]:g} of {self._described(i)}{known}; "
                    "pack again"
                )
        if 100 * len(found["undecodable"]) > count:
            problems.append(
                f"{len(found['undecodable'])} of {plural(count, 'image')}, more than 1 %, cannot be decoded: pack again"
            )
        if len(self.classes) == 1 or not is_shard(self._records):
            problems += filter(None, [self._too_few_classes()])
        return problems

    def _too_few_classes(self) -> str:
        """That there is but one class, or none, in words; "" where there are several."""
        if self._vectors is None:
            return of_one_class(self._records)
        return "" if self.per_class.any() else f"no image shows any of the {plural(len(self.classes), 'class')}"

    def _described(self, i: int) -> str:
        return self._records.describe(int(i), int(self._rows["id"][i]))

    def lines(self, verbose: bool = False) -> list[str]:
        """The report as lines of text; verbose: every class, and every record found."""
        counts, size = self.per_class, int(self._rows["bytes"].sum(dtype=np.int64))
        lines = [f"{plural(len(self._rows), 'image')}, {plural(len(self.classes), 'class')}, {byte_size(size)}"]
        if self._vectors is not None:
            none = int((self._vectors != PRESENT).all(axis=1).sum())
            lines.append(
                f"a label for each class (gluon-tricks tag): {(self._vectors == PRESENT).sum(axis=1).mean():.2f} "
                f"classes an image, {plural(none, 'image')} of none, {(self._vectors == IGNORED).sum()} labels not "
                "counted"
            )
        if len(counts):
            lines.append(f"images per class: min {counts.min()}, median {np.median(counts):g}, max {counts.max()}")
            order = np.argsort(counts, kind="stable") if not verbose else np.arange(len(counts))
            shown = order if verbose else order[:5]
            heading = "all classes" if verbose else "smallest classes"
            lines.append(f"{heading}: " + ", ".join(f"{self.classes[k]} {counts[k]}" for k in shown))
        for kind, indices in self.found.items():
            lines.append(f"{kind}: {len(indices)}")
            if verbose or kind in ("undecodable", "several labels", "labels not whole", "labels out of range"):
                lines += [f"  {self._described(i)}" for i in (indices if verbose else indices[:5])]
        return lines + [f"PROBLEM: {problem}" for problem in self.problems]


def _vectors(records: Records) -> tuple[np.ndarray | None, str]:
    """The labels of multi-label records, and "": of others None, and why they are none."""
    if (records.label_counts() == 1).all():
        return None, ""
    try:
        return vectors_of(records), ""
    except Refused as error:
        return None, str(error)


def _repeated(values: np.ndarray) -> np.ndarray:
    """The indices of values that stood there before."""
    first = np.unique(values, return_index=True)[1]
    return np.setdiff1d(np.arange(len(values)), first)


def check(records: Records, *, jobs: int | None = None) -> Report:
    """Reads and decodes every image of the records on all cores and reports what was found.

    Args:
        jobs: threads; default: all cores.

    Raises: BadRecord when a record is damaged.
    """
    cv2.setNumThreads(0)  # the images are what runs in parallel
    with silent_codecs():
        rows = in_order(lambda i: _row(records, i), range(len(records)), jobs=jobs, what="checking")
        return Report(records, np.fromiter(rows, _ROW, len(records)))
