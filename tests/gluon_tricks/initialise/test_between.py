"""`between` on graphs that are no chains of layers: nothing else is computed afterwards, or a layer is left by name."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.initialise.data import initialise_from_data


class Net(mx.gluon.HybridBlock):
    """Layers by name; `forward` says how they are used: (net, F, x) -> output."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.compute = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def hybrid_forward(self, F, x):
        return self.compute(self, F, x)


def made(forward, **layers):
    mx.random.seed(0)
    net = Net(forward, **layers)
    net.initialize(mx.init.Xavier())
    return net


def layers(names):
    """Convolutions and the last layer."""
    found = {name: nn.Conv2D(8, 3, padding=1, activation="relu") for name in "abc"} | {"head": nn.Dense(5)}
    return {name: found[name] for name in names.split()}


def images(count=8, side=8):
    return mx.nd.random.normal(shape=(count, 3, side, side))


def branch(net, x):
    return net.b(net.a(x))


def flattened_maps_of_two_sizes(net, F, x):
    low = F.Pooling(branch(net, x), kernel=(2, 2), stride=(2, 2))
    return net.head(F.concat(F.flatten(net.c(x)), F.flatten(low)))


def maps_joined(dim):
    return lambda net, F, x: net.head(F.concat(branch(net, x), net.c(x), dim=dim))


def maps_pooled_over_rows_and_channels(net, F, x):
    joined = F.concat(branch(net, x), net.c(x))
    return net.head(F.Pooling(joined, kernel=(3, 3), stride=(3, 3), layout="NHWC"))


def half_of_a_split(net, F, x):
    return net.head(F.concat(F.split(branch(net, x), num_outputs=2)[1], net.c(x)))


@pytest.mark.parametrize(
    ("forward", "names", "left"),
    [
        (flattened_maps_of_two_sizes, "a b c head", []),
        (maps_joined(1), "a b c head", []),
        (maps_joined(-3), "a b c head", []),
        (maps_joined(2), "a b c head", ["b", "c"]),
        (maps_joined(-1), "a b c head", ["b", "c"]),
        (maps_pooled_over_rows_and_channels, "a b c head", ["b", "c"]),
        (half_of_a_split, "a b c head", ["b"]),
    ],
)
def test_the_network_computes_what_it_did(forward, names, left):
    net, x = made(forward, **layers(names)), images()
    before = net(x).asnumpy()
    net.a.weight.set_data(net.a.weight.data() * 4)  # so that there is something to do; the biases are 0
    net.b.weight.set_data(net.b.weight.data() / 4)
    weights = {name: getattr(net, name).weight.data().asnumpy() for name in names.split()}
    assert initialise_from_data(net, x, within=False) == left
    np.testing.assert_allclose(net(x).asnumpy(), before, atol=1e-5 * abs(before).max())
    scaled = {name for name, old in weights.items() if abs(getattr(net, name).weight.data().asnumpy() - old).max()}
    assert scaled >= {*names.split()} - {*left, "head"}
