"""The built-in data set `scenes`: pictures with one to five of the things of `shapes`, with boxes and masks.

Things differ in form alone, as in `shapes`: always lighter than what surrounds them, of any colour, place, size (40 to
110 px across) and rotation. They may cover each other and reach beyond the border, but a good part is always seen;
one of which less than 75 % is seen is marked difficult. A box is the tight one about what is seen.

One folder holds the same pictures in two layouts, those of Pascal VOC (VOC2007/: JPEGImages, Annotations,
ImageSets/Main with trainval.txt and test.txt) and of ADE20K (images/ and annotations/, each with training/ and
validation/). A mask holds 1 to 10 for the classes, 11 for the background, and 0 for void: a line about 2 px wide along
every edge, where a pixel belongs to both sides. The background is a class of its own, for without it a network that
sees things everywhere would have no wrong pixel. It is some 85 % of the pixels that count: so much pixAcc has a network
that has learnt nothing, while in mIoU the background is one class of eleven.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.reading import IMAGE_BYTES, JSON_BYTES, read_bytes
from gluon_tricks.data.builtin.outlines import CLASSES, outline, pose, silhouette
from gluon_tricks.data.builtin.shapes import finish, made_once, paint, random_colour, random_scrap
from gluon_tricks.data.parallel import in_order

# Another number for any change that changes a picture or what is written about it.
VERSION = 1
SPLITS = ("train", "val")
VOC_SPLITS = {"train": "trainval", "val": "test"}
ADE20K_SPLITS = {"train": "training", "val": "validation"}
_VOC_FOLDERS = ("JPEGImages", "Annotations", "ImageSets/Main")
MASK_CLASSES = (*CLASSES, "background")  # a mask's value - 1 is the place here
VOID = 0

_MARGIN = 40  # px about the picture, in which things are drawn too
_PLACES = 20  # tried for each thing, before it is left out
_LEAST_SEEN, _EASILY_SEEN = 0.7, 0.75  # fractions of a thing's pixels


class Thing(NamedTuple):
    """One object of a scene.

    Attributes:
        label: index into CLASSES.
        box: xmin, ymin, xmax, ymax of the pixels that are seen, from 0, the last ones included.
        truncated: a part lies beyond the border.
        difficult: less than 75 % of it is seen.
    """

    label: int
    box: tuple[int, int, int, int]
    truncated: bool
    difficult: bool


# ---- Drawing.


def draw(seed: int, split: str, index: int) -> tuple[np.ndarray, np.ndarray, list[Thing]]:
    """One picture with 1 to 5 things in it.

    Args:
        seed: 0 <= seed < 2**64.
        split: "train" or "val".
        index: the picture's number in its split; the first thing's class is index % 10.

    Returns:
        image: (H, W, 3) uint8, RGB; the longer side 220 to 260, the shorter 180 to 220, a quarter upright.
        mask: (H, W) uint8, 1 to 10 the classes, 11 background, 0 void.
        things: in the order in which they were painted.
    """
    rng = generator(seed, "scenes", SPLITS.index(split), index)
    width, height = int(rng.integers(220, 261)), int(rng.integers(180, 221))
    if rng.random() < 0.25:
        width, height = height, width
    image = np.zeros((height, width, 3), np.float32)
    paint(image, np.full((height, width), 255, np.uint8), random_colour(rng, 10, 100), rng)
    for _ in range(rng.integers(2, 8)):
        scrap = random_scrap(rng.uniform(0, [width, height]), rng.uniform(6, 18), height, width, rng)
        paint(image, scrap, random_colour(rng, 10, 110), rng)

    owner = np.zeros((height, width), np.uint8)  # of each pixel: the number of a thing, from 1; 0 is the background
    labels, sizes, truncated = [], [], []  # size: a thing's pixels if nothing covered it and the picture went on
    for k in range(rng.integers(1, 6)):
        label = index % len(CLASSES) if k == 0 else int(rng.integers(len(CLASSES)))
        cover, size = _find_place(label, owner, sizes, rng)
        if cover is not None:
            paint(image, cover, random_colour(rng, 150, 245), rng)
            labels.append(label)
            sizes.append(size)
            truncated.append(np.count_nonzero(cover > 127) < size)
            owner[cover > 127] = len(labels)
    things = [_thing(owner == k, *of_k) for k, of_k in enumerate(zip(labels, sizes, truncated), start=1)]
    return finish(image, rng), _mask(owner, labels), things


def _find_place(
    label: int, owner: np.ndarray, sizes: list[int], rng: np.random.Generator
) -> tuple[np.ndarray | None, int]:
    """Where one more thing may be painted: what it covers, (H, W) 0 to 255 or None if nowhere, and its size.

    One thing in five may lie beyond the border by up to 30 % of its width and height. No thing that is there may lose
    more than 30 % of its pixels.
    """
    height, width = owner.shape
    contours = pose(outline(label, rng), rng.uniform(25, 54), rng)
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    beyond = (high - low) * rng.uniform(0, 0.3) * (rng.random() < 0.2)
    seen = np.bincount(owner.ravel(), minlength=len(sizes) + 1)[1:]
    for _ in range(_PLACES):
        place = rng.uniform(2 - low - beyond, [width - 3, height - 3] - high + beyond)
        canvas = silhouette(
            [contour + place + _MARGIN for contour in contours], height + 2 * _MARGIN, width + 2 * _MARGIN
        )
        cover = canvas[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
        left = np.bincount(owner[cover <= 127], minlength=len(sizes) + 1)[1:]
        if (left[left < seen] >= _LEAST_SEEN * np.array(sizes)[left < seen]).all():
            return np.ascontiguousarray(cover), np.count_nonzero(canvas > 127)
    return None, 0


def _thing(seen: np.ndarray, label: int, size: int, truncated: bool) -> Thing:
    left, top, width, height = cv2.boundingRect(seen.astype(np.uint8))
    box = left, top, left + width - 1, top + height - 1
    return Thing(label, box, truncated, bool(np.count_nonzero(seen) < _EASILY_SEEN * size))


def _mask(owner: np.ndarray, labels: list[int]) -> np.ndarray:
    """Classes from 1, background, and void along every edge between two things or a thing and the background."""
    values = np.array([len(MASK_CLASSES), *(label + 1 for label in labels)], np.uint8)
    kernel = np.ones((3, 3), np.uint8)
    edge = cv2.dilate(owner, kernel) != cv2.erode(owner, kernel)
    return np.where(edge, np.uint8(VOID), values[owner])


# ---- Files.


def make(folder: str | os.PathLike, *, train: int = 400, val: int = 100, seed: int = 0) -> None:
    """Draws the data set into `folder`, in both layouts.

    Args:
        folder: an existing folder.
        train, val: pictures per split, at least 1.
        seed: 0 <= seed < 2**64.
    """
    folder = pathlib.Path(folder)
    for split, count in (("train", train), ("val", val)):
        if count < 1:
            raise Refused(f"{count} pictures in {split}: ask for at least 1")
        voc, ade = VOC_SPLITS[split], ADE20K_SPLITS[split]
        for place in (f"images/{ade}", f"annotations/{ade}", *(f"VOC2007/{name}" for name in _VOC_FOLDERS)):
            (folder / place).mkdir(parents=True, exist_ok=True)
        write = functools.partial(_write, folder, seed, split)
        names = list(in_order(write, range(count), what="drawing scenes"))
        (folder / f"VOC2007/ImageSets/Main/{voc}.txt").write_text("".join(f"{name}\n" for name in names))
    about = {"version": VERSION, "seed": seed, "train": train, "val": val, "classes": CLASSES}
    (folder / "scenes.json").write_text(json.dumps({**about, "sha256": _digest(folder)}, indent=1))


def _digest(folder: pathlib.Path) -> str:
    """Hex sha256 over the names and contents of all files but the manifest."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "scenes.json"):
        content = read_bytes(path, IMAGE_BYTES)
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()


def _write(folder: pathlib.Path, seed: int, split: str, index: int) -> str:
    """Draws and writes one picture with its annotations; returns its name."""
    image, mask, things = draw(seed, split, index)
    name, ade, voc = f"{split}_{index:06d}", ADE20K_SPLITS[split], folder / "VOC2007"
    quality = int(generator(seed, "scenes quality", SPLITS.index(split), index).integers(75, 96))
    for path in (voc / f"JPEGImages/{name}.jpg", folder / f"images/{ade}/{name}.jpg"):
        path.write_bytes(_encoded(".jpg", image[:, :, ::-1], cv2.IMWRITE_JPEG_QUALITY, quality))
    (folder / f"annotations/{ade}/{name}.png").write_bytes(_encoded(".png", mask))
    (voc / f"Annotations/{name}.xml").write_text(_annotation(f"{name}.jpg", *image.shape[:2], things))
    return name


def _encoded(ending: str, image: np.ndarray, *options: int) -> bytes:
    done, data = cv2.imencode(ending, image, options)
    assert done, f"OpenCV could not encode a picture as {ending}"
    return data.tobytes()


_ANNOTATION = """<annotation>
\t<folder>VOC2007</folder>
\t<filename>{filename}</filename>
\t<source><database>scenes</database><annotation>drawn</annotation><image>drawn</image></source>
\t<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
\t<segmented>0</segmented>
{objects}</annotation>
"""
_OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>{truncated:d}</truncated>
\t\t<difficult>{difficult:d}</difficult>
\t\t<bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox>
\t</object>
"""


def _annotation(filename: str, height: int, width: int, things: list[Thing]) -> str:
    """The annotation of a picture as VOC writes it: boxes count pixels from 1."""
    objects = "".join(
        _OBJECT.format(
            name=CLASSES[thing.label],
            truncated=thing.truncated,
            difficult=thing.difficult,
            box=[place + 1 for place in thing.box],
        )
        for thing in things
    )
    return _ANNOTATION.format(filename=filename, width=width, height=height, objects=objects)


# name -> training and validation images; "few_scenes" is for trying the machinery in seconds.
DATA_SETS = {"scenes": (400, 100), "few_scenes": (48, 16)}


def ensure(
    folder: str | os.PathLike | None = None,
    *,
    name: str = "scenes",
    train: int | None = None,
    val: int | None = None,
    seed: int = 0,
) -> pathlib.Path:
    """The folder with VOC2007/, images/ and annotations/. Made on first use, whole or not at all.

    Args:
        folder: default $GLUON_TRICKS_CACHE/scenes-v1, without that variable ~/.cache/gluon_tricks/scenes-v1.
        name: a key of DATA_SETS, whose number of images train and val are by default.
        train, val, seed: as for `make`.

    Raises:
        Refused: the folder holds something else.
    """
    train, val = (usual if given is None else given for given, usual in zip((train, val), DATA_SETS[name]))
    return made_once(
        folder,
        f"{name}-v{VERSION}",
        lambda whole: make(whole, train=train, val=val, seed=seed),
        lambda there: _what_is_wrong(there, train, val, seed),
    )


def _what_is_wrong(folder: pathlib.Path, train: int, val: int, seed: int) -> str:
    """Why a folder does not hold these pictures, in words; "" if it does, by the manifest and the files' digest."""
    lacking = [place for place, count in _places(train, val) if len(list(folder.glob(place))) != count]
    if lacking:
        return f"does not hold as many {lacking[0]} as were drawn"
    try:
        seen = parse_json(read_bytes(folder / "scenes.json", JSON_BYTES))
        wanted = {"version": VERSION, "seed": seed, "train": train, "val": val, "classes": list(CLASSES)}
        same = isinstance(seen, dict) and {**seen, "sha256": None} == {**wanted, "sha256": None}
        return "" if same and seen.get("sha256") == _digest(folder) else "holds other pictures"
    except (OSError, ValueError) as error:
        return f"is damaged ({error})"


def _places(train: int, val: int) -> Iterator[tuple[str, int]]:
    """Which files there should be, as patterns, and how many of each."""
    yield from (("VOC2007/JPEGImages/*.jpg", train + val), ("VOC2007/Annotations/*.xml", train + val))
    for split, count in (("train", train), ("val", val)):
        yield f"VOC2007/ImageSets/Main/{VOC_SPLITS[split]}.txt", 1
        yield f"images/{ADE20K_SPLITS[split]}/*.jpg", count
        yield f"annotations/{ADE20K_SPLITS[split]}/*.png", count
