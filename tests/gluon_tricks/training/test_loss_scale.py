"""The dynamic loss scale, and the float32 master copy that float16 training keeps."""

import mxnet as mx
import pytest

from gluon_tricks.training.loss_scale import LossScale


def test_halves_on_overflow_and_doubles_after_patience():
    scale, fine, broken = LossScale(True, 1024.0, patience=2), mx.nd.ones(3), mx.nd.array([1, float("inf")])
    assert not scale.accepts([fine, broken]) and scale.value == 512
    assert scale.accepts([fine]) and scale.value == 512
    assert scale.accepts([fine]) and scale.value == 1024
    assert not scale.accepts([mx.nd.array([float("nan")])]) and scale.value == 512


def test_inactive_for_other_precisions():
    scale = LossScale(False)
    assert scale.value == 1.0 and scale.accepts([mx.nd.array([float("nan")])]) and scale.value == 1.0


def test_more_arrays_than_one_check_takes():
    arrays = [mx.nd.ones(1)] * 450
    assert LossScale(True).accepts(arrays)
    assert not LossScale(True).accepts([*arrays, mx.nd.array([float("inf")])])


def test_float16_and_float32_gradients_together():
    """A float16 network's batch normalisation stays float32."""
    half, single = mx.nd.ones(3, dtype="float16"), mx.nd.ones(3)
    assert LossScale(True).accepts([half, single, half])
    assert not LossScale(True).accepts([half, mx.nd.array([float("inf")]), half])
    assert not LossScale(True).accepts([mx.nd.array([float("inf")], dtype="float16"), single])


def test_the_master_copy_takes_steps_that_float16_cannot():
    """1 - 1e-4 is 1 in float16: without the float32 copy the weight would never move."""
    weight = mx.gluon.Parameter("weight", shape=(1,), dtype="float16", init=mx.init.One())
    weight.initialize()
    numbers = {"learning_rate": 1e-4, "momentum": 0.0, "multi_precision": True}
    trainer = mx.gluon.Trainer([weight], "sgd", numbers, kvstore=None, update_on_kvstore=False)
    for _ in range(20):
        with mx.autograd.record():
            loss = weight.data() * 1
        loss.backward()
        trainer.update(1)
    assert weight.data().asscalar() == pytest.approx(1 - 20e-4, abs=5e-4)
