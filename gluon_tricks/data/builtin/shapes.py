"""The built-in data set `shapes`: pictures of ten things that differ in form and in nothing else.

Size, place, rotation, colour, texture, clutter and occlusion are drawn without regard to the class: only the outline
tells it, and ridge regression on pixels gets under 30 %. No class changes its name when mirrored, turned, squeezed
or given other colours: the usual augmentation is safe. The thing is always lighter than what surrounds it: where
it could be darker too, ResNet-18-D at 64 px was still at 13 % after 15,000 images, over half of a first run.

Geometry is in outlines.py; here rendering (`draw`) comes first and files after it (`ensure`).
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterable

import cv2
import numpy as np
from tqdm import tqdm

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, writing
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.moves import moved
from gluon_tricks.core.scratch import CACHE, cache_folder, make_whole
from gluon_tricks.data.builtin.outlines import CLASSES, fixed_point, outline, polar, pose, silhouette
from gluon_tricks.data.manifest import read_manifest
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records, decode_image

_COMPARED = 3  # pictures of a split that are drawn again
_JPEG_DIFFERENCE = 20  # levels, in the mean; pictures of another seed differ by some 60
# Another number for any change that changes a picture.
VERSION = 1
SPLITS = ("train", "val")

# ---- Rendering: float32 pictures (H, W, 3), RGB, 0..255.


def random_colour(rng: np.random.Generator, darkest: float, lightest: float) -> np.ndarray:
    """Any colour whose grey level lies in that range."""
    while True:
        colour = rng.uniform(0, 255, size=3)
        if darkest <= colour @ (0.299, 0.587, 0.114) <= lightest:
            return colour.astype(np.float32)


def _pattern(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """A random texture (H, W, 1), 0 to 1: plain, gradient, stripes, checks, dots or clouds."""
    angle, period, phase = rng.uniform(0, 2 * np.pi), rng.uniform(7, 16), rng.uniform(0, 2 * np.pi, size=2)
    cos, sin = np.cos(angle) * 2 * np.pi / period, np.sin(angle) * 2 * np.pi / period
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    u = cos * x + sin * y + phase[0]
    v = cos * y - sin * x + phase[1]
    kind = rng.integers(6)
    if kind == 0:
        t = np.zeros_like(u)
    elif kind == 1:
        t = (u - u.min()) / max(np.ptp(u), 1)
    elif kind == 2:
        t = np.clip(0.5 + 2 * np.sin(u), 0, 1)
    elif kind == 3:
        t = np.clip(0.5 + 3 * np.sin(u) * np.sin(v), 0, 1)
    elif kind == 4:
        t = np.clip(2 * (np.cos(u) + np.cos(v)) - 1, 0, 1)
    else:
        coarse = rng.random((3 + height // 12, 3 + width // 12), dtype=np.float32)
        t = np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 1)
    return t[:, :, None].astype(np.float32)


def paint(image: np.ndarray, mask: np.ndarray, colour: np.ndarray, rng: np.random.Generator) -> None:
    """Fills the mask in place with a textured colour; the texture stays within 30 levels of it."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return
    box = slice(top, top + height), slice(left, left + width)
    second = np.clip(colour + rng.uniform(-30, 30, size=3), 0, 255).astype(np.float32)
    texture = colour + _pattern(height, width, rng) * (second - colour)
    image[box] += mask[box][:, :, None] * np.float32(1 / 255) * (texture - image[box])


def random_scrap(centre: np.ndarray, reach: float, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The mask of something that is none of the classes: a ragged blob or a bent stroke about `centre`."""
    if rng.random() < 0.5:
        blob = polar(rng.uniform(0.35, 1, size=rng.integers(6, 10))) * reach
        return silhouette([blob + centre], height, width)
    stroke = np.cumsum(rng.normal(0, reach, size=(4, 2)), axis=0)
    stroke += centre - stroke[rng.integers(4)]
    mask = np.zeros((height, width), np.uint8)
    cv2.polylines(mask, [fixed_point(stroke)], False, 255, int(rng.integers(2, 6)), cv2.LINE_AA, shift=4)
    return mask


def finish(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Uneven light, a little blur or none, and sensor noise; uint8."""
    height, width = image.shape[:2]
    light = rng.uniform(0.75, 1.2, size=(2, 2)).astype(np.float32)
    image = image * cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.1))
    image = image + rng.uniform(1, 8) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def draw(seed: int, split: str, index: int) -> tuple[np.ndarray, int]:
    """One picture with one thing in it.

    Args:
        seed: 0 <= seed < 2**64.
        split: "train" or "val".
        index: the picture's number in its split; its class is index % 10, so classes are balanced.

    Returns:
        image: (H, W, 3) uint8, RGB, H and W each 96 to 160.
        label: index into CLASSES.
    """
    rng = generator(seed, "shapes", SPLITS.index(split), index)
    label = index % len(CLASSES)
    height, width = (int(side) for side in rng.integers(96, 161, size=2))
    size, short = np.array([width, height]), min(height, width)

    thing = pose(outline(label, rng), short * rng.uniform(0.32, 0.47), rng)
    low, high = thing[0].min(axis=0), thing[0].max(axis=0)
    # Inside the central square, so that a centre crop shows nearly all of it.
    place = (size - short) / 2 + rng.uniform(-low, short - high)
    thing = [contour + place for contour in thing]
    mask = silhouette(thing, height, width)

    colour, ground = random_colour(rng, 150, 245), random_colour(rng, 10, 100)
    image = np.zeros((height, width, 3), np.float32)
    paint(image, np.full_like(mask, 255), ground, rng)
    for _ in range(rng.integers(1, 5)):
        scrap = random_scrap(rng.uniform(0, size), rng.uniform(5, 14), height, width, rng)
        paint(image, scrap, random_colour(rng, 10, 110), rng)
    paint(image, mask, colour, rng)
    for _ in range(rng.integers(0, 3)):
        scrap = random_scrap(thing[0][rng.integers(len(thing[0]))], rng.uniform(5, 12), height, width, rng)
        if np.mean(scrap[mask > 127] > 127) < 0.08:  # more would leave some forms without a name
            paint(image, scrap, random_colour(rng, 10, 110), rng)
    return finish(image, rng), label


# ---- Files.


def make(folder: str | os.PathLike, *, train: int = 5000, val: int = 1000, seed: int = 0) -> None:
    """Draws the data set into `folder`: train and val, each .rec, .idx and .json (the manifest).

    Args:
        folder: an existing folder.
        train, val: pictures per split, at least 10.
        seed: 0 <= seed < 2**64.

    Raises:
        Refused: a split would not have every class.
    """
    counts = {"train": train, "val": val}
    for split, count in counts.items():
        if count < len(CLASSES):
            raise Refused(f"{count} pictures in {split} cannot show all {len(CLASSES)} classes: ask for more")
    terminal = sys.stderr.isatty()
    if not terminal:
        print(f"drawing {train + val} pictures for the data set shapes", file=sys.stderr)
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        with tqdm(total=train + val, desc="drawing shapes", unit=" pictures", disable=not terminal) as bar:
            for split, count in counts.items():
                pictures = pool.map(functools.partial(_encoded, seed, split), range(count))
                _write(pathlib.Path(folder) / split, pictures, {"seed": seed, "version": VERSION}, bar)
    finally:
        pool.shutdown(cancel_futures=True)  # an interruption does not wait for the rest


def _encoded(seed: int, split: str, index: int) -> tuple[bytes, int]:
    """The picture as a JPEG file, and its label."""
    image, label = draw(seed, split, index)
    quality = int(generator(seed, "shapes quality", SPLITS.index(split), index).integers(75, 96))
    done, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, "OpenCV could not encode a picture as JPEG"
    return data.tobytes(), label


def _write(prefix: pathlib.Path, pictures: Iterable[tuple[bytes, int]], about: dict, bar: tqdm) -> None:
    """Writes prefix.rec, prefix.idx and the manifest prefix.json; a record's id is its place."""
    with RecordWriter(prefix, CLASSES, about=about) as writer:
        for id, (data, label) in enumerate(pictures):
            writer.add(label, id, data)
            bar.update()
            moved()


# name -> training and validation images; "few_shapes" is for trying the machinery in seconds.
DATA_SETS = {"shapes": (5000, 1000), "few_shapes": (640, 200)}


def ensure(
    folder: str | os.PathLike | None = None,
    *,
    name: str = "shapes",
    train: int | None = None,
    val: int | None = None,
    seed: int = 0,
) -> pathlib.Path:
    """The folder with train.rec and val.rec. Made on first use, whole or not at all.

    Args:
        folder: default $GLUON_TRICKS_CACHE/shapes-v1, without that variable ~/.cache/gluon_tricks/shapes-v1.
        name: a key of DATA_SETS, whose number of images train and val are by default.
        train, val, seed: as for `make`.

    Raises:
        Refused: the folder holds something else.
        CannotWrite: the disk is full or read-only.
    """
    train, val = (usual if given is None else given for given, usual in zip((train, val), DATA_SETS[name]))
    return made_once(
        folder,
        f"{name}-v{VERSION}",
        lambda whole: make(whole, train=train, val=val, seed=seed),
        lambda there: _what_is_wrong(there, {"train": train, "val": val}, seed),
    )


def made_once(
    folder: str | os.PathLike | None,
    name: str,
    make_into: Callable[[pathlib.Path], None],
    what_is_wrong: Callable[[pathlib.Path], str],
) -> pathlib.Path:
    """The folder, made on first use, whole or not at all; where None is given, `name` in the cache.

    Args:
        make_into: makes the pictures in a folder.
        what_is_wrong: with the pictures that are there, in words; "": nothing. Those in the cache are then made anew.

    Raises:
        Refused: a folder that was named holds other pictures.
        CannotWrite: the disk is full or read-only.
    """
    cached = folder is None
    if folder is None:
        folder = cache_folder() / name
    folder = pathlib.Path(folder).absolute()
    if not folder.exists():
        try:
            with writing(folder):
                make_whole(folder, make_into)
        except CannotWrite as error:
            raise CannotWrite(f"{error}; {CACHE}=FOLDER puts built-in pictures elsewhere") from error
    elif wrong := what_is_wrong(folder):
        if not cached:
            raise Refused(f"{folder} {wrong}: delete it, or name another folder, and {name} is drawn again")
        print(f"{folder} {wrong}: it is drawn again", file=sys.stderr)
        with writing(folder):
            make_whole(folder, make_into, instead=True)
    return folder


def _what_is_wrong(folder: pathlib.Path, counts: dict[str, int], seed: int) -> str:
    """Why a folder does not hold these pictures, in words; "" if it does, by the digests and the first pictures."""
    for split, count in counts.items():
        missing = [name for name in (f"{split}.rec", f"{split}.idx", f"{split}.json") if not (folder / name).is_file()]
        if missing:
            return f"lacks {', '.join(missing)}"
        wanted = {"classes": list(CLASSES), "count": count, "seed": seed, "version": VERSION}
        try:
            seen, _ = read_manifest(folder / f"{split}.json")
            if any(seen.get(key) != value for key, value in wanted.items()):
                return f"holds other pictures in {split} than were asked for"
            records = Records(folder / f"{split}.rec")
            if records.not_as_packed() or not all(_is_drawn(records, seed, split, k) for k in range(_COMPARED)):
                return f"holds other pictures in {split} than were drawn"
        except Refused as error:
            return f"is damaged ({error})"
    return ""


def _is_drawn(records: Records, seed: int, split: str, index: int) -> bool:
    """Whether a picture is the one that is drawn, as far as JPEG lets one tell: other versions of OpenCV differ."""
    image, label = draw(seed, split, index)
    stored, _, data = records.read(index)
    pixels = decode_image(data)
    if pixels is None or pixels.shape != image.shape or stored != label:
        return False
    return float(np.abs(pixels[:, :, ::-1].astype(np.int16) - image).mean()) < _JPEG_DIFFERENCE
