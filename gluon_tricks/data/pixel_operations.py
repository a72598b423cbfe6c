"""The operations of TrivialAugment and RandAugment, as Pillow has them, level for level.

Those that map a level to a level are a table of 256, by OpenCV, and so is what sharpening takes from the neighbours.
Shears and rotations are Pillow's own: OpenCV rounds a pixel's place otherwise.

An operation is a function of a (height, width, 3) uint8 image, BGR, and a magnitude; it may give the same array back.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image

_LEVELS = np.arange(256)
_GREY = np.array([[7471, 38470, 19595, 1 << 15]], np.float32) / (1 << 16)  # of B, G, R and 1; exact in float32
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def identity(image: np.ndarray, magnitude: float) -> np.ndarray:
    return image


def shear_x(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Row y moves to the left by magnitude * y px; what comes from outside is black, as in all that move."""
    return _moved(image, (1, magnitude, 0, 0, 1, 0))


def shear_y(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Column x moves up by magnitude * x px."""
    return _moved(image, (1, 0, 0, magnitude, 1, 0))


def translate_x(image: np.ndarray, magnitude: float) -> np.ndarray:
    """To the right by magnitude px, cut down to a whole number."""
    return _translated(image, int(magnitude), 0)


def translate_y(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Down by magnitude px, cut down to a whole number."""
    return _translated(image, 0, int(magnitude))


def rotate(image: np.ndarray, magnitude: float) -> np.ndarray:
    """By magnitude degrees against the clock about the middle."""
    return np.asarray(PIL.Image.fromarray(image).rotate(magnitude))


def brightness(image: np.ndarray, magnitude: float) -> np.ndarray:
    """(1 + magnitude) x."""
    return _looked_up(image, _blend(np.float32(0), _LEVELS, 1 + magnitude))


def contrast(image: np.ndarray, magnitude: float) -> np.ndarray:
    """g + (1 + magnitude) (x - g), g being the image's mean grey, a whole number."""
    mean = int(_grey(image).mean() + 0.5)
    return _looked_up(image, _blend(np.float32(mean), _LEVELS, 1 + magnitude))


def colour(image: np.ndarray, magnitude: float) -> np.ndarray:
    """g + (1 + magnitude) (x - g), g being the pixel's grey."""
    return _blend(_grey(image)[..., None].astype(np.float32), image, 1 + magnitude)


def sharpness(image: np.ndarray, magnitude: float) -> np.ndarray:
    """s + (1 + magnitude) (x - s), s being the smoothed image: 5/13 of the pixel, 1/13 of each neighbour."""
    smooth = cv2.filter2D(image, -1, _SMOOTH)
    smooth[[0, -1]], smooth[:, [0, -1]] = image[[0, -1]], image[:, [0, -1]]  # which have not all neighbours
    return _blend(smooth.astype(np.float32), image, 1 + magnitude)


def posterize(image: np.ndarray, magnitude: float) -> np.ndarray:
    """The magnitude, a whole number of 1 to 8, is how many of the upper bits of a level stay."""
    return _looked_up(image, _LEVELS & (256 - (1 << (8 - int(magnitude)))))


def solarize(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Levels from the magnitude on are inverted."""
    return _looked_up(image, np.where(magnitude > _LEVELS, _LEVELS, 255 - _LEVELS))


def auto_contrast(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Of each channel the lowest level becomes 0 and the highest 255."""
    return _looked_up(image, np.stack([_stretched(counts) for counts in _histograms(image)], axis=-1))


def equalize(image: np.ndarray, magnitude: float) -> np.ndarray:
    """Of each channel all levels become about equally frequent."""
    return _looked_up(image, np.stack([_equalized(counts) for counts in _histograms(image)], axis=-1))


OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    operation.__name__: operation
    for operation in (
        *(identity, shear_x, shear_y, translate_x, translate_y, rotate, brightness, colour, contrast, sharpness),
        *(posterize, solarize, auto_contrast, equalize),
    )
}


def _moved(image: np.ndarray, affine: tuple[float, ...]) -> np.ndarray:
    picture = PIL.Image.fromarray(image)
    return np.asarray(picture.transform(picture.size, PIL.Image.Transform.AFFINE, affine))


def _translated(image: np.ndarray, right: int, down: int) -> np.ndarray:
    (height, width), found = image.shape[:2], np.zeros_like(image)
    if abs(right) < width and abs(down) < height:
        (to_y, from_y), (to_x, from_x) = _overlap(down, height), _overlap(right, width)
        found[to_y, to_x] = image[from_y, from_x]
    return found


def _overlap(move: int, length: int) -> tuple[slice, slice]:
    """Where what stays inside goes to, and where it comes from."""
    kept = length - abs(move)
    return slice(max(move, 0), max(move, 0) + kept), slice(max(-move, 0), max(-move, 0) + kept)


def _grey(image: np.ndarray) -> np.ndarray:
    """(height, width) float32, Pillow's whole grey levels. The sums are exact: whole 2**-16, of at most 24 bits."""
    return np.floor(cv2.transform(image.astype(np.float32), _GREY)).reshape(image.shape[:2])


def _blend(start: np.ndarray, end: np.ndarray, factor: float) -> np.ndarray:
    """start + factor (end - start) in float32, cut down to whole levels of 0 to 255."""
    found = np.subtract(end, start, dtype=np.float32)
    found *= np.float32(factor)
    found += start
    return np.clip(found, 0, 255, out=found).astype(np.uint8)


def _looked_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Args: table: (256,) or (256, 3), of levels."""
    return cv2.LUT(image, table.astype(np.uint8)[None])


def _histograms(image: np.ndarray) -> list[np.ndarray]:
    return [cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel().astype(np.int64) for channel in range(3)]


def _stretched(counts: np.ndarray) -> np.ndarray:
    low, high = np.flatnonzero(counts)[[0, -1]]
    if high <= low:
        return _LEVELS
    scale = 255.0 / (high - low)
    return np.clip((_LEVELS * scale - low * scale).astype(int), 0, 255)


def _equalized(counts: np.ndarray) -> np.ndarray:
    there = counts[counts > 0]
    step = (there.sum() - there[-1]) // 255
    if len(there) <= 1 or not step:
        return _LEVELS
    before = np.cumsum(counts) - counts
    return np.minimum((step // 2 + before) // step, 255)
