"""Segmenters on whole images of any size, at one scale or several, mirrored or not."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Sequence

import mxnet as mx
import numpy as np

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import restore_plain_layout
from gluon_tricks.ranks import distributed
from gluon_tricks.tasks.findings import Arrays
from gluon_tricks.tasks.segmentation.kept_masks import KeptMasks
from gluon_tricks.tasks.segmentation.loader import MOST_WHOLE
from gluon_tricks.tasks.segmentation.metrics import SegmentationScores, confusion_matrix
from gluon_tricks.tasks.segmentation.segmenter import Segmenter

MULTI_SCALE = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)  # GluonCV's scales


def class_probabilities(
    net: Segmenter, images: mx.nd.NDArray, scales: Sequence[float] = (1.0,), flips: bool = False
) -> mx.nd.NDArray:
    """The mean of a segmenter's probabilities over scaled and mirrored copies of images.

    Args:
        images: (n, 3, H, W) as the network takes them, of any size.
        scales: by which the images' sides are multiplied; never to less than the network takes, nor to more than
            MOST_WHOLE pixels.
        flips: mirrored images besides.

    Returns: (n, K, H, W) float32, the sum over K is 1.

    Source: Zhao et al., Pyramid scene parsing network (CVPR 2017), section 5.1; GluonCV's MultiEvalModel.
    Differs: GluonCV scales each image's longer side to multiples of 520 pixels, cuts it into crops of 480 and adds up
        exp(logits of a crop + logits of its mirror image), which are no probabilities.
    """
    if not scales or not all(scale > 0 for scale in scales):
        raise Refused(f"scales {tuple(scales)}: give one number above 0 at least, such as {MULTI_SCALE}")
    sides, total = images.shape[2:], 0
    for scale in scales:
        scale = min(scale, max((MOST_WHOLE / (sides[0] * sides[1])) ** 0.5, 1.0))
        height, width = (max(int(side * scale + 0.5), net.smallest_side) for side in sides)
        scaled = images
        if (height, width) != sides:
            scaled = mx.nd.contrib.BilinearResize2D(images, height=height, width=width)
        total = total + _probabilities(net, scaled, sides)
        if flips:
            total = total + _probabilities(net, scaled.flip(3), sides).flip(3)
    return total / (len(scales) * (2 if flips else 1))


def _probabilities(net: Segmenter, images: mx.nd.NDArray, sides: tuple[int, int]) -> mx.nd.NDArray:
    return _resized(net.coarse(images), sides).softmax(axis=1)


def _resized(logits: mx.nd.NDArray, sides: tuple[int, int]) -> mx.nd.NDArray:
    return mx.nd.contrib.BilinearResize2D(logits.astype("float32", copy=False), height=sides[0], width=sides[1])


def classify_pixels(probabilities: mx.nd.NDArray) -> mx.nd.NDArray:
    """(n, K, H, W) -> the likeliest class of every pixel, (n, H, W); -1 where a network gave no numbers."""
    total = probabilities.sum(axis=1)
    return mx.nd.where(total == total, probabilities.argmax(axis=1), -mx.nd.ones_like(total))


def predict_classes(
    net: Segmenter, images: mx.nd.NDArray, scales: Sequence[float] = (1.0,), flips: bool = False
) -> mx.nd.NDArray:
    """The likeliest class of every pixel, (n, H, W), as by classify_pixels. Args: as for class_probabilities."""
    if tuple(scales) != (1.0,) or flips or min(images.shape[2:]) < net.smallest_side:
        return classify_pixels(class_probabilities(net, images, scales, flips))
    coarse = net.coarse(images).astype("float32", copy=False)  # the likeliest class of one copy needs no probabilities
    total = _resized(coarse.sum(axis=1, keepdims=True), images.shape[2:]).squeeze(axis=1)
    classes = _resized(coarse, images.shape[2:]).argmax(axis=1)
    return mx.nd.where(total - total == 0, classes, -mx.nd.ones_like(total))  # infinite and NaN sums are not


def evaluate_segmenter(
    net: Segmenter,
    batches: Iterable,
    preprocess: Callable,
    contexts: Sequence[mx.Context],
    classes: int,
    scales: Sequence[float] = (1.0,),
    flips: bool = False,
    found: Arrays | None = None,
) -> SegmentationScores:
    """Scores a segmenter over all batches of all ranks.

    Args:
        net: in any layout; left in the plain one (see restore_plain_layout).
        batches: of SegmentationLoader(train=False): images (b, H, W, 3) uint8, masks (b, H, W) with -1 for void, and
            count, how many of the b are real.
        preprocess: (images uint8 NHWC ndarray, context) -> the network's input on that device.
        contexts: they take batches in turn.
        classes: K.
        scales, flips: as of class_probabilities.
        found: is given what was found, the arrays of report.FIELDS; None: that is not wanted.

    Raises:
        RuntimeError: there was no image.

    Differs: GluonCV's train.py scores the middle 480 x 480 pixels of each image while it trains; here, as the
        development kit does, whole images.
    """
    matrix, images, pending = np.zeros((classes, classes + 1), np.int64), 0, collections.deque()
    kept = None if found is None else KeptMasks()

    def read(predictions: mx.nd.NDArray, batch) -> np.ndarray:
        predicted, masks = predictions.asnumpy(), batch.masks[: batch.count]
        if kept is not None:
            kept.add(batch.indices[: batch.count], predicted, masks)
        return confusion_matrix(predicted, masks, classes)

    for number, batch in enumerate(batches):
        if batch.count == 0:  # this rank has no image in the last step
            continue
        inputs = preprocess(batch.images[: batch.count], contexts[number % len(contexts)])
        pending.append((predict_classes(net, inputs, scales, flips), batch))
        images += batch.count
        if len(pending) > len(contexts):  # each device has one batch to work on while another is counted
            matrix += read(*pending.popleft())
    for waiting in pending:
        matrix += read(*waiting)
    restore_plain_layout(net)
    sums = distributed.total(np.append(matrix, images).astype(np.float64))  # exact below 2**53 pixels
    matrix, images = sums[:-1].astype(np.int64).reshape(matrix.shape), int(sums[-1])
    if images == 0:
        raise RuntimeError("there is no image to evaluate on: all were undecodable or none was given")
    if kept is not None:
        found.update({"matrix": matrix, **kept.of_all_ranks()})
    return SegmentationScores.of(matrix, images)
