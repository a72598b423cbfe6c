"""With the same weights, each network computes what GluonCV's network of that name computes.

The weights go through a file that GluonCV saved, so these tests hold for weights.py too.
"""

import functools

import gluoncv
import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo.cifarresnet import get_cifar_resnet
from gluoncv.model_zoo.resnet import BottleneckV1, ResNetV1
from gluoncv.model_zoo.resnetv1b import BasicBlockV1b, BottleneckV1b, ResNetV1b
from mxnet import autograd, gluon

import model_zoo
from model_zoo import naming, weights

NAMES = [f"resnet{depth}_{variant}" for depth in (18, 34) for variant in ("v1", "v1b")]
NAMES += [f"resnet{depth}_{variant}" for depth in (50, 101, 152) for variant in ("v1", "v1b", "v1c", "v1d")]
NAMES += ["resnext50_32x4d", "resnext101_32x4d", "se_resnet50_v1", "se_resnext50_32x4d"]
NAMES += ["inceptionv3", "mobilenet1.0", "mobilenet0.75", "mobilenet0.5", "mobilenet0.25", "googlenet"]
NAMES += ["densenet121", "densenet169", "densenet201", "alexnet"]
NAMES += [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
NAMES += ["cifar_resnet20_v1", "cifar_resnet56_v1", "cifar_resnet110_v1"]

SIDE = 33  # an odd map in every stage of a ResNet: 17, 9, 5, 3, 2
SIDES = {"densenet": 221, "inception": 299, "googlenet": 223, "alexnet": 63}  # families that take no image so small


def through_file(theirs, name, folder, **kwargs):
    """Our network of that name, from a file saved by theirs."""
    path = folder / "theirs.params"
    theirs.save_parameters(str(path))
    ours = model_zoo.get_model(name, pretrained=path, **kwargs)
    path.unlink()  # up to 550 MB, and pytest keeps folders
    return ours


def assert_same_logits(ours, theirs, x):
    expected = theirs(x).asnumpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def assert_reads_what_save_writes(theirs, ours, path):
    """Their network has forgotten its numbers and gets every one of them back, bit for bit, from our file."""
    expected = {key: p.data() for key, p in theirs._collect_params_with_prefix().items()}
    weights.save(ours, path, "gluoncv")
    for parameter in theirs.collect_params().values():
        parameter.initialize(mx.init.Zero(), force_reinit=True)  # another array: those of `expected` stay
    theirs.load_parameters(str(path))  # no parameter too few, none too many
    path.unlink()
    for key, p in theirs._collect_params_with_prefix().items():
        assert p.data() is not expected[key], key
        assert np.array_equal(p.data().asnumpy(), expected[key].asnumpy()), key


def loss_and_backward(net, x):
    mx.random.seed(3)  # the same dropout in both
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(x), mx.nd.arange(len(x)))
    loss.backward()
    return loss.asnumpy()


# What GluonCV's classes can build, but has no name for.
UNNAMED = {
    **{f"cifar_resnet{depth}_v1": functools.partial(get_cifar_resnet, 1, depth) for depth in (32, 44)},
    **{
        f"resnet{depth}_{variant}": functools.partial(
            ResNetV1b, block, counts, deep_stem=variant != "v1b", avg_down=variant == "v1d"
        )
        for depth, block, counts, variants in (
            (18, BasicBlockV1b, [2, 2, 2, 2], ("v1c", "v1d")),
            (26, BottleneckV1b, [2, 2, 2, 2], ("v1b", "v1c", "v1d")),
            (34, BasicBlockV1b, [3, 4, 6, 3], ("v1c", "v1d")),
        )
        for variant in variants
    },
    "resnet26_v1": functools.partial(ResNetV1, BottleneckV1, [2, 2, 2, 2], [64, 256, 512, 1024, 2048]),
}


@pytest.mark.parametrize("name", [*NAMES, *UNNAMED])
def test_logits_loss_and_gradients(name, tmp_path, randomise, images):
    side = next((side for family, side in SIDES.items() if name.startswith(family)), SIDE)
    theirs = UNNAMED[name]() if name in UNNAMED else gluoncv.model_zoo.get_model(name)
    differentiable = [p for p in theirs.collect_params().values() if p.grad_req != "null"]
    theirs.collect_params().setattr("grad_req", "null")  # up to the backward pass
    ours = through_file(randomise(theirs, side), name, tmp_path)
    assert max(ours.smallest_side, SIDE) == side
    assert ours.peers["gluoncv"].model == (None if name in UNNAMED else name)
    assert_same_logits(ours, theirs, images(2, side))
    assert_reads_what_save_writes(theirs, ours, tmp_path / "ours.params")

    ours.cast("float64"), theirs.cast("float64")
    for parameter in differentiable:
        parameter.grad_req = "write"
    parameters, compared = ours._collect_params_with_prefix(), 0
    x = images(2, side, "float64")
    np.testing.assert_allclose(loss_and_backward(ours, x), loss_and_backward(theirs, x), rtol=1e-8)
    table = ours.peers["gluoncv"].names
    names = {naming.rename(key, table): key for key in parameters}
    for key, parameter in theirs._collect_params_with_prefix().items():
        if parameter.grad_req == "null":
            continue
        expected, seen = parameter.grad().asnumpy(), parameters[names[key]].grad().asnumpy()
        size = np.abs(expected).max()
        idle = key.endswith("bias") and size < 1e-10  # a norm takes a bias before it away: its gradient is 0
        assert idle or size > 1e-6, key
        assert np.abs(seen - expected).max() <= 1e-8 * (1 if idle else size), key
        compared += 1
    assert compared == sum(p.grad_req != "null" for p in parameters.values())


def test_every_peer_is_compared():
    peers = {name: model_zoo.get_model(name).peers.get("gluoncv") for name in model_zoo.list_models()}
    assert {name for name, peer in peers.items() if peer and peer.model} == set(NAMES)
    assert {name for name, peer in peers.items() if peer and not peer.model} == set(UNNAMED)


@pytest.mark.parametrize("name", ["resnet18_v1b", "resnet50_v1b", "resnet50_v1d"])
def test_dilated(name, tmp_path, randomise, images):
    theirs = randomise(gluoncv.model_zoo.get_model(name, dilated=True), SIDE)
    ours = through_file(theirs, name, tmp_path, dilated=True)
    assert_same_logits(ours, theirs, images(2, 64))
    assert ours.features_at(4)(images(1, 64)).shape == (1, 512 if "18" in name else 2048, 8, 8)  # output stride 8


@pytest.mark.parametrize("name", ["resnet18_v1", "se_resnet50_v1", "mobilenet0.25", "alexnet", "cifar_resnet20_v1"])
def test_gluoncv_reads_other_classes_of_what_save_writes(name, tmp_path, randomise, images):
    """Of all networks: see above."""
    side = max(SIDE, model_zoo.get_model(name).smallest_side)
    ours = randomise(model_zoo.get_model(name, classes=7), side)
    weights.save(ours, tmp_path / "ours.params", "gluoncv")
    theirs = gluoncv.model_zoo.get_model(name, classes=7)
    theirs.load_parameters(str(tmp_path / "ours.params"))
    (tmp_path / "ours.params").unlink()
    assert_same_logits(ours, theirs, images(2, side))
