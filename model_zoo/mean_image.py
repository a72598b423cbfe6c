"""A mean image: what is subtracted from photos pixel by pixel, where a network was trained so."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
from typing import Any

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused

LARGEST_SIDE = 2048  # px; 50 MB
_LARGEST_LEVEL = 1e4  # as of a recipe's mean


@dataclasses.dataclass(frozen=True)
class MeanImage:
    """The mean of the training images at every pixel.

    Args:
        side: of the square, px.
        data: side x side x 3 little-endian float32, row by row, RGB, on the 0..255 scale.

    Source: ILSVRC winners, AlexNet, "preprocessing".
    """

    side: int
    data: bytes = dataclasses.field(repr=False)

    def __post_init__(self):
        if not 1 <= self.side <= LARGEST_SIDE or len(self.data) != 12 * self.side**2:
            raise Refused(
                f"a mean image of side {self.side} with {len(self.data)} bytes: the side takes 1 to {LARGEST_SIDE}, "
                "with 12 bytes for each pixel"
            )

    @classmethod
    def of(cls, pixels: np.ndarray) -> MeanImage:
        """From (side, side, 3) numbers."""
        return cls(pixels.shape[0], pixels.astype("<f4").tobytes())

    def pixels(self, height: int | None = None, width: int | None = None) -> np.ndarray:
        """(height, width, 3) float32; of other sizes than its own it is resized, bilinearly."""
        return _resized(self, height or self.side, width or self.side)

    def deviation(
        self, mean: tuple[float, ...], std: tuple[float, ...], height: int | None = None, width: int | None = None
    ) -> np.ndarray:
        """What (pixel - mean) / std is too much: (3, height, width) float32, (M - mean) / std of the mean image M."""
        return ((self.pixels(height, width) - mean) / std).transpose(2, 0, 1).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return {"height": self.side, "width": self.side, "float32": base64.b64encode(self.data).decode("ascii")}

    @classmethod
    def from_json(cls, values: Any) -> MeanImage:
        """The opposite of to_json.

        Raises:
            Refused: it is not of this form, or a level is not finite or far from those of images.
        """
        try:
            side, data = values["height"], base64.b64decode(values["float32"], validate=True)
            if type(side) is not int or values["width"] != side:
                raise ValueError("height and width are no equal whole numbers")
            image = cls(side, data)
            if not (np.abs(np.frombuffer(data, "<f4")) <= _LARGEST_LEVEL).all():  # NaN is not
                raise ValueError(f"a level is none of [-{_LARGEST_LEVEL:g}, {_LARGEST_LEVEL:g}]")
            return image
        except (TypeError, ValueError, KeyError, binascii.Error) as error:
            raise Refused(f"this is no mean image ({type(error).__name__}: {str(error)[:200]})") from None


@functools.lru_cache(maxsize=16)
def _resized(image: MeanImage, height: int, width: int) -> np.ndarray:
    pixels = np.frombuffer(image.data, "<f4").reshape(image.side, image.side, 3)
    if (height, width) != pixels.shape[:2]:
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    pixels.flags.writeable = False
    return pixels
