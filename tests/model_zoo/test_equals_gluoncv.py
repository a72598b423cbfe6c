"""With the same weights, each ResNet computes what GluonCV's network of that name computes.

The weights go through a file that GluonCV saved, so these tests hold for weights.py too.
"""

import gluoncv
import mxnet as mx
import numpy as np
import pytest
from gluoncv.model_zoo.resnetv1b import BasicBlockV1b, ResNetV1b
from mxnet import autograd, gluon

import model_zoo
from gluon_tricks.runtime import generator
from model_zoo import weights

NAMES = [f"resnet{depth}_{variant}" for depth in (18, 34) for variant in ("v1", "v1b")]
NAMES += [f"resnet{depth}_{variant}" for depth in (50, 101, 152) for variant in ("v1", "v1b", "v1c", "v1d")]
NAMES += ["resnext50_32x4d", "resnext101_32x4d", "se_resnet50_v1", "se_resnext50_32x4d"]


def randomise(net):
    """Random weights, biases, gammas, betas and running statistics."""
    net.initialize(mx.init.Zero())
    net(mx.nd.zeros((1, 3, 33, 33)))  # GluonCV infers its shapes
    mx.random.seed(1)
    for name, parameter in net._collect_params_with_prefix().items():
        bound = (4.5 / np.prod(parameter.shape[1:])) ** 0.5 if name.endswith("weight") else 0.4
        low, high = (0.4, 1.1) if name.endswith(("gamma", "running_var")) else (-bound, bound)
        parameter.set_data(mx.nd.random.uniform(low, high, parameter.shape))
    return net


def images(count, side, dtype="float32"):
    return mx.nd.array(generator(1, "test images").standard_normal((count, 3, side, side)), dtype=dtype)


def through_file(theirs, name, folder, **kwargs):
    """Our network of that name, from a file saved by theirs."""
    path = folder / "theirs.params"
    theirs.save_parameters(str(path))
    ours = model_zoo.get_model(name, pretrained=path, **kwargs)
    path.unlink()  # up to 240 MB, and pytest keeps folders
    return ours


def assert_same_logits(ours, theirs, side):
    x = images(2, side)
    expected = theirs(x).asnumpy()
    assert expected.std() > 1e-3
    np.testing.assert_allclose(ours(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def loss_and_backward(net, x):
    with autograd.record():
        loss = gluon.loss.SoftmaxCrossEntropyLoss()(net(x), mx.nd.arange(len(x)))
    loss.backward()
    return loss.asnumpy()


@pytest.mark.parametrize("name", NAMES)
def test_logits_loss_and_gradients(name, tmp_path):
    theirs = randomise(gluoncv.model_zoo.get_model(name))
    ours = through_file(theirs, name, tmp_path)
    side = 33  # an odd map in every stage: 17, 9, 5, 3, 2
    assert_same_logits(ours, theirs, side)

    ours.cast("float64"), theirs.cast("float64")
    parameters, compared = ours._collect_params_with_prefix(), 0
    x = images(2, side, "float64")
    np.testing.assert_allclose(loss_and_backward(ours, x), loss_and_backward(theirs, x), rtol=1e-8)
    table = ours.peers["gluoncv"].names
    names = {weights.rename(key, table): key for key in parameters}
    for key, parameter in theirs._collect_params_with_prefix().items():
        if parameter.grad_req == "null":
            continue
        expected, seen = parameter.grad().asnumpy(), parameters[names[key]].grad().asnumpy()
        idle = key.endswith("bias") and ".body." in key  # BatchNorm takes a bias before it away: its gradient is 0
        size = np.abs(expected).max()
        assert (size < 1e-10) if idle else (size > 1e-6), key
        assert np.abs(seen - expected).max() <= 1e-8 * (1 if idle else size), key
        compared += 1
    assert compared == sum(p.grad_req != "null" for p in parameters.values())


@pytest.mark.parametrize("name", ["resnet18_v1b", "resnet50_v1b", "resnet50_v1d"])
def test_dilated(name, tmp_path):
    theirs = randomise(gluoncv.model_zoo.get_model(name, dilated=True))
    ours = through_file(theirs, name, tmp_path, dilated=True)
    assert_same_logits(ours, theirs, 64)
    x = ours.stem(images(1, 64))
    for stage in (ours.stage1, ours.stage2, ours.stage3, ours.stage4):
        x = stage(x)
    assert x.shape == (1, 512 if "18" in name else 2048, 8, 8)  # output stride 8


def test_a_basic_block_d_is_built_as_gluoncv_would(tmp_path):
    theirs = randomise(ResNetV1b(BasicBlockV1b, [2, 2, 2, 2], deep_stem=True, avg_down=True, classes=10))
    assert_same_logits(through_file(theirs, "resnet18_v1d", tmp_path, classes=10), theirs, 33)


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet50_v1", "resnet18_v1b", "resnet50_v1c", "resnet50_v1d"])
def test_gluoncv_reads_what_save_gluoncv_writes(name, tmp_path):
    ours = randomise(model_zoo.get_model(name, classes=7))
    weights.save_gluoncv(ours, tmp_path / "ours.params")
    theirs = gluoncv.model_zoo.get_model(name, classes=7)
    theirs.load_parameters(str(tmp_path / "ours.params"))
    (tmp_path / "ours.params").unlink()
    assert_same_logits(ours, theirs, 33)
