"""Both algorithms of data-dependent initialisation, on networks small enough to work things out by hand."""

import contextlib

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.initialise.between import Scaling, measure
from gluon_tricks.initialise.data import change_rates, initialise_from_data
from gluon_tricks.initialise.walk import Graph
from model_zoo import get_model


def sample(count, side, seed=0):
    """Images with neighbours alike, (count, 3, side, side) float32."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((count, 3, -(-side // 4), -(-side // 4)))
    smooth = coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :side, :side]
    return (smooth + 0.3 * rng.standard_normal(smooth.shape)).astype(np.float32)


class Branches(mx.gluon.HybridBlock):
    """Convolution, then two branches that are joined, a strided convolution in groups, and two dense layers."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2D(8, 3, padding=1, in_channels=3)
        self.left = nn.Conv2D(6, 1, in_channels=8)
        self.right = nn.HybridSequential()
        self.right.add(nn.Conv2D(4, 3, padding=1, in_channels=8, activation="relu"))
        self.right.add(nn.Conv2D(10, 3, padding=2, dilation=2, in_channels=4, use_bias=False))
        self.grouped = nn.Conv2D(12, 3, strides=2, groups=4, in_channels=16)
        self.hidden = nn.Dense(20, activation="relu")
        self.head = nn.Dense(5)

    def hybrid_forward(self, F, x):
        x = F.relu(self.stem(x))
        x = F.Pooling(x, kernel=(2, 2), stride=(2, 2), pool_type="max")
        x = F.relu(F.concat(self.left(x), self.right(x), dim=1))
        return self.head(self.hidden(F.Dropout(F.relu(self.grouped(x)), 0.5)))


def made(net, dtype="float32"):
    net.initialize(mx.init.Xavier())
    net.cast(dtype)
    return net


def outputs_of_layers(net, images, train_mode):
    """Of every convolution and dense layer the output for all images, by Gluon's own forward, before its activation."""
    found = {}
    layers = [(path, block) for path, block in blocks(net) if isinstance(block, (nn.Dense, nn.Conv2D))]
    for path, block in layers:
        if block.act is not None:  # a hook would see what the activation has made of it
            continue

        def keep(_, __, output, path=path):
            if isinstance(output, mx.nd.NDArray):  # a VGG counts its features with symbols
                found[path] = output.asnumpy()

        block.register_forward_hook(keep)
    with autograd.record(train_mode=train_mode):
        net(mx.nd.array(images, dtype=images.dtype))
    return found, sum(block.act is None for _, block in layers), len(layers)


def blocks(block, path=()):
    yield ".".join(path), block
    for name, child in block._children.items():
        yield from blocks(child, (*path, name))


@pytest.mark.parametrize("filters", ["gaussian", "pca", "kmeans"])
@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_every_channel_has_unit_variance_and_mean_beta(filters, beta):
    net, images = made(Branches()), sample(40, 16)
    initialise_from_data(net, images, filters=filters, between=False, beta=beta)
    graph, seen = Graph(net), {}

    def computed(k, node, inputs, outputs):
        seen[node.path] = np.concatenate([chunk.asnumpy() for chunk in outputs]), graph.parameter(node, 2) is not None
        return outputs

    graph.run([mx.nd.array(images)], computed=computed)
    assert list(seen) == ["stem", "left", "right.0", "right.1", "grouped", "hidden", "head"]
    for path, (values, has_bias) in seen.items():
        axes = (0, 2, 3) if values.ndim == 4 else 0
        np.testing.assert_allclose(values.std(axis=axes), 1, atol=2e-3, err_msg=path)
        if has_bias:
            np.testing.assert_allclose(values.mean(axis=axes), beta, atol=2e-3, err_msg=path)


def test_the_walk_computes_what_the_network_does():
    net, images = made(Branches()), mx.nd.array(sample(7, 16))
    expected = net(images).asnumpy()
    found = Graph(net).run([images[:4], images[4:]])
    np.testing.assert_allclose(np.concatenate([chunk.asnumpy() for chunk in found[0]]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "side"),
    [("caffenet", 67), ("googlenet_2014", 64), ("vgg11", 32), ("resnet18_v1d", 32), ("cifar_resnet20_v1", 32)],
)
def test_networks_of_the_zoo(name, side):
    """Measured by Gluon itself: all images as one batch, with batch statistics where there are such layers."""
    net, images = made(get_model(name, classes=7)), sample(24, side)
    initialise_from_data(net, images, between=False)
    normalised = any(isinstance(block, nn.BatchNorm) for _, block in blocks(net))
    affine = len([*Graph(net).affine()])
    found, seen, layers = outputs_of_layers(net, images, train_mode=normalised)
    assert len(found) == seen > 0 and layers == affine
    for path, values in found.items():
        std = values.std(axis=(0, 2, 3) if values.ndim == 4 else 0)
        np.testing.assert_allclose(std, 1, atol=0.02, err_msg=path)


def test_rates_of_two_layers_by_hand():
    """z = 5 relu(3 x), x = 2: dl/dW_1 = 10 eta, dl/dW_2 = 6 eta, so C~ = 10 |eta| / 3 and 6 |eta| / 5."""
    net = nn.HybridSequential()
    net.add(nn.Dense(1, in_units=1, use_bias=False, activation="relu"), nn.Dense(1, in_units=1, use_bias=False))
    net.initialize()
    net[0].weight.set_data(mx.nd.array([[3]]))
    net[1].weight.set_data(mx.nd.array([[5]]))
    rates = measure(Graph(net), [mx.nd.array([[2.0]])], np.random.default_rng(1))
    eta = abs(np.random.default_rng(1).standard_normal((1, 1))[0, 0])
    np.testing.assert_allclose([rate.mean for rate in rates], [10 * eta / 3, 6 * eta / 5], rtol=1e-5)


def test_a_convolution_changes_like_the_dense_layer_that_it_equals():
    """A 2x2 convolution of a 2x2 image is a dense layer of its 4 numbers: the same columns, the same rates."""
    weight, image = np.arange(12.0).reshape(3, 4), mx.nd.array([[[[1, -2], [3, 0.5]]]])
    found = []
    for layer in (nn.Conv2D(3, 2, in_channels=1), nn.Dense(3, in_units=4)):
        net = nn.HybridSequential()
        net.add(layer, nn.Flatten())
        net.initialize()
        layer.weight.set_data(mx.nd.array(weight.reshape(layer.weight.shape)))
        found += measure(Graph(net), [image], np.random.default_rng(3), each_weight=True)
    eta = np.random.default_rng(3).standard_normal(3)
    columns = abs(image.asnumpy().ravel()) * np.sqrt((eta**2).sum() / 3 / (weight**2).sum())
    for rate in found:
        assert rate.mean == pytest.approx(columns.mean(), rel=1e-5)
        each = np.outer(abs(eta), abs(image.asnumpy().ravel()))  # C_i,j of one image is |y_i| |z_j|
        assert rate.variation == pytest.approx(each.std() / each.mean(), rel=1e-5)


def test_the_variation_is_over_weights_and_not_columns():
    """Figure 1 is of C~_k,i,j: of inputs that are alike all columns change alike, and the rows do not."""
    net = nn.HybridSequential()
    net.add(nn.Dense(1, in_units=1), nn.Dense(2, in_units=1), nn.Dense(2, in_units=2))
    net.initialize()
    for layer, weight in zip(net, ([[1.0]], [[1.0], [1.0]], [[1.0, 3.0], [0.0, 0.0]])):
        layer.weight.set_data(mx.nd.array(weight))
    rates = change_rates(net, np.full((2, 1, 1, 1), 2.0))
    # z = 2, then (2, 2); y of the second layer is (eta, 3 eta): columns alike, rows 1 to 3, deviation 1/2 of the mean.
    assert rates[1].variation == pytest.approx(0.5, rel=1e-5)


def test_three_layers_by_hand():
    """Rates (4, 1, 1/4) and r = (2, 1, 1/2), worked out in initialise_between: scaling makes them equal."""
    net = nn.HybridSequential()
    for _ in range(3):
        net.add(nn.Dense(1, in_units=1))
    net.initialize()
    for layer, weight, bias in zip(net, (1.0, 4.0, 16.0), (0.5, 0.25, -3.0)):
        layer.weight.set_data(mx.nd.array([[weight]]))
        layer.bias.set_data(mx.nd.array([bias]))
    graph, x = Graph(net), mx.nd.array([[0.7]])
    before = net(x).asscalar()
    Scaling(graph, (1, 1)).apply(dict(zip((k for k, _ in graph.affine()), (2.0, 1.0, 0.5))))
    assert [layer.weight.data().asscalar() for layer in net] == [2.0, 4.0, 8.0]
    assert [layer.bias.data().asscalar() for layer in net] == [1.0, 0.5, -3.0]
    assert net(x).asscalar() == pytest.approx(before, rel=1e-6)


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-4), ("float64", 1e-10)])
def test_between_leaves_the_network_as_it_is_and_its_layers_alike(dtype, close):
    net, images = made(Branches(), dtype), sample(60, 16)
    initialise_from_data(net, images, between=False)
    net.right[0].weight.set_data(net.right[0].weight.data() * 20)  # so that there is something to do
    net.hidden.weight.set_data(net.hidden.weight.data() / 10)
    x = mx.nd.array(images[:8], dtype=dtype)
    with autograd.record(train_mode=False):
        before = net(x).asnumpy()
    start = [np.log(rate.mean) for rate in change_rates(net, images, chunk=1)]
    assert initialise_from_data(net, images, within=False) == []
    with autograd.record(train_mode=False):
        after = net(x).asnumpy()
    assert abs(after - before).max() < close * abs(before).max()
    end = [np.log(rate.mean) for rate in change_rates(net, images, chunk=1, seed=1)]
    assert np.std(end) < 0.1 * np.std(start)


def test_layers_that_batch_normalisation_follows_are_left_out():
    net, images = made(get_model("cifar_resnet20_v1", classes=4)), sample(8, 32)
    lines = []
    left = initialise_from_data(net, images, tell=lines.append)
    layers = [node.path for _, node in Graph(net).affine()]
    assert left == layers[:-1] and layers[-1] == "head"
    assert lines[-1].startswith(f"between layers: {len(left)} layers left alone, such as ")


@pytest.mark.parametrize(("name", "last"), [("cifar_resnet20_v1", ["head"]), ("googlenet_2014", ["head"])])
def test_the_last_layer_starts_at_zero_and_the_others_as_without(name, last):
    images, found = sample(6, 64), []
    for zero in (False, True):
        net = made(get_model(name, classes=4))
        initialise_from_data(net, images, rounds=2, last_zero=zero)
        found.append({key: p.data().asnumpy() for key, p in net._collect_params_with_prefix().items()})
    assert [node.path for node in Graph(net).last()] == last
    zeros = [key for key in found[0] if not np.array_equal(found[0][key], found[1][key])]
    assert {key.rsplit(".", 1)[0] for key in zeros} == set(last) and not any(found[1][key].any() for key in zeros)
    assert not net(mx.nd.array(images)).asnumpy().any()


class TwoHeads(mx.gluon.HybridBlock):
    def __init__(self):
        super().__init__()
        self.low, self.left, self.right = nn.Dense(4, in_units=3), nn.Dense(2, in_units=4), nn.Dense(2, in_units=4)

    def hybrid_forward(self, F, x):
        x = self.low(x)
        return self.left(x), F.relu(self.right(x))


def test_the_last_layers_of_a_network_of_several_outputs():
    assert {node.path for node in Graph(made(TwoHeads())).last()} == {"left", "right"}


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_is_refused(groups):
    net = nn.HybridSequential()
    net.add(nn.Conv2D(4, 3, in_channels=3), nn.Conv2DTranspose(4, 2, in_channels=4, groups=groups), nn.Dense(2))
    net.initialize()
    for used in (initialise_from_data, change_rates):
        with pytest.raises(Refused, match="^1: a transposed convolution, whose gradient MXNet cannot give"):
            used(net, sample(4, 8))


def test_the_same_seed_gives_the_same_weights():
    weights = []
    for seed in (3, 3, 4):
        net = made(Branches())
        initialise_from_data(net, sample(20, 16), filters="kmeans", seed=seed)
        weights.append(net.stem.weight.data().asnumpy())
    np.testing.assert_array_equal(weights[0], weights[1])
    assert abs(weights[0] - weights[2]).max() > 0.01


def test_dead_channels_and_constant_images_give_finite_weights():
    for images in (np.ones((6, 3, 16, 16), np.float32), sample(6, 16) * [[[[1]], [[0]], [[0]]]]):
        for filters in ("gaussian", "pca", "kmeans"):
            net, lines = made(Branches()), []
            initialise_from_data(net, images, filters=filters, between=False, tell=lines.append)
            assert all(np.isfinite(p.data().asnumpy()).all() for p in net.collect_params().values())
            assert len(lines) == 7
    assert "gaussian in 1 of 1 group" not in lines[0]  # one colour has patches enough


@pytest.mark.parametrize("filters", ["gaussian", "kmeans"])
def test_a_network_of_which_nothing_comes_out(filters):
    """relu(-|z|) is 0 of all images; where these are alike themselves, there is nothing to refuse."""
    images = sample(6, 8)
    for given, refused in ((images, True), (images[:1].repeat(6, axis=0), False)):
        net = nn.HybridSequential()
        net.add(nn.Conv2D(4, 3, in_channels=3), nn.HybridLambda(lambda F, x: F.relu(-F.abs(x))), nn.Dense(2))
        net.initialize()
        says = f"^with {filters} filters the network gives the same for all images: choose others of gaussian, pca"
        with pytest.raises(Refused, match=says) if refused else contextlib.nullcontext():
            initialise_from_data(net, given, filters=filters, between=False)


@pytest.mark.parametrize(
    ("images", "options", "says"),
    [
        (np.zeros((0, 3, 16, 16)), {}, "there are no images to initialise from"),
        (np.zeros((3, 16, 16)), {}, r"the shape \(3, 16, 16\), not \(n, 3, H, W\)"),
        (np.full((4, 3, 16, 16), np.nan), {}, "NaN or infinity in 4 images of 4 to initialise from"),
        (np.zeros((1, 3, 16, 16)), {}, "one image has no variance"),
        (np.zeros((4, 3, 16, 16)), {"filters": "ica"}, "filters is 'ica': choose one of gaussian, pca, kmeans"),
        (np.zeros((4, 3, 16, 16)), {"damping": 0}, r"damping must lie in \(0, 1\]"),
        (np.zeros((4, 3, 16, 16)), {"beta": np.nan}, "beta must be finite, but got nan"),
        (np.zeros((4, 3, 16, 16)), {"beta": "0"}, "beta takes a number, but got '0'"),
        (np.zeros((4, 3, 16, 16)), {"rounds": 2.5}, "rounds takes a whole number, but got 2.5"),
        (np.zeros((4, 3, 16, 16)), {"damping": None}, "damping takes a number, but got None"),
        (np.zeros((4, 3, 16, 16)), {"filters": 3}, "filters is 3: choose one of"),
        (np.zeros((4, 3, 16, 16)), {"seed": -1}, "seed is -1: it takes 0 or more"),
        (np.zeros((4, 3, 16, 16)), {"tell": None}, "tell takes a function that gets a line, but got None"),
    ],
)
def test_bad_input(images, options, says):
    with pytest.raises(Refused, match=says):
        initialise_from_data(made(Branches()), images, **options)


def test_a_network_that_cannot_be_traced():
    class Odd(mx.gluon.HybridBlock):
        def hybrid_forward(self, F, x):
            return x * float(x.asnumpy().max())

    with pytest.raises(Refused, match="the network cannot be traced"):
        initialise_from_data(Odd(), np.zeros((4, 3, 8, 8)))


def test_networks_that_cannot_be_traced_before_their_shapes_are_known():
    """Blocks that are none of a graph, and one that asks for a number, with layers whose input is not known yet."""

    class Deciding(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__()
            self.layer = nn.Dense(3)

        def hybrid_forward(self, F, x):
            return self.layer(x * 2 if x.sum().asscalar() > 0 else x)

    class Plain(mx.gluon.Block):
        def __init__(self):
            super().__init__()
            self.layer = nn.Dense(3)

    for kind, why in ((Deciding, "asscalar"), (Plain, "a Plain is no HybridBlock")):
        net = kind()
        net.initialize()
        for used in (initialise_from_data, change_rates):
            with pytest.raises(Refused, match=f"the network cannot be traced.*{why}"):
                used(net, np.ones((4, 3, 8, 8)))


@pytest.mark.parametrize("in_units", [0, 3])
def test_a_layer_that_no_image_reaches(in_units):
    class Idle(mx.gluon.HybridBlock):
        def __init__(self):
            super().__init__(prefix="net_")
            with self.name_scope():
                self.used, self.idle = nn.Dense(3, prefix="used_"), nn.Dense(4, in_units=in_units, prefix="idle_")

        def hybrid_forward(self, F, x):
            return self.used(x)

    net = Idle()
    net.initialize()
    with pytest.raises(Refused, match=r"^no image reaches the layer of net_idle_weight.*: take it out"):
        initialise_from_data(net, np.ones((4, 3, 8, 8)))


@pytest.mark.parametrize(
    ("name", "prepare", "says"),
    [
        (
            "densenet121",
            lambda net: net.initialize(),
            r"the shape \(4, 3, 32, 32\) \(.*kernel size \(7\) exceeds input",
        ),
        ("cifar_plain20", lambda net: None, r"the network has no numbers yet: call its initialize\(\)"),
        *(
            (name, lambda net: (net.initialize(), net.cast("float16")), "^the network is in float16: initialise it in")
            for name in ("cifar_plain20", "cifar_resnet20_v2")  # the second begins with a normalisation, in float32
        ),
    ],
)
def test_networks_that_it_cannot_start(name, prepare, says):
    net = get_model(name, classes=2)
    prepare(net)
    with pytest.raises(Refused, match=says):
        initialise_from_data(net, sample(4, 32))
