"""What VOC's annotations say of whole images: which classes each one shows."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from gluon_tricks.core.reading import IMAGE_BYTES, expanded, read_bytes
from gluon_tricks.core.wording import printable
from gluon_tricks.data.annotations.annotated import copies
from gluon_tricks.data.annotations.boxes import VOC_CLASSES, BoxedImages, find_listing, read_voc
from gluon_tricks.data.label_vectors import ABSENT, IGNORED, PRESENT
from gluon_tricks.data.lists import read_lines, words
from gluon_tricks.data.records import BadRecord

log = logging.getLogger("gluon_tricks.data")


def image_labels(boxes: np.ndarray, classes: int) -> np.ndarray:
    """The label of each class, (K,) int8, as the lists ImageSets/Main/CLASS_SPLIT.txt have it.

    A class is present where one of its objects is not difficult; one whose objects are all difficult does not count.

    Args:
        boxes: of one image (M, 6), as BoxedImages has them.
        classes: K.

    Source: the VOC2007 development kit, which writes 1, -1 and 0 for what is 1, 0 and -1 here.
    """
    labels = np.full(classes, ABSENT, np.int8)
    for difficult, label in ((1, IGNORED), (0, PRESENT)):  # what is present counts though it is difficult elsewhere too
        labels[boxes[boxes[:, 5] == difficult, 4].astype(int)] = label
    return labels


class LabelledFolder:
    """The images of a VOC folder with a label for each class (see LabelledImages)."""

    def __init__(self, images: BoxedImages):
        self.classes, self.paths, self.digest = images.classes, images.paths, images.digest
        self.vectors = np.stack([image_labels(boxes, len(images.classes)) for boxes in images.boxes])

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, i: int) -> tuple[float, int, bytes]:
        """(nan, i, the encoded image). Raises BadRecord when the file cannot be read."""
        try:
            return float("nan"), i, read_bytes(self.paths[i], IMAGE_BYTES)
        except OSError as error:
            raise BadRecord(
                f"{self.paths[i]} cannot be read ({error.strerror}): check the disk and the file's permissions"
            ) from None

    def place(self, i: int) -> tuple[pathlib.Path, int]:
        return self.paths[i], 0

    def name(self, i: int) -> str:
        return printable(self.paths[i].name)

    def describe(self, i: int, id: int) -> str:
        return str(self.paths[i])

    def copies(self, other: LabelledFolder) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
        """Pairs of files, one of these and one of the other images, that are the same or copies of the same name."""
        # Of themselves there are none: read_voc refuses an image that is listed twice.
        return iter(()) if other is self else copies(self.paths, getattr(other, "paths", ()))


def read_voc_labels(
    root: str | os.PathLike, splits: Sequence[str], classes: Sequence[str] = (), *, jobs: int | None = None
) -> LabelledFolder:
    """The images of lists of a VOC folder with their labels. Args and Raises: as for read_voc; classes (): VOC's.

    Where the folder has lists of single classes too (CLASS_LIST.txt), and they say otherwise, the log tells it.
    """
    images = LabelledFolder(read_voc(root, splits, tuple(classes) or VOC_CLASSES, jobs=jobs))
    _compare_with_lists(images, expanded(root), splits)
    return images


_OF_LISTS = {"1": PRESENT, "0": IGNORED, "-1": ABSENT}


def _compare_with_lists(images: LabelledFolder, root: pathlib.Path, splits: Sequence[str]) -> None:
    of_stem, odd, lists = {(path.parent.parent, path.stem): i for i, path in enumerate(images.paths)}, [], 0
    for split in splits:
        listing, folder = find_listing(root, split)
        for k, name in enumerate(images.classes):
            of_class = f"{name}_{listing.stem}.txt"
            if "/" in name or not os.path.isfile(listing.parent / of_class):  # False too of a name that is too long
                continue
            lists += 1
            for line in (words(text) for _, text in read_lines(listing.parent / of_class)):
                i = of_stem.get((folder, line[0]))
                if i is not None and _OF_LISTS.get(line[-1]) != images.vectors[i, k]:
                    odd.append(f"{line[0]} in {of_class}")
    if odd:
        log.warning(
            "%d labels of the %d lists of single classes in %s are not what the annotations say, such as %s: the "
            "annotations count", len(odd), lists, root, odd[0],
        )  # fmt: skip
