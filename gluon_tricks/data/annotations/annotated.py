"""Images with boxes or masks: reading them as they are stored, and telling of all that is wrong with them at once.

Annotations count the pixels of the file as it is stored. So pictures are not turned by their EXIF orientation here,
other than in classification; MATLAB, in which the development kits of VOC and ADE20K are written, does not turn either.
TIFFs alone are, as OpenCV turns them whatever it is told.
"""

from __future__ import annotations

import abc
import collections
import functools
import hashlib
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import cv2
import numpy as np
import PIL.Image

from gluon_tricks.core.errors import Refused, Told
from gluon_tricks.core.moves import moved
from gluon_tricks.core.reading import IMAGE_BYTES, Unreadable, opened, read_bytes, why_unseen
from gluon_tricks.core.wording import first_difference, plural, some
from gluon_tricks.data.base_loader import StepLoader
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.data.decoding import DECODING, MOST_PIXELS, decode, why_not
from gluon_tricks.data.headers import exif_orientation, image_header
from gluon_tricks.data.parallel import in_order
from gluon_tricks.data.records import BadRecord
from gluon_tricks.data.requirements import require_start

log = logging.getLogger("gluon_tricks.data")

Item = TypeVar("Item")
Result = TypeVar("Result")
ENDINGS = (".jpg", ".jpeg", ".png", ".bmp")

PIL.Image.MAX_IMAGE_PIXELS = MOST_PIXELS  # beyond its own limit, two thirds of this, it prints a warning
_PLAIN = ("JPEG", "MPO", "BMP", "WEBP")  # Pillow's formats whose files are not read whole: decoding refuses few of them
_SHOWN = 3  # problems told of in an error
_REMEDY = "Fix them, or take them out of the list or folder"


class Annotated(Protocol):
    """Images with boxes or masks."""

    paths: Sequence[pathlib.Path]


class OtherData(Refused):
    """Data that are not as a training was told, whose remedy is that it is told otherwise.

    Args:
        text: what is wrong.
        remedy: what follows it: which flags of a training say otherwise; a trained network is past them.
    """

    def __init__(self, text: str, remedy: str = ""):
        super().__init__(f"{text}{remedy}")
        self.text = text


class Problem(Told, ValueError):
    """What is wrong with one file: the text names it.

    Args:
        remedy: a sentence that is said once, however many files have the problem.
    """

    def __init__(self, text: str, remedy: str = ""):
        super().__init__(text)
        self.remedy = remedy


def read_all(
    read: Callable[[Item], Result], items: Sequence[Item], *, what: str, folder: str | os.PathLike, jobs: int | None
) -> list[Result]:
    """read(item) of each item, on threads and with progress, where all are tried before any is complained of.

    Args:
        read: raises Problem.
        what: for the progress bar ("reading annotations").
        folder: for the message.
        jobs: threads; default: all cores.

    Raises: Refused naming the first few problems and how many there are.
    """
    results = list(in_order(functools.partial(_attempt, read), items, jobs=jobs, what=what))
    refuse([result for result in results if isinstance(result, Problem)], len(items), folder)
    return results


def _attempt(read: Callable, item: object) -> object:
    try:
        return read(item)
    except Problem as problem:
        return problem


def refuse(problems: Sequence[Problem], total: int, folder: str | os.PathLike) -> None:
    """Raises Refused if there are problems: the first few and how many of `total` images they are."""
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        remedies = dict.fromkeys(problem.remedy.rstrip(".") or _REMEDY for problem in problems)
        text = (
            f"{len(problems)} of {plural(total, 'image')} of {folder} cannot be used: "
            f"{'; '.join(map(str, problems[:_SHOWN]))}{more}"
        )
        if any(problem.remedy for problem in problems):
            raise OtherData(text, f". {'. '.join(remedies)}")
        raise Refused(f"{text}. {'. '.join(remedies)}")


def require_own_classes(count: int | None, names: Sequence[str], own: Sequence[str], dataset: str) -> None:
    """Refuses other classes than a data set has.

    Args:
        count, names: as a recipe gives them; None and (): those of the data set.
        own: names of the data set's classes.
    """
    if (names and first_difference(names, own)) or count not in (None, len(own)):
        given = f"class_names {some(names)}" if names else f"classes={count}"
        raise Refused(
            f"{given}: the data set {dataset} has its own {plural(len(own), 'class')} ({some(own)}): leave it out, "
            "or name the kind of your data with --dataset and its classes with --classes"
        )


def require_apart(train: Annotated, val: Annotated) -> None:
    """Refuses validation images that are trained on too: the same files, or copies of the same name."""
    both = [path for _, path in copies(train.paths, val.paths)]
    if both:
        raise Refused(
            f"{len(both)} of the {len(val.paths)} validation images are trained on too, such as {both[0]}: keep them "
            "out of one of the two"
        )


def copies(
    paths: Sequence[pathlib.Path], others: Sequence[pathlib.Path]
) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs of files, one of each list, that are the same or copies of the same name; each of `others` at most once."""
    alike = collections.defaultdict(list)
    for path in paths:
        alike[path.name, path.stat().st_size].append(path)
    content = functools.cache(lambda path: hashlib.sha256(read_bytes(path, IMAGE_BYTES)).digest())
    for other in others:
        candidates = alike.get((other.name, other.stat().st_size), [])
        twin = next((path for path in candidates if path == other or content(path) == content(other)), None)
        if twin:
            yield twin, other


def file_of(folder: pathlib.Path, name: str, endings: Sequence[str]) -> pathlib.Path:
    """The file of a name with one of some endings, small or capital; where there is none, as it should be called.

    Raises: OSError where no file can have the name.
    """
    places = [folder / f"{name}{ending}" for ending in (*endings, *map(str.upper, endings))]
    return next((place for place in places if place.is_file()), places[0])


def file_bytes(path: pathlib.Path) -> int:
    """The size of a file. Raises Problem when there is none or none in it."""
    if not os.path.isfile(path):
        raise Problem(f"{path} is no file" if os.path.exists(path) else f"there is no {path}{why_unseen(path)}")
    size = path.stat().st_size
    if size == 0:
        raise Problem(f"{path} is empty")
    return size


class Stored(NamedTuple):
    """What an image file says of itself: its (height, width) as it is read, and the EXIF orientation that it has then.

    That is 1 to 8, and 1 of a TIFF, which is turned when it is read.
    """

    size: tuple[int, int]
    orientation: int

    def told(self) -> str:
        """The size in words; where it is shown with its sides swapped, that too."""
        turned = " (its EXIF data turns it, which annotations here do not follow)" if self.orientation > 4 else ""
        return f"{self.size[1]} x {self.size[0]} px{turned}"


def tell_turned(images: Sequence[Stored], paths: Sequence[pathlib.Path], folder: str | os.PathLike, what: str) -> None:
    """Logs how many images their EXIF data turn. Args: what: "boxes" or "masks"."""
    turned = [path for image, path in zip(images, paths) if image.orientation != 1]
    if turned:
        log.warning(
            "%d of %s of %s are turned by their EXIF data, which annotations here do not follow, such as %s: %s are "
            "taken for the photo as it is stored", len(turned), plural(len(paths), "image"), folder, turned[0], what,
        )  # fmt: skip


def stored_image(path: pathlib.Path) -> Stored:
    """What the header of an image file says; its pixels are not decoded.

    Raises: Problem when it cannot be read, or is no image that `decode` takes.
    """
    try:
        kind, (width, height), exif = _seen_by_pillow(path)
        if kind in _PLAIN and width * height <= MOST_PIXELS:
            orientation, why = exif_orientation(exif.removeprefix(b"Exif\0\0")), ""
        else:
            data = read_bytes(path, IMAGE_BYTES)
            orientation, why = 1 if kind == "TIFF" else image_header(data).orientation, why_not(data)
    except Unreadable as error:
        raise Problem(str(error)) from None
    if why or not kind:
        raise Problem(f"{path} is {why or 'no image that can be decoded'}")
    return Stored((height, width), orientation)


def _seen_by_pillow(path: pathlib.Path) -> tuple[str | None, tuple[int, int], bytes]:
    """Pillow's name for the format of an image file, its (width, height) and EXIF data; None: it does not open it."""
    try:
        with opened(path, IMAGE_BYTES) as file, PIL.Image.open(file) as image:
            return image.format, _as_read(image), image.info.get("exif", b"")
    except Unreadable:
        raise
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):  # by the kind of damage
        return None, (0, 0), b""


def _as_read(image: PIL.Image.Image) -> tuple[int, int]:
    """The (width, height) of what OpenCV reads: it turns TIFFs, which Pillow does too in newer versions."""
    if image.format != "TIFF":
        return image.size
    width, height = image.tag_v2[256], image.tag_v2[257]
    return (height, width) if image.tag_v2.get(274, 1) > 4 else (width, height)


def read_stored(path: pathlib.Path) -> np.ndarray | None:
    """The (height, width, 3) uint8 BGR pixels of an image file as they are stored; None if they cannot be decoded.

    Raises: BadRecord when the file cannot be read.
    """
    try:
        data = read_bytes(path, IMAGE_BYTES)
    except OSError as error:
        raise BadRecord(
            f"{path} cannot be read ({error.strerror}): check the disk and the file's permissions"
        ) from None
    return decode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


class AnnotatedLoader(StepLoader):
    """Reads images of files, and keeps the slots of a batch as a list until it is complete."""

    _pixel_bytes = 3 + 3 + 3  # of an image as it is decoded, mirrored and changed in size

    def _load(self, image: int, epoch: int, batch: list, slot: int) -> bool:
        # The memory is the image's until it is scaled down or cropped (see decoding).
        with DECODING.share(int(np.prod(self.records.sizes[image])) * self._pixel_bytes):
            return self._load_whole(image, epoch, batch, slot)

    @abc.abstractmethod
    def _load_whole(self, image: int, epoch: int, batch: list, slot: int) -> bool:
        """As _load, with memory for the whole image at hand."""

    def first_images(self, count: int, size: int, crop_ratio: float) -> np.ndarray:
        """The first images of the first epoch's order as a classifier is validated with: (count, size, size, 3), RGB.

        Raises:
            Refused: there are not as many that can be decoded.
        """
        found: list[np.ndarray] = []
        require_start(count, len(self.records))  # before any is decoded
        for image in self._order(0).tolist():
            if len(found) == count:
                break
            with DECODING.share(int(np.prod(self.records.sizes[image])) * self._pixel_bytes):
                pixels = self._pixels(image)
                if pixels is not None:
                    found.append(cv2.cvtColor(centre_crop(pixels, size, crop_ratio), cv2.COLOR_BGR2RGB))
            moved()
        require_start(count, len(found))
        return np.stack(found)

    def _begin(self, count: int, epoch: int) -> list:
        return [None] * count

    def _place(self, image: int) -> tuple[pathlib.Path]:
        return (self.records.paths[image],)

    def _pixels(self, image: int) -> np.ndarray | None:
        """The BGR pixels of an image; None if it cannot be decoded."""
        pixels = read_stored(self.records.paths[image])
        if pixels is not None and pixels.shape[:2] != tuple(self.records.sizes[image]):
            raise BadRecord(f"{self.records.paths[image]} has another size than when the run began: start it again")
        return pixels
