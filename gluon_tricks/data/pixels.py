"""Pixels that a program gives: arrays (H, W, 3) of uint8, RGB, one or several."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx
import numpy as np
import PIL.Image
import PIL.ImageOps

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_numbers
from gluon_tricks.core.wording import described, some

PHOTO = (np.ndarray, mx.nd.NDArray, PIL.Image.Image)  # what an image may come as, beside its file
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")  # of 8 bits a channel


def as_images(images: np.ndarray | mx.nd.NDArray | Sequence[np.ndarray]) -> np.ndarray:
    """Images (N, H, W, 3) uint8 RGB as an array of numpy's, also of a list of those of as_photo. Raises: Refused."""
    if isinstance(images, (list, tuple)) and images:
        photos = [as_photo(image) for image in images]
        if len({photo.shape for photo in photos}) > 1:
            raise Refused(f"images are of one size, but got {some([*{photo.shape for photo in photos}])}: resize them")
        images = np.stack(photos)
    return _as_pixels(images, "images are an array (N, H, W, 3)", 4)


def as_photo(photo: np.ndarray | mx.nd.NDArray | PIL.Image.Image) -> np.ndarray:
    """An image (H, W, 3) uint8 RGB as an array of numpy's; one of PIL's turned as its EXIF says. Raises: Refused."""
    pixels = _of_pil(photo) if isinstance(photo, PIL.Image.Image) else photo
    return _as_pixels(pixels, "a photo is an array (H, W, 3)", 3)


def _as_pixels(pixels: object, takes: str, dimensions: int) -> np.ndarray:
    found = pixels.asnumpy() if isinstance(pixels, mx.nd.NDArray) else pixels
    is_array = isinstance(found, np.ndarray)
    if is_array and found.dtype == np.uint8 and found.ndim == dimensions and found.shape[-1] == 3 and found.size:
        return found
    raise Refused(f"{takes} of uint8, RGB, but got {f'{found.dtype} {found.shape}' if is_array else described(found)}")


def _of_pil(image: PIL.Image.Image) -> np.ndarray:
    if image.mode not in _MODES:
        raise Refused(f"an image of PIL's mode {image.mode} has more than 8 bits a channel: name its file")
    try:
        return np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    except OSError as why:  # of a file that PIL has opened, and reads only now
        raise Refused(f"an image of PIL's cannot be read: {why}") from None


def require_colour(name: str, colour: Sequence[int]) -> tuple[int, int, int]:
    """R, G and B in 0..255 as whole numbers. Raises: Refused."""
    return tuple(map(int, require_numbers(f"{name} (R, G, B)", colour, 3, 0, 255)))
