"""The bytes to store for one file: its own, or a smaller image's; and why some files have none."""

from __future__ import annotations

import errno
from collections.abc import Callable

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import IMAGE_BYTES, read_bytes
from gluon_tricks.core.wording import plural
from gluon_tricks.data.decoding import of_no_format, why_not
from gluon_tricks.data.headers import begins_like_image
from gluon_tricks.data.recordio import MAX_LENGTH
from gluon_tricks.data.records import decode_image

_TOO_LARGE = "512 MB or more, which a record cannot hold"
_LONGEST_JPEG = 65500  # px of an edge


class NoImage(ValueError):
    """A file has no image, or none that can be packed; the message is the reason in a few words."""


def none_is_an_image(count: int, first: str) -> str:
    """What is said of so many files of which none is an image. Args: first: one of them and why it is none."""
    return f"no images found: of {plural(count, 'file')} none is an image; the first is {first}"


def encoded(
    path: str,
    resize: int | None,
    quality: int | None,
    verify: bool,
    at_most: int | None = None,
    look: Callable[[bytes, np.ndarray], None] | None = None,
) -> bytes:
    """The bytes to store for a file.

    Args:
        resize: px of the shorter edge of a JPEG that is made of it, or None: the file as it is.
        quality: of that JPEG.
        verify: decode the image though it is stored as it is.
        at_most: px of the shorter edge of a JPEG that is made of a larger one, or None.
        look: is shown what is stored: the file's bytes and the pixels (H, W, 3) uint8, BGR.

    Raises:
        NoImage: it is none.
        Refused: it cannot be read.
    """
    data = _read(path)
    if resize is None and at_most is None and not verify:
        return data
    image = decoded(data)
    height, width = image.shape[:2]
    short = min(height, width)
    wanted = min(short, at_most) if at_most else resize or short
    shape = width * wanted // short, height * wanted // short
    stored = data
    if wanted != short and max(shape) <= _LONGEST_JPEG:
        image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if wanted < short else cv2.INTER_LINEAR)
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
    if look:
        look(data, image)
    return stored


def decoded(data: bytes) -> np.ndarray:
    """The (H, W, 3) uint8 BGR pixels of an encoded image, turned as its EXIF says. Raises: NoImage."""
    image = decode_image(data)
    if image is None:
        raise NoImage((why_not(data) or "no image that can be decoded") if data else "empty")
    return image


def _read(path: str) -> bytes:
    """The bytes of a file that begins as an image does. Raises: as encoded."""
    try:
        data = read_bytes(path, IMAGE_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise NoImage(_TOO_LARGE) from None
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise NoImage("empty")
    if not begins_like_image(data):
        raise NoImage(of_no_format(data))
    if len(data) > MAX_LENGTH - 64:
        raise NoImage(_TOO_LARGE)
    return data
