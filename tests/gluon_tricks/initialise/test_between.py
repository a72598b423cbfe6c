"""`between` on graphs that are no chains of layers: nothing else is computed afterwards, or a layer is left by name."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.initialise.between import measure
from gluon_tricks.initialise.data import change_rates, initialise_from_data
from gluon_tricks.initialise.walk import Graph


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
    """Convolutions, a dense layer of every row, the last layer, and another with its weights."""
    head = nn.Dense(5)
    found = {name: nn.Conv2D(8, 3, padding=1, activation="relu") for name in "abcd"}
    found |= dict(row=nn.Dense(6, flatten=False), head=head, tied=nn.Dense(5, params=head.params))
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


def dense_rows(net, F, x):
    return net.head(net.row(F.concat(branch(net, x), net.c(x), dim=1)))


def a_layer_twice(net, F, x):
    return net.head(F.concat(branch(net, x), branch(net, F.flip(x, axis=3)), net.d(net.c(x))))


def two_of_one_weight(net, F, x):
    return net.head(branch(net, x)) + net.tied(net.d(net.c(x)))


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
        (dense_rows, "a b c row head", ["b", "c", "row"]),
        (a_layer_twice, "a b c d head", ["a", "b"]),
        (two_of_one_weight, "a b c d head tied", ["b", "head", "d"]),
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
    assert scaled >= {*names.split()} - {*left, "head", "tied"}


def test_a_bias_that_two_layers_share_is_not_scaled():
    class Biased(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.low, self.head = nn.Dense(4, activation="relu"), nn.Dense(2)
            self.left, self.right = (self.params.get(name, shape=(4, 4)) for name in ("left", "right"))
            self.bias = self.params.get("bias", shape=(4,), init="normal")

        def hybrid_forward(self, F, x, left, right, bias):
            x = F.relu(F.FullyConnected(self.low(x), left, bias, num_hidden=4))
            return self.head(F.relu(F.FullyConnected(x, right, bias, num_hidden=4)))

    mx.random.seed(0)
    net, x = Biased(), images()
    net.initialize(mx.init.Xavier())
    before = net(x).asnumpy()
    left = initialise_from_data(net, x, within=False)
    assert len(left) == 3 and left[0] == "low" and "head" not in left
    np.testing.assert_allclose(net(x).asnumpy(), before, atol=1e-5 * abs(before).max())


def test_the_last_layer_used_twice_is_zero_and_those_before_it_are_not():
    net = made(lambda net, F, x: F.concat(net.head(net.a(x)), net.head(net.b(x))), **layers("a b head"))
    x = images()
    initialise_from_data(net, x, last_zero=True)
    assert [node.path for node in Graph(net).last()] == ["head"]
    assert net.a.weight.data().asnumpy().any() and net.b.weight.data().asnumpy().any()
    assert not net(x).asnumpy().any()


def test_the_rate_of_a_dense_layer_used_twice_is_of_both_uses():
    """z = w (w x), w = 3, x = 2: dz/dw = 2 w x = 12, so C~ = 12 |eta| / 3."""
    layer = nn.Dense(1, in_units=1, use_bias=False)
    net = made(lambda net, F, x: net.layer(net.layer(x)), layer=layer)
    layer.weight.set_data(mx.nd.array([[3]]))
    (rate,) = measure(Graph(net), [mx.nd.array([[2.0]])], np.random.default_rng(1))
    eta = abs(np.random.default_rng(1).standard_normal((1, 1))[0, 0])
    assert rate.mean == pytest.approx(12 * eta / 3, rel=1e-5)


def test_a_dense_layer_of_every_row():
    """flatten=False: its channels are the last axis, (N, 3, 8, 6), and its rate is that of the 1x1 convolution."""
    rows = made(lambda net, F, x: net.layer(x), layer=nn.Dense(6, flatten=False, in_units=8))
    x = images(20)
    initialise_from_data(rows, x, between=False)
    np.testing.assert_allclose(rows(x).asnumpy().std(axis=(0, 1, 2)), 1, atol=2e-3)
    np.testing.assert_allclose(rows(x).asnumpy().mean(axis=(0, 1, 2)), 0, atol=2e-3)
    ones = made(lambda net, F, x: net.layer(F.transpose(x, (0, 3, 1, 2))), layer=nn.Conv2D(6, 1, in_channels=8))
    ones.layer.weight.set_data(rows.layer.weight.data().reshape((6, 8, 1, 1)))
    found = [np.mean([change_rates(net, x, seed=seed, chunk=1)[0].mean for seed in range(20)]) for net in (rows, ones)]
    assert found[0] == pytest.approx(found[1], rel=0.1)


def test_frozen_layers_have_the_rates_that_they_would_have_and_stay_frozen():
    found, x = [], images()
    for frozen in (False, True):
        net = made(lambda net, F, x: net.head(net.b(net.a(x))), **layers("a b head"))
        if frozen:
            net.a.collect_params().setattr("grad_req", "null")
        found.append(change_rates(net, x))
        assert initialise_from_data(net, x, within=False) == []
        assert (net.a.weight.grad_req, net.b.weight.grad_req) == ("null" if frozen else "write", "write")
    assert found[0] == found[1]
