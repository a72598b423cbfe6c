"""Where an image is cropped: the random crops of training, each by name, and the centre crop of validation.

A crop of training is a record with one method, cut(pixels, size, draws) -> the (size, size, 3) crop:

    area    a random part of the image, resized                 Bag of Tricks, GoogLeNet
    side    shorter side to S, a random square of it            VGG, ResNet, cvjena
    square  shorter side to S, the middle S x S, a random square of that    AlexNet, ZFNet
    pad     a border around the validation crop, a random square of that    CIFAR-10
    centre  the validation crop itself
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_numbers

_MAX_ASPECT = 8
REDUCTIONS = (8, 4, 2)  # of JPEG's decoder
TRIES = 10  # at an area crop that fits, before the middle of the image is taken


class Crop:
    """How an image of training is cropped.

    Attributes:
        rows: of the random numbers that it takes.
        pixel_bytes: that it takes for each pixel of the whole image, besides the image.
    """

    rows: ClassVar[int] = TRIES
    pixel_bytes: ClassVar[int] = 0

    def require_size(self, size: int) -> None:
        """Refuses a size that the crop cannot have, before any image is read."""

    def scaled(self, size: int, of: int) -> Crop:
        """This crop, made for `of` px, for crops of size px which show as much of an image."""
        return self

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        """How many times smaller the image's pixels become by cut; 1: they stay, or are not known to shrink.

        Args: as of cut, of an image of width x height px.
        """
        return 1.0

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        """The crop of an image.

        Args:
            pixels: (height, width, 3) uint8, BGR.
            size: px of the square that comes out.
            draws: (rows, 4) uniform in [0, 1), this image's in this epoch; all kinds but one take the first row alone.

        Returns: (size, size, 3) uint8, BGR.
        """
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class AreaCrop(Crop):
    """A random part of the image of some area and aspect ratio (see random_crop), resized to size x size.

    Args:
        area: range of the part's area as a fraction of the image's, in (0, 1].
        aspect: range of its width / height, above 0.

    Source: Bag of Tricks, section 2.1.
    """

    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)

    def __post_init__(self):
        for name in ("area", "aspect"):
            require_numbers(name, getattr(self, name), 2, -math.inf, math.inf)
        if not (0 < self.area[0] <= self.area[1] <= 1 and 0 < self.aspect[0] <= self.aspect[1]):
            raise Refused(f"area {self.area} must lie in (0, 1], aspect {self.aspect} above 0, low <= high")

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        _, _, w, h = random_crop(width, height, draws, self.area, self.aspect)
        return min(w, h) / size

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        height, width = pixels.shape[:2]
        x, y, w, h = random_crop(width, height, draws, self.area, self.aspect)
        return cv2.resize(pixels[y : y + h, x : x + w], (size, size), interpolation=cv2.INTER_LINEAR)


@dataclasses.dataclass(frozen=True)
class SideCrop(Crop):
    """The shorter side is made S px, the aspect ratio staying, and a random size x size square is cut out.

    S is uniform among the whole numbers of [low, high], for each image anew; an image that is smaller is enlarged.

    Args:
        side: (low, high), px; size <= low <= high.
        square: cut out of the middle S x S alone.

    Source: ILSVRC winners, ResNet and VGG, "data manipulation"; `square`: AlexNet's images of 256 x 256.
    """

    side: tuple[int, int]
    square: bool = False

    def require_size(self, size: int) -> None:
        if not size <= self.side[0] <= self.side[1]:
            raise Refused(f"a crop of {size} px out of images of side {list(self.side)}: low must be {size} or more")

    def scaled(self, size: int, of: int) -> SideCrop:
        low, high = (-(-side * size // of) for side in self.side)  # rounded up: no smaller than the crop
        return dataclasses.replace(self, side=(low, high))

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        return min(width, height) / self._side(draws)

    def _side(self, draws: np.ndarray) -> int:
        return self.side[0] + int(draws[0, 0] * (self.side[1] - self.side[0] + 1))

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        side, (u_x, u_y) = self._side(draws), draws[0, 2:].tolist()
        if self.square:
            return _square(centre_crop(pixels, side, 1.0), size, u_x, u_y)
        return _square_of_resized(pixels, side, size, u_x, u_y)


@dataclasses.dataclass(frozen=True)
class PadCrop(Crop):
    """A border around what validation cuts out, and a random size x size square of that.

    Args:
        pad: width of the border, px.
        colour: of the border, RGB levels.
        crop_ratio: of validation; CIFAR's is 1: the whole image.

    Source: He et al., Deep residual learning (CVPR 2016), section 4.2: 4 px on each side.
    """

    pad: int
    colour: tuple[int, int, int] = (0, 0, 0)
    crop_ratio: float = 1.0

    def scaled(self, size: int, of: int) -> PadCrop:
        return dataclasses.replace(self, pad=round(self.pad * size / of))

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        return min(width, height) / resized_edge(size, self.crop_ratio)

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        pixels = centre_crop(pixels, size, self.crop_ratio)
        padded = cv2.copyMakeBorder(pixels, *[self.pad] * 4, cv2.BORDER_CONSTANT, value=self.colour[::-1])
        return _square(padded, size, *draws[0, 2:].tolist())


@dataclasses.dataclass(frozen=True)
class CentreCrop(Crop):
    """What validation cuts out. Args: crop_ratio: of validation."""

    crop_ratio: float = 0.875

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        return min(width, height) / resized_edge(size, self.crop_ratio)

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        return centre_crop(pixels, size, self.crop_ratio)


def _square_of_resized(pixels: np.ndarray, side: int, size: int, u_x: float, u_y: float) -> np.ndarray:
    """A square of size px at the shares u_x, u_y of where it can lie, of pixels whose shorter edge is made `side` px.

    Of a very long image a window of at most 8 times the shorter edge is resized, at the same shares: a whole one could
    fill the memory, and the sum of both offsets is as uniform as one offset.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    w, h = min(width, _MAX_ASPECT * short), min(height, _MAX_ASPECT * short)
    x, y = round(u_x * (width - w)), round(u_y * (height - h))
    shape = (max(side, w * side // short), max(side, h * side // short))
    pixels = cv2.resize(pixels[y : y + h, x : x + w], shape, interpolation=cv2.INTER_LINEAR)
    return _square(pixels, size, u_x, u_y)


def _square(pixels: np.ndarray, size: int, u_x: float, u_y: float) -> np.ndarray:
    height, width = pixels.shape[:2]
    x, y = (int(u * (edge - size + 1)) for edge, u in ((width, u_x), (height, u_y)))
    return pixels[y : y + size, x : x + size]


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
    return middle(resized(pixels, resized_edge(size, crop_ratio)), size, size)


def resized_edge(size: int, crop_ratio: float) -> int:
    """px of the shorter edge of what the validation crop of size px is cut out of."""
    return math.ceil(size / crop_ratio - 1e-9)  # 1e-9: 0.8 is a little less than 4/5


def resized(pixels: np.ndarray, edge: int) -> np.ndarray:
    """(height, width, 3) pixels whose shorter edge is made `edge` px; of a very long image the middle."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    # Of a very long image only the middle is resized: the ends cannot reach the crop, and could fill the memory.
    x, y = (max(0, (side - _MAX_ASPECT * short) // 2) for side in (width, height))
    pixels = pixels[y : height - y, x : width - x]
    height, width = pixels.shape[:2]
    shape = (width * edge // short, height * edge // short)
    return cv2.resize(pixels, shape, interpolation=cv2.INTER_LINEAR)


def middle(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The middle width x height px; where it cannot lie in the middle, one pixel further to the top or left."""
    x, y = (pixels.shape[1] - width) // 2, (pixels.shape[0] - height) // 2
    return pixels[y : y + height, x : x + width]
