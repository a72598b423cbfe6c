"""Decoding images that may be hostile: what a header says of them decides whether, and how many at a time.

A few bytes may claim any number of pixels, and OpenCV takes the memory before it finds out. So only formats whose
header tells what they take are decoded (JPEG, PNG, BMP, WebP, TIFF); each has limits of its own, and all threads of a
process share one budget: a thread whose image does not fit waits for the others to be done with theirs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import cv2
import numpy as np

from gluon_tricks.core.wording import byte_size
from gluon_tricks.data.headers import ImageHeader, image_header, is_cut_jpeg, is_dicom, png_picture

# Of an image: 1.5 times what the largest cameras give. An image of a few hundred bytes may claim 60000 x 60000, and
# libjpeg would fill all of it with grey.
MOST_PIXELS = 1 << 27
MOST_BYTES = 3 << 29  # 1.6 GB, of all images that the threads of a process decode at a time, and so of one
# Of a JPEG, each of which goes over the whole picture: 3000 scans in 187 KB took 32 s. The usual ones have 10, and
# libjpeg's own cjpeg takes scripts of at most 100.
MOST_SCANS = 100
_MOST_TEXTS = 16  # of a PNG: 900 in 7 MB took 7 GB and a minute
_MOST_SCANNED = 1 << 31  # scans times pixels: 16 scans of the largest image
DEPTHS = (8, 10, 12, 14, 16)  # bits that the values of a file with 16 bits a channel may have: those of sensors
_WHITE_IS_0, _CMYK = 0, 5  # of header.photometric
cv2.setLogLevel(0)  # for a broken image it prints lines of its source; we name the image


class Budget:
    """Bytes that several threads share: who would exceed them waits. A thread that has a share may ask again.

    Args:
        most: bytes in all.
    """

    def __init__(self, most: int):
        self.most, self._taken = most, 0
        self._changed, self._own = threading.Condition(), threading.local()

    @contextlib.contextmanager
    def share(self, count: int) -> Iterator[None]:
        """Inside, the thread has so many bytes; more than there are count as all of them."""
        if getattr(
            self._own, "has", False
        ):  # what it asked for first is to be enough: two that wait would wait for ever
            yield
            return
        count = min(count, self.most)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + count <= self.most)
            self._taken += count
        self._own.has = True
        try:
            yield
        finally:
            self._own.has = False
            with self._changed:
                self._taken -= count
                self._changed.notify_all()


DECODING = Budget(MOST_BYTES)


def bytes_of_decoding(header: ImageHeader) -> int:
    """What decoding takes at its peak, with the picture; turning one makes a second picture."""
    return header.pixels * (header.number_bytes + (3 if header.orientation != 1 else 0))


def why_not(data: bytes) -> str:
    """Why an image is not decoded, in a few words; "" if it may be."""
    return _why_not(data, image_header(data))


def of_no_format(data: bytes) -> str:
    """Why a file is none of the images that are read, in a few words."""
    return "a DICOM file: export its picture as PNG" if is_dicom(data) else "no JPEG, PNG, BMP, WebP or TIFF"


def _why_not(data: bytes, header: ImageHeader) -> str:
    if header.format == "other":
        return of_no_format(data)
    if header.pixels > MOST_PIXELS:
        return f"an image of more than {MOST_PIXELS / 1e6:.0f} million pixels"
    if header.scans > MOST_SCANS or header.scans * header.pixels > _MOST_SCANNED:
        return f"a JPEG of {header.scans} scans, which would take minutes to decode"
    if header.texts > _MOST_TEXTS:
        return f"a PNG with {header.texts} texts, and {_MOST_TEXTS} are the most"
    if header.format == "jpeg" and not header.pixels:
        return "a JPEG whose size is not found at its beginning"
    if header.pages < 1:
        return "a camera's raw file: export its picture as JPEG"
    if header.pages > 1:
        return "a TIFF of several pages: save each as a file of its own"
    if header.depth > (8 if header.format == "jpeg" else 16) or header.depth == 16 and header.photometric == _CMYK:
        kind = f"{'CMYK ' * (header.photometric == _CMYK)}{header.format.upper()}"
        return f"a {kind} of {header.depth} bits a channel: save it as PNG with 8 or 16"
    if bytes_of_decoding(header) > MOST_BYTES:
        return f"an image that takes {byte_size(bytes_of_decoding(header))} to decode"
    if header.format == "png" and png_picture(data) is None:  # 77 bytes that claimed 4 GB took them
        return "a PNG that is cut off"
    return "a JPEG that is cut off" if is_cut_jpeg(data) else ""


def decode(data: bytes, flags: int) -> np.ndarray | None:
    """The (height, width, 3) uint8 BGR pixels of an encoded image; None if it has none or is not decoded (why_not).

    Args:
        flags: of cv2.imdecode; IMREAD_UNCHANGED: as many channels and bits as the file has, which indices need.
    """
    header = image_header(data)
    if _why_not(data, header):
        return None
    try:
        with DECODING.share(bytes_of_decoding(header)):
            if header.depth == 16 and flags != cv2.IMREAD_UNCHANGED:
                deep = _decoded(data, header, flags | cv2.IMREAD_ANYDEPTH)
                return None if deep is None else _shallow(deep, header)
            return _decoded(data, header, flags)
    except cv2.error:  # no bytes at all, or more pixels than OpenCV accepts
        return None


def _decoded(data: bytes, header: ImageHeader, flags: int) -> np.ndarray | None:
    picture = png_picture(data) if header.format == "png" else data
    return cv2.imdecode(np.frombuffer(picture, np.uint8), flags)


def _shallow(deep: np.ndarray, header: ImageHeader) -> np.ndarray:
    """An image of uint16 with 8 bits: v -> round(255 v / (2^b - 1)), b being used_bits.

    Differs: OpenCV takes the upper 8 bits, which leaves 15 levels of a camera's 12 bits, all of them nearly black.
    """
    if deep.dtype == np.uint8:  # a file that says 16 and has 8
        return deep
    most = (1 << _bits_for(int(deep.max()))) - 1
    if header.photometric == _WHITE_IS_0:
        return cv2.convertScaleAbs(deep, alpha=-255 / most, beta=255)
    return cv2.convertScaleAbs(deep, alpha=255 / most)


def _bits_for(largest: int) -> int:
    return next(bits for bits in DEPTHS if largest < 1 << bits)


def used_bits(data: bytes) -> int:
    """How many bits of a channel an image uses: 8, or of one with 16 the fewest of DEPTHS that hold its largest value.

    It follows from the file alone, so that training and prediction agree.
    """
    header = image_header(data)
    if header.depth != 16 or _why_not(data, header):
        return 8
    with DECODING.share(bytes_of_decoding(header)):
        deep = _decoded(data, header, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    return 8 if deep is None or deep.dtype == np.uint8 else _bits_for(int(deep.max()))
