"""Several looks at one image: crops at five places, mirrored or not, of the image at several sizes; or all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.crop import middle, resized
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.records import Records

CENTRE = "centre"
PLACES = (CENTRE, "top left", "top right", "bottom left", "bottom right")
# Pixels of a whole image: at 4096 x 4096 MXNet ends by a signal (SIGFPE), and one of 8192 x 1024 fills as much memory.
MOST_WHOLE = 1 << 22
LARGEST_WHOLE = 2048  # px of a shorter edge
_NOTHING = np.zeros((0, 0, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class View:
    """One look at an image whose shorter edge is made `edge` px.

    Args:
        edge: px.
        size: side of the square that is cut out, px, at most edge; None: the whole image.
        place: of PLACES: the corners are those of the middle square, edge x edge.
        mirrored: left and right change places.

    Source: ILSVRC winners, AlexNet, "Testing": its images are squares of 256 x 256 already.
    """

    edge: int
    size: int | None
    place: str = CENTRE
    mirrored: bool = False

    @property
    def pixels(self) -> float:
        """How many it has, of a whole image on average: photos are about 1.5 times as long as they are wide."""
        return 1.5 * self.edge**2 if self.size is None else self.size**2


def cut(pixels: np.ndarray, views: Sequence[View]) -> Iterator[tuple[View, np.ndarray]]:
    """The views of an image, those of one edge together: it is resized once for them, and one size is held at a time.

    Of a whole image longer than 8 times its shorter edge, or of more than MOST_WHOLE pixels, the ends are left out.

    Args:
        pixels: (H, W, 3) uint8.

    Returns: each view with (size, size, 3), or (h, w, 3) of a whole image, which may share the resized image's memory.
    """
    for edge in dict.fromkeys(view.edge for view in views):
        image = resized(pixels, edge)
        yield from ((view, _cut(image, view)) for view in views if view.edge == edge)


def _cut(image: np.ndarray, view: View) -> np.ndarray:
    if view.size is None:
        most = max(MOST_WHOLE // view.edge, view.edge)
        part = middle(image, *(min(side, most) for side in (image.shape[1], image.shape[0])))
    elif view.place == CENTRE:
        part = middle(image, view.size, view.size)
    else:
        square, free = middle(image, view.edge, view.edge), view.edge - view.size
        y, x = free * ("bottom" in view.place), free * ("right" in view.place)
        part = square[y : y + view.size, x : x + view.size]
    return cv2.flip(part, 1) if view.mirrored else part


class ViewBatch(NamedTuple):
    """Some images, each in several views.

    Attributes:
        crops: side of the squares, px -> (b, V, side, side, 3) uint8 RGB: the views of that size in their order.
        whole: of every image its whole views (h, w, 3) uint8 RGB, in their order; of padding none.
        labels: (b,) int64.
        indices: (b,) int64, which image of the records each one is; -1 for padding.
        count: how many of the b are real; the rest, at the end, is padding (zeros).
    """

    crops: dict[int, np.ndarray]
    whole: list[list[np.ndarray]]
    labels: np.ndarray
    indices: np.ndarray
    count: int


def by_size(views: Sequence[View]) -> dict[int | None, list[View]]:
    """Views that are of one size together, in their order."""
    found: dict[int | None, list[View]] = {}
    for view in views:
        found.setdefault(view.size, []).append(view)
    return found


def empty_batch(views: Sequence[View], images: int, count: int) -> ViewBatch:
    """With room for the views of so many images; count: of which so many are real."""
    crops = {
        size: np.empty((images, len(same), size, size, 3), np.uint8)
        for size, same in by_size(views).items()
        if size is not None
    }
    return ViewBatch(
        crops, [[] for _ in range(images)], np.zeros(images, np.int64), np.full(images, -1, np.int64), count
    )


def put(views: Sequence[View], pixels: np.ndarray, batch: ViewBatch, slot: int, colours: int | None) -> None:
    """Cuts an image (H, W, 3) into a slot of a batch; colours: code of cv2.cvtColor that makes it RGB, None: it is."""
    same = by_size(views)
    batch.whole[slot] = [_NOTHING] * len(same.get(None, ()))
    for view, part in cut(pixels, views):
        place = same[view.size].index(view)
        if view.size is not None:
            batch.crops[view.size][slot, place] = part if colours is None else cv2.cvtColor(part, colours)
        else:
            batch.whole[slot][place] = part.copy() if colours is None else cv2.cvtColor(part, colours)


class ViewLoader(RecordLoader):
    """Every image of the records once, decoded once, in several views.

    Order and undecodable images are as in StepLoader; the last batch is filled up, so that all have one shape.

    Args:
        records: the images.
        views: of each.
        batch_size: images in each step; each takes the memory of all its views.
        classes: number of classes, which labels are checked against.
        options: threads and prefetch.
    """

    def __init__(self, records: Records, views: Sequence[View], *, batch_size: int, classes: int, options: ReadOptions):
        self.views = tuple(views)
        super().__init__(records, size=1, batch_size=batch_size, train=False, classes=classes, options=options)

    def _begin(self, count: int, epoch: int) -> ViewBatch:
        return empty_batch(self.views, self.batch_size, count)

    def _put(self, pixels: np.ndarray, image: int, epoch: int, batch: ViewBatch, slot: int) -> None:
        put(self.views, pixels, batch, slot, cv2.COLOR_BGR2RGB)

    def _complete(self, batch: ViewBatch) -> ViewBatch:
        real = np.flatnonzero(batch.indices >= 0)
        if len(real) == self.batch_size:
            return batch
        padded = [(crops, 0) for crops in batch.crops.values()]
        for array, padding in (*padded, (batch.labels, 0), (batch.indices, -1)):
            array[: len(real)] = array[real]
            array[len(real) :] = padding
        whole = [batch.whole[k] for k in real]
        return batch._replace(whole=whole + [[]] * (self.batch_size - len(real)), count=len(real))
