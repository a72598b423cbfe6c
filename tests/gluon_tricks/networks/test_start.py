"""Initialisations by name: their deviations by hand, and that every network of the zoo takes each of them."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import initialised_network, parameters_by_name
from gluon_tricks.networks.start import Kaiming, starts
from gluon_tricks.recipes.recipe import INITS, Recipe
from model_zoo import get_model, list_models


@pytest.mark.parametrize(
    "fan, groups, shape, deviation",
    [
        ("in", 1, (64, 3, 7, 7), np.sqrt(2 / (3 * 49))),
        ("out", 1, (64, 3, 7, 7), np.sqrt(2 / (64 * 49))),
        ("in", 2, (256, 48, 5, 5), np.sqrt(2 / (48 * 25))),
        ("out", 2, (256, 48, 5, 5), np.sqrt(2 / (128 * 25))),
        ("out", 32, (32, 1, 3, 3), np.sqrt(2 / 9)),  # depthwise: an input reaches one channel
        ("in", 1, (1000, 512), np.sqrt(2 / 512)),
        ("out", 1, (1000, 512), np.sqrt(2 / 1000)),
    ],
)
def test_deviations_by_hand(fan, groups, shape, deviation):
    assert Kaiming(fan, groups).deviation(shape) == pytest.approx(deviation)


@pytest.fixture(scope="module")
def alexnets():
    """AlexNet of 2012 with narrow images, by every initialisation; its layers bring numbers of their own."""
    made = {}
    for init in INITS:
        recipe = Recipe(
            model="alexnet_2012", net={"hidden": 1024}, classes=10, input_size=95, batch_size=1, init=init, init_sd=0.02
        )
        made[init] = {name: p.data().asnumpy() for name, p in parameters_by_name(net_of(recipe)).items()}
    return made


def net_of(recipe):
    return initialised_network(recipe, [mx.cpu()])


@pytest.mark.parametrize(
    "init, deviations",  # of convolution 2, (256, 48, 5, 5) in two groups, and of dense layer 2, (1024, 1024)
    [
        ("gluoncv", (0.01, 0.01)),  # its own
        ("gaussian", (0.02, 0.02)),
        ("plain", (0.02, 0.02)),
        ("kaiming_conv", (np.sqrt(2 / 1200), 0.02)),
        ("kaiming", (np.sqrt(2 / 1200), np.sqrt(2 / 1024))),
        ("kaiming_out", (np.sqrt(2 / 3200), np.sqrt(2 / 1024))),
        ("paper", (np.sqrt(2 / (1200 + 6400)), np.sqrt(1 / 1024))),  # Xavier's uniform of variance 2 / (in + out)
    ],
)
def test_every_layer_has_it_whatever_it_brings(alexnets, init, deviations):
    for name, deviation in zip(("stage2.0.weight", "neck.4.weight"), deviations):
        assert alexnets[init][name].std() == pytest.approx(deviation, rel=0.01)
        assert abs(alexnets[init][name].mean()) < deviation / 50


@pytest.mark.parametrize("init", INITS)
def test_biases_are_1_where_alexnet_has_them_so(alexnets, init):
    """Convolutions 2, 4 and 5 and the hidden dense layers, as long as the Gaussian belongs to them."""
    ones = {name for name, array in alexnets[init].items() if name.endswith("bias") and (array == 1).all()}
    zero = {name for name, array in alexnets[init].items() if name.endswith("bias") and (array == 0).all()}
    wanted = {f"{layer}.bias" for layer in ("stage2.0", "stage3.2", "stage3.4", "neck.1", "neck.4")}
    assert ones == (wanted if init in ("gaussian", "gluoncv") else set())
    assert len(ones | zero) == 8


@pytest.mark.parametrize("name", list_models())
def test_every_network_takes_each(name):
    """All weights of more than one axis, and nothing else that a layer brings is touched."""
    net = get_model(name)
    parameters = net.collect_params()
    for init, kind in (("gaussian", mx.init.Normal), ("kaiming", Kaiming), ("kaiming_out", Kaiming)):
        chosen = starts(Recipe(model=name, init=init), net)
        assert chosen.keys() == parameters.keys()
        for full, parameter in parameters.items():
            is_weight = full.endswith("_weight")
            assert isinstance(chosen[full], kind) == is_weight, full
            assert not is_weight or len(parameter.shape) > 1
            if full.endswith(("gamma", "beta", "running_mean", "running_var")):
                assert chosen[full] is None
            if init != "gaussian" and full.endswith("_bias"):
                assert isinstance(chosen[full], mx.init.Zero)


def test_the_same_seed_gives_the_same_network():
    recipe = Recipe(model="cifar_resnet20_v1", classes=10, batch_size=1, init="kaiming", seed=3)
    one, same = ({name: p.data().asnumpy() for name, p in parameters_by_name(net_of(recipe)).items()} for _ in "ab")
    for name, array in one.items():
        np.testing.assert_array_equal(array, same[name])
    last = [array for array in one.values() if array.shape == (64, 64, 3, 3)][-1]
    assert last.std() == pytest.approx(np.sqrt(2 / 576), rel=0.02)


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"init": "he"}, "init is .he.: choose one of paper, gluoncv, gaussian, plain, kaiming, .*kaiming_conv"),
        ({"init_sd": 0.0}, "init_sd is 0"),
    ],
)
def test_unknown_ones_are_refused(changes, text):
    with pytest.raises(Refused, match=text):
        Recipe(**changes)
