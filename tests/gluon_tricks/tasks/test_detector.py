"""Faster-RCNN on the zoo: whose parameters are what, GluonCV's own network beside it, and a scene learnt by heart."""

import dataclasses
import math

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.data.augment import normalised
from gluon_tricks.networks.of_recipe import parameters_by_name, restore_plain_layout
from gluon_tricks.recipes.transfer import DetectionRecipe
from gluon_tricks.tasks.detection.anchors import map_size
from gluon_tricks.tasks.detection.build import _side_of, build_detector
from gluon_tricks.tasks.detection.evaluation import predict
from gluon_tricks.tasks.detection.exported import exported_form
from gluon_tricks.tasks.detection.loss import detection_losses
from gluon_tricks.tasks.detection.metrics import overlaps
from gluon_tricks.tasks.detection.settings import ROI_SETTINGS, RoISettings
from model_zoo import get_model

TINY = RoISettings(
    **dict(short=96, longest=96, anchor_scales=(2, 3), anchor_samples=64, smallest_proposal=8, channels=64),
    **dict(candidates=200, candidates_in_prediction=200, proposals=40, proposals_in_prediction=20),
    **dict(roi_size=4, roi_samples=16),
)
CLASSES = ("red", "blue")


def base(name, **kwargs):
    net = get_model(name, classes=3, **kwargs)
    net.initialize(mx.init.MSRAPrelu())
    return net


def frozen(net):
    return {name for name, p in parameters_by_name(net).items() if p.grad_req == "null"}


def names(net, *beginnings):
    return {name for name in parameters_by_name(net) if name.startswith(beginnings)}


def norms(net):
    return {n for n in parameters_by_name(net) if n.endswith(("gamma", "beta", "running_mean", "running_var"))}


CONSTANTS = {"rpn.anchor_generator.anchors", *(f"_target_generator._box_encoder.{n}" for n in ("means", "stds"))}


def test_parameters_of_a_resnet():
    classifier = base("resnet18_v1d", use_global_stats=True)
    net = build_detector(classifier, CLASSES, TINY)
    own = {n.split(".", 1)[1] for n in names(net, "features.")} | {
        n.split(".", 1)[1] for n in names(net, "top_features.")
    }
    assert own == set(parameters_by_name(classifier)) - {"head.weight", "head.bias"}
    assert {n.split(".")[1] for n in names(net, "features.")} == {"stem", "stage1", "stage2", "stage3"}
    assert {n.split(".")[1] for n in names(net, "top_features.")} == {"stage4"}
    assert frozen(net) == names(net, "features.stem", "features.stage1") | norms(net) | CONSTANTS
    assert parameters_by_name(net)["class_predictor.weight"].shape == (3, 512)
    assert parameters_by_name(net)["box_predictor.weight"].shape == (8, 512)
    everything = build_detector(base("resnet18_v1d", use_global_stats=True), CLASSES, TINY, frozen_stages=0)
    assert frozen(everything) == norms(everything) | CONSTANTS


def test_parameters_of_a_vgg():
    """Trained at 64 px its dense layers take 2x2 places of 512 channels, so regions are pooled to 2x2."""
    classifier = base("vgg11")
    classifier(mx.nd.zeros((1, 3, 64, 64)))
    net = build_detector(classifier, CLASSES, TINY, frozen_stages=2)
    own = {n.split(".", 1)[1] for n in names(net, "features.")}
    assert own == {n for n in parameters_by_name(classifier) if n.startswith("stage")}
    assert names(net, "box_features.") == {f"box_features.{k}.{kind}" for k in (1, 4) for kind in ("weight", "bias")}
    assert net._roi_size == (2, 2)
    assert frozen(net) == names(net, "features.stage1.", "features.stage2.") | CONSTANTS
    ids, scores, boxes = predict(net, mx.nd.zeros((1, 3, 64, 96)))
    assert ids.shape == scores.shape == (1, 40) and boxes.shape == (1, 40, 4)


@pytest.mark.parametrize(
    "name, channels, top",
    [
        ("resnet50_v1", 1024, 2048),
        ("se_resnext50_32x4d", 1024, 2048),
        ("mobilenet0.25", 128, 256),
        ("densenet121", 1024, 1024),
        ("inceptionv3", 768, 2048),
        ("googlenet", 832, 1024),
        ("vgg16_bn", 512, 4096),
        ("vgg19", 512, 4096),  # the paper's predecessor
        ("alexnet", 256, 4096),
    ],
)
def test_other_networks_split_at_stride_16(name, channels, top, monkeypatch):
    """Traced only: to compute them all would take a minute."""
    classifier = get_model(name, classes=3, **({} if name in ("vgg19", "alexnet") else {"use_global_stats": True}))
    classifier.initialize()
    if name in ("vgg16_bn", "vgg19", "alexnet"):
        classifier.neck[1].weight.shape = (4096, {"alexnet": 256 * 6 * 6}.get(name, 512 * 7 * 7))
    monkeypatch.setattr(mx.gluon.Parameter, "_finish_deferred_init", lambda self: None)  # no memory is taken
    net = build_detector(classifier, CLASSES, ROI_SETTINGS["small"])
    maps = net.features(mx.sym.var("images")).infer_shape(images=(1, 3, 320, 480))[1][0]
    assert maps[1] == channels and abs(maps[2] - 20) <= 3 and abs(maps[3] - 30) <= 3
    assert parameters_by_name(net)["class_predictor.weight"].shape == (3, top)
    assert net._roi_size == ((6, 6) if name == "alexnet" else (7, 7))
    added = exported_form(net, DetectionRecipe(model=name, dataset="voc"))[1].added  # as other programs count places
    for side in range(net.smallest_side, net.smallest_side + 40):
        assert map_size(net, side, side)[0] == (side + added) // 16


@pytest.mark.parametrize("name, side", [("vgg11", 7), ("alexnet", 6)])
def test_dense_layers_without_parameters_take_maps_of_224_px(name, side):
    assert _side_of(get_model(name)) == side


def test_unfit_bases_are_refused():
    for name, kwargs, said in (
        ("cifar_resnet20_v1", {"use_global_stats": True}, "takes images of mean"),
        ("cvjena_alexnet", {"use_global_stats": True}, "takes images of mean"),
        ("resnet18_v1b", {"use_global_stats": True, "dilated": True}, "strides 4, 4, 8, 8, 8, no 16 before its last"),
        ("resnet18_v1b", {}, "build it with use_global_stats=True"),
    ):
        with pytest.raises(Refused, match=said):
            build_detector(base(name, **kwargs), CLASSES, TINY)
    with pytest.raises(Refused, match="use a ResNet, SE-ResNet or ResNeXt that is not dilated, a MobileNet"):
        build_detector(base("cifar_plain20"), CLASSES, TINY)
    with pytest.raises(Refused, match="no parameters yet"):
        build_detector(get_model("mobilenet0.25", use_global_stats=True), CLASSES, TINY)
    good = base("mobilenet0.25", use_global_stats=True)
    with pytest.raises(Refused, match="frozen_stages is 5: mobilenet0.25 has 0 to 4 to freeze"):
        build_detector(good, CLASSES, TINY, frozen_stages=5)
    with pytest.raises(Refused, match="red, red: name one or more, each once"):
        build_detector(good, ("red", "red"), TINY)
    with pytest.raises(Refused, match="RoI setting anchor_scales is .*above 0"):
        RoISettings(anchor_scales=())
    with pytest.raises(Refused, match="short <= longest <= 2048"):
        RoISettings(short=800, longest=600)


def test_equals_gluoncv():
    """GluonCV's ResNet-50-B for VOC, given our parameters in their order (8 proposals, for the sake of time)."""
    import gluoncv

    mx.random.seed(2)
    settings = RoISettings(proposals_in_prediction=8)
    net = build_detector(base("resnet50_v1b", use_global_stats=True), gluoncv.data.VOCDetection.CLASSES, settings)
    theirs = gluoncv.model_zoo.get_model("faster_rcnn_resnet50_v1b_voc", pretrained_base=False)
    theirs.initialize()
    theirs._rpn_test_post_nms = theirs.rpn._test_post_nms = 8
    images = mx.nd.array(np.random.default_rng(3).normal(size=(1, 3, 64, 96)).astype(np.float32))
    theirs(images)
    blocks = ("features", "top_features", "class_predictor", "box_predictor", "rpn")
    for block in blocks:
        ours_in_order, theirs_in_order = (list(getattr(n, block).collect_params().values()) for n in (net, theirs))
        assert len(ours_in_order) == len(theirs_in_order)
        for ours, other in zip(ours_in_order, theirs_in_order):
            if not isinstance(other, mx.gluon.parameter.Constant):
                other.set_data(ours.data())
    assert all(getattr(net, key) == getattr(theirs, key) for key in ("nms_thresh", "nms_topk", "short", "max_size"))
    assert (net._num_sample, net.sampler._max_pos) == (theirs._num_sample, theirs.sampler._max_pos) == (128, 32)
    for ours, other in zip(net(images), theirs(images)):
        assert ours.shape == other.shape and np.abs(ours.asnumpy() - other.asnumpy()).max() < 1e-4
    assert (net(images)[0].asnumpy() >= 0).sum() > 10


@pytest.fixture(scope="module")
def scene():
    """96x96 px with a red and a blue rectangle, and their boxes."""
    image = np.full((1, 96, 96, 3), 110, np.uint8)
    image[0, 10:42, 8:40], image[0, 48:88, 36:84] = [230, 30, 30], [30, 30, 230]
    return normalised(image, mx.cpu()), np.array([[[8, 10, 39, 41, 0], [36, 48, 83, 87, 1]]], np.float32)


def with_statistics(images, folder):
    """A ResNet-18 of random weights whose running statistics are those of the images."""
    mx.random.seed(0)
    plain = base("resnet18_v1b", norm_kwargs={"momentum": 0.0})
    with autograd.record():
        plain(images)
    mx.nd.waitall()
    plain.save_parameters(str(folder / "base.params"))
    net = base("resnet18_v1b", use_global_stats=True)
    net.load_parameters(str(folder / "base.params"))
    return net


def test_learns_a_scene_by_heart(scene, tmp_path):
    """32 steps halve the loss at least, and both rectangles are found; then a file gives the same predictions."""
    images, boxes = scene
    net = build_detector(with_statistics(images, tmp_path), CLASSES, TINY, frozen_stages=3)
    net.hybridize(static_alloc=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.01, "momentum": 0.9})
    losses = []
    for step in range(32):
        mx.random.seed(step)
        with autograd.record():
            loss = sum(detection_losses(net, images, boxes, generator(0, "anchors", step)))
        loss.backward()
        trainer.step(1)
        losses.append(loss.asscalar())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:2])
    ids, scores, found = (part.asnumpy()[0] for part in predict(net, images))
    for label in (0, 1):
        best = np.where(ids == label, scores, 0).argmax()
        assert overlaps(found[best : best + 1], boxes[0, label : label + 1, :4])[0, 0] > 0.5
    restore_plain_layout(net)
    net.save_parameters(str(tmp_path / "detector.params"))
    other = build_detector(base("resnet18_v1b", use_global_stats=True), CLASSES, TINY)
    other.load_parameters(str(tmp_path / "detector.params"))
    for ours, again in zip(predict(net, images), predict(other, images)):
        assert np.abs(ours.asnumpy() - again.asnumpy()).max() < 1e-3  # hybridized and not


def test_predictions_leave_training_as_it_was(scene):
    """Training, prediction of several images of other sizes, training: hybridized as not hybridized."""
    images, boxes = scene
    several = mx.nd.concat(images, images, dim=0)
    found = {}
    for hybrid in (False, True):
        mx.random.seed(4)
        net = build_detector(base("mobilenet0.25", use_global_stats=True), CLASSES, TINY)
        if hybrid:
            net.hybridize(static_alloc=True)
        found[hybrid] = []
        for count in (1, 2, 1):
            mx.random.seed(count)
            with autograd.record():
                loss = sum(detection_losses(net, several[:count], np.repeat(boxes, count, 0), generator(0, "anchors")))
            loss.backward()
            found[hybrid] += [loss, parameters_by_name(net)["features.stage2.0.pointwise.weight"].grad().copy()]
            found[hybrid] += predict(net, several, np.array([[96, 96], [64, 80]]))
    for hybrid, plain in zip(found[True], found[False]):
        assert hybrid.shape == plain.shape and np.abs((hybrid - plain).asnumpy()).max() < 1e-3
    (first, gradient), (last, again) = found[True][:2], found[True][10:12]
    assert first.asscalar() == last.asscalar() and (gradient == again).asnumpy().all()
    ids, _, inside = (part.asnumpy()[1] for part in found[True][2:5])
    assert (ids >= 0).any() and inside[ids >= 0].max(axis=0)[[0, 2]].max() <= 80
    assert inside[ids >= 0][:, 3].max() <= 64


def test_proposals_that_are_no_numbers_are_none():
    """Corners of NaN or infinity end MXNet's ROIAlign with a signal; a diverging training has some.

    An anchor from 0 to 10 px, whose centre is moved by 0.1 of its 10 px: from 1 to 11.
    """
    from gluon_tricks.tasks.detection.faster_rcnn import FiniteProposals

    anchors = mx.nd.array([[[0, 0, 10, 10]] * 3])
    score, image = mx.nd.array([[[0.5], [math.nan], [0.25]]]), mx.nd.zeros((1, 3, 32, 32))
    boxes = mx.nd.array([[[0.1, 0.1, 0, 0], [0.1, 0.1, 0, 0], [math.nan, 0.1, 0, math.inf]]])
    block = FiniteProposals(4.0, 1, stds=(1.0,) * 4)
    for hybrid in (False, True):
        block.hybridize(hybrid)
        found = block(anchors, score, boxes, image).asnumpy()[0]
        assert np.isfinite(found).all()
        np.testing.assert_allclose(found[:2], [[0.5, 1, 1, 11, 11], [-1, 1, 1, 11, 11]], atol=1e-5)


@pytest.mark.parametrize("name, side", [("resnet18_v1b", 8), ("vgg11", 32)])
def test_the_smallest_images_are_padded_until_they_have_anchors_for_all_proposals(name, side):
    """40 proposals in training take 7 places of 6 anchors each, 20 in prediction 4; an image of 8 px has one, and one
    of 32 px 4."""
    settings = dataclasses.replace(TINY, short=side, longest=side)
    net = build_detector(
        base(name, **({"use_global_stats": True} if name.startswith("resnet") else {})), CLASSES, settings
    )
    box = np.array([[[0, 0, side - 2, side - 2, 1]]], np.float32)
    with autograd.record():
        losses = detection_losses(net, mx.nd.zeros((1, 3, side, side)), box, generator(0, "anchors"))
    assert all(math.isfinite(loss.asscalar()) for loss in losses)
    assert predict(net, mx.nd.zeros((1, 3, side, side)))[2].shape[2] == 4
