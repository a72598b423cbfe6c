"""From a detector and images to boxes, and to their scores over all ranks."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import mxnet as mx
import numpy as np
from mxnet import autograd
from mxnet.gluon import HybridBlock

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import normalised
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.ranks import distributed
from gluon_tricks.tasks.average_precision import IGNORED, RIGHT, average_precisions, gather
from gluon_tricks.tasks.detection.metrics import DetectionScores, judge
from gluon_tricks.tasks.findings import Arrays, curve

_LEAST_SHOWN, _MOST_SHOWN = 0.05, 200_000  # score of a box that is kept for pictures; how many are


def image_sizes(batch, records) -> np.ndarray:
    """(b, 2) height and width in px of a DetectionBatch's images without their padding; all of it where none is."""
    whole = np.array(batch.images.shape[1:3])
    resized = np.rint(records.sizes[batch.indices] * np.asarray(batch.scales, np.float64)[:, None]).astype(int)
    return np.where(batch.indices[:, None] < 0, whole, np.clip(resized, 1, whole))


def predict(
    net: HybridBlock, images: mx.nd.NDArray, sizes: np.ndarray | None = None
) -> tuple[mx.nd.NDArray, mx.nd.NDArray, mx.nd.NDArray]:
    """What the detector sees, each class suppressed (NMS) by itself; images go through it one by one.

    Args:
        net: of build_detector; its weights are left in another layout (network.restore_plain_layout).
        images: (n, 3, H, W) float32, normalised.
        sizes: (n, 2), height and width in px of each without its padding, which is cut off; None: H, W.

    Returns: class (n, K), -1: nothing; score (n, K) in [0, 1]; xmin, ymin, xmax, ymax (n, K, 4) in px of the images as
        given, within them. All float32; K is the same for all images.

    Differs: GluonCV makes detections of the places of missing proposals too; their boxes are empty and left out here.
    """
    found = []
    for k, (height, width) in enumerate([images.shape[2:]] * len(images) if sizes is None else sizes):
        image = images.slice(begin=(k, 0, 0, 0), end=(k + 1, None, int(height), int(width)))
        with autograd.predict_mode():
            ids, scores, boxes = net(image)
        far = mx.nd.array([width, height, width, height], ctx=images.context).reshape((1, 1, 4))
        boxes = mx.nd.broadcast_minimum(mx.nd.maximum(boxes, 0), far)
        area = (boxes[:, :, 2] - boxes[:, :, 0]) * (boxes[:, :, 3] - boxes[:, :, 1])  # (1, K)
        ids = mx.nd.where(area == 0, -mx.nd.ones_like(area), ids.squeeze(axis=-1))
        found.append((ids, scores.squeeze(axis=-1), boxes))
    return tuple(mx.nd.concat(*part, dim=0) for part in zip(*found))


def evaluate_detector(
    net: HybridBlock, batches: Iterable, contexts: Sequence[mx.Context], records, preprocess: Callable = normalised,
    found: Arrays | None = None,
) -> DetectionScores:  # fmt: skip
    """Scores a detector over all batches of all ranks, by the devkit's rules and against the annotated boxes.

    Args:
        net: of build_detector; its parameters are left in the plain layout.
        batches: DetectionBatches, every image once over all ranks.
        contexts: images go to them in turn.
        records: the BoxedImages that batches' indices are of.
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        found: is given what was found, the arrays of report.FIELDS; None: that is not wanted.

    Raises:
        Refused: there is nothing to find in the images, or no image.
    """
    judged: list[np.ndarray] = []
    objects, pending = np.zeros(len(records.classes) + 1), collections.deque()  # of each class; the last: images
    for batch in batches:
        sizes = image_sizes(batch, records)
        for k in np.flatnonzero(batch.indices >= 0):
            context = contexts[k % len(contexts)]
            seen = predict(net, preprocess(batch.images[k : k + 1], context), sizes[k : k + 1])
            pending.append((int(batch.indices[k]), float(batch.scales[k]), seen))
            if len(pending) > 2 * len(contexts):  # the devices are never further ahead
                judged.append(_judge_image(records, *pending.popleft()))
        real = batch.indices[batch.indices >= 0]
        objects[-1] += len(real)
        objects[:-1] += sum((_count(records.boxes[i], len(records.classes)) for i in real), np.zeros(len(objects) - 1))
    judged += [_judge_image(records, *waiting) for waiting in pending]
    restore_plain_layout(net)
    rows = gather(np.concatenate([np.zeros((0, 8)), *judged]))
    rows, objects = rows[np.argsort(rows[:, 0], kind="stable")], distributed.total(objects)
    scores = _scores(rows[:, :4], objects, records.classes)
    if found is not None:
        found.update(_found(rows, objects[:-1].astype(np.int32)), average_precision=scores.areas())
    return scores


def _found(rows: np.ndarray, objects: np.ndarray) -> Arrays:
    """A curve of each class, and the boxes that a picture could show. Args: rows: of _judge_image; objects: (K,)."""
    counted = rows[rows[:, 3] != IGNORED]
    of_class = [counted[counted[:, 1] == k] for k in range(len(objects))]
    curves = [curve(own[:, 2], own[:, 3] == RIGHT, int(count)) for own, count in zip(of_class, objects)]
    shown = rows[rows[:, 2] >= _LEAST_SHOWN]
    shown = shown[np.sort(np.argsort(-shown[:, 2], kind="stable")[:_MOST_SHOWN])]
    return {"curves": np.stack(curves), "objects": objects, "boxes": shown.astype(np.float32)}


def _count(boxes: np.ndarray, classes: int) -> np.ndarray:
    """How many objects of each class there are to find: the difficult ones are not asked for."""
    return np.bincount(boxes[boxes[:, 5] == 0, 4].astype(int), minlength=classes)


def _judge_image(records, index: int, scale: float, found: tuple) -> np.ndarray:
    """(P, 8) float64: image, class, score, outcome and the corners, in px of the file, of each detection."""
    ids, scores, boxes = (part.asnumpy()[0] for part in found)
    truths, rows = records.boxes[index], []
    for label in np.unique(ids[ids >= 0]):
        own, own_truths = ids == label, truths[truths[:, 4] == label]
        outcomes = judge(boxes[own] / scale, scores[own], own_truths[:, :4], own_truths[:, 5] > 0)
        told = zip(scores[own], outcomes, boxes[own] / scale)
        rows += [(index, label, score, outcome, *corners) for score, outcome, corners in told]
    return np.array(rows, np.float64).reshape(-1, 8)


def _scores(rows: np.ndarray, objects: np.ndarray, classes: Sequence[str]) -> DetectionScores:
    if objects[:-1].sum() == 0:
        raise Refused(
            f"no image to evaluate on (of {int(objects[-1])}) has an object that is not difficult: check the lists"
        )
    aps = []
    for label in range(len(classes)):
        own = rows[rows[:, 1] == label]
        aps.append(average_precisions(own[:, 2], own[:, 3].astype(int), int(objects[label])))
    by_rule = list(zip(*aps))
    means = [float(np.nanmean(values)) for values in by_rule]
    per_class = [dict(zip(classes, values)) for values in by_rule]
    return DetectionScores(*means, *per_class, images=int(objects[-1]))
