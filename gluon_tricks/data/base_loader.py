"""What all loaders share: whose images a step takes, threads that load them ahead, images that cannot be decoded."""

from __future__ import annotations

import abc
import collections
import concurrent.futures
import dataclasses
import logging
import math
import weakref
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from gluon_tricks.core.arguments import MOST_THREADS
from gluon_tricks.core.bounds import within
from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.given import require_whole
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.core.moves import moved
from gluon_tricks.core.values import check_fields
from gluon_tricks.core.wording import plural
from gluon_tricks.data.records import BadRecord
from gluon_tricks.data.sampling import balanced_order, repeated_order, repeats

log = logging.getLogger("gluon_tricks.data")


_MOST_IMAGES = 1 << 20  # of a batch
REPEAT = 1 << 32  # see StepLoader; far more than there are epochs
_LISTED = 10  # of the undecodable images, in an error; the log has named all
_told: weakref.WeakKeyDictionary[Any, set[int]] = weakref.WeakKeyDictionary()  # records -> images told of


def _dtype(count: int) -> type[np.signedinteger]:
    """Of the places of so many images: half the memory where they fit."""
    return np.int32 if count < 1 << 31 else np.int64


class UndecodableImages(BadRecord):
    """More than 1 % of the images cannot be decoded; the message lists where each of them lies."""


def too_few(images: int, batch_size: int, ranks: int) -> Refused:
    """The refusal of images that are not one step. Args: batch_size: of a rank."""
    return Refused(
        f"{images} images are not one batch of {batch_size} on {plural(ranks, 'rank')}: make the batch smaller"
    )


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """How a loader reads: for which of several processes, on how many threads, and by which random numbers.

    Args:
        seed: of the order and of what is random about an image, in [0, 2**64).
        threads: that decode, >= 1; None: as many as the process has cores.
        rank, ranks: which of how many processes this is, 0 <= rank < ranks.
        prefetch: batches made ahead, >= 1; the memory is that of prefetch + 1 batches.

    Raises: Refused when a value is no whole number, or out of range.
    """

    seed: int = within(0, 2**64 - 1, default=0)
    threads: int | None = within(1, MOST_THREADS, default=None)
    rank: int = 0
    ranks: int = 1
    prefetch: int = within(1, 1000, default=3)

    def __post_init__(self):
        check_fields(self)
        if not 0 <= self.rank < self.ranks:
            raise Refused(f"rank {self.rank} of {self.ranks}: ranks count from 0 to {self.ranks - 1}")


class StepLoader(abc.ABC):
    """Batches of images in an order that is a pure function of (seed, epoch).

    Training (train=True): each epoch is one global shuffle. Step s takes places [s B R, (s+1) B R) of it, and rank r
    the r-th B of these, so a step's images are the same for any number of ranks R at an equal global batch B R.
    The last incomplete global batch is dropped. Validation: the images in order, each exactly once over all ranks.

    Training with `labels`: in place of the shuffle every class is drawn equally often (see balanced_order). With
    `copies`: every image comes so many times in one step, of as many images (see repeated_order). What is random about
    an image follows from (seed, epoch, image); where it comes again in an epoch, for the r-th time, epoch + r * 2**32
    stands in place of the epoch, so that it is cropped and coloured anew.

    An image that cannot be decoded is named in the log once, however many loaders of the same records meet it. Training
    takes the next one that can be decoded in its place; validation leaves it out. OpenCV's own threads are switched off
    for the process.

    A loader says what a batch is: `_begin`, `_load`, `_complete`; and where an image lies: `_place` and
    `_describe`.

    Args:
        records: has a length and a digest.
        batch_size: B, images of this rank in each step.
        train: all of `images` shuffled, or each once.
        options: seed, threads, rank among ranks, prefetch.
        images: which of the records are used, in ascending order; default: all.
        labels: (n,) int, of these images; None: classes come as often as they have images.
        copies: of an image in a step of training, >= 1.

    Attributes:
        global_batch: B R, images of all ranks in each step.
        steps_per_epoch: n // (B R) in training, ceil(n / (B R)) in validation; the same for all ranks.
        undecodable: image index -> where it lies, of those met so far.

    Raises: Refused when an argument is out of range or a training epoch has no whole batch.
    """

    _chunk = 1  # images per task
    _remedy = "replace them with intact copies"  # what to do about undecodable images

    def __init__(
        self,
        records: Any,
        *,
        batch_size: int,
        train: bool,
        options: ReadOptions,
        images: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        copies: int = 1,
    ):
        batch_size = require_whole("batch_size", batch_size, 1, _MOST_IMAGES)
        copies = require_whole("copies", copies, 1)
        self.records, self.batch_size, self.train, self.options = records, batch_size, train, options
        self.undecodable: dict[int, tuple] = {}
        self._told = _told.setdefault(records, set())
        self._images = np.arange(len(records), dtype=_dtype(len(records))) if images is None else images
        self._labels, self._copies = (labels, copies) if train else (None, 1)
        n, self.global_batch = len(self._images), batch_size * options.ranks
        self.steps_per_epoch = n // self.global_batch if train else math.ceil(n / self.global_batch)
        if self.steps_per_epoch == 0:
            raise too_few(n, batch_size, options.ranks)
        cv2.setNumThreads(0)

    @property
    def seed(self) -> int:
        """Of the order, and of what is random about an image."""
        return self.options.seed

    def reseed(self, seed: int) -> None:
        """From the next epoch on the order, and what is random about an image, are those of another seed."""
        self.options = dataclasses.replace(self.options, seed=seed)

    def epoch(self, epoch: int = 0, start_step: int = 0) -> Iterator:
        """The batches of one epoch from `start_step` on; closing the iterator ends its threads.

        Every batch has arrays of its own, which the caller may keep.

        Args:
            epoch: >= 0; without meaning in validation.
            start_step: in [0, steps_per_epoch]; the steps before are not read.

        Raises:
            Refused: epoch or start_step is no such number.
            UndecodableImages: more than 1 % of all images are known to be undecodable.
            BadRecord: an image that cannot be used, though it may be decodable; the message says why.
        """
        epoch, start_step = require_whole("epoch", epoch, 0, REPEAT - 1), require_whole("start_step", start_step)
        if not 0 <= start_step <= self.steps_per_epoch:
            steps = plural(self.steps_per_epoch, "step")
            raise Refused(f"start_step is {start_step}: an epoch has {steps}, so give 0 to {self.steps_per_epoch}")
        return self._batches(epoch, start_step)

    def _order(self, epoch: int) -> np.ndarray:
        """The images in the order in which the steps of all ranks take them."""
        if not self.train:
            return self._images
        count = -(-self.steps_per_epoch * self.global_batch // self._copies)
        if self._labels is not None:
            places = balanced_order(self._labels, count, generator(self.seed, "balanced", epoch))
            order = self._images[places]
        else:
            order = generator(self.seed, "shuffle", epoch).permutation(self._images)
        return order if self._copies == 1 else repeated_order(order[:count], self._copies, self.global_batch)

    @abc.abstractmethod
    def _begin(self, count: int, epoch: int) -> Any:
        """An empty batch of an epoch with `count` slots to fill."""

    @abc.abstractmethod
    def _load(self, image: int, epoch: int, batch: Any, slot: int) -> bool:
        """Puts an image into a slot of the batch, on one of the threads; False if it cannot be decoded.

        Args:
            epoch: by which what is random about the image is keyed.
        """

    @abc.abstractmethod
    def _complete(self, batch: Any) -> Any:
        """The batch as it is handed out, once all its slots are dealt with; some may have stayed empty."""

    @abc.abstractmethod
    def _place(self, image: int) -> tuple:
        """Where an image lies, for `undecodable`."""

    def _describe(self, image: int) -> str:
        """An undecodable image in words, for messages."""
        return f"image {image} of {self.undecodable[image][0]}"

    def _batches(self, epoch: int, start_step: int) -> Iterator:
        order, rank, ranks = self._order(epoch), self.options.rank, self.options.ranks
        once = self._labels is None and self._copies == 1
        again = np.broadcast_to(0, len(order)) if once else repeats(order)
        threads = self.options.threads or usable_cores()
        pool = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="loader")
        pending: collections.deque = collections.deque()
        try:
            for step in range(start_step, self.steps_per_epoch):
                first = (step * ranks + rank) * self.batch_size
                places = slice(first, first + self.batch_size)
                epochs = epoch + REPEAT * again[places]
                pending.append(self._start(pool, epoch, list(zip(order[places].tolist(), epochs.tolist()))))
                if len(pending) > self.options.prefetch:
                    yield self._finish(*pending.popleft())
            while pending:
                yield self._finish(*pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, pool: concurrent.futures.Executor, epoch: int, wanted: list[tuple[int, int]]) -> tuple[Any, list]:
        """Hands a batch, (image, by which it is keyed) of each slot, to the threads, of which one fills each slot."""
        batch = self._begin(len(wanted), epoch)
        tasks = [
            pool.submit(self._fill, batch, slot, wanted[slot : slot + self._chunk])
            for slot in range(0, len(wanted), self._chunk)
        ]
        return batch, tasks

    def _fill(self, batch: Any, slot: int, wanted: list[tuple[int, int]]) -> list[int]:
        """Fills the slots from `slot` on, on one of the threads; returns the images that could not be decoded."""
        undecodable: list[int] = []
        for at, (image, epoch) in enumerate(wanted, start=slot):
            while not self._load(image, epoch, batch, at):
                if image not in undecodable:  # which may come again
                    undecodable.append(image)
                if not self.train or self._too_many(len(undecodable)):
                    break  # left out; or _finish stops the run
                following = np.searchsorted(self._images, self._images.dtype.type(image)) + 1
                image = int(self._images[following % len(self._images)])
        return undecodable

    def _finish(self, batch: Any, tasks: list) -> Any:
        """Waits for a batch and accounts for its undecodable images: here, in order, so that threads change nothing."""
        for task in tasks:
            for image in task.result():
                self._note_undecodable(image)
            moved()
        return self._complete(batch)

    def _too_many(self, undecodable: int) -> bool:
        return 100 * undecodable > len(self.records)

    def _note_undecodable(self, image: int) -> None:
        if image in self.undecodable:
            return
        self.undecodable[image] = self._place(image)
        if image not in self._told:
            self._told.add(image)
            log.warning("%s cannot be decoded", self._describe(image))
        if self._too_many(len(self.undecodable)):
            listed = "; ".join(map(self._describe, [*self.undecodable][:_LISTED]))
            listed += f"; and {len(self.undecodable) - _LISTED} more" if len(self.undecodable) > _LISTED else ""
            raise UndecodableImages(
                f"{len(self.undecodable)} of {plural(len(self.records), 'image')}, more than 1 %, cannot be decoded: "
                f"{self._remedy}. Met so far: {listed}"
            )
