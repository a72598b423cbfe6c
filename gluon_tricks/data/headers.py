"""What the header of an image says, read without decoding it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple


class ImageHeader(NamedTuple):
    """What an image's header says.

    Attributes:
        format: "jpeg", "png", "webp", "tiff" or "other".
        orientation: of EXIF, 1 to 8; 1 is upright.
    """

    format: str
    components: int = 3
    orientation: int = 1
    pixels: int = 0


# Colour types of PNG's IHDR: grey, RGB, palette (shown as RGB), grey with alpha, RGB with alpha.
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers of a start of frame
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))  # what JPEG's markers are followed by at once; 0: no marker


def begins_like_image(data: bytes) -> bool:
    """Whether the first 18 bytes of a file may be those of a JPEG, PNG, BMP, WebP or TIFF."""
    if data.startswith(b"BM"):  # as many a text does: behind the file's size stands that of a second header
        return int.from_bytes(data[14:18], "little") in _BMP_HEADERS
    if data.startswith(b"RIFF"):  # as sound and video do
        return data[8:12] == b"WEBP"
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*"))


def image_header(image: bytes) -> ImageHeader:
    """Reads format, components (1 grey, 3 colour, 4 CMYK), EXIF orientation and number of pixels without decoding.

    What cannot be read is taken for 3 components, upright and of 0 pixels; of WebP and TIFF the orientation is read.
    """
    if image.startswith(b"\x89PNG") and len(image) > 25:
        width, height = struct.unpack_from(">II", image, 16)
        exif = next((_orientation(content) for kind, content in _png_chunks(image) if kind == b"eXIf"), 1)
        return ImageHeader("png", _PNG_COMPONENTS.get(image[25], 3), exif, width * height)
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        exif = next((content for kind, content in _riff_chunks(image) if kind == b"EXIF"), b"")
        return ImageHeader("webp", orientation=_orientation(exif.removeprefix(b"Exif\0\0")))
    if image.startswith((b"II*\0", b"MM\0*")):
        return ImageHeader("tiff", orientation=_orientation(image))
    if not image.startswith(b"\xff\xd8"):
        return ImageHeader("other")
    orientation = 1
    for marker, at, length in _jpeg_segments(image):
        if marker == 0xE1 and image[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(image[at + 10 : at + 2 + length])
        if marker in _FRAMES and at + 9 < len(image):
            height, width = struct.unpack_from(">HH", image, at + 5)
            return ImageHeader("jpeg", image[at + 9], orientation, width * height)
    return ImageHeader("jpeg", orientation=orientation)


def is_cut_jpeg(image: bytes) -> bool:
    """Whether this is a JPEG that has no end, as a download that broke off: OpenCV 4.8 fills up what is missing.

    What follows an end (trailers of cameras, a second picture) is no matter.
    """
    if not image.startswith(b"\xff\xd8"):
        return False
    frame = next((at for marker, at, _ in _jpeg_segments(image) if marker in _FRAMES), 0)
    return image.rfind(b"\xff\xd9", frame) < 0  # before the frame a thumbnail may have an end of its own


def _jpeg_segments(image: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, its place, length) of the segments of a JPEG before the picture itself."""
    at = 2
    while at + 4 <= len(image):
        if image[at] != 0xFF or image[at + 1] == 0xFF:  # fill bytes may stand before a marker
            at += 1
            continue
        marker, length = image[at + 1], int.from_bytes(image[at + 2 : at + 4], "big")
        if marker == 0xDA:  # the picture itself begins
            return
        yield marker, at, length
        at += 2 if marker in _WITHOUT_LENGTH else 2 + max(length, 2)


def _png_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at + 8 <= len(image):
        length = int.from_bytes(image[at : at + 4], "big")
        yield image[at + 4 : at + 8], image[at + 8 : at + 8 + length] if image[at + 4 : at + 8] == b"eXIf" else b""
        at += 12 + length


def _riff_chunks(image: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(image):
        length = int.from_bytes(image[at + 4 : at + 8], "little")
        yield image[at : at + 4], image[at + 8 : at + 8 + length] if image[at : at + 4] == b"EXIF" else b""
        at += 8 + length + length % 2


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
