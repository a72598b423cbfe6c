"""One mask as a file: a PNG of one channel, whose pixels are numbers."""

from __future__ import annotations

import os
import pathlib
import struct
from typing import NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageFile

from gluon_tricks.core.reading import IMAGE_BYTES, Unreadable, opened
from gluon_tricks.data.annotations.annotated import Problem, file_bytes

_OTHERS = (".jpg", ".JPG", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".npy", ".mat")


def stored_values(mask: pathlib.Path) -> np.ndarray:
    """What stands in a mask, (height, width) uint16. Raises OSError: it cannot be decoded; Problem: it is no PNG."""
    # Importing gluoncv.data sets it for the process: a mask cut short would then be read as if it went on with 0.
    PIL.ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        bits = _header(mask).bits
        with opened(mask, IMAGE_BYTES) as stored, PIL.Image.open(stored) as file:
            values = np.asarray(file).astype(np.uint16)
            # Pillow spreads grey of 2 and 4 bits over 0 to 255; palettes it leaves alone.
            values //= {2: 85, 4: 17}.get(bits, 1) if file.mode == "L" else 1
    except (ValueError, SyntaxError) as error:  # what Pillow raises for some kinds of damage
        raise OSError(str(error)) from None
    return values


def bytes_of(mask: pathlib.Path, image: pathlib.Path) -> int:
    """The size of an image's mask file. Raises Problem: there is none."""
    if not os.path.exists(mask):
        # Not by glob: for each of 100,000 masks that are not there it would go through 100,000 files.
        others = [mask.with_suffix(ending).name for ending in _OTHERS if os.path.exists(mask.with_suffix(ending))]
        raise Problem(f"{image} has no mask {mask}" + (f": {others[0]} there is not a PNG" if others else ""))
    return file_bytes(mask)


def size_of(mask: pathlib.Path) -> tuple[int, int]:
    """The (height, width) of a PNG with one channel."""
    header = _header(mask)
    if header.colour not in (0, 3):
        kind = {2: "RGB", 4: "grey and alpha"}.get(header.colour, "RGB and alpha")
        raise Problem(
            f"{mask} holds {kind}, and not one number for each pixel", "Write classes as numbers, not colours"
        )
    return header.height, header.width


class _Header(NamedTuple):
    """What a PNG says of itself; colour: 0 grey, 2 RGB, 3 a palette, 4 and 6 with alpha."""

    width: int
    height: int
    bits: int
    colour: int


def _header(path: pathlib.Path) -> _Header:
    try:
        with opened(path) as file:
            head = file.read(26)
    except Unreadable as error:
        raise Problem(str(error)) from None
    if not head.startswith(b"\x89PNG\r\n\x1a\n") or len(head) < 26:
        raise Problem(f"{path} is not a PNG, whatever its name says")
    return _Header(*struct.unpack(">IIBB", head[16:]))
