"""What a classifier, or an ensemble of them, says of a photo."""

from __future__ import annotations

from collections.abc import Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.data.views import empty_batch, put
from gluon_tricks.networks.load import Trained, require_classifier
from gluon_tricks.networks.of_recipe import require_images
from gluon_tricks.tasks import pictures
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.looking import Looking, loaded_views
from gluon_tricks.tasks.classification.view_validation import open_member, require_same_outputs
from gluon_tricks.tasks.classification.views import Views, mixed
from gluon_tricks.tasks.prediction import TOP, Prediction, percentages, require_finite

_AT_A_TIME = 16  # crops of a photo


def open_looking(networks: Sequence[tuple[str, Trained]], views: Views, context: mx.Context) -> list[Looking]:
    """Networks ready to be asked about photos, with what they are called; in float32, and left as they are.

    Raises:
        Refused: they have other classes than each other, or cannot see what the views are.
    """
    members = []
    for source, trained in networks:
        net = require_classifier(trained, source)
        size = net.preprocessing.input_size
        require_images(net, (1, size, size), context)
        member = open_member(source, EvaluationSet(net, None, net.preprocessing), views, context)
        if member.dense and net._active:
            member.dense.hybridize(static_alloc=True)  # as the network is; the shapes of whole images differ
        members.append(member)
    require_same_outputs(members)
    return [Looking(member, loaded_views(members), [context], _AT_A_TIME) for member in members]


def classify(
    asked: Sequence[Looking], names: Sequence[str], image: np.ndarray, truth: int | None = None
) -> Prediction:  # fmt: skip
    """The likeliest classes of an image, beside it as bars.

    Args:
        truth: the class that it is known to be of, which then is said and drawn.

    Raises:
        Refused: a network gives no numbers.
    """
    batch = empty_batch(asked[0].loaded, 1, 1)
    put(asked[0].loaded, image, batch, 0, None)
    logs = np.stack([looking.read(looking.start(batch), 1)[:, -1] for looking in asked], axis=1)
    scores = np.exp(mixed(logs, np.full((1, len(asked)), 1 / len(asked)))[0, 0])
    require_finite(scores)
    best = np.argsort(-scores, kind="stable")[:TOP]
    values = {"classes": [{"name": names[k], "index": int(k), "score": float(scores[k])} for k in best]}
    averaged = sum(len(looking.member.steps[-1].weights) for looking in asked)
    if averaged > 1:
        values["views"] = averaged
    words, known = percentages([(names[k], scores[k]) for k in best]), {}
    if truth is not None:
        right = bool(best[0] == truth)
        words += "; right" if right else f"; wrong, it is {names[truth]}"
        values |= {"truth": {"name": names[truth], "index": int(truth)}, "right": right}
        known = {"truth": names[truth], "right": right}
    picture = pictures.bars(image, names, scores, top=TOP, truth=truth)
    row = [("truth", known.get("truth")), ("right", known.get("right"))]
    for place, k in enumerate(best, 1):
        row += [(f"class_{place}", names[k]), (f"probability_{place}", float(scores[k]))]
    return Prediction(
        words, values, picture, table=[row], confidence=float(scores[best[0]]), named=names[best[0]], **known
    )
