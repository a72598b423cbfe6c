"""What holds for every network of the zoo, whatever its family."""

import inspect

import mxnet as mx
import numpy as np
import pytest

import model_zoo
from gluon_tricks.runtime import Refused
from model_zoo import get_model, list_models

LARGEST = {"resnet101", "resnet152", "resnet34", "densenet169", "densenet201", "vgg13", "vgg16", "cifar_resnet110"}
SMALLER = [name for name in list_models() if name.split("_")[0] not in LARGEST]  # one of each kind


def keywords(name):
    return inspect.signature(model_zoo._REGISTRY[name]).parameters


def first(output):
    return output[0] if isinstance(output, (list, tuple)) else output


@pytest.fixture(scope="module")
def nets():
    """name -> the network with 7 classes, initialised; made once."""
    made = {}

    def make(name):
        if name not in made:
            mx.random.seed(1)
            made[name] = get_model(name, classes=7)
            made[name].initialize(mx.init.Xavier())
        return made[name]

    return make


@pytest.fixture
def x(images):
    return lambda net, count=2: images(count, max(net.smallest_side, 32))


@pytest.mark.parametrize("name", SMALLER)
def test_hybridized_is_imperative(name, nets, x):
    net = nets(name)
    imperative = first(net(x(net))).asnumpy()
    assert imperative.shape == (2, 7) and imperative.std() > 0
    net.hybridize(static_alloc=True, static_shape=True)
    for _ in range(2):
        out = first(net(x(net))).asnumpy()
        np.testing.assert_allclose(out, imperative, rtol=0, atol=1e-5 * np.abs(imperative).max())
    net.hybridize(False)


@pytest.mark.parametrize("name", SMALLER)
def test_features_at_lead_to_the_logits(name, nets, x):
    net = nets(name)
    stages = range(1, sum(child.startswith("stage") for child in net._children) + 1)
    maps = net.features_at(*stages)(x(net))
    sides = [out.shape[2] for out in maps]
    assert sides == sorted(sides, reverse=True) and len(maps) == len(stages) >= 3
    assert (net.features_at(stages[1])(x(net)) == maps[1]).asnumpy().all()
    logits = net.head(net.neck(maps[-1]))
    np.testing.assert_array_equal(logits.asnumpy(), first(net(x(net))).asnumpy())


@pytest.mark.parametrize("wrong", [(), (0,), (9,), (2, 1), (1, 1)])
def test_other_stages_are_refused(wrong):
    with pytest.raises(Refused, match="resnet18_v1.features_at.*: name stages from 1 to 4, in ascending order"):
        get_model("resnet18_v1").features_at(*wrong)


@pytest.mark.parametrize("name", list_models())
def test_classes_and_layout_are_checked(name):
    with pytest.raises(Refused, match="classes=0.* at least 1 class"):
        get_model(name, classes=0)
    net = get_model(name)
    assert net.name == name
    side = net.smallest_side
    with pytest.raises(Refused, match=r"\(N, 3, height, width\), but got \(2, 300, 300, 3\)"):
        net(mx.nd.zeros((2, 300, 300, 3)))
    if side > 1:
        with pytest.raises(Refused, match=f"at least {side}x{side} pixels, but got 300x{side - 1}"):
            net(mx.nd.zeros((1, 3, 300, side - 1)))


@pytest.mark.parametrize("name", [name for name in SMALLER if "use_global_stats" in keywords(name)])
def test_global_stats_hold_in_training_mode(name, nets, x):
    kwargs = {key: 0.0 for key in keywords(name) if key.endswith("drop")}
    net = get_model(name, classes=7, use_global_stats=True, **kwargs)
    net.initialize(mx.init.Xavier())
    expected = first(net(x(net))).asnumpy()
    with mx.autograd.train_mode():
        seen = first(net(x(net))).asnumpy()
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", [name for name in SMALLER if "norm_layer" in keywords(name)])
def test_norm_layer_reaches_every_norm(name):
    made = []

    class Norm(mx.gluon.nn.BatchNorm):
        def __init__(self, **kwargs):
            made.append(kwargs["momentum"])
            super().__init__(**kwargs)

    net = get_model(name, norm_layer=Norm, norm_kwargs={"momentum": 0.5})
    gammas = [key for key in net._collect_params_with_prefix() if key.endswith("gamma")]
    assert made == [0.5] * len(gammas) and made


@pytest.mark.parametrize("name", [name for name in SMALLER if "last_gamma" in keywords(name)])
def test_zero_gamma_is_in_the_last_norm_of_each_branch(name):
    net = get_model(name, last_gamma=True)
    net.initialize()
    zero = [
        k for k, p in net._collect_params_with_prefix().items() if k.endswith("gamma") and not p.data().asnumpy().any()
    ]
    assert len(zero) == sum(len(part) for part in net.trunk[1:])  # one in each block
