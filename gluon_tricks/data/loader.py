"""From records to batches of uint8 images: decode, crop and resize on threads, in an order that is a pure function.

Which image stands where, and how it is cropped, follows from (seed, epoch, image) alone: not from the number of
threads or ranks, nor from what was read before. So a stopped training goes on from any batch, and goes on the same.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.core.bounds import LARGEST_INPUT
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_kind, require_number, require_whole
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.wording import described
from gluon_tricks.data.base_loader import ReadOptions, StepLoader
from gluon_tricks.data.crop import REDUCTIONS, AreaCrop, Crop, centre_crop
from gluon_tricks.data.decoding import DECODING, bytes_of_decoding
from gluon_tricks.data.headers import ImageHeader, image_header
from gluon_tricks.data.kept_images import KeptImages
from gluon_tricks.data.records import MOST_CLASSES, BadRecord, Records, decode_image


class Batch(NamedTuple):
    """The images of one rank in one step.

    Attributes:
        images: (b, size, size, 3) uint8, RGB; size is that of the batch's epoch.
        labels: (b,) int64.
        indices: (b,) int64, which image of the records each one is; -1 for padding.
        count: how many of the b are real; the rest, at the end, is padding (zeros). In training always b.
        epochs: (b,) int64, by which what is random about each one is keyed (see StepLoader).
    """

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    count: int
    epochs: np.ndarray


class RecordLoader(StepLoader):
    """Batches of cropped images from records.

    Order, ranks and undecodable images are as in StepLoader.

    Training (train=True): of each image a random part (`crop`). Validation: shorter edge to ceil(size / crop_ratio),
    then the middle size x size; the last batch is filled up, so that all have one shape.

    Images are turned as their EXIF says (OpenCV's default); grey and CMYK ones come out as RGB.

    Args:
        records: the images.
        size: px of the square that comes out, >= 1.
        batch_size: B, images of this rank in each step.
        train: random crops in random order, or every image once.
        classes: number of classes, which labels are checked against; default: what the records' manifest says.
        crop: how training images are cropped, one of data.crop; default: AreaCrop(area, aspect).
        area: range of an area crop's area as a fraction of the image's, uniform.
        aspect: range of its width / height, log-uniform.
        crop_ratio: of validation, in (0, 1].
        balanced: training draws every class equally often.
        copies: of an image in a step of training, each augmented anew, >= 1; an epoch has as many images.
        reduced: training decodes a JPEG 2, 4 or 8 times smaller where its crop is made so much smaller anyway.
        keep: bytes of memory for decoded images, >= 0: those that fit are decoded once, and not in every epoch.
        size_of_epoch: epoch -> px of its training images, where they change: a crop then is that of `size` of an image
            that is so much larger or smaller (see Crop.scaled). Default: size.
        options: seed, threads, rank among ranks, prefetch.
        named: any of these by its name: `seed=3` is `options=ReadOptions(seed=3)`.

    Attributes: those of StepLoader; `undecodable` says (id, file, byte offset).

    Raises: Refused when an argument is out of range or a training epoch has no whole batch.

    Source: section 2.1. `Differs:` the paper does not say how the aspect ratio is distributed; log-uniform gives tall
    and wide crops the same chance.
    """

    _chunk = 8  # few enough to split a batch between threads, enough to hide the cost of a task
    _remedy = "pack again (gluon-tricks pack --check lists all)"

    def __init__(
        self,
        records: Records,
        *,
        size: int,
        batch_size: int,
        train: bool,
        classes: int | None = None,
        crop: Crop | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        crop_ratio: float = 0.875,
        balanced: bool = False,
        copies: int = 1,
        reduced: bool = False,
        keep: int = 0,
        size_of_epoch: Callable[[int], int] | None = None,
        options: ReadOptions = ReadOptions(),
        **named: int | None,
    ):
        if isinstance(records, (str, os.PathLike)):
            raise Refused(f"records is the name {records}: open the file first, with Records(...)")
        if not hasattr(records, "describe"):
            raise Refused(f"records takes Records(...), but got {described(records)}")
        if not 0 < require_number("crop_ratio", crop_ratio) <= 1:
            raise Refused(f"crop_ratio {crop_ratio} must lie in (0, 1]")
        require_kind("options", options, ReadOptions, "ReadOptions(...)")
        require_kind("crop", crop, (Crop, type(None)), "one of gluon_tricks.data.crop")
        require_kind("size_of_epoch", size_of_epoch, (Callable, type(None)), "a function, epoch -> px")
        options = dataclasses.replace(options, **named)
        labels = records.labels().astype(int) if balanced else None
        super().__init__(records, batch_size=batch_size, train=train, options=options, labels=labels, copies=copies)
        self.size, self.crop_ratio = require_whole("size", size, 1, LARGEST_INPUT), crop_ratio
        self.crop = AreaCrop(area, aspect) if crop is None else crop
        self.crop.require_size(size)
        self._size_of_epoch, self._reduced = size_of_epoch if train else None, reduced and train
        if require_whole("keep", keep, 0) and reduced:
            raise Refused("reduced and keep: a kept image is decoded whole, so leave one out")
        self._kept, self._pixel_bytes = KeptImages(keep, len(records)), self.crop.pixel_bytes if train else 0
        known = len(records.classes) if records.classes else None
        self.classes = known if classes is None else require_whole("classes", classes, 1, MOST_CLASSES)

    def size_at(self, epoch: int) -> int:
        """px of a side of the images of an epoch."""
        if not self._size_of_epoch:
            return self.size
        return require_whole(f"size_of_epoch({epoch})", self._size_of_epoch(epoch), 1, LARGEST_INPUT)

    def _begin(self, count: int, epoch: int) -> Batch:
        b, size = self.batch_size, self.size_at(epoch)
        images, (labels, epochs) = np.empty((b, size, size, 3), np.uint8), np.zeros((2, b), np.int64)
        return Batch(images, labels, np.full(b, -1, np.int64), count, epochs)

    def _complete(self, batch: Batch) -> Batch:
        real = np.flatnonzero(batch.indices >= 0)
        if len(real) == self.batch_size:
            return batch
        for array, padding in ((batch.images, 0), (batch.labels, 0), (batch.indices, -1), (batch.epochs, 0)):
            array[: len(real)] = array[real]
            array[len(real) :] = padding
        return batch._replace(count=len(real))

    def _load(self, image: int, epoch: int, batch: Batch, slot: int) -> bool:
        if kept := self._kept.get(image):
            label, pixels = kept
            with DECODING.share(pixels.size // 3 * self._pixel_bytes):
                self._put(pixels, image, epoch, batch, slot)
        else:
            stored, id, data = self.records.read(image)
            label = self._label(stored, image, id)
            header = image_header(data)
            with DECODING.share(bytes_of_decoding(header) + header.pixels * self._pixel_bytes):
                pixels = decode_image(data, self._reduction(header, image, epoch, batch))
                if pixels is None:
                    return False
                self._kept.keep(image, label, pixels)
                self._put(pixels, image, epoch, batch, slot)
        batch.labels[slot], batch.indices[slot] = label, image
        return True

    def _put(self, pixels: np.ndarray, image: int, epoch: int, batch: Batch, slot: int) -> None:
        """Cuts out of a decoded image (H, W, 3) BGR what the batch has of it."""
        place = batch.images[slot]
        cv2.cvtColor(self._cropped(pixels, place.shape[1], image, epoch), cv2.COLOR_BGR2RGB, dst=place)
        batch.epochs[slot] = epoch

    def _label(self, label: float, image: int, id: int) -> int:
        """What the batch has of a record's label."""
        if not (label.is_integer() and 0 <= label < (MOST_CLASSES if self.classes is None else self.classes)):
            known = "a whole number from 0" if self.classes is None else f"one of the classes 0 to {self.classes - 1}"
            raise BadRecord(
                f"{self.records.describe(image, id)} has label {label:g}, which is not {known}: "
                "look through the file with gluon-tricks pack --check"
            )
        return int(label)

    def _cropped(self, pixels: np.ndarray, size: int, image: int, epoch: int) -> np.ndarray:
        """The (size, size, 3) BGR that the batch has of an image."""
        if not self.train:
            return centre_crop(pixels, size, self.crop_ratio)
        crop, draws = self._drawn_crop(size, image, epoch)
        return crop.cut(pixels, size, draws)

    def _drawn_crop(self, size: int, image: int, epoch: int) -> tuple[Crop, np.ndarray]:
        crop = self.crop if size == self.size else self.crop.scaled(size, self.size)
        return crop, generator(self.seed, "crop", epoch, image).random((crop.rows, 4))

    def _reduction(self, header: ImageHeader, image: int, epoch: int, batch: Batch) -> int:
        """How many times smaller an image is decoded."""
        if not (self._reduced and all(header.sides)):
            return 1
        size = batch.images.shape[2]
        crop, draws = self._drawn_crop(size, image, epoch)
        shrinks = crop.shrinks(*header.sides, size, draws)
        return next((reduction for reduction in REDUCTIONS if reduction <= shrinks), 1)

    def _place(self, image: int) -> tuple:
        path, offset = self.records.place(image)
        return self.records.read(image)[1], path, offset

    def _describe(self, image: int) -> str:
        return self.records.describe(image, self.undecodable[image][0])
