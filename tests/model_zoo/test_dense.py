"""Networks as convolutions over whole images: what they compute at their own size and beyond it."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, keywords
from model_zoo.classifier import Classifier
from model_zoo.dense import fully_convolutional

# One of each family, at the least side that it can be made for, or a side whose last map is larger than 1x1; those with
# a window (densenet, googlenet, inceptionv3) at a side whose map is the window.
AT_THEIR_SIZE = {
    **{"alexnet": 95, "alexnet_2012": 95, "zfnet": 95, "caffenet": 99, "caffenet_no_lrn": 67},
    **{"vgg11": 64, "vgg16": 32, "vgg11_bn": 64, "cvjena_alexnet": 99, "cvjena_vgg19": 33},
    **{"resnet18_v1d": 64, "se_resnet50_v1": 32, "cvjena_resnet10": 64, "mobilenet0.25": 64},
    **{"cifar_resnet20_v1": 32, "googlenet_2014": 64, "googlenet_2014_aux": 224},
    **{"densenet121": 224, "googlenet": 224, "inceptionv3": 299},
}


def made(name, side, classes=7):
    """With norms and biases that are not those of a beginning, so that no layer is left out unseen."""
    mx.random.seed(3)
    kwargs = {"batch_norm": True} if name == "caffenet" else {}
    if "hidden" in keywords(name):  # 4096 otherwise: most of the numbers
        kwargs["hidden"] = 64
    net = get_model(name, classes=classes, **kwargs)
    for parameter in net.collect_params().values():  # weights get theirs below, of as many numbers as are in a VGG
        parameter.init = "zeros" if parameter.name.endswith("weight") else parameter.init
    net.initialize()
    images = mx.nd.random.uniform(-2, 2, (2, 3, side, side))
    net(images)
    for key, parameter in net._collect_params_with_prefix().items():
        if key.endswith(("bias", "beta", "running_mean")):
            parameter.set_data(mx.nd.random.uniform(-0.1, 0.1, parameter.shape))
        if key.endswith("weight"):  # some networks begin so small that nothing of an image arrives
            bound = (6 / np.prod(parameter.shape[1:])) ** 0.5
            parameter.set_data(mx.nd.random.uniform(-bound, bound, parameter.shape))  # five times as fast as normal
    return net, images


@pytest.mark.parametrize("name", AT_THEIR_SIZE)
def test_at_the_native_size_it_is_the_network(name):
    net, images = made(name, AT_THEIR_SIZE[name])
    before = net(images)
    expected = (before[0] if isinstance(before, (list, tuple)) else before).asnumpy()
    dense = fully_convolutional(net)
    for hybridized in (False, True):
        dense.hybridize(hybridized)
        np.testing.assert_allclose(dense(images).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    assert np.ptp(expected, axis=0).max() > 1e-4 * np.abs(expected).max()  # the two images are told apart
    wider = mx.nd.random.uniform(-2, 2, (1, 3, AT_THEIR_SIZE[name] + 33, AT_THEIR_SIZE[name] + 70))
    assert dense(wider).shape == (1, 7) and dense.name == name


@pytest.mark.parametrize("name, side, stride", [("vgg11", 64, 32), ("cvjena_alexnet", 99, 32)])
def test_beyond_it_is_the_mean_over_windows_of_the_last_map(name, side, stride):
    """The dense layers at each place of a map two places wider, put there by hand."""
    net, _ = made(name, side)
    wide = mx.nd.random.uniform(-2, 2, (1, 3, side, side + 2 * stride))
    x = wide
    for part in net.trunk:
        x = part(x)
    height, width = x.shape[2:]
    assert width == height + 2
    expected = sum(net.head(net.neck(x[:, :, :, k : k + height])).asnumpy() for k in range(3)) / 3
    found = fully_convolutional(net)(wide).asnumpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


class Toy(Classifier):
    """The image itself is the last map: 3 channels, dense layers made for 2x2."""

    def __init__(self, neck):
        super().__init__("toy", classes=1)
        self.stage1 = nn.HybridLambda(lambda F, x: F.identity(x))
        self.neck = nn.HybridSequential()
        self.neck.add(*neck)
        self.head = nn.Dense(1)


def test_by_hand():
    """Weights 1 to 4 on the first channel of a 2x2 window, a relu, and 2 x + 0.5: the mean over two windows."""
    toy = Toy([nn.Flatten(), nn.Dense(1, activation="relu")])
    toy.initialize(mx.init.One())
    toy(mx.nd.zeros((1, 3, 2, 2)))
    toy.neck[1].weight.set_data(mx.nd.array([[1, 2, 3, 4] + [0] * 8]))
    toy.neck[1].bias.set_data(mx.nd.array([-31]))
    toy.head.weight.set_data(mx.nd.array([[2]]))
    toy.head.bias.set_data(mx.nd.array([0.5]))
    image = np.zeros((1, 3, 2, 3), np.float32)
    image[0, 0] = [[1, 2, 3], [4, 5, 6]]
    # left window 1 + 4 + 12 + 20 - 31 = 6 -> 12.5; right 2 + 6 + 15 + 24 - 31 = 16 -> 32.5
    dense = fully_convolutional(toy)
    assert dense(mx.nd.array(image)).asnumpy().tolist() == [[22.5]]
    assert toy(mx.nd.array(image[:, :, :, :2])).asnumpy().tolist() == [[12.5]]
    assert dense.smallest_side == 2
    with pytest.raises(Refused, match="toy as convolutions takes images of at least 2x2 pixels, but got 1x5"):
        dense(mx.nd.zeros((1, 3, 1, 5)))


def test_the_least_side_has_a_map_as_large_as_the_dense_layers_take():
    """VGG halves five times, rounding down: 7x7 from 224 px on. AlexNet's 2x2 at 95 px from 95 px on (tried)."""
    assert fully_convolutional(made("vgg11", 64)[0]).smallest_side == 64
    net, _ = made("alexnet", 95)
    dense = fully_convolutional(net)
    least = dense.smallest_side
    assert dense(mx.nd.zeros((1, 3, least, least))).shape == (1, 7)
    x = mx.nd.zeros((1, 3, least - 1, least - 1))
    for part in net.trunk:
        x = part(x)
    assert x.shape[2] == 1
    assert fully_convolutional(made("cifar_resnet20_v1", 32)[0]).smallest_side == 1


def test_its_numbers_are_those_of_the_network_on_every_device():
    net = get_model("vgg11", classes=3, hidden=64)
    contexts = [mx.cpu(0), mx.cpu(1)]
    net.initialize(ctx=contexts)
    net(mx.nd.zeros((1, 3, 32, 32)))
    dense = fully_convolutional(net)
    one, two = (dense(mx.nd.ones((1, 3, 64, 48), ctx=context)).asnumpy() for context in contexts)
    np.testing.assert_array_equal(one, two)


def test_what_cannot_become_convolutions_is_refused_by_name():
    with pytest.raises(Refused, match="vgg11 has no parameters yet"):
        fully_convolutional(get_model("vgg11"))
    toy = Toy([nn.Flatten(), nn.LayerNorm(), nn.Dense(1)])
    toy.initialize()
    toy(mx.nd.zeros((1, 3, 2, 2)))
    with pytest.raises(Refused, match="toy cannot see whole images: its LayerNorm works on a vector only"):
        fully_convolutional(toy)
    toy = Toy([nn.Flatten(), nn.Dense(1)])
    toy.initialize()
    toy(mx.nd.zeros((1, 3, 2, 3)))
    with pytest.raises(Refused, match="its dense layers take 18 numbers of 3 channels, no square map"):
        fully_convolutional(toy)
