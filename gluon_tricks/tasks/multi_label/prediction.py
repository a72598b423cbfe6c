"""What a tagger says of a photo."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import mxnet as mx
import numpy as np
import scipy.special

from gluon_tricks.data.augment import normalised
from gluon_tricks.data.crop import centre_crop
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.auxiliary import own
from gluon_tricks.tasks.prediction import TOP, Prediction, percentages, require_finite
from model_zoo.preprocessing import Preprocessing

_MOST_BARS = 20


def open_tagging(
    net: mx.gluon.HybridBlock, names: Sequence[str], context: mx.Context, threshold: float
) -> Callable[[np.ndarray], Prediction]:
    """A tagger, left as it is, ready to be asked about photos.

    Args: as for tag, but the network's own preprocessing is taken.
    """
    seen_as = net.preprocessing
    require_images(net, (1, seen_as.input_size, seen_as.input_size), context)
    return functools.partial(tag, net, seen_as, names, context, threshold)


def tag(
    net: mx.gluon.HybridBlock, seen_as: Preprocessing, names: Sequence[str], context: mx.Context, threshold: float,
    image: np.ndarray,
) -> Prediction:  # fmt: skip
    """The probability of each class by itself, of the centre crop; those of at least the threshold are said.

    Raises:
        Refused: the network gives no numbers.
    """
    crop = centre_crop(image, seen_as.input_size, seen_as.crop_ratio)[None]
    logits = own(net(normalised(crop, context, seen_as.mean, seen_as.std, seen_as.mean_image)))
    scores = scipy.special.expit(logits.asnumpy()[0].astype(np.float64))
    require_finite(scores)
    order = np.argsort(-scores, kind="stable")
    sure = [k for k in order if scores[k] >= threshold]
    values = [
        {"name": names[k], "index": int(k), "score": float(scores[k]), "present": bool(scores[k] >= threshold)}
        for k in order
    ]
    words = percentages([(names[k], scores[k]) for k in sure])
    picture = pictures.bars(image, names, scores, top=min(max(TOP, len(sure)), _MOST_BARS))
    words = words or f"no class with a probability of {threshold:g} or more"
    table = [[(name, float(score)) for name, score in zip(names, scores)]]
    return Prediction(words, {"classes": values}, picture, table=table, confidence=float(scores[order[0]]))
