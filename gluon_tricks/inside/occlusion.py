"""Which parts of an image a class needs: its probability while a square hides one part after the other.

Source: Zeiler and Fergus, Visualizing and understanding convolutional networks (ECCV 2014), section 4.2 and figure 7.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_function, require_whole
from gluon_tricks.core.wording import described
from gluon_tricks.data.pixels import as_photo, require_colour

MOST_POSITIONS = 1 << 16  # of one image: 256 a side


@dataclasses.dataclass(frozen=True)
class OcclusionMap:
    """What a network says of an image while a square hides a part of it.

    Args:
        probabilities: (rows, columns, K) float64: of every class, with the square at each place.
        whole: (K,) the same of the image as it is.
        patch, stride: px: the square's side, and the distance of neighbouring places.
    """

    probabilities: np.ndarray
    whole: np.ndarray
    patch: int
    stride: int

    @property
    def top(self) -> int:
        """The likeliest class of the image as it is."""
        return int(self.whole.argmax())

    def of(self, k: int) -> np.ndarray:
        """(rows, columns): the probability of class k."""
        return self.probabilities[:, :, k]

    @property
    def likeliest(self) -> np.ndarray:
        """(rows, columns): the likeliest class with the square at each place."""
        return self.probabilities.argmax(axis=2)


def check_square(side: int, patch: int, stride: int) -> None:
    """Refuses a square that is no smaller than the image, or places that are too many or so far apart that few remain.

    Args:
        side: of the image, px; patch, stride: as for occlusion_map.
    """
    if not 1 <= patch < side:
        raise Refused(f"the square has {patch} px and the image {side}: choose 1 to {side - 1} (--patch)")
    if not 1 <= stride <= side // 2:
        raise Refused(f"the stride is {stride} px and the image has {side}: choose 1 to {side // 2} (--stride)")
    if (count := len(centres(side, stride)) ** 2) > MOST_POSITIONS:
        raise Refused(f"the square has {count} places with a stride of {stride} px: choose a larger one (--stride)")


def centres(length: int, stride: int) -> np.ndarray:
    """Where along an edge the square's middle comes to lie, px: each at the middle of its cell of the map.

    The cells, of `stride` px each, cover the edge; the middle of a last one that is cut off lies in the image.
    """
    return np.minimum(np.arange(0, length, stride) + stride // 2, length - 1)


def occluded(image: np.ndarray, y: int, x: int, patch: int, fill: Sequence[int]) -> np.ndarray:
    """A copy of an image with a square of one colour; what of it lies beyond the edges is cut off.

    Args:
        image: (H, W, 3) uint8.
        y, x: the square's middle, px. patch: its side, px.
        fill: its colour, R, G, B.
    """
    hidden, top, left = image.copy(), y - patch // 2, x - patch // 2
    hidden[max(top, 0) : max(top + patch, 0), max(left, 0) : max(left + patch, 0)] = fill
    return hidden


def occlusion_map(
    probabilities: Callable[[np.ndarray], np.ndarray], image: np.ndarray, patch: int, stride: int,
    fill: Sequence[int] = (124, 117, 104), batch_size: int = 32, told: Callable[[int], object] = lambda count: None,
) -> OcclusionMap:  # fmt: skip
    """Slides a square over an image and asks the network at each place.

    Args:
        probabilities: (n, H, W, 3) uint8 RGB -> (n, K), such as Viewed.probabilities.
        image: (H, W, 3) uint8 RGB, of the network's input size.
        patch: side of the square, px: 1 or more, less than the image's.
        stride: distance of neighbouring places, px.
        fill: colour of the square, R, G, B in 0..255; the default is ImageNet's mean.
        batch_size: how many places at a time.
        told: called with how many are done, batch by batch.

    Returns: the map; its cell (0, 0) has the square's middle in the middle of the image's upper left corner of
        stride x stride px, so that the cells cover the image.

    Raises:
        Refused: a square as large as the image, a stride that leaves fewer than 2 or more than 256 places a side, an
            image that is no such array, or another colour.

    Differs: the paper does not say how large its grey square is.
    """
    require_function("probabilities", probabilities, "a function such as viewed.probabilities")
    image, fill = as_photo(image), require_colour("fill", fill)
    patch, stride = require_whole("patch", patch, 0), require_whole("stride", stride, 0)
    require_whole("batch_size", batch_size, 1)
    check_square(min(image.shape[:2]), patch, stride)
    whole = _of_classes(probabilities, image[None])[0]
    rows, columns = (centres(length, stride) for length in image.shape[:2])
    places, found = [(y, x) for y in rows for x in columns], []
    for start in range(0, len(places), batch_size):
        part = places[start : start + batch_size]
        found.append(_of_classes(probabilities, np.stack([occluded(image, y, x, patch, fill) for y, x in part])))
        told(len(part))
    of_all = np.concatenate(found).reshape(len(rows), len(columns), -1)
    return OcclusionMap(of_all, whole, patch, stride)


def _of_classes(probabilities: Callable, images: np.ndarray) -> np.ndarray:
    found = probabilities(images)
    if not isinstance(found, np.ndarray) or found.ndim != 2 or len(found) != len(images):
        raise Refused(f"probabilities gives an array (n, K), as viewed.probabilities does, but gave {described(found)}")
    return found
