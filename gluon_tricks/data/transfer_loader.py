"""Batches for detection and segmentation: order, threads and prefetch are those of classification (StepLoader).

Which image stands where, and how it is flipped, scaled and cropped, follows from (seed, epoch, image) alone.
"""

from __future__ import annotations

import logging
import pathlib
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.data.annotated import Problem, read_stored
from gluon_tricks.data.boxes import BoxedImages
from gluon_tricks.data.masks import MaskedImages
from gluon_tricks.data.records import BadRecord
from gluon_tricks.data.steps import StepLoader
from gluon_tricks.runtime import Refused, generator

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


class SegmentationBatch(NamedTuple):
    """The images of one rank in one step.

    Attributes:
        images: (b, H, W, 3) uint8, RGB.
        masks: (b, H, W) int32, class indices; -1 is void.
        indices: (b,) int64, which image of the records each one is; -1 for padding.
        count: how many of the b are real, as in DetectionBatch; a batch of none is 1 px large.
    """

    images: np.ndarray
    masks: np.ndarray
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


class _TransferLoader(StepLoader):
    """Reads images of files, and keeps the slots of a batch as a list until it is complete."""

    def _begin(self, count: int) -> list:
        return [None] * count

    def _place(self, image: int) -> tuple[pathlib.Path]:
        return (self.records.paths[image],)

    def _pixels(self, image: int) -> np.ndarray | None:
        """The BGR pixels of an image; None if it cannot be decoded."""
        pixels = read_stored(self.records.paths[image])
        if pixels is not None and pixels.shape[:2] != tuple(self.records.sizes[image]):
            raise BadRecord(f"{self.records.paths[image]} has another size than when the run began: start it again")
        return pixels


class DetectionLoader(_TransferLoader):
    """Batches of resized images with their boxes, difficult ones among them, as GluonCV trains with them.

    Order, ranks and undecodable images are as in StepLoader, but for two things in training: images without boxes are
    left out, and the log says how many; and the images of a step are all upright or all wide, except for one step at
    most, so that little is padding (the order is still a function of (seed, epoch) alone).

    Args:
        records: the images with their boxes.
        batch_size: B, images of this rank in each step.
        train: mirrored with probability 1/2 in random order, or every image once as it is.
        short, long: px; the shorter side becomes `short`, unless the longer one would exceed `long`: then it is that.
        seed: of order and flips.
        threads: that decode; default: all cores of the process.
        rank, ranks: which of how many processes this is.
        prefetch: batches made ahead.

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
        seed: int = 0,
        threads: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 3,
    ):
        if not 1 <= short <= long:
            raise Refused(f"short is {short} and long is {long}: 1 <= short <= long is needed")
        self.short, self.long = short, long
        images = None
        if train:
            images = np.flatnonzero([len(boxes) > 0 for boxes in records.boxes])
            if len(images) < len(records):
                log.warning("%d of %d images have no box: not trained on", len(records) - len(images), len(records))
        super().__init__(
            records,
            batch_size=batch_size,
            train=train,
            seed=seed,
            threads=threads,
            rank=rank,
            ranks=ranks,
            prefetch=prefetch,
            images=images,
        )

    def _order(self, epoch: int) -> np.ndarray:
        order, together = super()._order(epoch), self.batch_size * self.ranks
        if not self.train or together == 1:
            return order
        upright = self.records.sizes[order, 0] > self.records.sizes[order, 1]
        kinds = [order[~upright], order[upright]]
        whole = [kind[: len(kind) // together * together] for kind in kinds]
        rest = np.concatenate([kind[len(part) :] for kind, part in zip(kinds, whole)])
        steps = np.concatenate([*whole, rest[: len(rest) // together * together]]).reshape(-1, together)
        return steps[generator(self.seed, "shuffle steps", epoch).permutation(len(steps))].ravel()

    def _load(self, image: int, epoch: int, batch: list, slot: int) -> bool:
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


def scale_and_crop(
    image: np.ndarray, mask: np.ndarray, draws: np.ndarray, base: int, crop: int, scale: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Image and mask mirrored or not, scaled, filled up at the right and bottom (0 and -1), and cropped.

    Args:
        image: (H, W, 3) uint8. mask: (H, W) int32.
        draws: (4,) uniform in [0, 1): flip (below 1/2), scale, place in x, place in y.
        base: px; the longer side becomes base times a uniform number in `scale`.
        crop: px of the square that comes out.

    Returns: (crop, crop, 3) and (crop, crop).
    """
    flip, u_scale, u_x, u_y = draws.tolist()
    if flip < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    factor = base * (scale[0] + u_scale * (scale[1] - scale[0])) / max(mask.shape)
    height, width = (max(round(side * factor), 1) for side in mask.shape)
    image = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=cv2.INTER_LINEAR)
    # EXACT takes the nearest pixel's centre; plain INTER_NEAREST is half a pixel off what INTER_LINEAR does.
    mask = cv2.resize(np.ascontiguousarray(mask), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    fill = (0, max(crop - height, 0), 0, max(crop - width, 0))
    image = cv2.copyMakeBorder(image, *fill, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    mask = cv2.copyMakeBorder(mask, *fill, cv2.BORDER_CONSTANT, value=-1)
    y, x = int(u_y * (mask.shape[0] - crop + 1)), int(u_x * (mask.shape[1] - crop + 1))
    return image[y : y + crop, x : x + crop], mask[y : y + crop, x : x + crop]


class SegmentationLoader(_TransferLoader):
    """Batches of images with their masks. Order, ranks and undecodable images (or masks) are as in StepLoader.

    Training: `scale_and_crop`, and half of the crops blurred by a Gaussian of sigma uniform in [0, 1) px. Evaluation:
    one image at a time, whole and at its own size.

    Args:
        records: the images with their masks.
        batch_size: B, images of this rank in each step; 1 in evaluation.
        train: random crops in random order, or every image once as it is.
        crop: px of the square that comes out in training.
        base: px; the longer side becomes base times a number uniform in `scale` before the crop.
        scale: (low, high).
        seed: of order and crops.
        threads: that decode; default: all cores of the process.
        rank, ranks: which of how many processes this is.
        prefetch: batches made ahead.

    Attributes: those of StepLoader.

    Raises: Refused when an argument is out of range or a training epoch has no whole batch.

    Source: section 6.2; Zhao et al., PSPNet (2017), section 5.1; GluonCV's recipe for ADE20K. `Differs:` the longer
    side is a real number of pixels, then rounded, where GluonCV draws a whole one.
    """

    def __init__(
        self,
        records: MaskedImages,
        *,
        batch_size: int,
        train: bool,
        crop: int = 480,
        base: int = 520,
        scale: tuple[float, float] = (0.5, 2.0),
        seed: int = 0,
        threads: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        prefetch: int = 3,
    ):
        if crop < 1 or base < 1 or not 0 < scale[0] <= scale[1]:
            raise Refused(f"crop {crop} and base {base} must be at least 1, scale {scale} above 0 and low <= high")
        if not train and batch_size != 1:
            raise Refused(f"batch_size is {batch_size}: evaluation takes whole images of any size, one at a time")
        self.crop, self.base, self.scale = crop, base, scale
        super().__init__(
            records,
            batch_size=batch_size,
            train=train,
            seed=seed,
            threads=threads,
            rank=rank,
            ranks=ranks,
            prefetch=prefetch,
        )

    def _load(self, image: int, epoch: int, batch: list, slot: int) -> bool:
        pixels = self._pixels(image)
        try:
            mask = self.records.read_mask(image)
        except OSError:
            return False
        except Problem as problem:
            raise BadRecord(f"{problem}: mend it") from None
        if pixels is None:
            return False
        if self.train:
            draws = generator(self.seed, "crop", epoch, image).random(6)
            pixels, mask = scale_and_crop(pixels, mask, draws[:4], self.base, self.crop, self.scale)
            if draws[4] < 0.5 and draws[5] > 0:
                pixels = cv2.GaussianBlur(pixels, (0, 0), draws[5])
        batch[slot] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), mask, image
        return True

    def _complete(self, batch: list) -> SegmentationBatch:
        real = [sample for sample in batch if sample is not None]
        if not real:  # of an evaluation, where the batch size is 1
            images, masks = np.zeros((1, 1, 1, 3), np.uint8), np.full((1, 1, 1), -1, np.int32)
            return SegmentationBatch(images, masks, np.array([-1]), 0)
        images, masks, indices = (np.stack(column) for column in zip(*real))
        return SegmentationBatch(images, masks, indices.astype(np.int64), len(real))
