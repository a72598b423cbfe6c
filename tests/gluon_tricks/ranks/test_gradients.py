"""Gradients in flat buffers: the same numbers as without, in buckets that follow backward."""

import types

import mxnet as mx
import numpy as np
import pytest
from mxnet import autograd

from gluon_tricks.networks.of_recipe import initialised_network
from gluon_tricks.ranks.gradients import Gradients, in_buckets
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.evaluation import ClassificationScores
from gluon_tricks.tasks.classification.task import cross_entropy
from gluon_tricks.training.ascent import Ascent
from gluon_tricks.training.average import Average
from gluon_tricks.training.loop import train_step
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.rounds import Rounds


def dense_net(dtype="float32"):
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4, in_units=3), mx.gluon.nn.BatchNorm(in_channels=4), mx.gluon.nn.Dense(2, in_units=4))
    net.initialize()
    net.cast(dtype)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def parameters(net):
    return list(net.collect_params().values())


def test_buckets_are_filled_from_the_last_parameter_and_closed_when_full():
    """Dense 4x3 + 4, gamma and beta 4 + 4, Dense 2x4 + 2; running statistics have no gradient."""
    sizes = [[array.size for array in bucket] for bucket in Gradients(parameters(dense_net())).buckets]
    assert sizes == [[12 + 4 + 8 + 8 + 2]]
    gradients = Gradients(parameters(dense_net()), bucket_bytes=40)
    assert [bucket[0].size for bucket in gradients.buckets] == [2 + 8, 4 + 4 + 4, 12]
    assert gradients.bytes == 4 * 34 and len(gradients.trained) == 6


def test_a_bucket_has_one_dtype():
    """float16 networks keep gamma and beta in float32."""
    gradients = Gradients(parameters(dense_net("float16")))
    assert [(array.dtype, array.size) for array in gradients.first()] == [(np.float16, 26), (np.float32, 8)]
    assert gradients.bytes == 2 * 26 + 4 * 8


@pytest.mark.parametrize("hybrid", [True, False])
def test_backward_writes_into_the_buckets(hybrid):
    """y = W x + b with W = 0: d sum(y) / dW = x in every row, d/db = 1; twice in a row, then accumulated; anew."""
    for accumulate, times in ((False, 1), (True, 2)):
        net = mx.gluon.nn.Dense(2, in_units=3)
        net.initialize(mx.init.Zero())
        net.hybridize(active=hybrid)
        gradients = Gradients(parameters(net), accumulate=accumulate)
        for _ in range(2):
            gradients.clear()
            for _ in range(2):
                with autograd.record():
                    total = net(mx.nd.array([[1, 2, 3]])).sum()
                total.backward()
                gradients.add_round()
        (bucket,) = gradients.first()
        np.testing.assert_array_equal(bucket.asnumpy(), times * np.array([1, 1, 1, 2, 3, 1, 2, 3]))
        np.testing.assert_array_equal(net.weight.grad().asnumpy(), times * np.array([[1, 2, 3], [1, 2, 3]]))


def test_several_rounds_are_one_batch():
    """Without batch statistics two rounds of 4 images give the update of 8, and the same loss."""
    recipe = Recipe(model="resnet18_v1", classes=4, input_size=32, net={"norm_layer": "GroupNorm"})
    rng = np.random.default_rng(1)
    images, target = mx.nd.array(rng.normal(size=(8, 3, 32, 32))), mx.nd.one_hot(mx.nd.arange(8) % 4, 4)
    results = []
    for rounds in (1, 2):
        net = initialised_network(recipe, [mx.cpu()])
        trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"learning_rate": 0.01, "momentum": 0.9}, kvstore=None)
        gradients = Gradients(trainer._params, accumulate=rounds > 1)
        task = types.SimpleNamespace(
            micro_batches=lambda batch, step: ([part] for part in zip(*(np.split(part, step) for part in batch))),
            preprocess=lambda shard: tuple(map(mx.nd.array, shard)),
            forward=lambda net, X: net(X),
            train_error=None,
        )
        job = types.SimpleNamespace(
            task=task, net=net, trainer=trainer, gradients=gradients, loss=cross_entropy, scale=LossScale(False),
            ascent=Ascent(Recipe(), net, trainer, gradients),
            average=Average(Recipe(), net, ClassificationScores),
            recipe=recipe.set(batch_size=8), step_context=lambda rounds=rounds: rounds, rounds=Rounds(recipe, net, 1),
        )  # fmt: skip
        for _ in range(2):
            losses = train_step(job, (images.asnumpy(), target.asnumpy()))
        results.append(([p.data().asnumpy() for p in gradients.trained], sum(float(x.asscalar()) for x in losses)))
    (one, one_loss), (two, two_loss) = results
    assert one_loss == pytest.approx(two_loss, rel=1e-5)
    for a, b in zip(one, two):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_two_spellings_of_a_dtype_share_a_bucket():
    """4 numbers and 6 of four bytes; what has another dtype comes in a bucket of its own, after them."""

    def entry(dtype, *shape):
        return types.SimpleNamespace(dtype=dtype, shape=shape)

    first, half, second = entry("float32", 4), entry("float16", 8), entry(np.float32, 2, 3)
    assert list(in_buckets([first, half, second], 2**20)) == [[first, second], [half]]
    assert list(in_buckets([first, half, second], 16)) == [[first], [second], [half]]
