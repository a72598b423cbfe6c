"""The mean of the training images: at every pixel, or of every channel; computed once, the same on all ranks."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import CannotWrite, write_text
from gluon_tricks.core.json_text import parse_json
from gluon_tricks.core.reading import MEAN_BYTES, read_text
from gluon_tricks.core.scratch import cache_folder
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.parallel import progress
from gluon_tricks.ranks import distributed
from gluon_tricks.recipes.recipe import Recipe
from model_zoo.mean_image import MeanImage

log = logging.getLogger("gluon_tricks.tasks")

_BATCH = 32  # images of a rank at a time; how many changes nothing


def training_mean(recipe: Recipe, digest: str, loader: Callable[[int, ReadOptions], Any]) -> MeanImage:
    """The mean of what validation would cut out of the training images, input_size x input_size.

    Levels are summed as whole numbers, so that the mean is the same in any order, on any number of ranks and threads.
    It is kept in $GLUON_TRICKS_CACHE/means (without that variable ~/.cache/gluon_tricks/means) and found again by the
    records' digest, size and crop ratio. Images that cannot be decoded are left out.

    Args:
        recipe: resolved.
        digest: of the training records.
        loader: (images at a time, options) -> a loader of these images in order, cropped as in validation.

    Source: ILSVRC winners, "preprocessing": AlexNet and ResNet subtract the mean of every pixel, VGG that of every
        channel.
    Differs: the document does not say which part of the mean image belongs to a random crop. Here the whole is
        subtracted from every crop: it is as large as a crop, and of the place that validation cuts out.
    """
    file = _cached_at(digest, recipe)
    stored = _read(file) if distributed.rank() == 0 else ""
    stored = distributed.broadcast(stored.encode()).decode()
    if stored:
        return MeanImage.from_json(json.loads(stored))
    options = ReadOptions(rank=distributed.rank(), ranks=distributed.ranks())
    mean = MeanImage.of(_mean(loader(_BATCH, options), recipe.input_size))
    if distributed.rank() == 0:
        _keep(file, json.dumps(mean.to_json()))
    return mean


def with_own_mean(
    recipe: Recipe, records: Any, loader_of: Callable[..., Any], threads: int | None
) -> tuple[Recipe, MeanImage | None]:
    """The recipe with the mean that it takes of its images, and what of it is subtracted pixel by pixel.

    Args:
        recipe: resolved.
        records: of training.
        loader_of: (recipe, records, train, batch_size, options) -> a loader.
        threads: of the loader.
    """
    if not recipe.mean_of:
        return recipe, None

    def loader(batch_size: int, options: ReadOptions) -> Any:
        return loader_of(recipe, records, False, batch_size, dataclasses.replace(options, threads=threads))

    image = training_mean(recipe, records.digest, loader)
    return recipe.set(mean=channel_mean(image)), image if recipe.mean_of == "pixels" else None


def channel_mean(image: MeanImage) -> tuple[float, float, float]:
    """Of R, G and B over all pixels, in ten thousandths of a level."""
    r, g, b = (round(float(level), 4) for level in image.pixels().mean(axis=(0, 1), dtype=np.float64))
    return r, g, b


def _mean(loader: Any, side: int) -> np.ndarray:
    """(side, side, 3) float64, over the images of all ranks."""
    sums, count = np.zeros((side, side, 3), np.int64), 0
    with contextlib.closing(loader.epoch()) as batches:
        told = progress(batches, loader.steps_per_epoch, "mean of the training images", unit="batches")
        for batch in told if distributed.rank() == 0 else batches:
            sums += batch.images[: batch.count].sum(axis=0, dtype=np.int64)
            count += batch.count
    whole = distributed.total(np.append(sums.ravel().astype(np.float64), count))  # exact below 2**53
    if not whole[-1]:
        raise Refused("none of the training images can be decoded, so they have no mean: see gluon-tricks pack --check")
    return (whole[:-1] / whole[-1]).reshape(side, side, 3)


def _cached_at(digest: str, recipe: Recipe) -> pathlib.Path:
    folder = cache_folder() / "means"
    key = hashlib.sha256(repr((digest, recipe.input_size, recipe.crop_ratio)).encode()).hexdigest()
    return folder / f"{key[:32]}.json"


def _read(file: pathlib.Path) -> str:
    """The text of a mean that was kept; "": there is none, or it is damaged, and is computed anew."""
    with contextlib.suppress(OSError, ValueError, Refused):
        text = read_text(file, MEAN_BYTES)
        MeanImage.from_json(parse_json(text))
        return text
    return ""


def _keep(file: pathlib.Path, text: str) -> None:
    """In the cache, without which it is computed again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    except (OSError, CannotWrite) as error:
        log.warning("the mean of the training images is not kept for other runs: %s", error)
