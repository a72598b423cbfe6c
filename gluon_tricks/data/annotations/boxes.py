"""Images with boxes: Pascal VOC's development kit, or another data set in its layout.

GluonCV's VOCDetection reads the same files. It serves as the tests' oracle and not here: it passes over unknown classes
in silence and over boxes outside the image with a warning, does not look whether images are there, knows no sizes
before images are decoded, and a missing <difficult> ends it with an AttributeError.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import math
import os
import pathlib
import xml.parsers.expat
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import ANNOTATION_BYTES, Unreadable, expanded, read_bytes
from gluon_tricks.core.wording import composed, quoted, some
from gluon_tricks.data.annotations.annotated import (
    ENDINGS,
    OtherData,
    Problem,
    Stored,
    file_bytes,
    file_of,
    read_all,
    stored_image,
    tell_turned,
)
from gluon_tricks.data.lists import read_lines

log = logging.getLogger("gluon_tricks.data")

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclasses.dataclass(frozen=True, eq=False)
class BoxedImages:
    """A list of images with boxes.

    Attributes:
        classes: names, in the order of the class indices.
        paths: the image files.
        sizes: (n, 2) int64, height and width.
        boxes: of each image (M, 6) float32: xmin, ymin, xmax, ymax in pixels from 0 (the last pixel included), class
            index, difficult 0 or 1; M may be 0.
        digest: hex sha256 over names, sizes in bytes and annotations: the data's identity, wherever it lies.
    """

    classes: tuple[str, ...]
    paths: list[pathlib.Path]
    sizes: np.ndarray
    boxes: list[np.ndarray]
    digest: str

    def __len__(self) -> int:
        return len(self.paths)


class _Entry(NamedTuple):
    """An image of a list: VOC's folder, its name there, and whether the lists name it more than once."""

    folder: pathlib.Path
    name: str
    listing: pathlib.Path
    repeated: bool


def read_voc(
    root: str | os.PathLike,
    splits: Sequence[str] = ("2007_trainval", "2012_trainval"),
    classes: Sequence[str] = VOC_CLASSES,
    *,
    jobs: int | None = None,
) -> BoxedImages:
    """The images of a VOCdevkit with their boxes. Annotations and the images' headers are read, on threads.

    An annotation without objects is kept: evaluation counts what is found there as wrong, and DetectionLoader leaves it
    out of training. Boxes may be up to one pixel outside the image, as counting from 0 or rounding leaves them: they
    are cut at its border. An annotation without <size>, or an object without <difficult> (then 0), is taken as it is.

    Args:
        root: the folder VOCdevkit, or the one it lies in, or one that has JPEGImages, Annotations and ImageSets.
        splits: "YEAR_LIST": the images of VOC{YEAR}/ImageSets/Main/{LIST}.txt, such as "2007_test"; of a root that
            has JPEGImages itself "LIST": ImageSets/Main/{LIST}.txt or ImageSets/{LIST}.txt there.
        classes: names in the order of the class indices.
        jobs: threads; default: all cores.

    Raises:
        Refused: a list is missing or empty; or, naming the first few files and how many in all: an image or annotation
            that is missing, no image, no XML or XML with a document type (entities are never expanded), a path that
            leaves the folder, an image listed twice, an unknown class, an empty box, one outside the image, or a size
            that is not the image's.

    Source: section 6.1; the VOC2007 development kit. `Differs:` see the module.
    """
    classes = tuple(classes)
    twice = sorted({name for name in classes if classes.count(name) > 1})
    if twice or not classes:
        raise Refused(f"classes must be different names, at least one: {', '.join(twice) or 'none'} was given")
    if not splits:
        raise Refused('no split is named: give at least one, such as "2007_trainval"')
    root = expanded(root)
    entries = _listed(root, splits)
    index_of = {composed(name): k for k, name in enumerate(classes)}
    read = read_all(lambda entry: _read(entry, index_of), entries, what="reading annotations", folder=root, jobs=jobs)
    paths, images, boxes, lengths = (list(column) for column in zip(*read))
    tell_turned(images, paths, root, "boxes")
    sizes = [image.size for image in images]
    digest = hashlib.sha256(repr(classes).encode())
    for entry, size, length, of_image in zip(entries, sizes, lengths, boxes):
        folder = "" if entry.folder == root else entry.folder.name
        digest.update(repr((folder, entry.name, size, length)).encode() + of_image.astype("<f4").tobytes())
    return BoxedImages(classes, paths, np.array(sizes, np.int64), boxes, digest.hexdigest())


def count_listed(root: str | os.PathLike, splits: Sequence[str]) -> int:
    """How many images the lists of some splits name. Raises Refused: a list is missing or empty."""
    return len(_listed(expanded(root), splits))


def _listed(root: pathlib.Path, splits: Sequence[str]) -> list[_Entry]:
    entries: list[_Entry] = []
    known: set[tuple[pathlib.Path, str]] = set()
    for split in splits:
        listing, folder = find_listing(root, split)
        for _, line in read_lines(listing):
            key = folder, os.path.normpath(line.strip(" \t"))
            entries.append(_Entry(folder, line.strip(" \t"), listing, key in known))
            known.add(key)
    if not entries:
        raise Refused(f"the lists {', '.join(splits)} of {root} name no image: check the files in ImageSets/Main")
    return entries


def find_listing(root: pathlib.Path, split: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The list of a split, and the folder whose images it names."""
    if not split or pathlib.Path(split).name != split:
        raise Refused(f'the split is {quoted(split)}: it should be "YEAR_LIST", such as "2007_trainval", or "LIST"')
    if os.path.isdir(root / "JPEGImages"):  # False, where pathlib raises, of a name that is too long
        folder, name = root, split
    else:
        year, _, name = split.partition("_")
        if not year or not name:
            raise Refused(
                f'the split is {quoted(split)}: it should be "YEAR_LIST", such as "2007_trainval"; {root} has no '
                'JPEGImages itself, where "LIST" would do'
            )
        places = [root / f"VOC{year}", root / "VOCdevkit" / f"VOC{year}"]
        folder = next((place for place in places if os.path.isdir(place)), None)
        if folder is None:
            raise Refused(
                f"there is no folder JPEGImages or VOC{year} in {root}, nor VOC{year} in {root / 'VOCdevkit'}: check "
                "--data and the splits"
            )
    lists = folder / "ImageSets" / "Main"
    if not os.path.isdir(lists):
        lists = folder / "ImageSets"
    listing = lists / f"{name}.txt"
    if not os.path.exists(listing):
        there = [path.stem for path in sorted(lists.glob("*.txt"))] if os.path.isdir(lists) else []
        raise OtherData(
            f"there is no list {listing} (there are {some(there, 10) or 'none'})",
            ": name the lists with --train-splits and --val-splits",
        )
    return listing, folder


def report_classes(records: BoxedImages, folder: str | os.PathLike, *, train: bool) -> None:
    """Names the classes that no annotation has; in validation, none whose object is not difficult."""
    boxes = np.concatenate([*records.boxes, np.zeros((0, 6))])
    occur = {*(boxes if train else boxes[boxes[:, 5] == 0])[:, 4].astype(int).tolist()}
    absent = [name for k, name in enumerate(records.classes) if k not in occur]
    if absent:
        which, what = ("training", "it cannot be learnt") if train else ("validation", "the mean is over the others")
        log.warning("no %s image of %s has the class %s: %s", which, folder, some(absent), what)


def _read(entry: _Entry, index_of: dict[str, int]) -> tuple[pathlib.Path, Stored, np.ndarray, int]:
    """Path, size and orientation, boxes and length in bytes of one image."""
    if os.path.isabs(entry.name) or os.pardir in pathlib.PurePath(entry.name).parts:
        raise Problem(f"{entry.listing} names {quoted(entry.name)}, which leads out of the folder")
    if entry.repeated:
        raise Problem(f"{entry.listing} names {quoted(entry.name)}, which was named before")
    try:
        path = file_of(entry.folder / "JPEGImages", entry.name, ENDINGS)
        annotation = file_of(entry.folder / "Annotations", entry.name, (".xml",))
    except OSError as error:  # a name of more than 255 bytes
        raise Problem(f"{entry.listing} names {quoted(entry.name)}: {error.strerror}") from None
    length, image = file_bytes(path), stored_image(path)
    return path, image, _read_annotation(annotation, image, index_of), length


def _read_annotation(path: pathlib.Path, image: Stored, index_of: dict[str, int]) -> np.ndarray:
    """The boxes (M, 6) of one annotation, which is compared with the image's size."""
    file_bytes(path)
    try:
        root = _parse(read_bytes(path, ANNOTATION_BYTES))
        told = root.find("size")
        if told is not None and (_number(told, "height"), _number(told, "width")) != image.size:
            raise Problem(
                f"it says {_number(told, 'width'):g} x {_number(told, 'height'):g} px, "
                f"and the image as it is stored has {image.told()}"
            )
        boxes = [_box(thing, image, index_of) for thing in root.findall("object")]
    except Unreadable as error:
        raise Problem(str(error)) from None
    except Problem as problem:
        raise Problem(f"{path}: {problem}", problem.remedy) from None
    return np.array(boxes, np.float32).reshape(-1, 6)


def _parse(data: bytes) -> ElementTree.Element:
    """The document's root. A document type is refused: it is where entities are declared, that expand without bound."""

    def refuse(*_: object) -> None:
        raise Problem("it has a document type, which annotations do not need: take out <!DOCTYPE ...>")

    builder, parser = ElementTree.TreeBuilder(), xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except Problem:
        raise
    except (xml.parsers.expat.ExpatError, ValueError, LookupError) as error:  # the last: an unknown encoding
        raise Problem(f"it is not XML ({error})") from None
    root = builder.close()
    if root.tag != "annotation":
        raise Problem(f"it holds a <{root.tag}> where VOC has an <annotation>")
    return root


def _number(element: ElementTree.Element, name: str) -> float:
    text = element.findtext(name, "").strip()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise Problem(f"<{name}> of <{element.tag}> is {quoted(text)} and not a number")
    return value


def _box(thing: ElementTree.Element, image: Stored, index_of: dict[str, int]) -> tuple[float, ...]:
    """One row of the boxes."""
    height, width = image.size
    name, corners = thing.findtext("name", "").strip(), thing.find("bndbox")
    if composed(name) not in index_of:
        known = (
            f"The classes are {some([*index_of], 30)}: name those of your data with --classes, or fix the annotations"
        )
        raise Problem(f"unknown class {quoted(name)}", known)
    if corners is None:
        raise Problem(f"a {name} has no <bndbox>")
    xmin, ymin, xmax, ymax = (_number(corners, corner) for corner in _CORNERS)
    what = f"the box {xmin:g}, {ymin:g}, {xmax:g}, {ymax:g} of a {name}"
    if xmax <= xmin or ymax <= ymin:
        raise Problem(f"{what} is empty")
    inside = np.clip([xmin, ymin, xmax, ymax], 1, [width, height, width, height])
    if np.abs(inside - [xmin, ymin, xmax, ymax]).max() > 1:
        raise Problem(f"{what} is outside the image of {image.told()}")
    if inside[2] <= inside[0] or inside[3] <= inside[1]:
        raise Problem(f"{what} is empty within the image of {image.told()}")
    difficult = thing.findtext("difficult", "").strip() or "0"
    if difficult not in ("0", "1"):
        raise Problem(f"<difficult> of a {name} is {quoted(difficult)}, and it takes 0 or 1")
    return *(inside - 1).tolist(), index_of[composed(name)], difficult == "1"
