"""Batches of a tagger: those of a classifier with a label for each class, and in testing several crops of an image."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.crop import Crop, SideCrop
from gluon_tricks.data.label_vectors import LabelledImages
from gluon_tricks.data.loader import Batch, RecordLoader
from gluon_tricks.recipes.multi_label import MultiLabelRecipe


class TagLoader(RecordLoader):
    """Batches whose labels are (b, K) int8 of 1 (present), 0 and -1 (not counted); padding has 0.

    Args: as for RecordLoader, and
        crops: 1: the centre crop in validation. More: of each image so many random squares of size px, where the
            shorter edge is ceil(size / crop_ratio), each mirrored with probability 1/2; they follow from (seed, image)
            alone. images is then (b, crops * size, size, 3), one crop below the other.
    """

    def __init__(
        self, records: LabelledImages, *, size: int, batch_size: int, train: bool, crop: Crop | None = None,
        crop_ratio: float = 0.875, crops: int = 1, copies: int = 1, reduced: bool = False, keep: int = 0,
        size_of_epoch: Callable[[int], int] | None = None, options: ReadOptions = ReadOptions(),
    ):  # fmt: skip
        self.crops = crops
        super().__init__(
            records, size=size, batch_size=batch_size, train=train, crop=crop, crop_ratio=crop_ratio, options=options,
            classes=records.vectors.shape[1], copies=copies, size_of_epoch=size_of_epoch, reduced=reduced,
            keep=keep,
        )  # fmt: skip

    def _begin(self, count: int, epoch: int) -> Batch:
        b, size, classes = self.batch_size, self.size_at(epoch), self.classes
        images = np.empty((b, self.crops * size, size, 3), np.uint8)
        return Batch(images, np.zeros((b, classes), np.int8), np.full(b, -1, np.int64), count, np.zeros(b, np.int64))

    def _label(self, label: float, image: int, id: int) -> np.ndarray:
        return self.records.vectors[image]

    def _cropped(self, pixels: np.ndarray, size: int, image: int, epoch: int) -> np.ndarray:
        if self.crops == 1:
            return super()._cropped(pixels, size, image, epoch)
        side = math.ceil(size / self.crop_ratio - 1e-9)  # as of a centre crop
        draws = generator(self.seed, "test crops", image).random((self.crops, 5))
        found = [SideCrop((side, side)).cut(pixels, size, own[None, :4]) for own in draws]
        return np.concatenate([crop[:, ::-1] if own[4] < 0.5 else crop for crop, own in zip(found, draws)])


def loader_of_crops(
    recipe: MultiLabelRecipe, records: LabelledImages, batch_size: int, devices: int, options: ReadOptions
) -> TagLoader:
    """Every image once in its test crops, about batch_size crops at a time.

    Args:
        recipe: resolved.
        devices: of this rank, which share a batch.
    """
    crops = max(recipe.test_crops, 1)
    images = max(batch_size // (crops * devices), 1) * devices
    return TagLoader(
        records, train=False, size=recipe.input_size, crop_ratio=recipe.crop_ratio, batch_size=images, crops=crops,
        options=dataclasses.replace(options, seed=recipe.seed),
    )  # fmt: skip
