"""What a detector says of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import mxnet as mx
import numpy as np

from gluon_tricks.data.augment import normalised
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.detection.evaluation import predict
from gluon_tricks.tasks.detection.loader import resized_shape
from gluon_tricks.tasks.prediction import Prediction, percentages

_COLUMNS = ("class", "score", "xmin", "ymin", "xmax", "ymax")


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
    words = percentages([(names[int(ids[k])], scores[k]) for k in kept])
    picture = pictures.boxes(image, np.column_stack([corners, ids])[kept], names, scores[kept], threshold)
    words = words or f"nothing with a score of {threshold:g} or more"
    rows = [(box["name"], box["score"], *box["box"]) for box in values] or [(None,) * len(_COLUMNS)]
    surest = float(scores[kept[0]]) if kept else None
    table = [[*zip(_COLUMNS, row)] for row in rows]
    return Prediction(words, {"boxes": values}, picture, table=table, confidence=surest)
