"""From records to batches of uint8 images: decode, crop and resize on threads, in an order that is a pure function.

Which image stands where, and how it is cropped, follows from (seed, epoch, image) alone: not from the number of
threads or ranks, nor from what was read before. So a stopped training goes on from any batch, and goes on the same.
"""

from __future__ import annotations

import collections
import concurrent.futures
import logging
import math
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np

from gluon_tricks.data.crop import centre_crop, random_crop
from gluon_tricks.data.records import MOST_CLASSES, BadRecord, Records, decode_image
from gluon_tricks.runtime import Refused, generator, usable_cores

log = logging.getLogger("gluon_tricks.data")

_TRIES = 10  # at a random crop that fits, before the middle of the image is taken
_CHUNK = 8  # images per task: few enough to share a batch between threads, enough to hide the cost of a task


class UndecodableImages(BadRecord):
    """More than 1 % of the images cannot be decoded; the message lists id, file and byte offset of each."""


class Batch(NamedTuple):
    """The images of one rank in one step.

    Attributes:
        images: (b, size, size, 3) uint8, RGB.
        labels: (b,) int64.
        indices: (b,) int64, which image of the records each one is; -1 for padding.
        count: how many of the b are real; the rest, at the end, is padding (zeros). In training always b.
    """

    images: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    count: int


class Loader:
    """Batches of cropped images from records.

    Training (train=True): each epoch is one global shuffle. Step s takes places [s B R, (s+1) B R) of it, and rank r
    the r-th B of these, so a step's images are the same for any number of ranks R at an equal global batch B R.
    The last incomplete global batch is dropped. Each image is a random resized crop (`random_crop`).

    Validation: the records in order, each exactly once over all ranks; shorter edge to ceil(size / crop_ratio), then
    the middle size x size. The last batch is filled up, so that all have one shape.

    Images are turned as their EXIF says (OpenCV's default); grey and CMYK ones come out as RGB. One that cannot be
    decoded is named in the log once. Training takes the next image that can be decoded in its place; validation
    leaves it out (count is smaller). OpenCV's own threads are switched off for the process.

    Args:
        records: the images.
        size: px of the square that comes out, >= 1.
        batch_size: B, images of this rank in each step.
        train: random crops in random order, or every image once.
        seed: of order and crops.
        threads: that decode; default: all cores of the process.
        rank, ranks: which of how many processes this is.
        classes: number of classes, which labels are checked against; default: what the records' manifest says.
        area: range of the random crop's share of the image, uniform.
        aspect: range of its width / height, log-uniform.
        crop_ratio: of validation, in (0, 1].
        prefetch: batches made ahead; the memory is that of prefetch + 1 batches.

    Attributes:
        steps_per_epoch: n // (B R) in training, ceil(n / (B R)) in validation; the same for all ranks.
        undecodable: image index -> (id, file, byte offset) of those met so far.

    Raises: Refused when an argument is out of range or a training epoch has no whole batch.

    Source: section 2.1. `Differs:` the paper does not say how the aspect ratio is distributed; log-uniform gives tall
    and wide crops the same chance.
    """

    def __init__(
        self,
        records: Records,
        *,
        size: int,
        batch_size: int,
        train: bool,
        seed: int = 0,
        threads: int | None = None,
        rank: int = 0,
        ranks: int = 1,
        classes: int | None = None,
        area: tuple[float, float] = (0.08, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        crop_ratio: float = 0.875,
        prefetch: int = 3,
    ):
        threads = usable_cores() if threads is None else threads
        for name, value in dict(size=size, batch_size=batch_size, threads=threads, prefetch=prefetch).items():
            if value < 1:
                raise Refused(f"{name} is {value}: it must be at least 1")
        if not 0 <= rank < ranks:
            raise Refused(f"rank {rank} of {ranks}: ranks count from 0 to {ranks - 1}")
        if not (0 < area[0] <= area[1] <= 1 and 0 < aspect[0] <= aspect[1] and 0 < crop_ratio <= 1):
            raise Refused(
                f"area {area} and crop_ratio {crop_ratio} must lie in (0, 1], aspect {aspect} above 0, low <= high"
            )
        self.records, self.size, self.batch_size, self.train, self.seed = records, size, batch_size, train, seed
        self.threads, self.rank, self.ranks, self.prefetch = threads, rank, ranks, prefetch
        self.area, self.aspect, self.crop_ratio = area, aspect, crop_ratio
        self.classes = classes if classes is not None else len(records.classes) if records.classes else None
        self.undecodable: dict[int, tuple[int, pathlib.Path, int]] = {}
        global_batch = batch_size * ranks
        self.steps_per_epoch = len(records) // global_batch if train else math.ceil(len(records) / global_batch)
        if self.steps_per_epoch == 0:
            raise Refused(
                f"{len(records)} images are not one batch of {batch_size} on {ranks} ranks: make the batch smaller"
            )
        cv2.setNumThreads(0)

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from `start_step` on; closing the iterator ends its threads.

        Every batch has arrays of its own, which the caller may keep.

        Args:
            epoch: >= 0; without meaning in validation.
            start_step: in [0, steps_per_epoch]; the steps before are not read.

        Raises:
            UndecodableImages: more than 1 % of all images are known to be undecodable.
            BadRecord: a damaged record, one whose file was written to meanwhile, or an image whose label is no class.
            ValueError: start_step is out of range.
        """
        if not 0 <= start_step <= self.steps_per_epoch:
            raise ValueError(f"start_step is {start_step}: an epoch has {self.steps_per_epoch} steps")
        return self._batches(epoch, start_step)

    def _batches(self, epoch: int, start_step: int) -> Iterator[Batch]:
        n = len(self.records)
        order = generator(self.seed, "shuffle", epoch).permutation(n) if self.train else np.arange(n)
        pool = concurrent.futures.ThreadPoolExecutor(self.threads, thread_name_prefix="loader")
        pending: collections.deque = collections.deque()
        try:
            for step in range(start_step, self.steps_per_epoch):
                first = (step * self.ranks + self.rank) * self.batch_size
                pending.append(self._start(pool, epoch, order[first : first + self.batch_size].tolist()))
                if len(pending) > self.prefetch:
                    yield self._finish(*pending.popleft())
            while pending:
                yield self._finish(*pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, pool: concurrent.futures.Executor, epoch: int, wanted: list[int]) -> tuple[Batch, list]:
        """Hands a batch to the threads; each slot of its arrays is filled by one of them."""
        b, size = self.batch_size, self.size
        batch = Batch(
            np.empty((b, size, size, 3), np.uint8), np.zeros(b, np.int64), np.full(b, -1, np.int64), len(wanted)
        )
        tasks = [
            pool.submit(self._fill, batch, epoch, slot, wanted[slot : slot + _CHUNK])
            for slot in range(0, len(wanted), _CHUNK)
        ]
        return batch, tasks

    def _fill(self, batch: Batch, epoch: int, slot: int, wanted: list[int]) -> list[int]:
        """Fills the slots from `slot` on, on one of the threads; returns the images that could not be decoded."""
        undecodable: list[int] = []
        for at, image in enumerate(wanted, start=slot):
            label = self._load(image, epoch, batch.images[at])
            while label is None:
                undecodable.append(image)
                if not self.train or self._too_many(len(undecodable)):
                    break  # left out; or _finish stops the run
                image = (image + 1) % len(self.records)
                label = self._load(image, epoch, batch.images[at])
            else:
                batch.labels[at], batch.indices[at] = label, image
        return undecodable

    def _finish(self, batch: Batch, tasks: list) -> Batch:
        """Waits for a batch and accounts for its undecodable images: here, in order, so that threads change nothing."""
        for task in tasks:
            for image in task.result():
                self._note_undecodable(image)
        real = np.flatnonzero(batch.indices >= 0)
        if len(real) == self.batch_size:
            return batch
        for array, padding in ((batch.images, 0), (batch.labels, 0), (batch.indices, -1)):
            array[: len(real)] = array[real]
            array[len(real) :] = padding
        return batch._replace(count=len(real))

    def _load(self, image: int, epoch: int, out: np.ndarray) -> int | None:
        """Decodes and crops one image into `out`; returns its label, or None if it cannot be decoded."""
        label, id, data = self.records.read(image)
        if not (label.is_integer() and 0 <= label < (MOST_CLASSES if self.classes is None else self.classes)):
            path, offset = self.records.place(image)
            known = "a whole number from 0" if self.classes is None else f"one of the classes 0 to {self.classes - 1}"
            raise BadRecord(
                f"image {image} (id {id}) of {path} at byte {offset} has label {label:g}, which is not {known}: "
                "look through the file with scripts/pack_records.py --check"
            )
        pixels = decode_image(data)
        if pixels is None:
            return None
        height, width = pixels.shape[:2]
        if self.train:
            draws = generator(self.seed, "crop", epoch, image).random((_TRIES, 4))
            x, y, w, h = random_crop(width, height, draws, self.area, self.aspect)
            pixels = cv2.resize(pixels[y : y + h, x : x + w], (self.size, self.size), interpolation=cv2.INTER_LINEAR)
        else:
            pixels = centre_crop(pixels, self.size, self.crop_ratio)
        cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=out)
        return int(label)

    def _too_many(self, undecodable: int) -> bool:
        return 100 * undecodable > len(self.records)

    def _note_undecodable(self, image: int) -> None:
        if image in self.undecodable:
            return
        path, offset = self.records.place(image)
        self.undecodable[image] = self.records.read(image)[1], path, offset
        log.warning(
            "image %d (id %d) of %s at byte %d cannot be decoded", image, self.undecodable[image][0], path, offset
        )
        if self._too_many(len(self.undecodable)):
            listed = "\n".join(f"id {id} in {path} at byte {at}" for id, path, at in self.undecodable.values())
            raise UndecodableImages(
                f"{len(self.undecodable)} of {len(self.records)} images, more than 1 %, cannot be decoded: pack again "
                f"(scripts/pack_records.py --check lists all). Met so far:\n{listed}"
            )
