"""Where an image is cropped: the random crop of training, the centre crop of validation."""

from __future__ import annotations

import math

import cv2
import numpy as np

_MAX_ASPECT = 8


def random_crop(
    width: int, height: int, draws: np.ndarray, area: tuple[float, float], aspect: tuple[float, float]
) -> tuple[int, int, int, int]:
    """The (x, y, w, h) of a random crop: w h / (width height) uniform in `area`, w / h log-uniform in `aspect`.

    A crop that does not fit is drawn again; after the last row of draws it is the largest of an allowed aspect ratio
    in the middle.

    Args:
        width, height: of the image, px.
        draws: (tries, 4) uniform in [0, 1): area, aspect, place in x, place in y.
        area, aspect: (low, high).

    Source: section 2.1.
    Differs: the paper decodes to 32-bit floats before it crops; here pixels stay uint8 until they are on the device, so
        that the resize of a crop rounds them to whole levels of 255.
    """
    low, high = math.log(aspect[0]), math.log(aspect[1])
    for u_area, u_aspect, u_x, u_y in draws.tolist():
        pixels = (area[0] + u_area * (area[1] - area[0])) * width * height
        ratio = math.exp(low + u_aspect * (high - low))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 1 <= w <= width and 1 <= h <= height:
            return int(u_x * (width - w + 1)), int(u_y * (height - h + 1)), w, h
    w = max(1, min(width, round(height * aspect[1])))
    h = max(1, min(height, round(width / aspect[0])))
    return (width - w) // 2, (height - h) // 2, w, h


def centre_crop(pixels: np.ndarray, size: int, crop_ratio: float) -> np.ndarray:
    """The middle size x size px of (height, width, 3) pixels whose shorter edge is made ceil(size / crop_ratio) px."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    # Of a very long image only the middle is resized: the ends cannot reach the crop, and could fill the memory.
    x, y = (max(0, (edge - _MAX_ASPECT * short) // 2) for edge in (width, height))
    pixels = pixels[y : height - y, x : width - x]
    height, width = pixels.shape[:2]
    resized = math.ceil(size / crop_ratio - 1e-9)  # 1e-9: 0.8 is a little less than 4/5
    shape = (width * resized // short, height * resized // short)
    pixels = cv2.resize(pixels, shape, interpolation=cv2.INTER_LINEAR)
    x, y = (shape[0] - size) // 2, (shape[1] - size) // 2
    return pixels[y : y + size, x : x + size]
