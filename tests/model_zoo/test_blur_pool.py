"""ResNets without aliasing, against timm's, and against numbers worked out by hand."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
import safetensors.numpy

from gluon_tricks.core.errors import Refused
from model_zoo import get_model, keywords, list_models, weights
from model_zoo.blur_pool import BlurPool
from model_zoo.export import export_onnx
from model_zoo.graph import trace

NAMES = [name for name in list_models() if "blur" in keywords(name)]
SMALL = [name for name in NAMES if not any(depth in name for depth in ("101", "152", "34"))]


def test_every_resnet_has_it():
    assert len(NAMES) == 6 * 4 + 2 + 2 and "resnext101_32x4d" in NAMES and "cifar_resnet20_v1" not in NAMES


def test_a_pixel_by_hand():
    """16 at (0, 0): in the middle of the window around it, so 2 x 2 of 16 parts; in no other window.

    16 at (0, 1): in the row of weight 2 of two windows. Around (0, 0) it is on the right, and mirrored on the left:
    2 (1 + 1). Around (0, 2) it is on the left: 2 x 1.
    """
    x = mx.nd.zeros((1, 2, 4, 5))
    x[0, 0, 0, 0] = x[0, 1, 0, 1] = 16
    assert BlurPool()(x).asnumpy().tolist() == [[[[4, 0, 0], [0, 0, 0]], [[4, 2, 0], [0, 0, 0]]]]


@pytest.mark.parametrize("shape", [(2, 3, 7, 8), (1, 2, 2, 3), (1, 1, 9, 9)])
def test_it_is_timms(shape, torch_libraries):
    timm, torch = torch_libraries.timm, torch_libraries.torch
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    expected = timm.layers.BlurPool2d(shape[1], stride=2)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(BlurPool()(mx.nd.array(x)).asnumpy(), expected, atol=1e-6)


def timms(timm, name):
    """timm's network of the structure of ours; those it has no name for are made of its parts."""
    peer = get_model(name, blur=True).peers.get("timm")
    if peer is not None and peer.model:
        return timm.create_model(peer.model, pretrained=False, num_classes=7).eval()
    plain = get_model(name).peers["timm"].model
    return timm.create_model(plain, pretrained=False, num_classes=7, aa_layer=timm.layers.BlurPool2d).eval()


@pytest.mark.parametrize("name", [name for name in SMALL if "timm" in get_model(name).peers])
def test_networks_are_timms(name, torch_libraries, images, tmp_path):
    torch, x = torch_libraries.torch, images(2, 65)
    theirs = timms(torch_libraries.timm, name)
    torch.manual_seed(1)
    with torch.no_grad():
        for key, value in theirs.state_dict().items():
            if key.endswith("running_var") or (value.ndim == 1 and key.endswith("weight")):
                value.uniform_(0.4, 1.1)
            elif value.is_floating_point():
                bound = (4.5 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.4
                value.uniform_(-bound, bound)
        expected = theirs(torch.from_numpy(x.asnumpy())).numpy()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    ours = get_model(name, pretrained=tmp_path / "theirs.pth", classes=7, blur=True)
    found = ours(x).asnumpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    plain = get_model(name, pretrained=tmp_path / "theirs.pth", classes=7)(x).asnumpy()
    assert np.abs(plain - found).max() > 1e-2 * np.abs(found).max()
    weights.save(ours, tmp_path / "ours.safetensors", "timm")
    keys = safetensors.numpy.load_file(tmp_path / "ours.safetensors").keys()
    assert {*keys} <= {*theirs.state_dict()}  # no filters among them


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_the_plain_networks(name):
    plain, blurred = (get_model(name, blur=blur)._collect_params_with_prefix() for blur in (False, True))
    assert {key: p.shape for key, p in plain.items()} == {key: p.shape for key, p in blurred.items()}
    assert trace(get_model(name, blur=True)).tojson().count('"op": "Pad"') == 4  # the stem's, and of stages 2 to 4


def test_dilated(images):
    net = get_model("resnet18_v1b", blur=True, dilated=True)
    net.initialize()
    assert trace(net).tojson().count('"op": "Pad"') == 2  # stages 3 and 4 keep the size
    assert net.features_at(4)(images(1, 33)).shape[2:] == (5, 5)


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_hybrid_and_imperative_alike(name, images, randomise):
    net = randomise(get_model(name, classes=7, blur=True), 64)
    found, x = [], images(2, 64)
    for hybrid in (False, True):
        net.hybridize(hybrid, **(dict(static_alloc=True, static_shape=True) if hybrid else {}))
        with mx.autograd.record():
            loss = (net(x) ** 2).sum()
        loss.backward()
        found.append([loss.asscalar(), net.stem[0].weight.grad().norm().asscalar()])
    assert found[0] == pytest.approx(found[1], rel=1e-3) and found[0][1] > 0


@pytest.mark.parametrize("name", ["resnet18_v1", "resnet26_v1d"])
def test_onnx(name, images, randomise, tmp_path):
    pytest.importorskip("onnx")
    net = randomise(get_model(name, classes=7, blur=True), 64)
    steps = dataclasses.replace(net.preprocessing, input_size=64)
    assert export_onnx(net, tmp_path / "net.onnx", steps) is not None


def test_refusals():
    with pytest.raises(Refused, match="at least 17x17 pixels"):
        get_model("resnet18_v1", blur=True)(mx.nd.zeros((1, 3, 16, 16)))
    with pytest.raises(Refused, match="blur is 1, but it takes true or false"):
        get_model("resnet18_v1", blur=1)
    with pytest.raises(Refused, match="no argument 'blur' in mobilenet1.0"):
        get_model("mobilenet1.0", blur=True)
