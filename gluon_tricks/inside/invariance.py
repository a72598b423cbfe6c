"""How far an image can be shifted, scaled and turned until a network sees another one.

Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014), section 4.1 and figure 5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_function, require_indices, require_number
from gluon_tricks.core.wording import described
from gluon_tricks.data.pixels import as_images, require_colour

AMOUNTS = {
    "shift": tuple(float(step) for step in np.linspace(-0.25, 0.25, 13)),  # of the image's side, downwards
    "scale": tuple(float(step) for step in np.linspace(1, 1.8, 9)),
    "rotation": tuple(float(step) for step in range(0, 361, 15)),  # degrees, counter-clockwise
}
_WITHIN = {"shift": (-1, 1), "scale": (0.01, 100), "rotation": (-36_000, 36_000)}  # amounts, least and most


@dataclasses.dataclass(frozen=True)
class Invariance:
    """How the network's numbers change as images are changed more and more.

    Args:
        kind: a key of AMOUNTS.
        amounts: (A,) how much.
        early, late: (A, n) distance of the feature vectors of each image from those of the unchanged one, over the
            length of the latter: ||f(T x) - f(x)|| / ||f(x)||; 0 where both are 0.
        probability: (A, n) of each image's class.
    """

    kind: str
    amounts: tuple[float, ...]
    early: np.ndarray
    late: np.ndarray
    probability: np.ndarray


def moved(image: np.ndarray, kind: str, amount: float, fill: Sequence[int]) -> np.ndarray:
    """An image shifted downwards, enlarged, or turned about its middle; what comes in from outside has one colour.

    Args:
        image: (H, W, 3) uint8.
        kind: a key of AMOUNTS. "shift": amount is a fraction of the height, rounded to whole px; "scale": a factor,
            over 0; "rotation": degrees, counter-clockwise.
        fill: R, G, B.
    """
    height, width = image.shape[:2]
    middle = ((width - 1) / 2, (height - 1) / 2)
    if kind == "shift":
        matrix = np.array([[1, 0, 0], [0, 1, round(amount * height)]], np.float64)
    elif kind == "scale":
        matrix = cv2.getRotationMatrix2D(middle, 0, amount)
    else:
        matrix = cv2.getRotationMatrix2D(middle, amount % 360, 1)
    colour = tuple(map(int, fill))
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=colour)


def invariance(
    features: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]], images: np.ndarray,
    classes: Sequence[int], kind: str, amounts: Sequence[float] | None = None,
    fill: Sequence[int] = (124, 117, 104), told: Callable[[int], object] = lambda count: None,
) -> Invariance:  # fmt: skip
    """Changes images more and more and asks the network each time.

    Args:
        features: (n, H, W, 3) uint8 RGB -> early features (n, E), late ones (n, L), probabilities (n, K), such as
            Viewed.features.
        images: (n, H, W, 3) uint8 RGB, of the network's input size.
        classes: (n,) of which class the probability is told.
        kind: "shift", "scale" or "rotation".
        amounts: as for `moved`: at most 1, 100 and 36,000; None: AMOUNTS[kind], the paper's ranges.
        fill: colour of what comes in from outside, R, G, B in 0..255; the default is ImageNet's mean.
        told: called with how many images are done, amount by amount.

    Raises:
        Refused: another kind, amounts or colour than these, images that are no such array, or classes that are not one
            for each image.

    Differs: the paper tells distances without dividing them. Divided, those of an early and a late layer compare.
    """
    require_function("features", features, "a function such as viewed.features")
    images, fill, amounts = as_images(images), require_colour("fill", fill), _amounts(kind, amounts)
    start = _numbers(features, images)
    count, most = start[2].shape
    takes = f"a class from 0 to {most - 1} for each image, {count} in all"
    classes = require_indices("classes", classes, (count,), most, takes)
    rows = []
    for amount in amounts:
        changed = np.stack([moved(image, kind, amount, fill) for image in images])
        early, late, probabilities = _numbers(features, changed)
        of_classes = probabilities[np.arange(len(images)), classes]
        rows.append((_distance(early, start[0]), _distance(late, start[1]), of_classes))
        told(len(images))
    return Invariance(kind, amounts, *(np.array(column) for column in zip(*rows)))


def _amounts(kind: str, amounts: Sequence[float] | None) -> tuple[float, ...]:
    if not isinstance(kind, str) or kind not in AMOUNTS:
        raise Refused(f"{described(kind)} is no way to change an image: choose one of {', '.join(AMOUNTS)}")
    if amounts is None:
        return AMOUNTS[kind]
    if not isinstance(amounts, (list, tuple, range, np.ndarray)) or not len(amounts):
        raise Refused(f"amounts takes numbers, at least one, but got {described(amounts)}")
    return tuple(require_number("amounts", amount, *_WITHIN[kind]) for amount in amounts)


def _numbers(features: Callable, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    found = features(images)
    if not isinstance(found, tuple) or len(found) != 3:
        raise Refused(
            f"features gives early features, late ones and probabilities, as viewed.features does, but gave "
            f"{described(found)}"
        )
    return found


def _distance(there: np.ndarray, here: np.ndarray) -> np.ndarray:
    """(n,) of vectors (n, F)."""
    far = np.linalg.norm(there.astype(np.float64) - here, axis=1)
    length = np.linalg.norm(here.astype(np.float64), axis=1)
    return np.where(far == 0, 0.0, far / np.where(length == 0, 1, length))
