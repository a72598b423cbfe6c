"""Batch normalisation put into a network that was trained without: all other numbers are the file's."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, weights


def saved(tmp_path, randomise, name, side, **kwargs):
    net = randomise(get_model(name, classes=5, hidden=16, **kwargs), side)
    path = tmp_path / "plain.safetensors"
    weights.save(net, path)
    return net, path


@pytest.mark.parametrize(
    "plain, name, side, kwargs, norms",
    [
        ("caffenet", "caffenet", 67, {"batch_norm": True}, 7),
        ("alexnet", "alexnet", 67, {"batch_norm": True}, 7),
        ("vgg11", "vgg11_bn", 32, {}, 8),
    ],
)
def test_a_file_without_norms(tmp_path, randomise, caplog, plain, name, side, kwargs, norms):
    """New ones neither shift nor scale (eps apart): until they see images, the network computes what it did."""
    net, path = saved(tmp_path, randomise, plain, side, hidden_drop=0.0)
    found = get_model(name, str(path), any_classes=True, classes=5, hidden=16, hidden_drop=0.0, **kwargs)
    assert f"has no batch normalisation and {name} has: those layers start as new" in caplog.text
    new = [p for p in found.collect_params().values() if p._data is None]
    assert len(new) == 4 * norms and all(p.name.split("_")[-1] in ("gamma", "beta", "mean", "var") for p in new)
    for parameter in new:
        parameter.initialize()
    images = mx.nd.random.normal(0, 1, (2, 3, side, side))
    ours = found(images).asnumpy()
    np.testing.assert_allclose(ours, net(images).asnumpy(), rtol=2e-4, atol=1e-4)
    with mx.autograd.train_mode():  # whereas by statistics of images they do
        assert np.abs(found(images).asnumpy() - ours).max() > 0.1


def test_another_number_of_classes_too(tmp_path, randomise):
    _, path = saved(tmp_path, randomise, "caffenet", 67)
    net = get_model("caffenet", str(path), any_classes=True, classes=7, hidden=16, batch_norm=True)
    assert net.head.weight._data is None and net.stage1[0].weight._data is not None


def test_only_to_train_on(tmp_path, randomise):
    """What is evaluated has all its layers in its file; and a file with norms fits no network without."""
    _, path = saved(tmp_path, randomise, "caffenet", 67)
    with pytest.raises(Refused, match="does not hold the parameters of caffenet"):
        get_model("caffenet", str(path), classes=5, hidden=16, batch_norm=True)
    _, path = saved(tmp_path, randomise, "caffenet", 67, batch_norm=True)
    with pytest.raises(Refused, match="does not hold the parameters of caffenet"):
        get_model("caffenet", str(path), any_classes=True, classes=5, hidden=16)
    own = get_model("caffenet", str(path), any_classes=True, classes=5, hidden=16, batch_norm=True)
    assert not [p for p in own.collect_params().values() if p._data is None]


@pytest.mark.parametrize(
    "saved_as, asked", [("vgg11", "vgg13_bn"), ("alexnet_2012", "caffenet"), ("caffenet", "caffenet_no_lrn")]
)
def test_a_file_of_another_network_is_refused(saved_as, asked, tmp_path, randomise):
    """By the name that it says: the last two have names and shapes in common, and not what they compute."""
    _, path = saved(tmp_path, randomise, saved_as, 67)
    for any_classes in (False, True):
        with pytest.raises(Refused, match=f"says that it holds a {saved_as}, not a {asked}: ask for {saved_as}"):
            get_model(asked, str(path), any_classes=any_classes, classes=5, hidden=16)
    get_model(saved_as, str(path), classes=5, hidden=16)


@pytest.mark.parametrize("naming", ["gluoncv", "torchvision", "ours"])
def test_a_file_without_norms_of_any_library(naming, tmp_path):
    net = get_model("alexnet", classes=5)
    net.initialize()
    net(mx.nd.zeros((1, 3, 224, 224)))
    weights.save(net, tmp_path / "plain.safetensors", naming)
    found = get_model("alexnet", str(tmp_path / "plain.safetensors"), any_classes=True, classes=5, batch_norm=True)
    np.testing.assert_array_equal(found.head.weight.data().asnumpy(), net.head.weight.data().asnumpy())
