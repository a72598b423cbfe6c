"""Images with boxes in COCO's format: one JSON file for a list of images ("instances").

pycocotools reads the same files, and serves as the tests' oracle and not here: it looks at nothing, so that what is
wrong ends a training later as a KeyError or not at all, and it prints.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import expanded, read_bytes
from gluon_tricks.core.wording import byte_size, composed, is_plain, plural, quoted, some
from gluon_tricks.data.annotations.annotated import Problem, Stored, file_bytes, read_all, stored_image, tell_turned
from gluon_tricks.data.annotations.boxes import BoxedImages

log = logging.getLogger("gluon_tricks.data")

_BYTES = 1 << 30  # instances_train2017.json has 450 MB
_LARGE = 1 << 25  # bytes, which take seconds


class _Image(NamedTuple):
    """An image of the file: its name and what it says of its size, (height, width) or None; its annotations."""

    id: int | str
    name: str
    size: tuple[Any, Any] | None
    things: list[dict]


def read_coco(
    annotations: str | os.PathLike,
    folders: Sequence[str | os.PathLike],
    classes: Sequence[str] = (),
    *,
    train: bool,
    jobs: int | None = None,
) -> BoxedImages:
    """The images of one file of annotations with their boxes; the images' headers are read, on threads.

    A box x, y, width, height has the pixels x to x + width - 1. What is outside the image is cut off; a box that is not
    wider and higher than a pixel then, as COCO has some, is left out, and a line says how many. Crowds ("iscrowd",
    "ignore") are left out of training, and in validation they are difficult objects, which count neither for nor
    against. Outlines are not read. An image without annotations is kept: what is found there counts as wrong.

    Args:
        annotations: the JSON file.
        folders: where its images may be: all are in the first one that has the first image.
        classes: names of categories, in the order of the class indices; the others' annotations are left out, and a
            line says how many. (): all, by their ids.
        train: for training.
        jobs: threads; default: all cores.

    Raises:
        Refused: no such file, or one that is no COCO file; an unknown class; or, naming the first few: an image that
            is missing, is no image or has another size, a name that leaves the folder, a box of other than four
            numbers or of less than no area, an annotation of no image or category of the file.

    Source: Lin et al., Microsoft COCO (ECCV 2014), the data format on its site. `Differs:` see the module.
    """
    path = expanded(annotations)
    content = _content(path)
    index_of = _categories(content, path, tuple(classes), train)
    images = _images(content, path, index_of)
    folder = _folder(images, [expanded(folder) for folder in folders], path)
    told = _Told()
    rows = {"index_of": index_of[1], "train": train, "told": told, "folder": folder, "path": path}
    read = read_all(lambda image: _read(image, **rows), images, what="reading annotations", folder=path, jobs=jobs)
    told.say(path, train)
    paths, files, boxes, lengths = (list(column) for column in zip(*read))
    tell_turned(files, paths, path, "boxes")
    sizes = [file.size for file in files]
    digest = hashlib.sha256(repr(index_of[0]).encode())
    for image, size, length, of_image in zip(images, sizes, lengths, boxes):
        digest.update(repr((image.name, size, length)).encode() + of_image.astype("<f4").tobytes())
    return BoxedImages(index_of[0], paths, np.array(sizes, np.int64), boxes, digest.hexdigest())


class _Told:
    """What is counted while annotations are read."""

    def __init__(self) -> None:
        self.empty: list[str] = []
        self.cut: list[str] = []
        self.crowds: list[str] = []
        self.others: list[str] = []

    def say(self, path: pathlib.Path, train: bool) -> None:
        for names, what in (
            (self.others, "of classes that were not chosen are left out"),
            (self.empty, "with a side of a pixel or less in their image are left out"),
            (self.cut, "reach beyond their image and are cut at its border"),
            (self.crowds, "of crowds are left out" if train else "of crowds count neither for nor against"),
        ):
            if names:
                log.warning("%s: %d boxes %s, such as of %s", path, len(names), what, quoted(min(names)))


def _content(path: pathlib.Path) -> dict[str, list[dict]]:
    """The file's three lists of objects."""
    data = read_bytes(path, _BYTES)
    if len(data) > _LARGE:
        log.info("reading %s (%s)", path, byte_size(len(data)))
    try:
        content = parse_json(data)
    except ValueError as error:
        raise Refused(f"{path} cannot be used: {error}") from None
    for key in ("images", "annotations", "categories"):
        values = content.get(key) if isinstance(content, dict) else None
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            raise Refused(f'{path} is no file of COCO\'s instances: it has no list "{key}" of objects')
    if not content["images"]:
        raise Refused(f"{path} names no image")
    return content


def _categories(
    content: dict, path: pathlib.Path, chosen: tuple[str, ...], train: bool
) -> tuple[tuple[str, ...], dict[Any, int | None]]:
    """The class names, and category id -> class index; None: one that was not chosen."""
    names: dict[Any, str] = {}
    known: set[str] = set()
    for category in content["categories"]:
        number, name = category.get("id"), category.get("name")
        if not _is_id(number) or not isinstance(name, str) or not name.strip():
            raise Refused(f"{path}: a category is {quoted(category)}: it needs an id and a name")
        if not is_plain(name):
            raise Refused(f"{path}: the category {quoted(name)} has control characters in its name: correct it")
        if number in names or composed(name) in known:
            raise Refused(f"{path}: the category {quoted(name)} or its id {quoted(number)} is there twice")
        names[number] = name
        known.add(composed(name))
    if not names:
        raise Refused(f"{path} has no categories")
    absent = [name for name in chosen if composed(name) not in known]
    if absent and (train or len(absent) == len(chosen)):  # not every class need be in validation
        raise Refused(
            f"{path} has no category {some(absent)}: name classes as they are there, {some([*names.values()], 30)}"
        )
    ordered = chosen or tuple(names[number] for number in sorted(names, key=lambda n: (isinstance(n, str), n)))
    places = {composed(name): k for k, name in enumerate(ordered)}
    return ordered, {number: places.get(composed(name)) for number, name in names.items()}


def _is_id(value: object) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _images(content: dict, path: pathlib.Path, index_of: tuple) -> list[_Image]:
    images: dict[Any, _Image] = {}
    names: set[str] = set()
    for image in content["images"]:
        number, name = image.get("id"), image.get("file_name")
        if not _is_id(number) or not isinstance(name, str) or not _can_be_a_file(name):
            raise Refused(f"{path}: an image is {quoted(image)}: it needs an id and a file_name")
        if number in images or os.path.normpath(name) in names:
            raise Refused(f"{path}: the image {quoted(name)} or its id {quoted(number)} is there twice")
        names.add(os.path.normpath(name))
        told = image.get("height"), image.get("width")
        images[number] = _Image(number, name, None if told == (None, None) else told, [])
    lost = []
    for thing in content["annotations"]:
        number, category = thing.get("image_id"), thing.get("category_id")
        if not _is_id(number) or number not in images:
            lost.append(f"{_named(thing)} is of the image {quoted(number)}, which is not there")
        elif not _is_id(category) or category not in index_of[1]:
            lost.append(f"{_named(thing)} is of the category {quoted(category)}, which is not there")
        elif thing.get("iscrowd") not in (None, 0, 1):
            lost.append(f"{_named(thing)} has iscrowd {quoted(thing['iscrowd'])}, which is 0 or 1")
        else:
            images[number].things.append(thing)
    if lost:
        raise Refused(
            f"{path}: {len(lost)} of {plural(len(content['annotations']), 'annotation')} cannot be used: {lost[0]}. "
            "Fix them, or take them out"
        )
    return list(images.values())


def _can_be_a_file(name: str) -> bool:
    return bool(name) and "\0" not in name and name.encode("utf-8", "replace").decode() == name


def _named(thing: dict) -> str:
    return f"annotation {quoted(thing['id'])}" if "id" in thing else f"the annotation {quoted(thing)}"


def _folder(images: list[_Image], folders: list[pathlib.Path], path: pathlib.Path) -> pathlib.Path:
    first = images[0].name
    folders = list(dict.fromkeys(folders))
    found = next((folder for folder in folders if os.path.isfile(folder / first)), None)
    if found is None:
        raise Refused(
            f"{path} names the image {quoted(first)}, which is in none of {', '.join(map(str, folders))}: put the "
            "images there"
        )
    return found


def _read(
    image: _Image, index_of: dict, train: bool, told: _Told, folder: pathlib.Path, path: pathlib.Path
) -> tuple[pathlib.Path, Stored, np.ndarray, int]:
    """Path, size and orientation, boxes and length in bytes of one image."""
    name = pathlib.PurePosixPath(image.name)
    if name.is_absolute() or os.pardir in name.parts:
        raise Problem(f"{path} names {quoted(image.name)}, which leads out of the folder")
    file = folder / image.name
    try:
        length, stored = file_bytes(file), stored_image(file)
    except OSError as error:  # a name of more than 255 bytes
        raise Problem(f"{path} names {quoted(image.name)}: {error.strerror}") from None
    if image.size is not None and image.size != stored.size:
        raise Problem(
            f"{file}: {path.name} says {quoted(image.size[1])} x {quoted(image.size[0])} px, and the image as it is "
            f"stored has {stored.told()}"
        )
    boxes = []
    for thing in image.things:
        box = _box(thing, stored.size, image, path)
        index, crowd = index_of[thing["category_id"]], thing.get("iscrowd") in (1, True) or thing.get("ignore") == 1
        if index is None:
            told.others.append(image.name)
        elif box is None:
            told.empty.append(image.name)
        else:
            inside, cut = box
            told.cut += [image.name] * cut
            told.crowds += [image.name] * crowd
            boxes += [] if crowd and train else [(*inside, index, float(crowd))]
    return file, stored, np.array(boxes, np.float32).reshape(-1, 6), length


def _box(
    thing: dict, size: tuple[int, int], image: _Image, path: pathlib.Path
) -> tuple[tuple[float, ...], bool] | None:
    """The corners within the image, and whether more than a pixel was cut off; None: a side has a pixel or less."""
    box = thing.get("bbox")
    numbers = isinstance(box, list) and len(box) == 4 and all(type(value) in (int, float) for value in box)
    if not numbers or not all(abs(value) < 1e9 for value in box) or min(box[2:]) < 0:
        raise Problem(
            f"{path}: {_named(thing)} of {image.name} has the bbox {quoted(box)}: it takes x, y, width, height in px"
        )
    height, width = size
    x, y, w, h = map(float, box)
    left, top, right, bottom = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if right - left <= 1 or bottom - top <= 1:
        return None
    cut = max(left - x, top - y, x + w - right, y + h - bottom) > 1
    return (left, top, right - 1, bottom - 1), cut
