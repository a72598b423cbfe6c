"""What the header of an image says, read without decoding it."""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple


class ImageHeader(NamedTuple):
    """What an image's header says.

    Attributes:
        format: "jpeg", "png", "bmp", "webp", "tiff" or "other".
        orientation: of EXIF, 1 to 8; 1 is upright.
        pixels: of the picture, or of a tile or strip of a TIFF where that is larger.
        number_bytes: bytes that a decoder takes for each pixel, the picture that it gives among them.
        scans: how often a JPEG's picture is gone over.
        texts: compressed texts in a PNG, of which OpenCV unpacks and keeps 8 MB each.
        depth: bits of a channel.
        pages: of a TIFF, smaller copies and masks of one apart; 0: a camera's raw file, whose picture is no page.
        photometric: of a TIFF, what its numbers mean: 0 that the largest is black, 5 CMYK.
        sides: (width, height) of a JPEG as it is shown, turned, px; of others (0, 0).
    """

    format: str
    components: int = 3
    orientation: int = 1
    pixels: int = 0
    number_bytes: int = 3
    scans: int = 1
    texts: int = 0
    depth: int = 8
    pages: int = 1
    photometric: int = 1
    sides: tuple[int, int] = (0, 0)


# Colour types of PNG's IHDR: grey, RGB, palette (shown as RGB), grey with alpha, RGB with alpha.
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 1, 6: 3}
_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # bytes
_WEBP_CHUNKS = 16  # looked at: what tells of a size stands at the beginning
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers of a start of frame
_SCAN = 0xDA
_SEQUENTIAL = (0xC0, 0xC1, 0xC9)
_MOST_PARTS = 1 << 16  # chunks or segments that are looked at: usual files have up to a thousand
_NO_FILL = re.compile(b"[^\xff]")
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD9))  # what JPEG's markers are followed by at once; 0: no marker


def begins_like_image(data: bytes) -> bool:
    """Whether the first 18 bytes of a file may be those of a JPEG, PNG, BMP, WebP or TIFF."""
    if data.startswith(b"BM"):  # as many a text does: behind the file's size stands that of a second header
        return int.from_bytes(data[14:18], "little") in _BMP_HEADERS
    if data.startswith(b"RIFF"):  # as sound and video do
        return data[8:12] == b"WEBP"
    return data.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*"))


def is_dicom(data: bytes) -> bool:
    """Whether the first 132 bytes of a file are those of a DICOM file."""
    return data[128:132] == b"DICM"


def image_header(image: bytes) -> ImageHeader:
    """Reads format, components (1 grey, 3 colour, 4 CMYK), EXIF orientation and what decoding takes, without doing it.

    What cannot be read is taken for 3 components, upright and of 0 pixels.
    """
    if image.startswith(b"\x89PNG") and len(image) > 25:
        width, height = struct.unpack_from(">II", image, 16)
        exif = next(
            (
                exif_orientation(content)
                for kind, content in itertools.islice(_png_chunks(image), _MOST_PARTS)
                if kind == b"eXIf"
            ),
            1,
        )
        number_bytes = 6 + 6 if image[24] == 16 else 3 + 3  # what the decoder keeps, and the picture in that depth
        texts = image.count(b"zTXt") + image.count(b"iTXt")
        components = _PNG_COMPONENTS.get(image[25], 3)
        return ImageHeader("png", components, exif, width * height, number_bytes, texts=texts, depth=image[24])
    if image.startswith(b"RIFF") and image[8:12] == b"WEBP":
        exif = next(
            (content for kind, content in itertools.islice(_riff_chunks(image), _MOST_PARTS) if kind == b"EXIF"), b""
        )
        # Lossless takes 4 bytes for a pixel beside those of the picture, and lossy 1.5.
        return ImageHeader("webp", 3, exif_orientation(exif.removeprefix(b"Exif\0\0")), _webp_pixels(image), 8)
    if image.startswith((b"II*\0", b"MM\0*")):
        return _tiff_header(image)
    if image.startswith(b"BM"):
        return ImageHeader("bmp", pixels=_bmp_pixels(image), number_bytes=4)
    if not image.startswith(b"\xff\xd8"):
        return ImageHeader("other")
    orientation = 1
    for marker, at, length in _jpeg_segments(image):
        if marker == 0xE1 and image[at + 4 : at + 10] == b"Exif\0\0":
            orientation = exif_orientation(image[at + 10 : at + 2 + length])
        if marker in _FRAMES and at + 9 < len(image):
            height, width = struct.unpack_from(">HH", image, at + 5)
            # One with several scans is kept as numbers of 16 bits until the last.
            scans, components = _scans(image, at, marker), max(image[at + 9], 3)
            number_bytes = 3 + (2 * components if scans > 1 else 0)
            sides = (width, height) if orientation < 5 else (height, width)
            return ImageHeader(
                "jpeg", image[at + 9], orientation, width * height, number_bytes, scans, depth=image[at + 4],
                sides=sides,
            )  # fmt: skip
    return ImageHeader("jpeg", orientation=orientation)


def _scans(image: bytes, frame: int, marker: int) -> int:
    """How many scans a JPEG has. Counting takes a tenth of the time of decoding, and is left out where there is one."""
    first = next((at for kind, at, _ in _jpeg_segments(image, frame) if kind == _SCAN), len(image))  # no comment's
    if marker in _SEQUENTIAL and image[first + 4 : first + 5] == image[frame + 9 : frame + 10]:
        return 1  # the first has all components, and libjpeg reads no other
    return image.count(b"\xff\xda", frame)  # in the picture itself a 0 follows each FF


def is_cut_jpeg(image: bytes) -> bool:
    """Whether this is a JPEG that has no end, as a download that broke off: OpenCV 4.8 fills up what is missing.

    What follows an end (trailers of cameras, a second picture) is no matter.
    """
    if not image.startswith(b"\xff\xd8"):
        return False
    frame = next((at for marker, at, _ in _jpeg_segments(image) if marker in _FRAMES), 0)
    return image.rfind(b"\xff\xd9", frame) < 0  # before the frame a thumbnail may have an end of its own


def _jpeg_segments(image: bytes, at: int = 2) -> Iterator[tuple[int, int, int]]:
    """(marker, its place, length) of the segments of a JPEG up to the picture itself, which the last one begins."""
    for _ in range(_MOST_PARTS):
        at = image.find(b"\xff", at)
        after = _NO_FILL.search(image, at) if at >= 0 else None  # fill bytes may stand before a marker
        if after is None or after.start() + 3 > len(image):
            return
        at = after.start() - 1
        marker, length = image[at + 1], int.from_bytes(image[at + 2 : at + 4], "big")
        yield marker, at, length
        if marker == _SCAN:
            return
        at += 2 if marker in _WITHOUT_LENGTH else 2 + max(length, 2)


_PNG_PICTURE = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def png_picture(image: bytes) -> bytes | None:
    """A PNG with the parts alone that its pixels follow from; None: a part says that it is longer than what is left.

    OpenCV takes as much memory as a part says that it has, reads on behind the end, and goes astray in EXIF data.
    """
    at, kept, whole = 8, [image[:8]], True
    while at + 8 <= len(image):
        kind, end = image[at + 4 : at + 8], at + 12 + int.from_bytes(image[at : at + 4], "big")
        if end > len(image):
            return None
        if kind in _PNG_PICTURE:
            kept.append(image[at:end])
        else:
            whole = False
        at = end
        if kind == b"IEND":
            break
    return image[:at] if whole else b"".join(kept)


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


def _bmp_pixels(image: bytes) -> int:
    old = image[14:18] == b"\x0c\0\0\0"
    layout = "<HH" if old else "<ii"  # a negative height: from the top
    if len(image) < 18 + struct.calcsize(layout):
        return 0
    width, height = struct.unpack_from(layout, image, 18)
    return abs(width * height)


def _webp_pixels(image: bytes) -> int:
    """The largest of what the chunks say: the canvas, the picture, and the first frames of a moving one."""
    most, at = 0, 12
    for _ in range(_WEBP_CHUNKS):
        kind, content = image[at : at + 4], image[at + 8 : at + 24]
        if kind == b"VP8X" and len(content) >= 10:
            sides = [int.from_bytes(content[k : k + 3], "little") + 1 for k in (4, 7)]
        elif kind == b"VP8L" and len(content) >= 5:
            bits = int.from_bytes(content[1:5], "little")
            sides = [(bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1]
        elif kind == b"VP8 " and len(content) >= 10:
            sides = [int.from_bytes(content[k : k + 2], "little") & 0x3FFF for k in (6, 8)]
        else:
            sides = [0, 0]
        most = max(most, sides[0] * sides[1])
        length = int.from_bytes(image[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return most


_TIFF_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I"}  # by the kind of a tag
_WIDTH, _HEIGHT, _BITS, _SAMPLES, _ROWS, _TILE_WIDTH, _TILE_HEIGHT = 256, 257, 258, 277, 278, 322, 323
_SUBFILE, _PHOTOMETRIC, _PALETTE = 254, 262, 3
_SMALLER = 1  # of _SUBFILE: a smaller copy of a page
_NO_PAGE = _SMALLER | 4  # and a mask
_BELOW = 330  # directories below the one that has this tag
_OF_A_SENSOR = (32803, 34892)  # of _PHOTOMETRIC: colours by the sensor's filters, or before they are balanced
_MOST_PAGES = 64  # looked at


def _tiff_header(image: bytes) -> ImageHeader:
    tags = _tiff_tags(image, _tiff_start(image))
    photometric, samples = tags.get(_PHOTOMETRIC, 1), tags.get(_SAMPLES, 1)
    components = 3 if photometric == _PALETTE else 4 if photometric == 5 else 1 if samples < 3 else 3
    depth = tags.get(_BITS, 1)
    number_bytes = (6 if depth == 16 else 3) + _tiff_bytes(tags)
    return ImageHeader(
        "tiff", components, exif_orientation(image), _tiff_pixels(tags), number_bytes, depth=depth,
        pages=_tiff_pages(image), photometric=photometric,
    )  # fmt: skip


def _tiff_start(image: bytes, at: int = 4) -> int:
    """A directory's place, as it stands at `at`; 0: there is none."""
    return int.from_bytes(image[at : at + 4], "little" if image.startswith(b"II") else "big")


def _tiff_pages(image: bytes) -> int:
    start, pages, seen = _tiff_start(image), 0, set()
    if _is_raw(image, _tiff_tags(image, start)):
        return 0
    order = "little" if image.startswith(b"II") else "big"
    while start and start not in seen and start + 2 <= len(image) and len(seen) < _MOST_PAGES:
        seen.add(start)
        pages += not _tiff_tags(image, start).get(_SUBFILE, 0) & _NO_PAGE
        start = _tiff_start(image, start + 2 + 12 * int.from_bytes(image[start : start + 2], order))
    return pages or 1


def _is_raw(image: bytes, tags: dict[int, int]) -> bool:
    """Whether a TIFF, by its first directory, is a camera's raw file, of which one would decode the thumbnail.

    NEF, ARW and DNG begin with a smaller copy and have the picture in directories below; CR2 has a mark of its own.
    """
    below = tags.get(_SUBFILE, 0) & _SMALLER and _BELOW in tags
    return bool(below) or tags.get(_PHOTOMETRIC) in _OF_A_SENSOR or image[8:11] == b"CR\2"


def _tiff_tags(image: bytes, start: int) -> dict[int, int]:
    """The whole numbers of the directory at a place: tag -> its first number."""
    order, tags = "<" if image.startswith(b"II") else ">", {}
    try:
        (count,) = struct.unpack_from(order + "H", image, start)
        for at in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, numbers = struct.unpack_from(order + "HHI", image, at)
            if kind in _TIFF_NUMBERS:
                size = struct.calcsize(_TIFF_NUMBERS[kind]) * numbers
                place = at + 8 if size <= 4 else struct.unpack_from(order + "I", image, at + 8)[0]
                (tags[tag],) = struct.unpack_from(order + _TIFF_NUMBERS[kind], image, place)
    except struct.error:
        pass  # what follows a damaged place is not there
    return tags


def _tiff_pixels(tags: dict[int, int]) -> int:
    width, height = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
    strip = width * min(tags.get(_ROWS, 0), height)
    return max(width * height, strip, tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0))


def _tiff_bytes(tags: dict[int, int]) -> int:
    """Of a pixel in the file, at least the 4 that libtiff makes of it."""
    return max(4, tags.get(_SAMPLES, 1) * max(tags.get(_BITS, 8) // 8, 1))


def exif_orientation(tiff: bytes) -> int:
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
