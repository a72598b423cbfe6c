"""Images with a label for each of K classes: present, absent, or not to be counted."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural, quoted, some
from gluon_tricks.data.records import MOST_CLASSES, Records

log = logging.getLogger("gluon_tricks.data")

PRESENT, ABSENT, IGNORED = 1, 0, -1
VALUES = "1 (present), 0 (absent) or -1 (not counted)"


class LabelledImages(Protocol):
    """Images that have a label for each class.

    Attributes:
        classes: the classes' names; None: they have none.
        paths: the files that hold the images.
        digest: hex identity of the data.
        vectors: (n, K) int8 of PRESENT, ABSENT and IGNORED.
    """

    classes: tuple[str, ...] | None
    paths: Sequence
    digest: str
    vectors: np.ndarray

    def __len__(self) -> int: ...

    def read(self, i: int) -> tuple[float, int, bytes]:
        """As Records.read; the label says nothing."""

    def place(self, i: int) -> tuple: ...

    def name(self, i: int) -> str:
        """As of Records."""

    def describe(self, i: int, id: int) -> str: ...


class LabelledRecords(Records):
    """Records that hold a label for each class, as MXNet's im2rec writes a list with several columns.

    Args, Attributes and Raises: as for Records and LabelledImages, and Refused where the labels are not of this kind.
    """

    def __init__(self, paths):
        super().__init__(paths)
        self.vectors = vectors_of(self)


def vectors_of(records: Records) -> np.ndarray:
    """The labels of records, (n, K) int8, K being the number that all of them hold.

    Raises: Refused where records hold different numbers, another than there are classes, or other values.
    """
    counts, classes = records.label_counts(), records.classes
    first = int(counts[0])
    other = np.flatnonzero(counts != first)
    if len(other):
        raise Refused(
            f"{described(records, other[0])} has {plural(int(counts[other[0]]), 'label')} and "
            f"{described(records, 0)} {first}: multi-label records have one for each class"
        )
    if first > MOST_CLASSES:
        raise Refused(f"{described(records, 0)} has {first} labels, and {MOST_CLASSES} are the most: it is damaged")
    if first == 1:
        raise Refused(
            f"{described(records, 0)} has one label, the number of the image's class, and multi-label records have one "
            "for each class: train on these with gluon-tricks train"
        )
    if classes and len(classes) != first:
        raise Refused(
            f"{described(records, 0)} has {first} labels, and there are {plural(len(classes), 'class')}: multi-label "
            "records have one for each class"
        )
    labels = records.label_vectors(first)
    wrong = np.argwhere(~np.isin(labels, (PRESENT, ABSENT, IGNORED)))
    if len(wrong):
        i, k = wrong[0].tolist()
        raise Refused(f"{described(records, i)} has {labels[i, k]:g} as the label of class {k}: it is {VALUES}")
    return labels.astype(np.int8)


def described(records: LabelledImages, i: int) -> str:
    """An image in words."""
    return records.describe(int(i), records.read(int(i))[1])


def require_vector(labels: Iterable[float], where: str) -> tuple[int, ...]:
    """Labels as whole numbers. Raises Refused where one is none of the three, saying where."""
    labels = tuple(labels)
    for label in labels:
        if label not in (PRESENT, ABSENT, IGNORED):
            raise Refused(f"{where} has the label {quoted(label)}: of several labels each is {VALUES}")
    return tuple(map(int, labels))


def require_positives(records: LabelledImages, names: Sequence[str], train: bool) -> None:
    """Tells which classes no image shows. Raises Refused where no image shows any."""
    shown = (records.vectors == PRESENT).any(axis=0)
    which = "training" if train else "validation"
    if not shown.any():
        raise Refused(f"no {which} image (of {len(records)}) has any of the {plural(len(names), 'class')}: check them")
    if not shown.all():
        absent = [name for name, there in zip(names, shown) if not there]
        what = "it cannot be learnt" if train else "the mean is over the others"
        log.warning("no %s image has the class %s: %s", which, some(absent), what)
