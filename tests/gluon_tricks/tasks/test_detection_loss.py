"""Targets of anchors and the four losses: worked by hand, beside GluonCV's own training step, and repeatable."""

import dataclasses
import math
from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.keyed_random import generator
from gluon_tricks.tasks.detection.anchors import with_room
from gluon_tricks.tasks.detection.build import build_detector
from gluon_tricks.tasks.detection.evaluation import predict
from gluon_tricks.tasks.detection.loss import anchor_targets, detection_losses
from gluon_tricks.tasks.detection.settings import RoISettings
from model_zoo import get_model

SETTINGS = RoISettings(
    **dict(short=64, longest=96, anchor_scales=(1,), smallest_proposal=4, candidates=48, candidates_in_prediction=48),
    **dict(proposals=30, proposals_in_prediction=8, roi_size=2, roi_samples=8, channels=8),
)


def make_detector():
    mx.random.seed(1)
    base = get_model("mobilenet0.25", classes=4, use_global_stats=True)
    base.initialize(mx.init.MSRAPrelu())
    net = build_detector(base, ("cat", "dog", "cow"), SETTINGS)
    net.hybridize(static_alloc=True)
    return net


@pytest.fixture(scope="module")
def net():
    return make_detector()


def rows(*boxes, most=3):
    """(most, 5) boxes, padded."""
    return np.concatenate([np.array(boxes, np.float32).reshape(-1, 5), np.full((most - len(boxes), 5), -1, np.float32)])


# The anchors of a place (i, j) are squares of 16 px from (16 i, 16 j), boxes 23 px wide and 12 high around the same
# centre, which reach 3.5 px out at the left, and boxes 11 wide and 23 high or so, which reach out at the top.
BOX = [16, 18, 31, 33, 2]  # the square of place (1, 1), two px lower: IoU 195 / 255 = 0.76


def test_anchor_targets_by_hand(net):
    """64x64 px hold 16 squares, 8 wide and 8 high anchors. One square is right; the wide (IoU 165 / 302) and the high
    one (150 / 285) around it are neither; the rest overlaps the box by less than 0.3."""
    classes, offsets, weights = anchor_targets(net, (64, 64), rows(BOX)[None], generator(0, "anchors"))
    assert classes.shape == (1, 48) and offsets.shape == weights.shape == (1, 48, 4)
    counts = [(classes == kind).sum() for kind in (1, 0, -1)]
    assert counts == [1, 32 - 3, 48 - 30]
    at = np.flatnonzero(classes[0] == 1)
    assert offsets[0, at] == pytest.approx(np.array([[0, 2 / 15, 0, 0]]), abs=1e-6)  # of 15 px, corner to corner
    assert weights.sum() == 4 and (weights[0, at] == 1).all()


def test_anchors_in_the_padding_are_not_taken(net):
    """Of 48x64 px in a batch of 64x64: 12 squares, 6 wide, 4 high."""
    boxes = np.stack([rows(BOX), rows(BOX)])
    sizes = np.array([[64, 64], [48, 64]])
    classes, _, _ = anchor_targets(net, (64, 64), boxes, generator(0, "anchors"), sizes)
    assert [(kinds == 0).sum() for kinds in classes] == [29, 19]
    alone, _, _ = anchor_targets(net, (48, 64), boxes[1:], generator(0, "anchors"))
    assert (classes[1].reshape(4, 4, 3)[:3].ravel() == alone[0]).all()  # no sample is drawn: all fit into 256
    assert (classes[1].reshape(4, 4, 3)[3] == -1).all()


def test_an_image_without_objects_is_background(net):
    classes, offsets, weights = anchor_targets(net, (64, 64), rows()[None], generator(0, "anchors"))
    assert [(classes == kind).sum() for kind in (1, 0, -1)] == [0, 32, 16]
    assert not offsets.any() and not weights.any()


def test_the_sample_of_anchors_is_half_positive_at_most_and_follows_the_generator(net, monkeypatch):
    squares = [[16 * i, 16 * j, 16 * i + 15, 16 * j + 15, 0] for i in range(4) for j in range(4)]
    monkeypatch.setattr(net, "settings", RoISettings(proposals=30, anchor_samples=10))
    first, again, other = (
        anchor_targets(net, (64, 64), rows(*squares, most=16)[None], generator(seed, "anchors", 7))[0]
        for seed in (3, 3, 4)
    )
    assert (first == 1).sum() == 5 and (first == 0).sum() == 0  # every other anchor overlaps a square by 0.3 and more
    assert (first == again).all() and (first != other).any()
    classes = anchor_targets(net, (64, 64), rows(BOX)[None], generator(3, "anchors", 7))[0]
    assert (classes == 1).sum() == 1 and (classes == 0).sum() == 9


class Answers:
    """A detector that says the same of everything: logits 0, offsets 0; its regions' targets are given."""

    settings, smallest_side = SETTINGS, 1

    def __init__(self, net):
        self.rpn, self.features = net.rpn, net.features

    def __call__(self, images, boxes, labels):
        assert autograd.is_training() and boxes.shape == (2, 3, 4) and labels.shape == (2, 3, 1)
        zeros = mx.nd.zeros
        labels = mx.nd.array([[2, 0, 0, 0], [0, -1, -1, -1]])  # 4 regions of the first image, 1 of the second
        targets, weights = zeros((2, 1, 3, 4)), zeros((2, 1, 3, 4))
        targets[0, 0, 1, 2], weights[0, 0, 1] = 3, 1
        return [zeros((2, 4, 4)), zeros((2, 1, 3, 4)), *[None] * 3, zeros((2, 48, 1)), zeros((2, 48, 4)), None] + [
            *(labels, targets, weights),
            None,
        ]


def test_losses_by_hand(net):
    """30 anchors of the first image and 20 of the second are sampled; each costs ln 2. The offset of 2/15, which is
    above 1/9, costs 2/15 - 1/18 in either image. 4 and 1 regions cost ln 4 each; the offset of 3 costs 3 - 1/2."""
    with autograd.train_mode():
        losses = detection_losses(
            Answers(net),
            mx.nd.zeros((2, 3, 64, 64)),
            np.stack([rows(BOX), rows(BOX)]),
            generator(0, "anchors"),
            np.array([[64, 64], [48, 64]]),
        )
    offset = 2 / 15 - 1 / 18
    for part, expected in zip(
        losses,
        (
            [2 * 30 / 50 * math.log(2), 2 * 20 / 50 * math.log(2)],
            [2 * offset / 50, 2 * offset / 50],
            [2 * 4 / 5 * math.log(4), 2 * 1 / 5 * math.log(4)],
            [2 * 2.5 / 5, 0],
        ),
    ):
        assert part.asnumpy() == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def scene():
    images = mx.nd.array(np.random.default_rng(0).normal(size=(2, 3, 64, 96)).astype(np.float32))
    return images, np.stack([rows(BOX, [40, 10, 70, 60, 0]), rows([5, 5, 60, 50, 1])])


def gradients(net, step):
    """The gradients after step(), by name."""
    mx.random.seed(11)
    step()
    mx.nd.waitall()
    learning = {name: p for name, p in net._collect_params_with_prefix().items() if p.grad_req != "null"}
    return {name: p.grad().asnumpy() for name, p in learning.items()}


def test_equals_gluoncv(net, scene):
    """GluonCV's own training step, on the same network with the same targets and random numbers."""
    from gluoncv.model_zoo.rcnn.faster_rcnn.data_parallel import ForwardBackwardTask
    from mxnet.gluon import loss as gluon

    images, boxes = scene
    ours, theirs = [], []

    def our_step():
        with autograd.record():
            ours.extend(detection_losses(net, images, boxes, generator(0, "anchors")))
            total = sum(ours)
        total.backward()

    def their_step():
        step = ForwardBackwardTask(
            *(net, None, gluon.SigmoidBinaryCrossEntropyLoss(), gluon.HuberLoss(1 / 9)),
            *(gluon.SoftmaxCrossEntropyLoss(), gluon.HuberLoss(1), 1.0, False),
        )
        targets = anchor_targets(net, (64, 96), boxes, generator(0, "anchors"))
        theirs.extend(step.forward_backward([images, mx.nd.array(boxes), *map(mx.nd.array, targets)])[:4])

    ours_by_name, theirs_by_name = gradients(net, our_step), gradients(net, their_step)
    assert [part.mean().asscalar() for part in ours] == pytest.approx([p.asscalar() for p in theirs], rel=1e-5)
    assert min(part.mean().asscalar() for part in ours) > 1e-5
    for name, expected in theirs_by_name.items():
        assert np.abs(ours_by_name[name] - expected).max() <= 1e-5 * np.abs(expected).max(), name
    assert np.abs(theirs_by_name["features.stage2.0.depthwise.weight"]).max() > 0


def test_the_same_seeds_give_the_same_bits(scene):
    images, boxes = scene

    def step(net):
        with autograd.record():
            loss = sum(detection_losses(net, images, boxes, generator(5, "anchors", 3)))
        loss.backward()

    first, again = (gradients(net, lambda net=net: step(net)) for net in (make_detector(), make_detector()))
    assert first.keys() == again.keys()
    assert all((first[name] == again[name]).all() for name in first)


def test_a_strip_has_room_for_the_proposals(net):
    """32 x 64 px have 24 anchors and 30 proposals: the image is padded, and its anchors are those of before."""
    with autograd.record():
        loss = sum(
            detection_losses(net, mx.nd.zeros((1, 3, 32, 64)), rows([2, 4, 60, 30, 1])[None], generator(0, "anchors"))
        )
    assert np.isfinite(loss.asnumpy()).all()
    padded = with_room(net, mx.nd.ones((1, 3, 32, 64)), 30)
    assert padded.shape == (1, 3, 48, 64) and padded[0, 0].asnumpy()[32:].max() == 0 and padded.sum() == 3 * 32 * 64
    assert with_room(net, padded, 30) is padded
    inside = anchor_targets(net, (48, 64), rows(BOX)[None], generator(0, "anchors"), np.array([[32, 64]]))[0][0]
    assert (inside[24:] == -1).all() and (inside[:24] >= 0).any()


@pytest.mark.parametrize("height, width, padded", [(4, 96, (55, 96)), (96, 54, (96, 55)), (3, 5, (55, 55))])
def test_a_strip_is_as_high_as_the_convolutions_need(height, width, padded):
    """CaffeNet's features need 55 px. In an image as low as that no anchor lies, so that its box is not learned."""
    base = get_model("caffenet", classes=4, hidden=8)
    base.initialize(mx.init.MSRAPrelu())
    few = dataclasses.replace(SETTINGS, proposals=12, proposals_in_prediction=8)
    net, image = build_detector(base, ("cat", "dog", "cow"), few), mx.nd.ones((1, 3, height, width))
    assert with_room(net, image, 12).shape[2:] == padded
    with autograd.record():
        losses = detection_losses(net, image, rows([0, 0, 3, 2, 1])[None], generator(0, "anchors"))
    assert all(np.isfinite(part.asscalar()) for part in losses) and (losses.rpn_class.asscalar() > 0) == (width == 54)
    ids, _, boxes = predict(net, image)
    assert ids.shape == (1, 24) and boxes.max().asscalar() <= max(height, width)


def test_too_many_objects_and_too_large_images_are_refused(net):
    arguments = (np.full((1, 101, 5), -1), generator(0, "anchors"))
    with pytest.raises(Refused, match="101 objects: training takes at most 100"):
        sum(detection_losses(net, mx.nd.zeros((1, 3, 64, 64)), *arguments))
    with pytest.raises(Refused, match="2064x64 px are too large: a side has at most 2048 px"):
        sum(
            detection_losses(
                SimpleNamespace(**vars(Answers(net)), settings=SETTINGS, smallest_side=1),
                mx.nd.zeros((1, 3, 2064, 64)),
                *[rows(BOX)[None], generator(0, "anchors")],
            )
        )
