"""A detector from a classifier: which of its layers become what, and which of them go on learning.

images -> features (stride 16) -> proposals -> regions of interest -> top of the base network -> classes and boxes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mxnet as mx
from mxnet.gluon import HybridBlock, nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.data.augment import MEAN_RGB
from gluon_tricks.tasks.detection.settings import (
    ANCHOR_GRID,
    ASPECTS,
    MOST_OBJECTS,
    ROI_SETTINGS,
    STRIDE,
    RoISettings,
)
from model_zoo.classifier import Classifier
from model_zoo.hidden_layers import HiddenLayersClassifier

_WORKING = (
    "use a ResNet, SE-ResNet or ResNeXt that is not dilated, a MobileNet, DenseNet, Inception-V3, GoogLeNet, VGG or "
    "AlexNet, trained on photos from which ImageNet's mean is subtracted"
)


def build_detector(
    base: Classifier,
    classes: Sequence[str],
    settings: RoISettings = ROI_SETTINGS["paper"],
    frozen_stages: int = 1,
    dense_side: int | None = None,
) -> HybridBlock:
    """Faster-RCNN on a base network, whose parameters it takes over (they are the same arrays).

    Features are the stem and the stages up to stride 16, and the rest of the stages works on the regions; of networks
    with hidden dense layers all convolutions are features and the dense layers work on the regions. Parameters are
    called as in the base: features.stage1.0.conv1.weight, top_features.stage4..., box_features.1... (dense layers).

    Args:
        base: initialised, with use_global_stats=True where it has batch normalisation.
        classes: names of the objects.
        settings: numbers of anchors, proposals and regions.
        frozen_stages: so many stages, and the stem before them, do not learn; 0: all learn.
        dense_side: of a base with hidden dense layers whose parameters do not say it yet, the side of the map that
            they take; None: that of images of the size that the base is for.

    Returns: a detector.Detector on the base's devices, its new layers initialised (by mx.random's numbers), grad_req
        "null" on all that does not learn: the frozen stages, and gamma and beta of every batch normalisation.

    Raises:
        Refused: a base that cannot carry it, no classes or one twice, frozen_stages out of range.

    Source: Bag of Tricks, section 6.1; Ren et al., Faster R-CNN (NIPS 2015); He et al., Deep residual learning (CVPR
        2016), appendix A, for the split and the frozen statistics.
    Differs: GluonCV has this on ResNet-50-B and 101-D only, trains their convolutions from stage 2 on and no other
        layers of the base; here the layers of SE, which it has not, and dense ones learn too. Faster R-CNN on VGG
        freezes two stages.
    """
    from gluon_tricks.tasks.detection.faster_rcnn import Detector  # imports gluoncv

    _check(base, classes)
    features, top, dense = _split(base)
    if frozen_stages not in range(_count_stages(features) + 1):
        raise Refused(f"frozen_stages is {frozen_stages}: {base.name} has 0 to {_count_stages(features)} to freeze")
    side = None if dense is None else _dense_side(base, dense, features) or dense_side or _side_of(base)
    roi_size = side or settings.roi_size
    net = Detector(
        _sequence(features),
        None if dense else _sequence(top),
        tuple(classes),
        box_features=dense,
        prefix=f"faster_rcnn_{base.prefix}",
        **dict(short=settings.short, max_size=settings.longest, strides=STRIDE, alloc_size=(ANCHOR_GRID, ANCHOR_GRID)),
        **dict(nms_thresh=0.3, nms_topk=400, roi_mode="align", roi_size=(roi_size, roi_size)),
        **dict(rpn_channel=settings.channels, base_size=16, scales=settings.anchor_scales, ratios=ASPECTS),
        **dict(rpn_train_pre_nms=settings.candidates, rpn_train_post_nms=settings.proposals),
        rpn_test_pre_nms=settings.candidates_in_prediction,
        rpn_test_post_nms=settings.proposals_in_prediction,
        **dict(rpn_nms_thresh=0.7, rpn_min_size=settings.smallest_proposal),
        **dict(num_sample=settings.roi_samples, pos_iou_thresh=0.5, pos_ratio=0.25, max_num_gt=MOST_OBJECTS),
    )
    net.settings, net.dense_side, net.smallest_side = settings, side, base.smallest_for_features
    _initialise(net, next(iter(base.collect_params().values())).list_ctx())
    _freeze(net, features, frozen_stages)
    return net


def _check(base: Classifier, classes: Sequence[str]) -> None:
    if len(classes) == 0 or len(set(classes)) < len(classes):
        raise Refused(f"the detector's classes are {', '.join(classes) or 'none'}: name one or more, each once")
    seen = base.preprocessing
    if tuple(seen.mean) != tuple(MEAN_RGB):
        raise Refused(f"{base.name} takes images of mean {seen.mean}: {_WORKING}")
    if any(parameter._data is None and not parameter._deferred_init for parameter in base.collect_params().values()):
        raise Refused(f"{base.name} has no parameters yet: load or initialise them before a detector is built on it")
    if not all(norm._kwargs["use_global_stats"] for norm in _batch_norms(base)):
        raise Refused(
            f"{base.name} normalises by the batch, of which detection has too little: build it with "
            "use_global_stats=True"
        )


def _batch_norms(net: HybridBlock) -> list[nn.BatchNorm]:
    found = []
    net.apply(lambda block: found.append(block) if isinstance(block, nn.BatchNorm) else None)
    return found


def _split(base: Classifier) -> tuple[dict, dict, HybridBlock | None]:
    """The features by name, the stages above them by name, and the dense layers (or None)."""
    parts = {name: part for name, part in base._children.items() if part in base.trunk}
    if isinstance(base, HiddenLayersClassifier):
        name, last = list(parts.items())[-1]
        if not isinstance(last[-1], nn.MaxPool2D):
            raise Refused(f"{base.name} does not end its convolutions with a max pool: {_WORKING}")
        features = {**parts, name: _sequence(dict(list(last._children.items())[:-1]))}
        if _shapes(features)[-1][0] != STRIDE:
            raise Refused(f"the convolutions of {base.name} do not have stride {STRIDE}: {_WORKING}")
        return features, {}, base.neck
    strides = [stride for stride, _ in _shapes(parts)]
    if STRIDE not in strides[:-1]:
        raise Refused(
            f"{base.name} has strides {', '.join(map(str, strides))}, no {STRIDE} before its last: {_WORKING}"
        )
    count = len(strides) - strides[::-1].index(STRIDE)
    names = list(parts)
    return {n: parts[n] for n in names[:count]}, {n: parts[n] for n in names[count:]}, None


def _sequence(parts: Mapping[str, HybridBlock]) -> nn.HybridSequential:
    """The parts in a row, each under its own name."""
    sequence = nn.HybridSequential(prefix="")
    for name, part in parts.items():
        sequence.register_child(part, name)
    return sequence


def _shapes(parts: Mapping[str, HybridBlock]) -> list[tuple[int, int]]:
    """(stride, channels) after each part; the stride is how many px of the image one px more of the map takes."""
    x, maps = mx.sym.var("images"), []
    for part in parts.values():
        x = part(x)
        maps.append(x)
    low, high = (mx.sym.Group(maps).infer_shape(images=(1, 3, side, side))[1] for side in (320, 640))
    return [(round(320 / (b[2] - a[2])), a[1]) for a, b in zip(low, high)]


def _count_stages(parts: Mapping[str, HybridBlock]) -> int:
    return sum(name.startswith("stage") for name in parts)


def _dense_side(base: Classifier, dense: HybridBlock, features: Mapping[str, HybridBlock]) -> int | None:
    """The side of the map that the dense layers were trained for; None before they have parameters."""
    taken, channels = dense[1].weight.shape[1], _shapes(features)[-1][1]
    if not taken:
        return None
    side = round((taken / channels) ** 0.5)
    if side * side * channels != taken:
        raise Refused(f"the dense layers of {base.name} take {taken} features, which are no square map of {channels}")
    return side


def _side_of(base: Classifier) -> int:
    """The side of the map before the dense layers, of images as the base takes them (VGG 7, AlexNet 6 at 224 px)."""
    x, size = mx.sym.var("images"), base.preprocessing.input_size
    for part in base.trunk:
        x = part(x)
    return x.infer_shape(images=(1, 3, size, size))[1][0][2]


def _initialise(net: HybridBlock, contexts: list[mx.Context]) -> None:
    """Gives every parameter that has none yet its data, without a forward.

    The shapes are those of the largest images: small ones have fewer anchors than proposals until they are padded.
    """
    for constant in net.target_generator.collect_params().values():  # it is made when first asked for
        constant.reset_ctx(contexts)
    parameters = net.collect_params()
    for parameter in parameters.values():
        if parameter._data is None and not parameter._deferred_init:
            parameter.initialize(ctx=contexts)
    outputs = mx.sym.Group(list(net(mx.sym.var("images"))))
    arguments, _, _ = outputs.infer_shape(images=(1, 3, STRIDE * ANCHOR_GRID, STRIDE * ANCHOR_GRID))
    for name, shape in zip(outputs.list_arguments(), arguments):
        if name in parameters and parameters[name]._deferred_init:
            parameters[name].shape = shape
            parameters[name]._finish_deferred_init()


def _freeze(net: HybridBlock, features: Mapping[str, HybridBlock], frozen_stages: int) -> None:
    stems = len(features) - _count_stages(features)  # 1 or 0
    frozen = list(features.values())[: stems + frozen_stages] if frozen_stages else []
    for block in frozen + _batch_norms(net):
        block.collect_params().setattr("grad_req", "null")
