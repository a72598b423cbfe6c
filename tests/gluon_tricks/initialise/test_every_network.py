"""Data-dependent initialisation of every network of the zoo, on a few images of the smallest size that it takes."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.initialise import filters
from gluon_tricks.initialise.data import initialise_from_data
from gluon_tricks.initialise.walk import Graph, moments
from model_zoo import get_model, keywords, list_models


def drawn(count, side):
    coarse = np.random.default_rng(0).standard_normal((count, 3, -(-side // 4), -(-side // 4)))
    return mx.nd.array(coarse.repeat(4, axis=2).repeat(4, axis=3)[:, :, :side, :side])


@pytest.mark.parametrize("name", list_models())
def test_unit_variance_then_rates_and_a_last_layer_of_zeros(name, monkeypatch):
    monkeypatch.setattr(filters, "MOST_PATCHES", 1000)  # 1000 filters have only layers that see fewer
    mx.random.seed(0)
    # DenseNets take small images dilated only; one of them is computed as it is. VGG has 4096 hidden units otherwise.
    smaller = {"dilated": True} if name in ("densenet169", "densenet201") else {}
    smaller |= {"hidden": 256} if "hidden" in keywords(name) else {}
    net = get_model(name, classes=3, **smaller)
    net.initialize()
    side = max(net.smallest_side, 32)
    count = 4 if side < 200 else 2  # of large images two are enough numbers
    images = drawn(count, side)
    initialise_from_data(net, images, filters="kmeans", between=False)
    variances = {}

    def computed(k, node, inputs, outputs):
        variances[node.path] = moments(outputs)[1]
        return outputs

    graph = Graph(net)
    graph.run([images], computed=computed)
    assert len(variances) == len([*graph.affine()])
    for path, of_channels in variances.items():  # 1, or 0 of a channel that is constant on all images
        assert np.all((np.abs(of_channels - 1) < 0.02) | (of_channels < 1e-6)), path
        assert (of_channels > 0.5).any(), path
    initialise_from_data(net, images, within=False, rounds=2, last_zero=True)
    parameters = {name: p.data().asnumpy() for name, p in net._collect_params_with_prefix().items()}
    assert all(np.isfinite(array).all() for array in parameters.values())
    outputs = net(images)
    for logits in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        assert logits.shape == (count, 3) and not logits.asnumpy().any()


@pytest.mark.parametrize("filters", ["pca", "kmeans"])
@pytest.mark.parametrize(
    ("name", "always"),
    [("mobilenet0.25", True), ("mobilenetv2_0.25", True), ("cifar_resnet20_v2", True), ("resnet18_v1", False)],
)
def test_by_running_statistics_it_is_centred_too(name, always, filters):
    """As a frozen normalisation computes: a depthwise filter without bias may make all that it sees negative."""
    mx.random.seed(0)
    net = get_model(name, classes=3, use_global_stats=always)
    net.initialize()
    images, found = drawn(8, 64), []
    initialise_from_data(net, images, filters=filters, between=False)
    norms = [block for block in blocks(net) if isinstance(block, mx.gluon.nn.BatchNorm)]
    for norm in norms:
        norm.register_forward_hook(lambda _, __, output: found.append(moments([output])))
    logits = net(images).asnumpy()
    assert len(found) == len(norms) > 5 and (logits.std(axis=0) > 0.5).all()
    for mean, variance in found:
        assert np.abs(mean).max() < 0.05 and (variance > 0.9).any()
        assert np.all((np.abs(variance - 1) < 0.1) | (variance < 1e-6))


def blocks(block):
    return [block, *(inner for child in block._children.values() for inner in blocks(child))]
