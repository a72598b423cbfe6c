"""Faster-RCNN's four losses, with the targets of both its stages."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock
from mxnet.gluon.loss import HuberLoss, SigmoidBinaryCrossEntropyLoss, SoftmaxCrossEntropyLoss

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.tasks.detection.anchors import anchors_of, with_room
from gluon_tricks.tasks.detection.settings import MOST_OBJECTS

_POSITIVE, _NEGATIVE = 0.7, 0.3  # an anchor's overlap (IoU) with the object it is for; with any object, at most
_POSITIVE_FRACTION = 0.5  # of the sampled anchors, at most


class DetectionLosses(NamedTuple):
    """The parts of the loss, each (n,) float32 on the images' device; their sum is what is trained with."""

    rpn_class: mx.nd.NDArray
    rpn_box: mx.nd.NDArray
    rcnn_class: mx.nd.NDArray
    rcnn_box: mx.nd.NDArray


def detection_losses(
    net: HybridBlock,
    images: mx.nd.NDArray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    sizes: np.ndarray | None = None,
) -> DetectionLosses:
    """What a detector does worse than it should, in four parts; to be called under autograd.record().

    Args: as for with_targets. Returns: as losses_of.
    """
    inputs, targets = with_targets(net, images, boxes, rng, sizes)
    return losses_of(net(*inputs), targets)


def with_targets(
    net: HybridBlock,
    images: mx.nd.NDArray,
    boxes: np.ndarray,
    rng: np.random.Generator,
    sizes: np.ndarray | None = None,
) -> tuple[tuple[mx.nd.NDArray, ...], tuple[mx.nd.NDArray, ...]]:
    """What a detector takes in training, and what the loss compares its answers about the anchors with.

    Args:
        net: of build_detector.
        images: (n, 3, H, W) float32, normalised; smaller ones padded at the right and at the bottom.
        boxes: (n, M, 5) float32: xmin, ymin, xmax, ymax in px of the image, class; rows of -1 are padding.
        rng: draws the sample of anchors. The sample of regions follows mx.random.seed.
        sizes: (n, 2), height and width in px of each image without its padding, where no anchor is taken; None: H, W.

    Returns: images, padded as by with_room, boxes (n, M, 4) and classes (n, M, 1); and anchor_targets.
        All float32 on the images' device.

    Raises:
        Refused: more objects in an image than the network was made for, or an image too large for its anchors.
    """
    boxes = boxes.asnumpy() if isinstance(boxes, mx.nd.NDArray) else np.asarray(boxes, np.float32)
    if boxes.shape[1] > MOST_OBJECTS:
        raise Refused(f"an image has {boxes.shape[1]} objects: training takes at most {MOST_OBJECTS} an image")
    sizes = [images.shape[2:]] * len(images) if sizes is None else sizes
    images = with_room(net, images, net.settings.proposals)
    targets = anchor_targets(net, images.shape[2:], boxes, rng, sizes)
    context = images.context
    truths = mx.nd.array(boxes, ctx=context, dtype="float32")
    inputs = images, truths.slice_axis(2, 0, 4), truths.slice_axis(2, 4, 5)
    return inputs, tuple(mx.nd.array(target, ctx=context, dtype="float32") for target in targets)


def losses_of(outputs: Sequence[mx.nd.NDArray], targets: Sequence[mx.nd.NDArray]) -> DetectionLosses:
    """The four losses of what a detector said in training mode.

        part_i = n (summed loss of the samples of image i) / (number of samples of all n images)

    so the mean over the images is the mean over the samples. Classes: cross-entropy in nats. Boxes: Huber losses of
    the four offsets, which turn from quadratic to linear at 1/9 (anchors) and at 1 (regions).

    Args:
        outputs: of the network for the inputs of with_targets.
        targets: of the anchors, from there.

    Source: Ren et al., Faster R-CNN (NIPS 2015), section 3.1.2; losses and weights of GluonCV's train_faster_rcnn.py.
    Differs: as in GluonCV an object's best anchor is no positive sample if it overlaps it by less than 0.3.
    """
    classes, offsets, weights = targets
    logits, box_offsets, _, _, _, scores, anchor_offsets, _, labels, box_targets, box_weights, _ = outputs
    sampled, regions = classes >= 0, labels >= 0
    return DetectionLosses(
        _per_sample(SigmoidBinaryCrossEntropyLoss()(scores.squeeze(axis=-1), classes, sampled), classes, sampled),
        _per_sample(HuberLoss(rho=1 / 9)(anchor_offsets, offsets, weights), offsets, sampled),
        _per_sample(SoftmaxCrossEntropyLoss()(logits, labels, regions.expand_dims(-1)), labels, regions),
        _per_sample(HuberLoss(rho=1)(box_offsets, box_targets, box_weights), box_targets, regions),
    )


def _per_sample(loss: mx.nd.NDArray, target: mx.nd.NDArray, sampled: mx.nd.NDArray) -> mx.nd.NDArray:
    """(n,) means over everything in the target, samples or not -> n times the sum of an image / samples of all."""
    return mx.nd.broadcast_div(loss * target.size, mx.nd.maximum(sampled.sum(), 1))


def anchor_targets(
    net: HybridBlock,
    shape: tuple[int, int],
    boxes: np.ndarray,
    rng: np.random.Generator,
    sizes: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network should say of each anchor; computed on the host, before the network is asked.

    Args: shape: height and width of the padded images; the others as for detection_losses.

    Returns: classes (n, A), 1 object, 0 none, -1 not sampled; offsets (n, A, 4) from the anchors to their objects, 0
        where there is none; weights (n, A, 4) of the offsets, 0 or 1.
    """
    anchors = anchors_of(net, shape)
    import_gluoncv()
    from gluoncv.model_zoo.rcnn.rpn.rpn_target import RPNTargetGenerator

    generator = RPNTargetGenerator(net.settings.anchor_samples, _POSITIVE, _NEGATIVE, _POSITIVE_FRACTION)
    generator._sampler = functools.partial(_sample_anchors, samples=net.settings.anchor_samples, rng=rng)
    anchors = mx.nd.array(anchors)
    found = []
    for rows, (height, width) in zip(boxes, [shape] * len(boxes) if sizes is None else sizes):
        real = rows[rows[:, 4] >= 0, :4]
        real = real if len(real) else np.full((1, 4), -1, np.float32)  # overlaps nothing: all anchors are background
        with np.errstate(divide="ignore", invalid="ignore"):  # of the offsets that are then set to 0
            found.append(generator(mx.nd.array(real), anchors, int(width), int(height)))
    return tuple(np.stack(part).astype(np.float32) for part in zip(*found))


def _sample_anchors(overlaps: np.ndarray, samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """GluonCV's rule for positive and negative anchors, and a sample of them by numbers of our own.

    Args:
        overlaps: (A, M), -1 for anchors that reach out of the image.

    Returns: (A,) 1 positive, -1 negative, 0 neither; (A,) which object is nearest.
    """
    from gluoncv.model_zoo.rcnn.rpn.rpn_target import RPNTargetSampler

    all_of_them = RPNTargetSampler(2 * len(overlaps), _POSITIVE, _NEGATIVE, _POSITIVE_FRACTION)
    kinds, nearest = all_of_them(overlaps)
    kinds[overlaps.max(axis=1) < 0] = 0  # where no anchor at all is inside, GluonCV's rule takes those outside
    most = int(round(samples * _POSITIVE_FRACTION))
    for kind in (1, -1):
        there = np.flatnonzero(kinds == kind)
        if len(there) > most:
            kinds[rng.choice(there, len(there) - most, replace=False)] = 0
        most = samples - min(len(there), most)
    return kinds, nearest
