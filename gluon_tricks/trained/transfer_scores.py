"""The scores of a trained detector or segmenter on validation images, those of its run or of another folder."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import columns, padded
from gluon_tricks.data.annotations.boxes import BoxedImages
from gluon_tricks.data.annotations.masks import MaskedImages
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.base_loader import ReadOptions
from gluon_tricks.data.class_names import training_names
from gluon_tricks.networks.of_recipe import input_dtype
from gluon_tricks.recipes.transfer import DetectionRecipe, TransferRecipe
from gluon_tricks.tasks.detection.evaluation import evaluate_detector
from gluon_tricks.tasks.detection.loader import DetectionLoader
from gluon_tricks.tasks.detection.metrics import DetectionScores
from gluon_tricks.tasks.detection.task import find_boxes
from gluon_tricks.tasks.segmentation.evaluation import MULTI_SCALE, evaluate_segmenter
from gluon_tricks.tasks.segmentation.loader import SegmentationLoader
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores
from gluon_tricks.tasks.segmentation.task import find_masks


@dataclasses.dataclass(frozen=True)
class Validation:
    """The images that a detector or segmenter is scored on.

    Args:
        place: where they come from, in words.
        loader: every image once.
    """

    recipe: TransferRecipe
    records: BoxedImages | MaskedImages
    place: str
    loader: DetectionLoader | SegmentationLoader


def open_validation(
    recipe: TransferRecipe, source: str, *, data: str | None = None, batch_size: int = 1, threads: int | None = None
) -> Validation:
    """The validation images of a run's recipe.

    Args:
        source: what the run is called, for messages.
        data: another folder of the same kind of data set.
        batch_size: of detection; a segmenter takes one image at a time.
        threads: of the loader; default: all cores.

    Raises:
        Refused: the images are not there, or have other classes than the run was trained on.
    """
    if data and not recipe.data:
        raise Refused(f"--data {data}: the data set of {source} is {recipe.dataset}, which is built in: leave it out")
    recipe = recipe.set(data=data) if data else recipe
    detecting, place = isinstance(recipe, DetectionRecipe), recipe.data or recipe.dataset
    if detecting:
        (records,) = find_boxes(recipe, ("val",))
        place += f" ({', '.join(recipe.val_splits)})" if recipe.data else ""
        sizes = dict(batch_size=batch_size, short=recipe.short, long=recipe.long)
        loader = DetectionLoader(records, train=False, **sizes, options=ReadOptions(threads=threads))
    else:
        (records,) = find_masks(recipe, ("val",))
        loader = SegmentationLoader(records, train=False, batch_size=1, options=ReadOptions(threads=threads))
    names = training_names(recipe)
    if names and tuple(names) != records.classes:
        odd = next((a, b) for a, b in zip((*names, None), (*records.classes, None)) if a != b)
        raise Refused(
            f"{source} was trained on other classes than {place} has (the first difference: {odd[0]} and {odd[1]})"
        )
    return Validation(recipe, records, place, loader)


def score(
    net: mx.gluon.HybridBlock, validation: Validation, batches: Iterable, contexts: Sequence[mx.Context],
    precision: str = "float32", multi_scale: bool = False,
) -> DetectionScores | SegmentationScores:  # fmt: skip
    """Scores a detector or segmenter as training does.

    Args:
        batches: of the loader.
        precision: "float32"; of a segmenter also "float16", or "bfloat16" after start_precision.
        multi_scale: a segmenter's mean over six scales and their mirror images.

    Raises:
        Refused: nothing to find in the images.
    """
    recipe, detecting = validation.recipe, isinstance(validation.recipe, DetectionRecipe)
    dtype = input_dtype(precision)
    net.cast(dtype)
    net.hybridize(static_alloc=True)  # the shapes of images differ
    preprocess = functools.partial(_preprocess, recipe, dtype)
    if detecting:
        return evaluate_detector(net, batches, contexts, validation.records, preprocess)
    scales = MULTI_SCALE if multi_scale else (1.0,)
    classes = len(validation.records.classes)
    return evaluate_segmenter(net, batches, preprocess, contexts, classes, scales=scales, flips=multi_scale)


def _preprocess(recipe: TransferRecipe, dtype: str, images: np.ndarray, context: mx.Context) -> mx.nd.NDArray:
    return normalised(images, context, recipe.mean, recipe.std).astype(dtype, copy=False)


def table(scores: DetectionScores | SegmentationScores, names: Sequence[str]) -> str:
    """A line of text for each class, and one for their mean; - for a class that does not occur."""
    if isinstance(scores, DetectionScores):
        return scores.per_class_table()
    rows = [*zip(names, scores.per_class_iou), ("mean", scores.miou)]
    width = max(columns(name) for name, _ in rows)
    shown = ["-" if math.isnan(iou) else f"{100 * iou:.1f}" for _, iou in rows]
    return "\n".join(
        [f"{'':{width}}  IoU %", *(f"{padded(name, width)}  {iou:>5}" for (name, _), iou in zip(rows, shown))]
    )


def values(scores: DetectionScores | SegmentationScores, names: Sequence[str]) -> dict[str, Any]:
    """The scores as they are written to JSON, those of the classes in their order; None: it does not occur."""
    means = {name: value for name, value in vars(scores).items() if not name.startswith("per_class")}
    return {"classes": list(names), **means, **scores.per_class()}
