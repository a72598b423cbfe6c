"""TrivialAugment and RandAugment: a crop is changed by operations that are drawn from 14 anew for each image.

    trivial   one operation, of a strength that is drawn from 31      Müller & Hutter, TrivialAugment (ICCV 2021)
    rand      N operations, all of strength M of 30                   Cubuk et al., RandAugment (NeurIPS 2020)

The signs of strengths are drawn. Which operation it is, how strong and of what sign follows from (seed, epoch, image).

Differs: the papers give no program for all of it; the operations' largest magnitudes, nearest pixels in shears and
rotations, and black where nothing of the image is, are torchvision's. There an image is mirrored before it is changed;
here after it, on the device, so that a shear begins at the other side of a mirrored one.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gluon_tricks.data.crop import TRIES, Crop
from gluon_tricks.data.pixel_operations import OPERATIONS

LEVELS = 31  # of strengths, from none to the largest
WITHOUT_SIGN = ("identity", "posterize", "solarize", "auto_contrast", "equalize")
# The largest magnitudes, 0 being that nothing happens; that of posterize is how many bits are taken away.
_TRIVIAL = dict(
    shear_x=0.99, shear_y=0.99, translate_x=32.0, translate_y=32.0, rotate=135.0, brightness=0.99, colour=0.99,
    contrast=0.99, sharpness=0.99, posterize=6,
)  # fmt: skip
_RAND = dict(
    shear_x=0.3, shear_y=0.3, translate_x=150 / 331, translate_y=150 / 331, rotate=30.0, brightness=0.9, colour=0.9,
    contrast=0.9, sharpness=0.9, posterize=4,
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class TrivialAugmented(Crop):
    """A crop that one operation has changed: each of the 14 is as likely, and so is each of its 31 strengths.

    The largest strengths are those of its "wide" space: shears of 0.99, translations of 32 px (of crops of any size),
    rotations of 135 degrees, factors of 0.01 to 1.99, 2 bits of a level.

    Args:
        crop: how it is cropped before, from the same numbers as without operations.

    Source: Müller & Hutter, TrivialAugment: Tuning-free yet state-of-the-art data augmentation (ICCV 2021), algorithm 1
        with its wide augmentation space.
    """

    crop: Crop
    rows = TRIES + 1

    def require_size(self, size: int) -> None:
        self.crop.require_size(size)

    def scaled(self, size: int, of: int) -> TrivialAugmented:
        return dataclasses.replace(self, crop=self.crop.scaled(size, of))

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        return self.crop.shrinks(width, height, size, draws[:TRIES])

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        image = self.crop.cut(pixels, size, draws[:TRIES])
        u_operation, u_level, u_sign, _ = draws[TRIES].tolist()
        name = _NAMES[int(u_operation * len(_NAMES))]
        return changed(image, name, trivial_magnitude(name, int(u_level * LEVELS)), u_sign)


@dataclasses.dataclass(frozen=True)
class RandAugmented(Crop):
    """A crop that some operations have changed one after the other, each drawn from all 14, all of one strength.

    The largest strengths are shears of 0.3, translations of 45 % (150 of 331 px), rotations of 30 degrees, factors of
    0.1 to 1.9, 4 bits of a level.

    Args:
        crop: how it is cropped before, from the same numbers as without operations.
        magnitude: M, the strength, in [0, 30].
        count: N, how many operations, >= 1.

    Source: Cubuk et al., RandAugment: Practical automated data augmentation with a reduced search space (NeurIPS 2020),
        figure 2; N = 2, M = 9 for ResNet-50.
    Differs: the paper's scale of strengths ends at 10, and its experiments go beyond (28 for EfficientNet-B7); here, as
        in torchvision, it ends at 30.
    """

    crop: Crop
    magnitude: int = 9
    count: int = 2

    @property
    def rows(self) -> int:
        return TRIES + self.count

    def require_size(self, size: int) -> None:
        self.crop.require_size(size)

    def scaled(self, size: int, of: int) -> RandAugmented:
        return dataclasses.replace(self, crop=self.crop.scaled(size, of))

    def shrinks(self, width: int, height: int, size: int, draws: np.ndarray) -> float:
        return self.crop.shrinks(width, height, size, draws[:TRIES])

    def cut(self, pixels: np.ndarray, size: int, draws: np.ndarray) -> np.ndarray:
        image = self.crop.cut(pixels, size, draws[:TRIES])
        for u_operation, _, u_sign, _ in draws[TRIES:].tolist():
            name = _NAMES[int(u_operation * len(_NAMES))]
            image = changed(image, name, rand_magnitude(name, self.magnitude, size), u_sign)
        return image


_NAMES = tuple(OPERATIONS)


def changed(image: np.ndarray, name: str, magnitude: float, u_sign: float) -> np.ndarray:
    """An image (height, width, 3) uint8, BGR, after one operation; its sign is plus where u_sign is below 1/2."""
    signed = magnitude if name in WITHOUT_SIGN or u_sign < 0.5 else -magnitude
    return OPERATIONS[name](np.ascontiguousarray(image), signed)


def trivial_magnitude(name: str, level: int) -> float:
    """What an operation takes at a strength of 0 to 30 in TrivialAugment; px, degrees, bits, a level, or a factor."""
    return _at(name, _TRIVIAL.get(name, 0.0), level)


def rand_magnitude(name: str, level: int, size: int) -> float:
    """The same in RandAugment. Args: size: px of a side of the image, of which a translation is a share."""
    largest = _RAND.get(name, 0.0)
    return _at(name, largest * size if name.startswith("translate") else largest, level)


def _at(name: str, largest: float, level: int) -> float:
    if name == "solarize":
        return 255.0 - 255.0 * level / (LEVELS - 1)
    share = largest * level / (LEVELS - 1)
    return 8 - round(share) if name == "posterize" else share
