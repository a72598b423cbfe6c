"""AutoAugment's policies for ImageNet: before an image is cropped, one of 25 pairs of operations changes it.

Source: Cubuk et al., AutoAugment (CVPR 2019), table 9, with the operations and magnitudes of table 6.
Differs: GluonCV's script has the policies of the AutoGluon package, which moves, turns and shears with black where this
has the grey of the paper's code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import PIL.Image

from gluon_tricks.data import pixel_operations
from gluon_tricks.data.crop import TRIES, Crop

# A pair: (operation, probability, magnitude of 0 to 9), twice.
POLICIES = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("colour", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("colour", 1.0, 2)),
    (("colour", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("colour", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("colour", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
_GREY = (128, 128, 128)  # where nothing of the image is


def _enhanced(name: str) -> Callable:
    return lambda image, share: pixel_operations.OPERATIONS[name](image, 0.9 * share)


def _rotated(image: np.ndarray, share: float) -> np.ndarray:
    return np.asarray(PIL.Image.fromarray(image).rotate(30 * share, fillcolor=_GREY))


def _sheared(image: np.ndarray, share: float) -> np.ndarray:
    picture, affine = PIL.Image.fromarray(image), (1, 0.3 * share, 0, 0, 1, 0)
    return np.asarray(picture.transform(picture.size, PIL.Image.AFFINE, affine, fillcolor=_GREY))


# (image, magnitude as a share of the largest in [-1, 1], whose sign is drawn) -> the image, (H, W, 3) uint8 BGR.
_OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "autocontrast": pixel_operations.auto_contrast,
    "equalize": pixel_operations.equalize,
    "invert": lambda image, share: 255 - image,
    "posterize": lambda image, share: pixel_operations.posterize(image, 8 - round(4 * abs(share))),
    "solarize": lambda image, share: pixel_operations.solarize(image, 255 - 255 * abs(share)),
    "rotate": _rotated,
    "shear_x": _sheared,
    "colour": _enhanced("colour"),
    "contrast": _enhanced("contrast"),
    "sharpness": _enhanced("sharpness"),
}


@dataclasses.dataclass(frozen=True)
class AutoAugmented(Crop):
    """A crop of the image that a policy has changed.

    Args:
        crop: how it is cropped then, from the same numbers as without policies.
    """

    crop: Crop
    rows = TRIES + 2
    pixel_bytes = 3 + 30  # at the most: what the first operation gives, and what sharpening that takes

    def require_size(self, size: int) -> None:
        self.crop.require_size(size)

    def scaled(self, size: int, of: int) -> AutoAugmented:
        return dataclasses.replace(self, crop=self.crop.scaled(size, of))

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        return self.crop.cut(changed(pixels, draws[TRIES:]), size, draws[:TRIES])


def changed(pixels: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """An image that one of the policies has changed.

    Args:
        pixels: (height, width, 3) uint8, BGR.
        draws: (2, 4) uniform in [0, 1): of each operation whether it is done and the sign of its magnitude; the third
            number of the first row is which policy it is.

    Returns: (height, width, 3) uint8, BGR.
    """
    policy = POLICIES[int(draws[0, 2] * len(POLICIES))]
    image = np.ascontiguousarray(pixels)
    for (operation, probability, magnitude), (u_done, u_sign, *_) in zip(policy, draws.tolist()):
        if u_done < probability:
            image = _OPERATIONS[operation](image, (1 if u_sign < 0.5 else -1) * magnitude / 9)
    return image
