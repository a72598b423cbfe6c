"""Batches for detection: order, threads and prefetch are those of classification (StepLoader).

Which image stands where, and whether it is flipped, follows from (seed, epoch, image) alone.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.annotations.annotated import AnnotatedLoader
from gluon_tricks.data.annotations.boxes import BoxedImages
from gluon_tricks.data.base_loader import ReadOptions

log = logging.getLogger("gluon_tricks.data")


class DetectionBatch(NamedTuple):
    """The images of one rank in one step.

    Attributes:
        images: (b, H, W, 3) uint8, RGB; those smaller than the largest stand at the top left, the rest is 0.
        boxes: (b, M, 5) float32, M >= 1: xmin, ymin, xmax, ymax in pixels of the resized image, class index; -1 for
            padding.
        scales: (b,) float32, pixels of the resized image per pixel of the original; 1 for padding.
        indices: (b,) int64, which image of the records each one is; -1 for padding.
        count: how many of the b are real; the rest, at the end, is padding. In training always b. If it is 0 (a rank
            for which the last step of an evaluation has no image) there is nothing to compute.
    """

    images: np.ndarray
    boxes: np.ndarray
    scales: np.ndarray
    indices: np.ndarray
    count: int


def resized_shape(height: int, width: int, short: int, long: int) -> tuple[int, int, float]:
    """The (height, width, scale) of an image whose shorter side is to be `short`, unless the longer exceeds `long`.

    Source: Ren et al., Faster R-CNN (2015), section 3.3; the limit on the longer side is that of its code.
    """
    scale = short / min(height, width)
    if round(scale * max(height, width)) > long:
        scale = long / max(height, width)
    return max(round(height * scale), 1), max(round(width * scale), 1), scale


def flip_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Boxes (M, 4 or more) of an image that is `width` px wide, in the mirrored image: column x becomes width - 1 - x.

    `Differs:` GluonCV takes x to width - x, which is one pixel to the right where the last pixel belongs to the box.
    """
    flipped = boxes.copy()
    flipped[:, 0], flipped[:, 2] = width - 1 - boxes[:, 2], width - 1 - boxes[:, 0]
    return flipped


class DetectionLoader(AnnotatedLoader):
    """Batches of resized images with their boxes, difficult ones among them, as GluonCV trains with them.

    Order, ranks and undecodable images are as in StepLoader, but for two things in training: images without boxes are
    left out, and the log says how many; and the images of a step are all upright or all wide, except for one step at
    most, so that little is padding (the order is still a function of (seed, epoch) alone).

    Args:
        records: the images with their boxes.
        batch_size: B, images of this rank in each step.
        train: mirrored with probability 1/2 in random order, or every image once as it is.
        short, long: px; the shorter side becomes `short`, unless the longer one would exceed `long`: then it is that.
        options: seed (of order and flips), threads, rank among ranks, prefetch.

    Attributes: those of StepLoader.

    Raises: Refused when an argument is out of range or a training epoch has no whole batch.

    Source: Ren et al., Faster R-CNN (2015); GluonCV's recipe for VOC. `Differs:` `flip_boxes`; padding is black where
    GluonCV's is 0 after normalisation.
    """

    def __init__(
        self,
        records: BoxedImages,
        *,
        batch_size: int,
        train: bool,
        short: int = 600,
        long: int = 1000,
        options: ReadOptions = ReadOptions(),
    ):
        if not 1 <= short <= long:
            raise Refused(f"short is {short} and long is {long}: 1 <= short <= long is needed")
        self.short, self.long = short, long
        images = None
        if train:
            images = np.flatnonzero([len(boxes) > 0 for boxes in records.boxes])
            if len(images) < len(records):
                log.warning(
                    "images without a box are not trained on: %d of %d", len(records) - len(images), len(records)
                )
        super().__init__(records, batch_size=batch_size, train=train, options=options, images=images)

    def _order(self, epoch: int) -> np.ndarray:
        order, together = super()._order(epoch), self.global_batch
        if not self.train or together == 1:
            return order
        upright = self.records.sizes[order, 0] > self.records.sizes[order, 1]
        kinds = [order[~upright], order[upright]]
        whole = [kind[: len(kind) // together * together] for kind in kinds]
        rest = np.concatenate([kind[len(part) :] for kind, part in zip(kinds, whole)])
        steps = np.concatenate([*whole, rest[: len(rest) // together * together]]).reshape(-1, together)
        return steps[generator(self.seed, "shuffle steps", epoch).permutation(len(steps))].ravel()

    def _load_whole(self, image: int, epoch: int, batch: list, slot: int) -> bool:
        pixels, boxes = self._pixels(image), self.records.boxes[image][:, :5]
        if pixels is None:
            return False
        if self.train and generator(self.seed, "flip", epoch, image).random() < 0.5:
            pixels, boxes = pixels[:, ::-1], flip_boxes(boxes, pixels.shape[1])
        height, width, scale = resized_shape(*pixels.shape[:2], self.short, self.long)
        by = np.array([width / pixels.shape[1], height / pixels.shape[0]] * 2 + [1])
        pixels = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=cv2.INTER_LINEAR)
        batch[slot] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), (boxes * by).astype(np.float32), scale, image
        return True

    def _complete(self, batch: list) -> DetectionBatch:
        b, real = self.batch_size, [sample for sample in batch if sample is not None]
        shape = np.max([image.shape for image, *_ in real] or [(1, 1, 3)], axis=0)
        images, indices = np.zeros((b, *shape), np.uint8), np.full(b, -1, np.int64)
        most = max((len(boxes) for _, boxes, *_ in real), default=0)
        boxes, scales = np.full((b, max(most, 1), 5), -1, np.float32), np.ones(b, np.float32)
        for slot, (image, of_image, scales[slot], indices[slot]) in enumerate(real):
            images[slot, : image.shape[0], : image.shape[1]] = image
            boxes[slot, : len(of_image)] = of_image
        return DetectionBatch(images, boxes, scales, indices, len(real))
