"""The three keywords of get_model become one argument of the constructors."""

import inspect

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

import model_zoo
from gluon_tricks.core.errors import Refused
from model_zoo import get_model, keywords, list_models
from model_zoo.norm import BATCH_NORM, Norm

AFTER_DENSE = {  # the networks that normalise behind dense layers
    **{name: {} for name in ("cvjena_alexnet", "cvjena_vgg19")},
    **{name: {"batch_norm": True} for name in ("alexnet", "alexnet_2012", "zfnet", "caffenet")},
}
THREE = ["use_global_stats", "norm_layer", "norm_kwargs"]


@pytest.mark.parametrize("name", list_models())
def test_a_constructor_has_one_argument_where_get_model_has_three(name):
    own = list(inspect.signature(model_zoo._REGISTRY[name]).parameters)
    assert not set(THREE) & set(own)
    if "norm" in own:
        assert [key for key in keywords(name) if key in THREE] == THREE
    else:
        assert not set(THREE) & set(keywords(name))
    assert "norm" not in keywords(name)
    with pytest.raises(Refused, match=f"no argument 'norm' in {name}: "):
        get_model(name, norm=BATCH_NORM)


def test_the_networks_without_normalisation():
    without = [name for name in list_models() if "norm_layer" not in keywords(name)]
    assert without == [
        *("googlenet_2014", "googlenet_2014_aux", "vgg11", "vgg13", "vgg16", "vgg19", "alexnet", "alexnet_2012"),
        *("zfnet", "zfnet_512_1024_512", "caffenet", "caffenet_no_lrn"),
    ]


def test_all_three_reach_a_layer():
    net = get_model("mobilenet0.25", use_global_stats=True, norm_layer=mx.gluon.nn.BatchNorm, norm_kwargs={"axis": 1})
    said = net.stem[1]._kwargs
    assert (said["use_global_stats"], said["axis"], said["eps"]) == (True, 1, 1e-5)


@pytest.mark.parametrize("kwargs, epsilon", [(None, 0.001), ({}, 0.001), ({"epsilon": 0.5}, 0.5)])
def test_the_users_arguments_win_over_the_networks(kwargs, epsilon):
    layer = Norm(norm_kwargs=kwargs).defaulting_to(epsilon=0.001)(in_channels=3)
    assert layer._kwargs["eps"] == epsilon and layer.gamma.shape == (3,)


@pytest.mark.parametrize(
    "kwargs, says",
    [
        ({"epsilon": "x"}, "epsilon is 'x', but it takes a number from 0 on"),
        ({"epsilon": True}, "epsilon is True"),
        ({"epsilon": float("nan")}, "epsilon is nan"),
        ({"epsilon": -1e-5}, "epsilon is -1e-05"),
        ({"momentum": [0.9]}, r"momentum is \[0.9\], but it takes a number of \[0, 1\]"),
        ({"momentum": 1.5}, "momentum is 1.5"),
        ({"axis": "x"}, "axis is 'x', but it takes a whole number"),
        ({"use_global_stats": "x"}, "use_global_stats is 'x', but it takes true or false"),
        ({"beta_initializer": 3}, "beta_initializer is 3, but it takes the name of an initialiser such as 'ones'"),
        ({"gamma_initializer": "nope"}, "gamma_initializer is 'nope'"),
        ({"params": 3}, "BatchNorm cannot be made with .*params"),
    ],
)
def test_arguments_of_no_layer_are_refused_before_it_computes(kwargs, says):
    for name in ("resnet18_v1", "densenet121"):
        with pytest.raises(Refused, match=says):
            get_model(name, norm_kwargs=kwargs)


def test_what_a_block_asks_of_one_layer_wins():
    layer = Norm(norm_kwargs={"gamma_initializer": "ones"})(in_channels=2, gamma_initializer="zeros")
    layer.initialize()
    assert layer.gamma.data().asnumpy().tolist() == [0, 0]


def test_in_channels_go_to_layers_that_take_them():
    def sized(in_channels, epsilon):
        return in_channels, epsilon

    def sizeless(epsilon):
        return epsilon

    assert Norm(norm_layer=sized, norm_kwargs={"epsilon": 2})(in_channels=8) == (8, 2)
    assert Norm(norm_layer=sizeless, norm_kwargs={"epsilon": 2})(in_channels=8) == 2


@pytest.mark.own_process(reason="a process in which this fails has crashed")
def test_vectors_are_no_map_that_a_convolution_gave():
    """MXNet takes the one's operator for the other's, and reads past the vectors (see DenseMap).

    Each network has vectors of a length of its own, so that none finds the operators of another. With nn.Dense in place
    of DenseMap each of these crashes, in this order too; of zfnet those of 80 or 112 numbers do not.
    """
    lengths = (16, 32, 48, 64, 128, 96)
    assert len(lengths) == len(AFTER_DENSE)
    for name, hidden in zip(AFTER_DENSE, lengths):
        print(name, flush=True)  # the last one printed is the one that crashed
        net = get_model(name, classes=3, hidden=hidden, **AFTER_DENSE[name])
        net.initialize()
        first = nn.HybridSequential()
        first.add(nn.Conv2D(hidden, 1), nn.BatchNorm())
        first.initialize()
        images = mx.nd.ones((2, 3, net.smallest_side, net.smallest_side))
        first(mx.nd.ones((2, hidden, 1, 1))).wait_to_read()
        assert np.isfinite(net(images).asnumpy()).all(), name
