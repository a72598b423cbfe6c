"""What does not learn, and what learns at a rate of its own: on every network, and by hand on small ones."""

import mxnet as mx
import numpy as np
import pytest
from mxnet.gluon import nn

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.networks.parts import freeze, multiply_rates
from model_zoo import get_model, list_models


class Small(nn.HybridBlock):
    """3 -> stage1 (dense 3x4, norm, dropout) -> head (dense 4x2)."""

    output_parts = ("head",)

    def __init__(self):
        super().__init__()
        with self.name_scope():
            self.stage1 = nn.HybridSequential()
            self.stage1.add(nn.Dense(4, in_units=3), nn.BatchNorm(in_channels=4), nn.Dropout(0.5))
            self.head = nn.Dense(2, in_units=4)

    def hybrid_forward(self, F, x):
        return self.head(self.stage1(x))


def small(hybrid=True):
    mx.random.seed(0)
    net = Small()
    net.initialize(mx.init.Xavier())
    if hybrid:
        net.hybridize(static_alloc=True, static_shape=True)
    return net


def learning(net):
    return sorted(name for name, p in parameters_by_name(net).items() if p.grad_req != "null")


def numbers(net):
    return {name: p.data().asnumpy().copy() for name, p in parameters_by_name(net).items()}


def step(net, **rate):
    """Two steps of SGD on noise; returns the outputs of the second."""
    trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1, "wd": 0.1, **rate})
    for _ in range(2):
        x = mx.nd.random.normal(3.0, shape=(8, 3))
        with mx.autograd.record():
            out = net(x)
            loss = (out**2).sum()
        loss.backward()
        trainer.step(8)
    return x, out


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_frozen_part_is_a_fixed_function(hybrid):
    """Its numbers and running statistics are the same bit for bit, and dropout drops nothing in it."""
    net = small(hybrid)
    before = numbers(net)
    # 12 + 4 weights and biases, gamma and beta of 4 each, of all with 10 of the head
    said = "frozen: 4 of 6 parameters, 2.4e-05 of 3.4e-05 M; 1 batch normalisation with running statistics"
    assert freeze(net, ["features"]) == said
    x, _ = step(net)
    after = numbers(net)
    assert {name for name in before if (before[name] != after[name]).any()} == {"head.weight", "head.bias"}
    with mx.autograd.train_mode():
        in_training = net(x).asnumpy()
    np.testing.assert_allclose(in_training, net(x).asnumpy(), rtol=1e-6)


@pytest.mark.parametrize(
    "patterns, left",
    [
        (["stage1.0"], ["head.bias", "head.weight", "stage1.1.beta", "stage1.1.gamma"]),
        (["features.stage1.0"], ["head.bias", "head.weight", "stage1.1.beta", "stage1.1.gamma"]),
        (["output"], ["stage1.0.bias", "stage1.0.weight", "stage1.1.beta", "stage1.1.gamma"]),
        (["*.bias", "*.b*a"], ["head.weight", "stage1.0.weight", "stage1.1.gamma"]),
        (["stage?.[01].weight"], ["head.bias", "head.weight", "stage1.0.bias", "stage1.1.beta", "stage1.1.gamma"]),
    ],
)
def test_patterns(patterns, left):
    net = small()
    freeze(net, patterns)
    assert learning(net) == left


def test_a_norm_of_which_something_learns_uses_the_batch():
    """A frozen beta alone leaves it a batch normalisation, a frozen gamma and beta do not."""
    for patterns, fixed in ((["*.beta"], False), (["*.beta", "*.gamma"], True), (["*.running_*", "*.beta"], True)):
        net = small()
        freeze(net, patterns)
        before = net.stage1[1].running_mean.data().asnumpy().copy()
        step(net)
        assert (before == net.stage1[1].running_mean.data().asnumpy()).all() == fixed, patterns


def test_rates():
    """One step without momentum and decay moves a parameter by its factor times what it moves without."""
    plain, other = small(), small()
    for net in (plain, other):
        freeze(net, ["stage1.1"])
        net.stage1[2]._rate = 0
    assert multiply_rates(other, {"features": 0.5, "*.weight": 4}) == [
        "features: learning rate times 0.5 (2 of 6 parameters, 1.6e-05 M)",
        "*.weight: learning rate times 4 (2 of 6 parameters, 2e-05 M)",
    ]
    x, moved = mx.nd.ones((1, 3)), []
    for net in (plain, other):
        before = numbers(net)
        trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 0.1})
        with mx.autograd.record():
            loss = net(x).sum()
        loss.backward()
        trainer.step(1)
        moved.append({name: value - before[name] for name, value in numbers(net).items()})
    for name, factor in (("stage1.0.weight", 2), ("stage1.0.bias", 0.5), ("head.weight", 4), ("head.bias", 1)):
        np.testing.assert_allclose(moved[1][name], factor * moved[0][name], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize(
    "patterns, says",
    [
        (["feature"], r"freeze 'feature' names nothing of small\d+_ ?\(did you mean features\?\)|feature"),
        (["stage7.*"], "names nothing of .*its parts are stage1, head, features, output"),
        ([""], "freeze '' names nothing"),
        (["features", "output"], "freeze 'features', 'output': nothing of .* would learn"),
        (["*"], "would learn: leave out what is to be trained, such as output"),
    ],
)
def test_what_freezes_nothing_or_everything_is_refused(patterns, says):
    with pytest.raises(Refused, match=says):
        freeze(small(), patterns)


def test_what_does_not_learn_anyway_is_refused():
    net = small()
    net.stage1[1].beta.grad_req = "null"
    with pytest.raises(Refused, match="freeze '.*beta' names nothing of .* that learns: leave it out"):
        freeze(net, ["*.beta"])
    assert "0 of 6 parameters, 0 of 3.4e-05 M; 1 batch" in freeze(small(), ["*.running_mean"])


def test_gluoncvs_wide_resnets_drop_nothing_where_they_are_frozen():
    """Which have no layer for it."""
    net = get_model("cifar_wideresnet16_10", classes=3, drop_rate=0.3)
    net.initialize()
    net(mx.nd.zeros((1, 3, 8, 8)))
    rates = []
    net.apply(lambda block: rates.append(block) if hasattr(block, "droprate") else None)
    freeze(net, ["features.3"])
    assert [block.droprate for block in rates] == [0, 0, 0.3, 0.3, 0.3, 0.3]


def test_rates_of_what_does_not_learn_are_refused():
    net = small()
    freeze(net, ["features"])
    with pytest.raises(Refused, match="lr_mult 'stage1' names nothing of .* that learns: leave it out"):
        multiply_rates(net, {"stage1": 2})
    with pytest.raises(Refused, match=r"lr_mult 'heads' names nothing of .* \(did you mean head\?\)"):
        multiply_rates(net, {"heads": 2})


@pytest.mark.parametrize("name", list_models())
def test_the_same_words_on_every_network(name):
    """`features` leaves the layers of the logits alone, `output` these, and a first stage has its name in all."""
    net = get_model(name, classes=3)
    for parameter in net.collect_params().values():
        parameter.initialize(mx.init.Zero())  # whatever its layer brings: no number is looked at
    size = net.smallest_side
    net.infer_shape(mx.nd.zeros((1, 3, size, size)))
    for parameter in net.collect_params().values():
        parameter._finish_deferred_init()
    everything, seen = learning(net), {}
    for word in ("features", "output", "stage1"):
        freeze(net, [word])
        seen[word] = {*everything} - {*learning(net)}
        net.collect_params(".*(weight|bias|gamma|beta)").setattr("grad_req", "write")
    aux = {other for other in everything if other.startswith("aux")}
    heads = {other for other in everything if other.split(".")[0] in ("head", "output")}
    assert seen["output"] == heads | aux and heads >= {"head.weight", "head.bias"}
    assert seen["features"] == {*everything} - heads - aux
    assert seen["stage1"] == {other for other in everything if other.startswith("stage1.")} != set()


def test_no_more_patterns_than_are_looked_through_at_once():
    """A recipe's file of 4 MB may have a million, of which each that matches takes a millisecond."""
    with pytest.raises(Refused, match="freeze has 1001 patterns, and 1000 are the most"):
        freeze(small(), ("stage1",) * 1001)
    with pytest.raises(Refused, match="lr_mult has 1001 patterns, and 1000 are the most"):
        multiply_rates(small(), {f"[{'s' * (k + 1)}]tage1": 2 for k in range(1001)})
    assert freeze(small(), ("stage1",) * 1000).startswith("frozen: 4 of 6 parameters")
