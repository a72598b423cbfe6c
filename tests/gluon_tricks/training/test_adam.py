"""Adam: its formula, and that a run goes on with it where it was, correction of its beginning included."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.optimizer_state import restore_optimizer
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_and_evaluate
from gluon_tricks.training.optimizer import make_trainer
from model_zoo import formats


def test_three_updates_by_hand():
    """w = 1, gradients 1, 2, 3 and weight decay 0.01; Kingma & Ba, algorithm 1 (here in float64, to 1e-5)."""
    net = mx.gluon.nn.Dense(1, use_bias=False, in_units=1)
    net.initialize(mx.init.One())
    trainer = make_trainer(net, Recipe(optimizer="adam", lr=0.1, wd=0.01), [mx.cpu()])
    weight, mean, square = 1.0, 0.0, 0.0
    for k in (1, 2, 3):
        with mx.autograd.record():
            loss = net(mx.nd.array([[k]]))
        loss.backward()
        trainer.step(1)
        gradient = k + 0.01 * weight
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weight -= 0.1 * (mean / (1 - 0.9**k)) / (np.sqrt(square / (1 - 0.999**k)) + 1e-8)
        assert net.weight.data().asscalar() == pytest.approx(weight, abs=1e-5)
    assert weight == pytest.approx(0.70757, abs=1e-5)


@pytest.mark.parametrize("devices", [[0], [0, 1], [2], [2, 1]])
def test_a_run_goes_on_bit_for_bit(tiny_records, tmp_path, devices):
    """The first device need not be number 0: MXNet counts updates by the numbers of devices."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    recipe = Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=8, epochs=2, lr=1e-3, seed=5,
        optimizer="adam", tricks=(),
    )  # fmt: skip
    contexts = [mx.cpu(k) for k in devices]
    options = dict(contexts=contexts, threads=1, picture_epochs=0)
    train_and_evaluate(recipe, tmp_path / "whole", Options(**options))
    train_and_evaluate(recipe.set(epochs=1), tmp_path / "parts", Options(**options))
    train_and_evaluate(recipe, tmp_path / "parts", Options(**options, resume=True))
    whole, parts = (formats.read(tmp_path / run / "final.params") for run in ("whole", "parts"))
    assert all(np.array_equal(array, parts[name]) for name, array in whole.items())


FINE = {"weight/0": np.zeros((2, 3)), "weight/1": np.ones((2, 3)), "weight/updates": np.array(7)}


def restored():
    """A layer and its trainer, with the state FINE."""
    net = mx.gluon.nn.Dense(2, use_bias=False, in_units=3)
    net.initialize()
    trainer = make_trainer(net, Recipe(optimizer="adam", lr=0.1), [mx.cpu()])
    restore_optimizer(net, trainer, FINE, [mx.cpu()])
    return net, trainer


def test_a_state_of_another_shape_is_refused():
    net, trainer = restored()
    assert trainer.optimizer._all_index_update_counts[0] == {0: 7}
    for name, odd, says in (
        ("weight/0", np.zeros(6), r"weight/0 has shape \(6,\) and not \(2, 3\)"),
        ("weight/updates", np.zeros(2), r"weight/updates has shape \(2,\) and not \(\)"),
        ("weight/1", None, "weight/1 is missing"),
    ):
        arrays = {key: array for key, array in {**FINE, name: odd}.items() if array is not None}
        with pytest.raises(Refused, match=says):
            restore_optimizer(net, trainer, arrays, [mx.cpu()])


def test_what_a_checkpoint_has_no_state_of_has_none():
    """One from before the first update: momentum and counts of what came after it must not stay."""
    net, trainer = restored()
    restore_optimizer(net, trainer, {}, [mx.cpu()])
    assert trainer._updaters[0].states == {} and trainer.optimizer._all_index_update_counts[0] == {}
