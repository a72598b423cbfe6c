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
import PIL.ImageEnhance
import PIL.ImageOps

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


def _enhanced(kind: Callable) -> Callable:
    return lambda image, share: kind(image).enhance(1 + 0.9 * share)


def _sheared(image: PIL.Image.Image, share: float) -> PIL.Image.Image:
    return image.transform(image.size, PIL.Image.AFFINE, (1, 0.3 * share, 0, 0, 1, 0), fillcolor=_GREY)


# (image, magnitude as a share of the largest in [-1, 1], whose sign is drawn) -> the image.
_OPERATIONS: dict[str, Callable[[PIL.Image.Image, float], PIL.Image.Image]] = {
    "autocontrast": lambda image, share: PIL.ImageOps.autocontrast(image),
    "equalize": lambda image, share: PIL.ImageOps.equalize(image),
    "invert": lambda image, share: PIL.ImageOps.invert(image),
    "posterize": lambda image, share: PIL.ImageOps.posterize(image, 8 - round(4 * abs(share))),
    "solarize": lambda image, share: PIL.ImageOps.solarize(image, 255 - 255 * abs(share)),
    "rotate": lambda image, share: image.rotate(30 * share, fillcolor=_GREY),
    "shear_x": _sheared,
    "colour": _enhanced(PIL.ImageEnhance.Color),
    "contrast": _enhanced(PIL.ImageEnhance.Contrast),
    "sharpness": _enhanced(PIL.ImageEnhance.Sharpness),
}


@dataclasses.dataclass(frozen=True)
class AutoAugmented(Crop):
    """A crop of the image that a policy has changed.

    Args:
        crop: how it is cropped then, from the same numbers as without policies.
    """

    crop: Crop
    rows = TRIES + 2

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
    image = PIL.Image.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
    for (operation, probability, magnitude), (u_done, u_sign, *_) in zip(policy, draws.tolist()):
        if u_done < probability:
            image = _OPERATIONS[operation](image, (1 if u_sign < 0.5 else -1) * magnitude / 9)
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])
