"""Batches for segmentation: order, threads and prefetch are those of classification (StepLoader).

Which image stands where, and how it is flipped, scaled and cropped, follows from (seed, epoch, image) alone.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.annotations.annotated import AnnotatedLoader, Problem
from gluon_tricks.data.annotations.masks import MaskedImages
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.records import BadRecord

log = logging.getLogger("gluon_tricks.data")

# Pixels, 2048 x 2048, as large as a photo that prediction looks at; at 4096 x 4096 MXNet ends by a signal (SIGFPE).
MOST_WHOLE = 1 << 22
_MOST_NUMBERS = 1 << 30  # pixels times classes


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


def most_pixels(classes: int) -> int:
    """Of an image that a network of so many classes is evaluated on: its probabilities take at most 4 GB."""
    return min(MOST_WHOLE, _MOST_NUMBERS // classes)


def at_most(image: np.ndarray, mask: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its mask as they are, or scaled down to at most so many pixels."""
    if mask.size <= most:
        return image, mask
    factor = (most / mask.size) ** 0.5
    height, width = (max(int(side * factor), 1) for side in mask.shape)
    return (
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA),
        cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT),
    )


class SegmentationLoader(AnnotatedLoader):
    """Batches of images with their masks. Order, ranks and undecodable images (or masks) are as in StepLoader.

    Training: `scale_and_crop`, and half of the crops blurred by a Gaussian of sigma uniform in [0, 1) px. Evaluation:
    one image at a time, whole and at its own size, but for one of more than most_pixels: that is scaled down with its
    mask, as the probabilities of its pixels would fill the memory.

    Args:
        records: the images with their masks.
        batch_size: B, images of this rank in each step; 1 in evaluation.
        train: random crops in random order, or every image once as it is.
        crop: px of the square that comes out in training.
        base: px; the longer side becomes base times a number uniform in `scale` before the crop.
        scale: (low, high).
        options: seed (of order and crops), threads, rank among ranks, prefetch.

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
        options: ReadOptions = ReadOptions(),
    ):
        if crop < 1 or base < 1 or not 0 < scale[0] <= scale[1]:
            raise Refused(f"crop {crop} and base {base} must be at least 1, scale {scale} above 0 and low <= high")
        if not train and batch_size != 1:
            raise Refused(f"batch_size is {batch_size}: evaluation takes whole images of any size, one at a time")
        self.crop, self.base, self.scale = crop, base, scale
        large = np.count_nonzero(np.prod(records.sizes, axis=1) > most_pixels(len(records.classes)))
        if large and not train:
            log.warning(
                "scaled down to %.3g million pixels before they are scored: %d of %d images",
                most_pixels(len(records.classes)) / 1e6, large, len(records),
            )  # fmt: skip
        super().__init__(records, batch_size=batch_size, train=train, options=options)

    _pixel_bytes = AnnotatedLoader._pixel_bytes + 2 + 4 + 4  # the mask as it is stored, as classes, and mirrored

    def _load_whole(self, image: int, epoch: int, batch: list, slot: int) -> bool:
        pixels = self._pixels(image)
        try:
            mask = self.records.read_mask(image)
        except OSError:
            return False
        except Problem as problem:
            raise BadRecord(f"{problem}: fix it") from None
        if pixels is None:
            return False
        if self.train:
            draws = generator(self.seed, "crop", epoch, image).random(6)
            pixels, mask = scale_and_crop(pixels, mask, draws[:4], self.base, self.crop, self.scale)
            if draws[4] < 0.5 and draws[5] > 0:
                pixels = cv2.GaussianBlur(pixels, (0, 0), draws[5])
        else:
            pixels, mask = at_most(pixels, mask, most_pixels(len(self.records.classes)))
        batch[slot] = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), mask, image
        return True

    def _complete(self, batch: list) -> SegmentationBatch:
        real = [sample for sample in batch if sample is not None]
        if not real:  # of an evaluation, where the batch size is 1
            images, masks = np.zeros((1, 1, 1, 3), np.uint8), np.full((1, 1, 1), -1, np.int32)
            return SegmentationBatch(images, masks, np.array([-1]), 0)
        images, masks, indices = (np.stack(column) for column in zip(*real))
        return SegmentationBatch(images, masks, indices.astype(np.int64), len(real))
