"""What a trained classifier, detector or segmenter says of a photo: in words, in numbers and as a picture."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data import sources
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.class_names import imagenet_names, in_words, training_names
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.data.loader import Batch
from gluon_tricks.networks.load import Trained, open_network, require_classifier
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.evaluation import probabilities
from gluon_tricks.tasks.detection.evaluation import predict
from gluon_tricks.tasks.detection.loader import resized_shape
from gluon_tricks.tasks.segmentation.evaluation import MULTI_SCALE, class_probabilities, classify_pixels
from model_zoo.preprocessing import Preprocessing

LONGEST = 2048  # px that a segmenter looks at; half as many at several scales, of which the largest is 1.75
THRESHOLD = 0.5
_TOP = 5


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a network says of one image.

    Args:
        words: in a line.
        values: for a JSON file.
        picture: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8 or uint16, class indices, the largest number for none; of a segmenter only.
        note: what else there is to know; "": nothing.
    """

    words: str
    values: dict[str, Any]
    picture: np.ndarray
    mask: np.ndarray | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A network with all that it takes to ask it.

    Args:
        network: its name, for a detector or segmenter that of its base network.
        kind: "classification", "detection" or "segmentation".
        names: of its classes.
        predict: image (H, W, 3) uint8 RGB of any size -> Prediction.
    """

    network: str
    kind: str
    names: tuple[str, ...]
    predict: Callable[[np.ndarray], Prediction]


def open_predictor(
    source: str, *, model: str | None = None, class_file: str | None = None, context: mx.Context | None = None,
    threshold: float | None = None, multi_scale: bool = False, trained: Trained | None = None,
) -> Predictor:  # fmt: skip
    """The predictor of a run, or of a classifier's parameter file.

    Args:
        source, model: as open_network takes them.
        class_file: other names than those known, one a line or a manifest of packed records.
        context: the CPU by default.
        threshold: the least score of a box that a detector tells of, in [0, 1]; default: THRESHOLD.
        multi_scale: a segmenter's mean over six scales and their mirror images.
        trained: the network, if it is open already.

    Raises:
        Refused: nothing trained there, names that do not fit, a threshold out of range.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise Refused(f"the threshold is {threshold}: it lies in [0, 1]")
    context = context or mx.cpu()
    trained = trained or open_network(source, model=model, ctx=context)
    net, recipe = trained.net, trained.recipe
    if isinstance(net, mx.gluon.SymbolBlock):
        require_classifier(trained, source)
    names = _names(trained, source, class_file)
    task = (recipe or Recipe).task
    if multi_scale and task != SegmentationRecipe.task:
        raise Refused(f"--multi-scale is for segmenters, and {source} is one of {task}")
    if threshold is not None and task != DetectionRecipe.task:
        raise Refused(f"--threshold is for detectors, and {source} is one of {task}")
    threshold = THRESHOLD if threshold is None else threshold
    if isinstance(recipe, DetectionRecipe):
        look = functools.partial(detect, net, recipe, names, context, threshold)
    elif isinstance(recipe, SegmentationRecipe):
        look = functools.partial(segment, net, recipe, names, context, multi_scale)
    else:
        net.cast("float32")
        net.hybridize(static_alloc=True, static_shape=True)
        seen_as = net.preprocessing
        require_images(net, (1, seen_as.input_size, seen_as.input_size), context)
        look = functools.partial(classify, net, seen_as, names, context)
    return Predictor(recipe.model if recipe else net.name, task, names, look)


# --- the three kinds ----------------------------------------------------------------------------------------------


def classify(
    net: mx.gluon.HybridBlock, seen_as: Preprocessing, names: Sequence[str], context: mx.Context, image: np.ndarray
) -> Prediction:
    """The likeliest classes of an image, beside it as bars.

    Raises:
        Refused: the network gives no numbers.
    """
    crop = centre_crop(image, seen_as.input_size, seen_as.crop_ratio)[None]
    batch = Batch(crop, np.zeros(1, np.int64), np.zeros(1, np.int64), 1)
    (scores,) = probabilities(
        net, [batch], lambda images, at: normalised(images, at, seen_as.mean, seen_as.std), context
    )
    if not np.isfinite(scores).all():
        raise Refused("the network gives no numbers (NaN): its parameters are those of a training that diverged")
    best = np.argsort(-scores, kind="stable")[:_TOP]
    values = [{"name": names[k], "index": int(k), "score": float(scores[k])} for k in best]
    picture = pictures.bars(image, names, scores, top=_TOP)
    return Prediction(_percentages([(names[k], scores[k]) for k in best]), {"classes": values}, picture)


def detect(
    net: mx.gluon.HybridBlock, recipe: DetectionRecipe, names: Sequence[str], context: mx.Context, threshold: float,
    image: np.ndarray,
) -> Prediction:  # fmt: skip
    """The things in an image whose score is at least the threshold, as boxes in its own pixels, the surest first."""
    height, width, _ = resized_shape(*image.shape[:2], recipe.short, recipe.long)
    resized = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    found = predict(net, normalised(resized[None], context, recipe.mean, recipe.std))
    ids, scores, corners = (part.asnumpy()[0].astype(np.float64) for part in found)
    corners *= [image.shape[1] / width, image.shape[0] / height] * 2
    kept = [k for k in np.argsort(-scores, kind="stable") if ids[k] >= 0 and scores[k] >= threshold]
    values = [
        {"name": names[int(ids[k])], "index": int(ids[k]), "score": scores[k], "box": corners[k].tolist()} for k in kept
    ]
    words = _percentages([(names[int(ids[k])], scores[k]) for k in kept])
    picture = pictures.boxes(image, np.column_stack([corners, ids])[kept], names, scores[kept], threshold)
    return Prediction(words or f"nothing with a score of {threshold:g} or more", {"boxes": values}, picture)


def segment(
    net: mx.gluon.HybridBlock, recipe: SegmentationRecipe, names: Sequence[str], context: mx.Context,
    multi_scale: bool, image: np.ndarray,
) -> Prediction:  # fmt: skip
    """The class of every pixel of an image, over it in colours."""
    (height, width), longest = image.shape[:2], LONGEST // 2 if multi_scale else LONGEST
    note, scale = "", min(longest / max(height, width), 1)
    seen = image
    if scale < 1:
        small = max(round(width * scale), 1), max(round(height * scale), 1)
        seen = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        note = f"{width} x {height} px is too large: the network has seen {small[0]} x {small[1]} px"
    inputs = normalised(seen[None], context, recipe.mean, recipe.std)
    found = class_probabilities(net, inputs, MULTI_SCALE if multi_scale else (1.0,), flips=multi_scale)
    # As float32, which OpenCV resizes and which holds class indices exactly.
    classes = classify_pixels(found).asnumpy()[0].astype(np.float32)
    classes = cv2.resize(classes, (width, height), interpolation=cv2.INTER_NEAREST_EXACT).astype(np.int64)
    fractions = np.bincount(classes[classes >= 0], minlength=len(names)) / classes.size
    present = [k for k in np.argsort(-fractions, kind="stable") if fractions[k] > 0]
    values = [{"name": names[k], "index": int(k), "share": float(fractions[k])} for k in present]
    kind = np.uint8 if len(names) < 256 else np.uint16
    mask = np.where(classes < 0, np.iinfo(kind).max, classes).astype(kind)
    words = _percentages([(names[k], fractions[k]) for k in present]) or "no class: the network gives no numbers (NaN)"
    picture = pictures.overlay(image, classes, names)
    return Prediction(words, {"classes": values, "none": int(np.iinfo(kind).max)}, picture, mask, note)


def _percentages(pairs: Sequence[tuple[str, float]]) -> str:
    """tench 93.1 %, goldfish 2.0 % and 3 more"""
    said = ", ".join(f"{name} {100 * fraction:.1f} %" for name, fraction in pairs[:_TOP])
    return said + (f" and {len(pairs) - _TOP} more" if len(pairs) > _TOP else "")


def _names(trained: Trained, source: str, class_file: str | None) -> tuple[str, ...]:
    """Those of a file, else those of the training data, else ImageNet's, else numbers."""
    net = trained.net
    classes = net.classes if isinstance(net.classes, int) else len(net.classes)
    if class_file:
        names = sources.read_classes(class_file)
        if len(names) != classes:
            raise Refused(
                f"{class_file} has {plural(len(names), 'name')} and {source} has {plural(classes, 'class')}: give "
                "one for each, in the order of the labels"
            )
        return names
    known = net.preprocessing.classes if hasattr(net, "preprocessing") else training_names(trained.recipe)
    if known and len(known) == classes:
        return in_words(known)
    return tuple(imagenet_names().values()) if classes == 1000 else tuple(f"class {k}" for k in range(classes))
