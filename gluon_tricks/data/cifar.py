"""CIFAR-10 and CIFAR-100 in their binary version, as sources of images.

An image is its label, one byte (of CIFAR-100 two: the coarse one of 20 classes, then the fine one of 100), and 3072
bytes of pixels: 1024 of red, 1024 of green, 1024 of blue, each plane 32 rows of 32 from the top left.

Source: Krizhevsky, Learning multiple layers of features from tiny images (2009); the data sets' page, "Binary version".
"""

from __future__ import annotations

import dataclasses
import os
import pathlib

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import opened
from gluon_tricks.data.lists import read_lines, require_distinct
from gluon_tricks.data.sources import Entry, Source

SIDE = 32  # px
_PIXELS = 3 * SIDE**2  # bytes


@dataclasses.dataclass(frozen=True)
class _Version:
    """The files of one data set.

    Args:
        name: of the data set.
        archive: what it is downloaded as, without .tar.gz.
        files: split -> file -> how many images it has.
        names: the file with the class names in label order.
        classes: how many there are.
        label_bytes: in front of the pixels; the last one is the label.
        pickles: what the files of the Python version are called.
    """

    name: str
    archive: str
    files: dict[str, dict[str, int]]
    names: str
    classes: int
    label_bytes: int
    pickles: tuple[str, ...]

    def there(self, folder: pathlib.Path) -> bool:
        """Whether a folder has one of its files, of the binary or of the Python version."""
        binary = [name for files in self.files.values() for name in files]
        return any(os.path.isfile(folder / name) for name in (*binary, *self.pickles))


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_VERSIONS = (
    _Version(
        "CIFAR-10",
        "cifar-10-binary",
        {"train": {f"{name}.bin": 10_000 for name in _BATCHES}, "val": {"test_batch.bin": 10_000}},
        names="batches.meta.txt",
        classes=10,
        label_bytes=1,
        pickles=(*_BATCHES, "test_batch"),
    ),
    _Version(
        "CIFAR-100",
        "cifar-100-binary",
        {"train": {"train.bin": 50_000}, "val": {"test.bin": 10_000}},
        names="fine_label_names.txt",
        classes=100,
        label_bytes=2,
        pickles=("train", "test"),
    ),
)


def is_cifar(folder: str | os.PathLike) -> bool:
    """Whether a folder has files of CIFAR-10 or CIFAR-100, of the binary or of the Python version."""
    return any(version.there(pathlib.Path(folder)) for version in _VERSIONS)


def cifar_sources(folder: str | os.PathLike) -> dict[str, Source]:
    """The images of CIFAR-10 or CIFAR-100 (by their fine labels), to be stored as PNG, which loses nothing.

    Args:
        folder: cifar-10-batches-bin or cifar-100-binary, as the archives have it.

    Returns:
        "train" with 50,000 images and "val" with the 10,000 of the test set; ids count them in the order of the files.

    Raises:
        Refused: there are other files or the Python version's, whose pickles are never read; one is missing, has
            another size or a label that is no class.
    """
    place = pathlib.Path(folder)
    version = next((version for version in _VERSIONS if version.there(place)), None)
    if version is None:
        raise Refused(
            f"{folder} has no files of CIFAR-10 or CIFAR-100: name the folder cifar-10-batches-bin or cifar-100-binary "
            "of their binary version"
        )
    _require_files(place, version)
    classes = require_distinct([line.strip() for _, line in read_lines(place / version.names)], place / version.names)
    if len(classes) != version.classes:
        raise Refused(
            f"{place / version.names} names {len(classes)} classes and {version.name} has {version.classes}: get "
            f"{version.archive}.tar.gz again"
        )
    return {split: _source(place, version, files, classes) for split, files in version.files.items()}


def _require_files(folder: pathlib.Path, version: _Version) -> None:
    binary = [*(name for files in version.files.values() for name in files), version.names]
    missing = [name for name in binary if not (folder / name).is_file()]
    pickles = [name for name in version.pickles if (folder / name).is_file()]
    if missing and pickles:
        raise Refused(
            f"{folder} has the Python version of {version.name}: {pickles[0]} is a pickle, which runs code when it is "
            f"read; get the binary version, {version.archive}.tar.gz"
        )
    if missing:
        raise Refused(f"{folder} lacks {', '.join(missing)} of {version.name}: get {version.archive}.tar.gz again")


def _source(folder: pathlib.Path, version: _Version, files: dict[str, int], classes: tuple[str, ...]) -> Source:
    entries: list[Entry] = []
    parts = []
    for name, count in files.items():
        labels, pixels = _read(folder / name, version, count)
        first = len(entries)
        for k, label in enumerate(labels.tolist()):
            entries.append(Entry(first + k, label, os.path.join(folder, f"{name} image {k}"), _PIXELS))
        parts.append(pixels)
    pixels = np.concatenate(parts)
    return Source(entries, classes, [], str(folder), lambda entry: _png(pixels[entry.id]))


def _read(path: pathlib.Path, version: _Version, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The labels (n,) and the pixels (n, 3072) uint8 of one file."""
    record, wanted = version.label_bytes + _PIXELS, count * (version.label_bytes + _PIXELS)
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        data = file.read(wanted) if size == wanted else b""
    if len(data) != wanted:
        raise Refused(
            f"{path} has {size} bytes, and {count} images of {version.name} take {wanted} ({record} each): get "
            f"{version.archive}.tar.gz again"
        )
    rows = np.frombuffer(data, np.uint8).reshape(count, record)
    labels = rows[:, version.label_bytes - 1]
    wrong = np.flatnonzero(labels >= version.classes)
    if len(wrong):
        raise Refused(
            f"{path} is damaged: image {wrong[0]} has the label {labels[wrong[0]]}, and {version.name} has "
            f"{version.classes} classes: get {version.archive}.tar.gz again"
        )
    return labels, rows[:, version.label_bytes :]


def _png(pixels: np.ndarray) -> bytes:
    """An image (3072,) as PNG."""
    rgb = pixels.reshape(3, SIDE, SIDE).transpose(1, 2, 0)
    return cv2.imencode(".png", np.ascontiguousarray(rgb[:, :, ::-1]))[1].tobytes()  # OpenCV takes BGR
