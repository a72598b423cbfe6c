"""What a segmenter says of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import mxnet as mx
import numpy as np

from gluon_tricks.data.augment import normalised
from gluon_tricks.recipes.transfer import SegmentationRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.prediction import Prediction, percentages
from gluon_tricks.tasks.segmentation.evaluation import MULTI_SCALE, class_probabilities, classify_pixels
from gluon_tricks.tasks.segmentation.loader import most_pixels

LONGEST = 2048  # px that a segmenter looks at; half as many at several scales, of which the largest is 1.75


def segment(
    net: mx.gluon.HybridBlock, recipe: SegmentationRecipe, names: Sequence[str], context: mx.Context,
    multi_scale: bool, image: np.ndarray,
) -> Prediction:  # fmt: skip
    """The class of every pixel of an image, over it in colours."""
    (height, width), longest = image.shape[:2], LONGEST // 2 if multi_scale else LONGEST
    note, scale = "", min(longest / max(height, width), (most_pixels(len(names)) / (height * width)) ** 0.5, 1)
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
    words = percentages([(names[k], fractions[k]) for k in present]) or "no class: the network gives no numbers (NaN)"
    picture = pictures.overlay(image, classes, names)
    table = [[(name, float(share)) for name, share in zip(names, fractions)]]
    return Prediction(words, {"classes": values, "none": int(np.iinfo(kind).max)}, picture, mask, note, table)
