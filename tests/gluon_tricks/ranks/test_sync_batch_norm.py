"""SyncBatchNorm of one rank is nn.BatchNorm, in all of its forms; over ranks it is tested in tests/ranks."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.ranks.sync_batch_norm import SyncBatchNorm


def step(layer, hybrid):
    """Output, gradient of the input and running mean after one training step on 12 values of each of 2 channels."""
    layer.initialize()
    layer.running_mean.set_data(mx.nd.array([0.5, -0.5]))
    if hybrid:
        layer.hybridize()
    x, weight = (mx.nd.array(np.random.default_rng(seed).normal(1, 2, (3, 2, 2, 2))) for seed in (0, 1))
    x.attach_grad()
    with mx.autograd.record():
        y = layer(x)
    y.backward(weight)
    return y.asnumpy(), x.grad.asnumpy(), layer.running_mean.data().asnumpy()


@pytest.mark.parametrize("hybrid", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        {},
        {"scale": False, "gamma_initializer": "zeros"},  # gamma is 1 nevertheless
        {"center": False},
        {"use_global_stats": True},
        {"use_global_stats": True, "scale": False, "gamma_initializer": "zeros"},
    ],
)
def test_every_form_is_that_of_batch_norm(form, hybrid):
    ours = step(SyncBatchNorm("one", in_channels=2, **form), hybrid)
    for got, want in zip(ours, step(mx.gluon.nn.BatchNorm(in_channels=2, **form), hybrid)):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    y, _, mean = ours
    if "use_global_stats" in form:
        np.testing.assert_array_equal(mean, np.float32([0.5, -0.5]))
    else:
        np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-5)
        np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, rtol=1e-4)


def test_another_axis_is_refused():
    with pytest.raises(Refused, match="axis -1: it knows channels in axis 1 only"):
        SyncBatchNorm("one", axis=-1)
