"""Fused and 8-bit prediction, beside the network they are made of."""

import itertools

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, inference
from model_zoo.inference import fuse, quantise

quantises = pytest.mark.own_process(reason="MXNet's quantisation pass reads memory that it has freed")


@pytest.fixture(scope="module")
def net():
    """A small network whose running statistics fit its images."""
    mx.random.seed(1)
    net = get_model("resnet18_v1d", classes=10)
    net.initialize(mx.init.Xavier())
    with mx.autograd.train_mode():
        for k in range(40):
            net(mx.nd.random.normal(shape=(8, 3, 48, 48)) + k % 3)
    return net


def test_fused_is_the_same_and_training_goes_on_after_hybridize(net, images):
    x = images(4, 48)
    expected = net(x).asnumpy()
    fuse(net, x)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    net.hybridize()
    with mx.autograd.record():
        net(x).sum().backward()
    assert net.stem[0].weight.grad().asnumpy().any()
    net.hybridize(False)


@pytest.fixture
def small_maps(images):
    """A network whose last maps have 1 x 1 px, its images and its logits."""
    net = get_model("resnet18_v1b", classes=3)
    net.initialize(mx.init.Xavier())
    x = images(2, 32)
    return net, x, net(x).asnumpy()


def test_what_only_the_second_pass_cannot_compute_is_refused(small_maps, monkeypatch):
    net, x, expected = small_maps
    passes, own = itertools.count(), inference._own

    def failing(outputs):  # after the plain network and the first pass
        if next(passes) == 2:
            raise mx.MXNetError("could not create a primitive")
        return own(outputs)

    monkeypatch.setattr(inference, "_own", failing)
    with pytest.raises(Refused, match=r"cannot compute resnet18_v1b \(could not create a primitive\)"):
        fuse(net, x)
    np.testing.assert_array_equal(net(x).asnumpy(), expected)


def test_maps_of_one_pixel_are_computed_or_refused(small_maps):
    """By the CPU: with AVX512 MXNet cannot compute them, and says so in the second pass; with AVX2 it can."""
    net, x, expected = small_maps
    try:
        fuse(net, x)
    except Refused as refused:
        assert "cannot compute resnet18_v1b" in str(refused)
        np.testing.assert_array_equal(net(x).asnumpy(), expected)
    else:
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@quantises
def test_8_bits_of_maps_of_one_pixel_are_computed_or_refused(small_maps):
    """By the CPU, as fused operators are; what is handed out can be read more than once."""
    net, x, expected = small_maps
    try:
        quantised = quantise(net, [x])
    except Refused as refused:
        assert "cannot compute resnet18_v1b" in str(refused)
        np.testing.assert_array_equal(net(x).asnumpy(), expected)
    else:
        for _ in range(3):
            assert np.corrcoef(quantised(x).asnumpy().ravel(), expected.ravel())[0, 1] > 0.9


@quantises
def test_8_bits_stay_near(net, images):
    x = images(8, 48)
    expected = net(x).asnumpy()
    quantised = quantise(net, [x[:4], x[4:]])
    seen = quantised(x[:4]).asnumpy()
    assert not np.array_equal(seen, expected[:4])
    assert np.corrcoef(seen.ravel(), expected[:4].ravel())[0, 1] > 0.98
    integers = [p for p in quantised.collect_params().values() if "int" in str(p.dtype) or "quantize" in p.name]
    assert integers


@pytest.mark.parametrize(
    "shapes, text", [([], "got none"), ([(1, 3, 48, 48), (1, 3, 32, 32)], r"\(1, 3, 32, 32\), \(1, 3, 48, 48\)")]
)
def test_what_gives_no_scales_is_refused(net, shapes, text):
    with pytest.raises(Refused, match=text):
        quantise(net, [mx.nd.zeros(shape) for shape in shapes])


@quantises
def test_a_network_that_mxnet_cannot_compute_in_8_bits():
    net = get_model("googlenet_2014", classes=3)
    net.initialize(mx.init.Xavier())
    with pytest.raises(Refused, match="^MXNet's 8-bit operators cannot compute googlenet_2014 .*: use it in float32"):
        quantise(net, [mx.nd.random.normal(shape=(2, 3, 64, 64))])
