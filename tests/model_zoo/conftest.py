"""Shared by the tests of the networks: networks with random numbers in every parameter, and PyTorch's libraries."""

import importlib
import types

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core import foreign, keyed_random


@pytest.fixture(scope="session")
def randomise():
    """randomise(net, side): random weights, biases, gammas, betas and running statistics; returns the network."""

    def fill(net, side):
        for parameter in net.collect_params().values():
            parameter.initialize(mx.init.Zero())  # whatever its layer brings: drawing it would take long
        net(mx.nd.zeros((1, 3, side, side)))  # GluonCV infers its shapes
        mx.random.seed(1)
        for name, parameter in net._collect_params_with_prefix().items():
            bound = (4.5 / np.prod(parameter.shape[1:])) ** 0.5 if name.endswith("weight") else 0.4
            low, high = (0.4, 1.1) if name.endswith(("gamma", "running_var")) else (-bound, bound)
            mx.nd.random.uniform(low, high, out=parameter.data())
        return net

    return fill


@pytest.fixture(scope="session")
def images():
    """images(count, side, dtype): the same standard normal numbers every time, (count, 3, side, side)."""

    def draw(count, side, dtype="float32"):
        return mx.nd.array(
            keyed_random.generator(1, "test images").standard_normal((count, 3, side, side)), dtype=dtype
        )

    return draw


@pytest.fixture(scope="session")
def torch_libraries(missing):
    """.torch, .timm and .torchvision. Without the extra `interop`: skipped; a failure under CI."""
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        missing("PyTorch is not installed: pip install '.[interop]' (Python 3.10 and up)")
    torchvision = foreign.import_torchvision()
    return types.SimpleNamespace(torch=torch, torchvision=torchvision, timm=importlib.import_module("timm"))
