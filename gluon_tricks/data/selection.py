"""A part of packed images: some of their classes, and so many images of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import composed, plural, some
from gluon_tricks.data.record_file import RecordFile
from gluon_tricks.data.records import Records
from gluon_tricks.data.requirements import class_labels


class Selection(Records):
    """Some images of packed ones, as a list of their own: image i is image kept[i] of the whole.

    Args:
        whole: labelled with one class each.
        classes: names of those that are taken, in the order that gives them the labels 0, 1, ...; (): all.
        per_class: how many images of each, which follow from the seed; those of a smaller number are among those of a
            larger one, and neither depends on which other classes are taken. 0: all.
        seed: of the draw.
        least: images that a class must have, where per_class is no more; 0: it may have none, as in validation.

    Attributes:
        kept: ascending places in the whole, (n,).

    Raises:
        Refused: a class is unknown, is named twice, or has fewer images; or none of them has any.
    """

    def __init__(self, whole: Records, classes: Sequence[str] = (), per_class: int = 0, seed: int = 0, least: int = 1):
        self._files, self._firsts, self.paths = whole._files, whole._firsts, whole.paths
        labels = class_labels(whole).astype(int)
        numbers = _numbers(whole, classes, least) if classes else np.unique(labels).tolist()
        self.classes = tuple(classes) or whole.classes
        self._new = {old: new for new, old in enumerate(numbers)} if classes else {k: k for k in numbers}
        parts = [_some(places, k, per_class, seed) for k, places in zip(numbers, _places(labels, numbers))]
        called = [whole.classes[k] if k < len(whole.classes or ()) else str(k) for k in numbers]
        require_enough(str(whole.paths[0]), called, [*map(len, parts)], max(per_class, least))
        self.kept = np.sort(np.concatenate(parts))
        told = json.dumps([whole.digest, self.classes and list(self.classes), numbers])
        self.digest = hashlib.sha256(told.encode() + self.kept.astype("<i8").tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.kept)

    def _find(self, i: int) -> tuple[RecordFile, int]:
        if not 0 <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        return self._of_all_files(int(self.kept[i]))

    def read(self, i: int) -> tuple[float, int, bytes]:
        label, number, data = super().read(i)
        return float(self._new.get(label, label)), number, data

    def labels(self) -> np.ndarray:
        new = np.zeros(max(self._new) + 1, np.float32)
        new[[*self._new]] = [*self._new.values()]
        return new[super().labels()[self.kept].astype(int)]

    def label_counts(self) -> np.ndarray:
        return super().label_counts()[self.kept]

    def label_vectors(self, count: int) -> np.ndarray:
        return super().label_vectors(count)[self.kept]


def selected(
    records: Records, classes: Sequence[str] = (), per_class: int = 0, seed: int = 0, least: int = 1
) -> Records:
    """The records themselves where all of them are taken, else the Selection of them."""
    return Selection(records, classes, per_class, seed, least) if classes or per_class else records


def _numbers(whole: Records, classes: Sequence[str], least: int = 1) -> list[int]:
    """The labels of the classes; records without names of classes call them 0, 1, ..., and do not tell which there are.

    Of those any number may be a class that has no image, where none has to have one (`least` is 0).
    """
    names = list(whole.classes or (f"{label:.0f}" for label in np.unique(whole.labels())))
    # A list would be gone through for each of thousands of classes.
    places = {composed(name): k for k, name in enumerate(names)}
    for name in classes:
        if composed(name) not in places and (whole.classes or least or not _is_label(name)):
            require_known(name, names, "class", str(whole.paths[0]))
    return [places[composed(name)] if whole.classes else int(name) for name in classes]


def _is_label(name: str) -> bool:
    return name.isdecimal() and len(name) < 10 and str(int(name)) == name


def _places(labels: np.ndarray, numbers: Sequence[int]) -> list[np.ndarray]:
    """Where each of the numbers stands among the labels, ascending; all of them are found at once."""
    by_label = np.argsort(labels, kind="stable")
    in_order = labels[by_label]
    ends = np.searchsorted(in_order, numbers), np.searchsorted(in_order, numbers, "right")
    return [by_label[first:last] for first, last in zip(*ends)]


def _some(places: np.ndarray, label: int, count: int, seed: int) -> np.ndarray:
    """The first so many of a class's images in an order that the seed gives; 0: all."""
    return generator(seed, "images of a class", label).permutation(places)[:count] if count else places


def require_enough(place: str, names: Sequence[str], counts: Sequence[int], least: int) -> None:
    """Refuses classes of fewer images than are asked for, and all without any. Args: place: of the images."""
    for name, count in zip(names, counts):
        if count < least:
            raise Refused(
                f"{place} has {plural(count, 'image')} of the class {name}, and {least} are asked for: "
                "set per_class to fewer, or leave the class out of only_classes"
            )
    if not any(counts):
        raise Refused(f"{place} has no image of the classes {some(names)}")
