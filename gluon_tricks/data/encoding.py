"""The bytes to store for one file: its own, or a smaller image's; and why some files have none."""

from __future__ import annotations

import errno

import cv2

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import IMAGE_BYTES, read_bytes
from gluon_tricks.data.decoding import why_not
from gluon_tricks.data.headers import begins_like_image
from gluon_tricks.data.recordio import MAX_LENGTH
from gluon_tricks.data.records import decode_image

_TOO_LARGE = "512 MB or more, which a record cannot hold"
_LONGEST_JPEG = 65500  # px of an edge


class NoImage(ValueError):
    """A file cannot be packed; the message is the reason in a few words."""


def encoded(path: str, resize: int | None, quality: int | None, verify: bool) -> bytes:
    """The bytes to store for a file.

    Args:
        resize: px of the shorter edge of a JPEG that is made of it, or None: the file as it is.
        quality: of that JPEG.
        verify: decode the image though it is stored as it is.

    Raises:
        NoImage: it is none.
        Refused: it cannot be read.
    """
    try:
        data = read_bytes(path, IMAGE_BYTES)
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise NoImage(_TOO_LARGE) from None
        raise Refused(f"cannot read {path}: {error.strerror}") from None
    if not data:
        raise NoImage("empty")
    if not begins_like_image(data):
        raise NoImage("no JPEG, PNG, BMP, WebP or TIFF")
    if len(data) > MAX_LENGTH - 64:
        raise NoImage(_TOO_LARGE)
    if resize is None and not verify:
        return data
    image = decode_image(data)
    if image is None:
        raise NoImage(why_not(data) or "no image that can be decoded")
    height, width = image.shape[:2]
    short = min(height, width)
    shape = (width * resize // short, height * resize // short) if resize else (width, height)
    if resize in (None, short) or max(shape) > _LONGEST_JPEG:
        return data
    image = cv2.resize(image, shape, interpolation=cv2.INTER_AREA if resize < short else cv2.INTER_LINEAR)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
