"""GluonCV's Faster-RCNN and FCN on its own base networks, with our parameters: what ours are compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import mxnet as mx
import numpy as np
from mxnet.gluon import HybridBlock, nn
from mxnet.gluon.loss import HuberLoss, SigmoidBinaryCrossEntropyLoss, SoftmaxCrossEntropyLoss

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.detection.settings import STRIDE

_LAYERS = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")


class GluonCVNetwork(NamedTuple):
    """A network of GluonCV and what its scripts do with it.

    Attributes:
        loss: (what transfer.on_device returns) -> (n,), to be called under autograd.record().
        predict: (the same) -> its detections of every image, or [the classes of pixels].
    """

    net: HybridBlock
    loss: Callable[..., mx.nd.NDArray]
    predict: Callable[..., Sequence[mx.nd.NDArray]]


def gluoncv_detector(ours: HybridBlock, recipe: DetectionRecipe) -> GluonCVNetwork:
    """GluonCV's FasterRCNN with our detector's settings, parameters and frozen layers.

    Its script makes the targets of anchors in the workers of its data loader. Here they are part of the loss, as they
    are of ours: on a CPU the same cores make them either way.
    """
    base = gluoncv_base(recipe.model, use_global_stats=True)
    from gluoncv.model_zoo.rcnn.faster_rcnn import FasterRCNN
    from gluoncv.nn.bbox import BBoxClipToImage

    features, top = nn.HybridSequential(), nn.HybridSequential()
    features.add(*(getattr(base, layer) for layer in _LAYERS[:-1]))
    top.add(base.layer4)
    settings = ours.settings
    net = FasterRCNN(
        features, top, ours.classes, short=settings.short, max_size=settings.longest, strides=STRIDE,
        roi_size=(settings.roi_size, settings.roi_size), rpn_channel=settings.channels, scales=settings.anchor_scales,
        rpn_train_pre_nms=settings.candidates, rpn_train_post_nms=settings.proposals,
        rpn_test_pre_nms=settings.candidates_in_prediction, rpn_test_post_nms=settings.proposals_in_prediction,
        rpn_min_size=settings.smallest_proposal, num_sample=settings.roi_samples, max_num_gt=ours.sampler._max_num_gt,
        per_device_batch_size=recipe.batch_size,
    )  # fmt: skip
    for part in ("features", "top_features", "class_predictor", "box_predictor", "rpn"):
        _take_parameters(getattr(ours, part), getattr(net, part))
    net.hybridize(static_alloc=True)
    targets, clip = _AnchorTargets(net, settings.anchor_samples), BBoxClipToImage()

    def predict(images, boxes, sizes, rng):
        found = []
        for k, (height, width) in enumerate(sizes):
            image = images.slice(begin=(k, 0, 0, 0), end=(k + 1, None, int(height), int(width)))
            ids, scores, corners = net(image)
            found.append((ids, scores, clip(corners, image)))
        return [mx.nd.concat(*part, dim=0) for part in zip(*found)]

    def loss(images, boxes, sizes, rng):
        truths = mx.nd.array(boxes)
        outputs = net(images, truths[:, :, :4], truths[:, :, 4:])
        return _detection_loss(outputs, *targets(images, boxes, sizes))

    return GluonCVNetwork(net, loss, predict)


def _detection_loss(outputs, classes, offsets, weights) -> mx.nd.NDArray:
    """Source: the losses and weights of GluonCV's train_faster_rcnn.py."""
    logits, box_offsets, _, _, _, scores, anchor_offsets, _, labels, box_targets, box_weights, _ = outputs
    sampled, regions = classes >= 0, labels >= 0
    class_losses = (
        SigmoidBinaryCrossEntropyLoss()(scores.squeeze(axis=-1), classes, sampled) * classes.size / sampled.sum()
        + SoftmaxCrossEntropyLoss()(logits, labels, regions.expand_dims(-1)) * labels.size / regions.sum()
    )
    return (
        class_losses
        + HuberLoss(rho=1 / 9)(anchor_offsets, offsets, weights) * offsets.size / sampled.sum()
        + HuberLoss(rho=1)(box_offsets, box_targets, box_weights) * box_targets.size / regions.sum()
    )


class _AnchorTargets:
    """Targets of all anchors by GluonCV's generator, as its training transform calls it."""

    def __init__(self, net: HybridBlock, samples: int):
        from gluoncv.model_zoo.rcnn.rpn.rpn_target import RPNTargetGenerator

        self._anchors: dict[tuple[int, ...], mx.nd.NDArray] = {}
        self._net, self._make = net, RPNTargetGenerator(num_sample=samples)

    def __call__(self, images: mx.nd.NDArray, boxes: np.ndarray, sizes: np.ndarray) -> list[mx.nd.NDArray]:
        shape = images.shape[2:]
        if shape not in self._anchors:
            sides = self._net.features(mx.sym.var("images")).infer_shape(images=(1, 3, *shape))[1][0][2:]
            self._anchors[shape] = self._net.rpn.anchor_generator(mx.nd.zeros((1, 1, *sides))).reshape((-1, 4))
        found = [
            self._make(mx.nd.array(rows[rows[:, 4] >= 0, :4]), self._anchors[shape], int(width), int(height))
            for rows, (height, width) in zip(boxes, sizes)
        ]
        return [mx.nd.array(np.stack(part)) for part in zip(*found)]


def gluoncv_segmenter(ours: HybridBlock, recipe: SegmentationRecipe) -> GluonCVNetwork:
    """GluonCV's FCN with our segmenter's parameters, on the base network that ours has.

    By itself it takes resnet18_v1b or resnet50_v1s, whose stem is heavier; the base's layers go into their places.
    """
    base = gluoncv_base(recipe.model, dilated=True)
    from gluoncv.loss import MixSoftmaxCrossEntropyLoss
    from gluoncv.model_zoo.fcn import FCN, _FCNHead

    backbone = "resnet18" if isinstance(base.conv1, nn.Conv2D) else "resnet50"  # with a stem of the same kind
    net = FCN(recipe.classes, backbone, pretrained_base=False, base_size=recipe.base_size, crop_size=recipe.crop)
    for layer in _LAYERS:
        setattr(net, layer, getattr(base, layer))
    net.head, net.auxlayer = (
        _FCNHead(head.block[0].weight.shape[1], recipe.classes) for head in (ours.head, ours.aux_head)
    )
    _take_parameters(ours, net)
    net.hybridize(static_alloc=True)
    criterion = MixSoftmaxCrossEntropyLoss(aux=True, aux_weight=recipe.aux_weight)

    def loss(images, masks, real):
        return criterion(*net(images), mx.nd.array(masks))

    def predict(images, masks, real):
        return [net.predict(images).argmax(axis=1)]

    return GluonCVNetwork(net, loss, predict)


def gluoncv_base(model: str, **kwargs: bool) -> HybridBlock:
    """GluonCV's base network. Raises Refused if it has none of the name that its detectors and segmenters could use."""
    zoo = import_gluoncv().model_zoo
    base = zoo.get_model(model, **kwargs) if model in zoo.get_model_list() else None
    if not hasattr(base, "layer4") or not hasattr(base, "bn1"):
        raise Refused(f"GluonCV has no detector and no segmenter on {model}: take a ResNet v1b, v1c or v1d that it has")
    return base


def _take_parameters(ours: HybridBlock, theirs: HybridBlock) -> None:
    """Gives a network the parameters of another with the same layers in the same order, and what of them is frozen."""
    sources, targets = (list(net.collect_params().values()) for net in (ours, theirs))
    assert len(sources) == len(targets), f"{len(sources)} of our parameters for {len(targets)} of GluonCV's"
    for source, target in zip(sources, targets):
        target.shape = source.shape
        target.initialize(force_reinit=True)
        if not isinstance(source, mx.gluon.parameter.Constant):
            target.set_data(source.data())
            target.grad_req = source.grad_req
