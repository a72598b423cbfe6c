"""Stochastic depth: which branches there are, how often, and that prediction is the plain network."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, keywords, list_models
from model_zoo.export import export_onnx
from model_zoo.inference import fuse
from model_zoo.preprocessing import Preprocessing
from model_zoo.stochastic_depth import DropPath, drop_paths

NAMES = [name for name in list_models() if "drop_path" in keywords(name)]
ALIKE = ("101", "152", "34", "resnet44", "resnet56", "resnet110", "resnet32")  # blocks of others, more of them
SMALL = [name for name in NAMES if not any(part in name for part in ALIKE)]


def drops(net):
    found = []
    net.apply(lambda block: found.append(block) if isinstance(block, DropPath) else None)
    return found


def seeded(net, x, seed, train=True):
    mx.random.seed(seed)
    with mx.autograd.record(train_mode=train):
        return net(x)


def test_the_linear_rule():
    """L = 4 blocks, p_L = 0.6: p = 0.9, 0.8, 0.7, 0.6."""
    made = [make() for make in drop_paths("net", 0.4, "image", 4)]
    assert [drop._rate for drop in made] == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert [make() for make in drop_paths("net", 0.0, "image", 3)] == [None] * 3


def test_which_networks_have_it():
    """ResNet's 24, ResNeXt's 2 and one of each with squeeze and excitation, CIFAR's 5, cvjena's 3; no plain net."""
    assert len(NAMES) == 24 + 4 + 5 + 3
    for name in ("cifar_plain20", "mobilenet1.0", "vgg16", "densenet121"):
        with pytest.raises(Refused, match=f"there is no argument 'drop_path' in {name}"):
            get_model(name, drop_path=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_every_residual_block_has_one(name):
    """As many as there are blocks, rising to the rate; none without it, and the same parameters."""
    net, plain = get_model(name, drop_path=0.5), get_model(name)
    blocks = sum(child.__class__.__name__.endswith(("Block", "Bottleneck")) for part in net.trunk for child in part)
    rates = [drop._rate for drop in drops(net)]
    assert len(rates) == blocks >= 4 and not drops(plain)
    np.testing.assert_allclose(rates, 0.5 * np.arange(1, blocks + 1) / blocks)
    assert {*net._collect_params_with_prefix()} == {*plain._collect_params_with_prefix()}


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_what_becomes_of_a_branch(per, hybrid):
    """1 becomes 0 or 1 / 0.7; an image's numbers alike, and so the whole batch's where it is drawn at once."""
    drop, zeros, draws = DropPath(0.3, per), 0, 400
    if hybrid:
        drop.hybridize(static_alloc=True, static_shape=True)
    for seed in range(draws):
        x = mx.nd.ones((8, 2, 3, 3))
        x.attach_grad()
        out = seeded(drop, x, seed)
        out.backward()
        numbers = out.asnumpy().reshape(8, -1)
        assert (numbers == numbers[:, :1]).all()
        assert (np.minimum(numbers, np.abs(numbers - 1 / 0.7)) < 1e-6).all()
        assert per == "image" or len({*numbers.flat}) == 1
        np.testing.assert_array_equal(x.grad.asnumpy(), out.asnumpy())
        zeros += (numbers[:, 0] == 0).mean() / draws
    # The deviation of the share is 0.458 over the root of the number of draws, 400 or 3200.
    assert zeros == pytest.approx(0.3, abs=0.07 if per == "batch" else 0.025)
    np.testing.assert_array_equal(drop(x).asnumpy(), x.asnumpy())  # prediction


@pytest.mark.parametrize("name", SMALL)
def test_prediction_is_the_plain_network_and_training_is_not(name, images, randomise):
    side = max(get_model(name).smallest_side, 32)
    net, plain = (randomise(get_model(name, classes=7, drop_path=rate), side) for rate in (0.5, 0.0))
    x = images(4, side)
    expected = plain(x).asnumpy()
    for hybrid in (False, True):
        net.hybridize(hybrid, **(dict(static_alloc=True, static_shape=True) if hybrid else {}))
        np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-5 * np.abs(expected).max())
        first, same, other = (seeded(net, x, seed).asnumpy() for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, same)
        assert np.abs(first - other).max() > 1e-3 * np.abs(first).max()


def test_a_branch_that_is_dropped_leaves_the_shortcut(images):
    """Nearly every branch is dropped at a rate of 1 - 1e-7 in the last block: relu(shortcut) alone, here the input."""
    net = get_model("cifar_resnet20_v1", drop_path=1 - 1e-7)
    net.initialize(mx.init.Xavier())
    block, x = net.stage3[2], mx.nd.abs(mx.nd.random.normal(shape=(3, 64, 8, 8)))
    np.testing.assert_array_equal(seeded(block, x, 1).asnumpy(), x.asnumpy())


def test_it_is_the_plain_network_elsewhere(images, randomise, tmp_path):
    net = randomise(get_model("resnet18_v1", classes=7, drop_path=0.5), 64)
    x = images(2, 64)
    expected = net(x).asnumpy()
    fuse(net, x)
    np.testing.assert_allclose(net(x).asnumpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    net.hybridize(False)
    pytest.importorskip("onnx")
    assert export_onnx(net, tmp_path / "net.onnx", Preprocessing(64)) is not None


@pytest.mark.parametrize(
    "kwargs, says",
    [
        ({"drop_path": 1.0}, "resnet18_v1: a dropout of 1.0, but a probability to drop lies in"),
        ({"drop_path": "half"}, "a dropout of 'half'"),
        ({"drop_path": 0.1, "drop_path_per": "row"}, "drop_path_per is 'row': choose one of image, batch"),
        ({"drop_path": 0.1, "drop_path_per": ["image"]}, r"drop_path_per is \['image'\]: choose one of image, batch"),
    ],
)
def test_numbers_without_sense_are_refused(kwargs, says):
    with pytest.raises(Refused, match=says):
        get_model("resnet18_v1", **kwargs)
