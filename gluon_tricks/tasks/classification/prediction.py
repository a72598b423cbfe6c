"""What a classifier says of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import normalised
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.data.loader import Batch
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.evaluation import probabilities
from gluon_tricks.tasks.prediction import TOP, Prediction, percentages
from model_zoo.preprocessing import Preprocessing


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
        net,
        [batch],
        lambda images, at: normalised(images, at, seen_as.mean, seen_as.std, seen_as.mean_image),
        context,
    )
    if not np.isfinite(scores).all():
        raise Refused("the network gives no numbers (NaN): its parameters are those of a training that diverged")
    best = np.argsort(-scores, kind="stable")[:TOP]
    values = [{"name": names[k], "index": int(k), "score": float(scores[k])} for k in best]
    picture = pictures.bars(image, names, scores, top=TOP)
    return Prediction(percentages([(names[k], scores[k]) for k in best]), {"classes": values}, picture)
