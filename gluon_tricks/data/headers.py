"""What the header of an image says, read without decoding it."""

from __future__ import annotations

import struct
from typing import NamedTuple


class ImageHeader(NamedTuple):
    """What an image's header says: format ("jpeg", "png", "other"), components, EXIF orientation (1: upright), size."""

    format: str
    components: int = 3
    orientation: int = 1
    pixels: int = 0


# Colour types of PNG's IHDR: grey, RGB, palette (shown as RGB), grey with alpha, RGB with alpha.
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))  # what JPEG's markers are followed by at once; 0: no marker


def image_header(image: bytes) -> ImageHeader:
    """Reads format, components (1 grey, 3 colour, 4 CMYK), EXIF orientation and number of pixels without decoding.

    What cannot be read is taken for 3 components, upright and of 0 pixels.
    """
    if image.startswith(b"\x89PNG") and len(image) > 25:
        width, height = struct.unpack_from(">II", image, 16)
        return ImageHeader("png", _PNG_COMPONENTS.get(image[25], 3), pixels=width * height)
    if not image.startswith(b"\xff\xd8"):
        return ImageHeader("other")
    orientation, at = 1, 2
    while at + 4 <= len(image):
        if image[at] != 0xFF or image[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        marker, length = image[at + 1], int.from_bytes(image[at + 2 : at + 4], "big")
        if marker == 0xE1 and image[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(image[at + 10 : at + 2 + length])
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC) and at + 9 < len(image):  # a start of frame
            height, width = struct.unpack_from(">HH", image, at + 5)
            return ImageHeader("jpeg", image[at + 9], orientation, width * height)
        if marker == 0xDA:  # the picture itself begins: no frame was found before it
            break
        at += 2 if marker in _WITHOUT_LENGTH else 2 + max(length, 2)
    return ImageHeader("jpeg", orientation=orientation)


def _orientation(tiff: bytes) -> int:
    """Tag 0x0112 of the first directory of an EXIF block; 1 if there is none."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    try:
        if order:
            (start,) = struct.unpack_from(order + "I", tiff, 4)
            (count,) = struct.unpack_from(order + "H", tiff, start)
            for at in range(start + 2, start + 2 + 12 * count, 12):
                tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at)
                if tag == 0x0112 and 1 <= value <= 8:
                    return value
    except struct.error:
        pass  # a damaged block turns nothing
    return 1
