"""AdamW, LARS and LAMB: against PyTorch, and against their formulas in float64; in runs that go on."""

import mxnet as mx
import numpy as np
import pytest
import torch

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training import rollback
from gluon_tricks.training.divergence import Diverged
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate, train_epoch
from gluon_tricks.training.optimizer import make_trainer
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import DecoupledDecay, NoBiasDecay, TrustRatio
from model_zoo import formats, get_model

ADAMW = Recipe(optimizer="adam", lr=0.1, wd=0.05, momentum=0.8, tricks=(DecoupledDecay(0.95, 1e-6),))
LARS = Recipe(optimizer="sgd", lr=2.0, wd=0.01, momentum=0.9, tricks=(TrustRatio(0.02),))
LAMB = ADAMW.add(TrustRatio())
CPU = (mx.cpu(),)
OPTIONS = dict(contexts=[mx.cpu()], threads=1, picture_epochs=0)


def dense(recipe, dtype="float32", contexts=CPU):
    """A layer of three inputs and two outputs with given numbers, and its trainer."""
    net = mx.gluon.nn.Dense(2, in_units=3)
    net.initialize(ctx=list(contexts))
    net.weight.set_data(mx.nd.array([[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]]))
    net.bias.set_data(mx.nd.array([0.5, -0.5]))
    for trick in recipe.tricks:
        trick.after_initialize(net)
    net.cast(dtype)
    return net, make_trainer(net, recipe.set(dtype=dtype), list(contexts))


GRADIENTS = [np.random.default_rng(k).normal(size=(2, 4)).astype("float32") for k in range(5)]


def updated(net, trainer, divisor=4.0):
    """Weights (2, 3) and biases (2,), in float32, after five updates with GRADIENTS, which are given times divisor."""
    for gradient in GRADIENTS:
        for parameter, part in ((net.weight, gradient[:, :3]), (net.bias, gradient[:, 3])):
            for array, slot in zip(parameter.list_data(), parameter.list_grad()):
                slot[:] = mx.nd.array(part * divisor)
                array._fresh_grad = True
        trainer.allreduce_grads()
        trainer.update(divisor * len(net.weight.list_ctx()))
    return net.weight.list_data()[-1].asnumpy(), net.bias.list_data()[-1].asnumpy()


@pytest.mark.parametrize("no_decay", [False, True])
def test_adamw_is_pytorchs(no_decay):
    recipe = ADAMW.add(NoBiasDecay()) if no_decay else ADAMW
    weight, bias = (torch.nn.Parameter(torch.tensor(values)) for values in (
        [[1.0, -2.0, 0.5], [0.25, 3.0, -1.0]], [0.5, -0.5]))  # fmt: skip
    groups = [{"params": [weight]}, {"params": [bias], **({"weight_decay": 0.0} if no_decay else {})}]
    theirs = torch.optim.AdamW(groups, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.05)
    for gradient in GRADIENTS:
        weight.grad, bias.grad = torch.tensor(gradient[:, :3].copy()), torch.tensor(gradient[:, 3].copy())
        theirs.step()
    for ours, want in zip(updated(*dense(recipe)), (weight, bias)):
        np.testing.assert_allclose(ours, want.detach().numpy(), rtol=2e-6, atol=2e-7)


def test_adamw_by_hand():
    """w = 2, g = 0.5, lr 0.1, wd 0.1: the first step is 0.1 (1 + 0.2) = 0.12 whatever the gradient is."""
    net = mx.gluon.nn.Dense(1, use_bias=False, in_units=1)
    net.initialize(mx.init.Constant(2.0))
    recipe = Recipe(optimizer="adam", lr=0.1, wd=0.1, tricks=(DecoupledDecay(),))
    trainer = make_trainer(net, recipe, [mx.cpu()])
    with mx.autograd.record():
        loss = 0.5 * net(mx.nd.ones((1, 1)))
    loss.backward()
    trainer.step(1)
    assert net.weight.data().asscalar() == pytest.approx(1.88, abs=1e-6)


def lars(w, gradients, adapts=True, wd=0.01):
    w, v = w.astype("float64"), np.zeros_like(w, "float64")
    for g in gradients:
        own, other = np.linalg.norm(w), np.linalg.norm(g)
        ratio = 0.02 * own / (other + wd * own) if adapts and own * other > 0 else 1.0
        v = 0.9 * v + 2.0 * ratio * (g + wd * w)
        w = w - v
    return w


def lamb(w, gradients, adapts=True, wd=0.05):
    w, m, s = w.astype("float64"), 0, 0
    for t, g in enumerate(gradients, 1):
        m, s = 0.8 * m + 0.2 * g, 0.95 * s + 0.05 * g.astype("float64") ** 2
        u = m / (1 - 0.8**t) / (np.sqrt(s / (1 - 0.95**t)) + 1e-6) + wd * w
        own, other = np.linalg.norm(w), np.linalg.norm(u)
        w = w - 0.1 * (own / other if adapts and own * other > 0 else 1.0) * u
    return w


@pytest.mark.parametrize(("recipe", "formula"), [(LARS, lars), (LAMB, lamb)])
def test_their_formulas(recipe, formula):
    net, trainer = dense(recipe)
    weight, bias = net.weight.data().asnumpy(), net.bias.data().asnumpy()
    ours = updated(net, trainer)
    want = formula(weight, [g[:, :3] for g in GRADIENTS]), formula(bias, [g[:, 3] for g in GRADIENTS], adapts=False)
    for one, other in zip(ours, want):
        np.testing.assert_allclose(one, other, rtol=5e-6, atol=5e-7)
    plain = formula(weight, [g[:, :3] for g in GRADIENTS], adapts=False)
    assert np.abs(plain - want[0]).max() > 0.05  # the ratio does something


def test_the_first_step_of_lars_by_hand():
    """|w| = 5, |g| = 10, wd 0.5: ratio 0.02 x 5 / (10 + 2.5) = 0.008; v = 2 x 0.008 x (g + 0.5 w)."""
    net = mx.gluon.nn.Dense(1, use_bias=False, in_units=2)
    net.initialize()
    net.weight.set_data(mx.nd.array([[3.0, 4.0]]))
    trainer = make_trainer(net, LARS.set(wd=0.5), [mx.cpu()])
    with mx.autograd.record():
        loss = net(mx.nd.array([[6.0, 8.0]]))
    loss.backward()
    trainer.step(1)
    assert net.weight.data().asnumpy()[0] == pytest.approx([3 - 0.016 * 7.5, 4 - 0.016 * 10], rel=1e-6)


@pytest.mark.parametrize(("recipe", "formula"), [(LARS, lars), (LAMB, lamb)])
def test_what_does_not_decay_is_not_adapted(recipe, formula):
    net, trainer = dense(recipe)
    net.weight.wd_mult = 0.0
    weight = net.weight.data().asnumpy()
    want = formula(weight, [g[:, :3] for g in GRADIENTS], adapts=False, wd=0.0)
    np.testing.assert_allclose(updated(net, trainer)[0], want, rtol=5e-6, atol=5e-7)


@pytest.mark.parametrize("recipe", [LARS, LAMB, ADAMW.add(TrustRatio(0.01))])
def test_lengths_of_0_change_nothing(recipe):
    """A weight of zeros, and one whose gradient is 0: the rate stays, and nothing is divided by 0."""
    found = []
    for made in (recipe, recipe.without("trust_ratio")):
        net, trainer = dense(made.set(wd=0.0))
        net.weight.set_data(mx.nd.zeros((2, 3)))
        net.weight.grad()[:] = mx.nd.array(GRADIENTS[0][:, :3])
        net.bias.grad()[:] = 0
        for parameter in (net.weight, net.bias):
            parameter.data()._fresh_grad = True
        trainer.update(1)
        found.append(net.weight.data().asnumpy())
    np.testing.assert_allclose(*found, rtol=1e-6)
    net, trainer = dense(recipe.set(wd=0.0))
    net.weight.set_data(mx.nd.zeros((2, 3)))
    assert np.isfinite(updated(net, trainer)[0]).all()
    net, trainer = dense(recipe.set(wd=0.0))
    before = net.weight.data().asnumpy()
    for parameter in (net.weight, net.bias):
        parameter.grad()[:] = 0
        parameter.data()._fresh_grad = True
    trainer.update(1)
    np.testing.assert_array_equal(net.weight.data().asnumpy(), before)


@pytest.mark.parametrize("recipe", [ADAMW, LARS, LAMB])
def test_float16_has_a_master_copy(recipe):
    """The float16 weights are those of float32 rounded once, after gradients that float16 holds exactly."""
    rounded = [np.round(g, 1).astype("float16").astype("float32") for g in GRADIENTS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(globals(), "GRADIENTS", rounded)
        want, ours = updated(*dense(recipe)), updated(*dense(recipe, "float16"))
    for one, other in zip(ours, want):
        assert one.dtype == np.float16
        np.testing.assert_array_equal(one, other.astype("float16"))


@pytest.mark.parametrize("recipe", [ADAMW, LARS, LAMB])
def test_two_devices_go_together(recipe):
    """Each has the same gradients, whose sum is divided by twice the images."""
    contexts = [mx.cpu(0), mx.cpu(1)]
    net, trainer = dense(recipe, contexts=contexts)
    two, one = updated(net, trainer), updated(*dense(recipe))
    for parameter in (net.weight, net.bias):
        np.testing.assert_array_equal(*(array.asnumpy() for array in parameter.list_data()))
    for a, b in zip(one, two):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (
            Recipe(tricks=(DecoupledDecay(),)),
            "decoupled_decay is for Adam, and the optimiser is nag: set optimizer=adam",
        ),
        (Recipe(tricks=(TrustRatio(),)), "and the optimiser is nag: set optimizer=sgd"),
        (Recipe(optimizer="adam", tricks=(TrustRatio(), DecoupledDecay())), "is adam: set optimizer=sgd, or"),
    ],
)
def test_a_trick_of_another_optimiser_is_refused(recipe, says):
    with pytest.raises(Refused, match=says):
        recipe.optimizer_and_numbers()


def test_what_does_not_decay_by_name():
    net, _ = dense(ADAMW.add(DecoupledDecay(no_decay=("b*",))))
    assert (net.weight.wd_mult, net.bias.wd_mult) == (1.0, 0.0)
    with pytest.raises(Refused, match=r"no_decay 'gamma' names nothing of .*: its parts are weight, bias,"):
        dense(ADAMW.add(DecoupledDecay(no_decay=("gamma",))))


@pytest.mark.parametrize("name", ["cifar_resnet20_v1", "vgg11", "googlenet"])
def test_what_does_not_decay_by_the_parts_of_every_network(name):
    net = get_model(name, classes=2)
    DecoupledDecay(no_decay=("output",)).after_initialize(net)
    parameters = net._collect_params_with_prefix()
    kept = {name for name, parameter in parameters.items() if parameter.wd_mult == 0}
    assert kept == {name for name in parameters if name.split(".")[0] in net.output_parts}
    DecoupledDecay(no_decay=("features",)).after_initialize(net)
    assert all(parameter.wd_mult == 0 for parameter in parameters.values())


@pytest.fixture
def small(tiny_records):
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=8, epochs=2, seed=5, wd=0.01
    )  # fmt: skip


KINDS = {
    "adamw": dict(optimizer="adam", lr=1e-3, tricks=(DecoupledDecay(), NoBiasDecay())),
    "lars": dict(optimizer="sgd", lr=1.0, tricks=(TrustRatio(),)),
    "lamb": dict(optimizer="adam", lr=1e-3, tricks=(DecoupledDecay(), TrustRatio())),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_goes_on_bit_for_bit(small, tmp_path, kind, devices):
    """From the middle of the first epoch, where a checkpoint lies in both."""
    recipe = small.set(**KINDS[kind])
    options = dict(OPTIONS, contexts=[mx.cpu(k) for k in range(devices)], checkpoint_steps=4)
    train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    steps = iter(range(1, 100))
    with pytest.raises(Exception, match="stopped after step 4 of 12"):
        train_and_evaluate(recipe, tmp_path / "parts", Options(**options, should_stop=lambda: next(steps) == 4))
    train_and_evaluate(recipe, tmp_path / "parts", Options(**options, resume=True))
    whole, parts = (formats.read(tmp_path / run / "final.params") for run in ("whole", "parts"))
    assert all(np.array_equal(array, parts[name]) for name, array in whole.items())


def test_from_the_start_again_adam_is_at_its_beginning(small, tmp_path):
    """A run that diverges before its first checkpoint goes back to before its first update."""
    job = prepare(small.set(**KINDS["adamw"]), tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        train_epoch(job, 0)
        rollback._start_again(job, Diverged(1, "found by hand"))
        job.task.train.reseed(5)
        train_epoch(job, 0)
    assert set(job.trainer.optimizer._index_update_count.values()) == {6}
