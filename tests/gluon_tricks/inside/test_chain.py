"""Networks as chains: what comes out forward, and the way back, worked out by hand or by MXNet's gradients."""

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd, nd
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.inside.chain import Chain
from gluon_tricks.inside.deconvolution import project
from model_zoo import get_model
from model_zoo.lrn import LRN


def chain_of(*layers, shape=(1, 1, 6, 6)):
    net = nn.HybridSequential()
    net.add(*layers)
    net.initialize(mx.init.Normal(0.5))
    net(nd.zeros(shape))  # shapes
    return net, Chain(net)


def set_weights(layer, weights, bias=0.0):
    layer.weight.set_data(nd.array(weights))
    layer.bias.set_data(nd.full(layer.bias.shape, bias))


def test_one_layer_goes_back_as_its_transpose():
    """Place (1, 2) of a convolution with stride 2 and padding 1 sees rows 1 to 3 and columns 3 to 5."""
    net, chain = chain_of(nn.Conv2D(1, 3, strides=2, padding=1, in_channels=1))
    weights = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    set_weights(net[0], weights, bias=10.0)
    images = np.zeros((1, 1, 6, 6), np.float32)
    images[0, 0, 2, 4] = 2  # under the middle of the filter: 2 * 5 + 10
    wanted = np.zeros((6, 6), np.float32)
    wanted[1:4, 3:6] = 20 * weights[0, 0]  # the activation by the filter; the bias stays behind
    (layer,) = chain.layers
    np.testing.assert_allclose(project(chain, layer, nd.array(images), [(0, 1, 2)])[0, 0], wanted)
    assert chain.sees(layer, 1, 2, 6, 6) == (1, 3, 4, 6)
    assert chain.sees(layer, 0, 0, 6, 6) == (0, 0, 2, 2)  # a row and a column lie beyond the image


def test_a_dense_layer_goes_back_by_its_row():
    net, chain = chain_of(nn.Flatten(), nn.Dense(2, in_units=4), shape=(1, 1, 2, 2))
    set_weights(net[1], [[1, 2, 3, 4], [5, 6, 7, -8]], bias=1.0)
    back = project(chain, chain.layer("1"), nd.array([[[[1, 0], [0, 0]]]]), [(1, 0, 0)])
    np.testing.assert_allclose(back, [[[[30, 36], [42, -48]]]])  # 5 + 1 = 6 times the row
    assert chain.sees(chain.layer("1"), 0, 0, 2, 2) == (0, 0, 2, 2)


def test_maxima_go_back_to_where_they_came_from():
    _, chain = chain_of(nn.MaxPool2D(2, 2), shape=(1, 1, 4, 4))
    x = nd.array([[[[1, 2, 5, 0], [3, 0, 0, 0], [0, 0, 1, 2], [9, 0, 4, 3]]]])
    np.testing.assert_array_equal(chain.forward(chain.steps[0], x).asnumpy()[0, 0], [[3, 5], [9, 4]])
    back = chain.back(chain.steps[0], x, nd.array([[[[10, 20], [30, 40]]]])).asnumpy()[0, 0]
    np.testing.assert_array_equal(back, [[0, 0, 20, 0], [10, 0, 0, 0], [0, 0, 0, 0], [30, 0, 40, 0]])


def test_what_overlapping_windows_share_adds_up():
    """Of 5 x 5 px four windows of 3 x 3 share the middle, the greatest of all."""
    _, chain = chain_of(nn.MaxPool2D(3, 2), shape=(1, 1, 5, 5))
    x = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5) / 100
    x[0, 0, 2, 2] = 1
    back = chain.back(chain.steps[0], nd.array(x), nd.array([[[[1, 2], [4, 8]]]])).asnumpy()
    wanted = np.zeros((1, 1, 5, 5))
    wanted[0, 0, 2, 2] = 15
    np.testing.assert_array_equal(back, wanted)


def test_what_is_negative_ends_at_a_relu_on_the_way_back():
    """Of the second filter's weights 1 and -1 the negative one would come back as -1: the relu leaves it out."""
    first, second = nn.Conv2D(2, 1, in_channels=1, activation="relu"), nn.Conv2D(1, 1, in_channels=2)
    _, chain = chain_of(first, second, shape=(1, 1, 1, 1))
    set_weights(first, np.array([[[[2.0]]], [[[0.5]]]]))
    set_weights(second, np.array([[[[1.0]], [[-1.0]]]]))
    back = project(chain, chain.layers[-1], nd.array([[[[4.0]]]]), [(0, 0, 0)])
    assert back.item() == (8 - 2) * 2  # 6 goes back as (6, -6), rectified (6, 0), by the weight 2
    assert chain.layers[0].end == 1  # the first layer is looked at behind its relu


def test_batch_normalisation_goes_back_by_its_slope():
    net, chain = chain_of(nn.Conv2D(1, 1, in_channels=1, use_bias=False), nn.BatchNorm(epsilon=0, in_channels=1))
    net[0].weight.set_data(nd.array([[[[2.0]]]]))
    for name, value in (("gamma", 3.0), ("beta", 5.0), ("running_mean", 1.0), ("running_var", 4.0)):
        getattr(net[1], name).set_data(nd.array([value]))
    back = project(chain, chain.layers[0], nd.full((1, 1, 1, 1), 7.0), [(0, 0, 0)])
    assert back.item() == pytest.approx((3 * (14 - 1) / 2 + 5) * 3 / 2 * 2)  # 24.5, by gamma / 2, by the weight


def test_response_normalisation_and_dropout_are_passed():
    layers = (nn.Conv2D(6, 1, in_channels=1, use_bias=False), LRN(k=2, alpha=0.5), nn.Dropout(0.5))
    net, chain = chain_of(*layers, nn.Conv2D(1, 1, in_channels=6, use_bias=False))
    first, last = (net[k].weight.data().asnumpy().ravel() for k in (0, 3))
    images = nd.full((1, 1, 1, 1), 3.0)
    activation = float(net(images).asscalar())
    back = project(chain, chain.layers[-1], images, [(0, 0, 0)]).item()
    assert back == pytest.approx(activation * float(first @ last), rel=1e-4)


def test_without_rectification_it_is_the_gradient():
    """Convolutions and overlapping pools alone: the activation times its gradient, by MXNet over the whole network."""
    layers = (nn.Conv2D(5, 3, padding=1, in_channels=3), nn.MaxPool2D(3, 2, ceil_mode=True))
    net, chain = chain_of(*layers, nn.Conv2D(4, 3, groups=1, in_channels=5), nn.AvgPool2D(2), shape=(1, 3, 16, 16))
    images = nd.array(np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32))
    images.attach_grad()
    with autograd.record():
        maps = net[2](net[1](net[0](images)))
        picked = maps[0, 3, 2, 1] * maps[0, 3, 2, 1].detach() + maps[1, 0, 4, 4] * maps[1, 0, 4, 4].detach()
    picked.backward()
    back = project(chain, chain.layers[1], images, [(3, 2, 1), (0, 4, 4)])
    np.testing.assert_allclose(back, images.grad.asnumpy(), rtol=1e-4, atol=1e-5)
    top, left, bottom, right = chain.sees(chain.layers[1], 2, 1, 16, 16)
    there = np.argwhere(np.abs(back[0]).sum(axis=0) > 0)
    assert (there.min(axis=0) >= (top, left)).all() and (there.max(axis=0) < (bottom, right)).all()
    # Rows 2 to 4 of the pool's output see rows 4 to 10 of the first map, and those rows 3 to 11 of the image.
    assert (top, bottom) == (3, 12) and (left, right) == (1, 10)


@pytest.mark.parametrize("name", ["zfnet", "caffenet", "vgg11_bn", "cvjena_alexnet", "mobilenet0.25", "cifar_plain20"])
def test_a_chain_computes_what_its_network_does(name):
    """In predict mode: batch normalisation by running statistics, no dropout."""
    net = get_model(name, classes=3)
    net.initialize(mx.init.Xavier())
    rng = np.random.default_rng(1)
    images = nd.array(rng.normal(size=(2, 3, max(net.smallest_side, 32), max(net.smallest_side, 32))))
    wanted = net(images)
    for parameter_name, parameter in net.collect_params(".*running_(mean|var)").items():
        low = 0.5 if parameter_name.endswith("var") else -0.5
        parameter.set_data(nd.array(rng.uniform(low, low + 1, parameter.shape)))
    wanted, chain, x = net(images).asnumpy(), Chain(net), images
    for step in chain.steps:
        x = chain.forward(step, x)
    np.testing.assert_allclose(x.asnumpy().reshape(wanted.shape), wanted, rtol=1e-4, atol=1e-5)
    assert chain.layers[-1].channels == 3


def test_gradients_are_left_alone():
    net, chain = chain_of(nn.Conv2D(2, 3, in_channels=1))
    net[0].weight.grad()[:] = 7
    project(chain, chain.layers[0], nd.ones((1, 1, 6, 6)), [(0, 0, 0)])
    assert (net[0].weight.grad().asnumpy() == 7).all()


@pytest.mark.parametrize(
    "name, why",
    [
        ("resnet18_v1", "because it branches at stage1.0"),
        ("densenet121", "because it branches at stage1.0"),
        ("googlenet_2014", "because it branches at stage2.1.1.0"),
        ("se_resnet50_v1", "because it branches at stage1.0"),
    ],
)
def test_a_network_with_branches_is_refused(name, why):
    net = get_model(name, classes=2)
    net.initialize()
    with pytest.raises(Refused, match=f"^{name} cannot be followed back, {why}: .* such as alexnet, zfnet and"):
        Chain(net)


@pytest.mark.parametrize("name", ["mobilenetv2_0.25", "mobilenetv3_small"])
def test_of_the_mobilenets_the_later_ones_branch(name):
    """As docs/looking.md says; and they have no stages, which curves of invariance take."""
    net = get_model(name)
    net.initialize(mx.init.Zero())
    net(nd.zeros((1, 3, 224, 224)))
    with pytest.raises(Refused, match="it branches at"):
        Chain(net)
    with pytest.raises(Refused, match="no stages"):
        net.features_at(1)


def test_a_step_without_a_way_back_is_refused():
    with pytest.raises(Refused, match="1 is a sigmoid, for which there is no way back"):
        chain_of(nn.Conv2D(1, 1, in_channels=1), nn.Activation("sigmoid"))
    with pytest.raises(Refused, match="is a GroupNorm, for which there is no way back"):
        chain_of(nn.Conv2D(2, 1, in_channels=1), nn.GroupNorm(2))


def test_a_layer_that_is_not_there_is_refused():
    _, chain = chain_of(nn.Conv2D(1, 1, in_channels=1), nn.Activation("relu"))
    with pytest.raises(Refused, match="has no layer 'stage9': there are 0$"):
        chain.layer("stage9")
