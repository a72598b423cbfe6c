"""Sharpness-aware minimisation in the loop, and shortened gradients: the second pass, and what it must not change."""

import contextlib
import csv

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training import loop
from gluon_tricks.training import prepare as prepare_module
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import backpropagate, train_and_evaluate, train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.steps import Steps
from gluon_tricks.tricks import ClipGradients, Ema, Mixup, Sam
from model_zoo import formats

OPTIONS = dict(contexts=[mx.cpu()], threads=1, picture_epochs=0)
GROUPED = {"norm_layer": "GroupNorm", "norm_kwargs": {"num_groups": 4}}


@pytest.fixture
def recipe(tiny_records):
    """12 images of 32 px a step, 4 steps an epoch, mixup on; SGD without momentum, so that a step is lr g."""
    files = {split: (str(tiny_records / f"{split}.rec"),) for split in ("train", "val")}
    return Recipe(
        model="cifar_resnet20_v1", data="records", **files, input_size=32, batch_size=12, epochs=2, lr=0.05, wd=0.0,
        momentum=0.0, optimizer="sgd", seed=5, tricks=(Mixup(),),
    )  # fmt: skip


def values(net):
    mx.nd.waitall()
    return {name: p.list_data()[0].asnumpy().copy() for name, p in parameters_by_name(net).items()}


def gradients(job, batch):
    """The mean gradient of a batch where the network is, by name, and its loss and statistics afterwards."""
    with Steps(job) as steps:
        steps.begin()
        sums = backpropagate(job, batch)
    mx.nd.waitall()
    names = {id(p): name for name, p in parameters_by_name(job.net).items()}
    found = {names[id(p)]: p.grad().asnumpy() / 12 for p in job.gradients.trained}
    return found, sums[0].asnumpy(), {name: v for name, v in values(job.net).items() if "running" in name}


def set_values(job, arrays):
    for name, parameter in parameters_by_name(job.net).items():
        parameter.set_data(mx.nd.array(arrays[name]))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_by_hand(recipe, tmp_path, accumulate):
    """The gradient at w, rho g / |g| added in numpy, the gradient there; w - lr times that. With mixup."""
    recipe = recipe.set(accumulate=accumulate)
    job = prepare(recipe, tmp_path / "plain", Options(**OPTIONS))
    with job.journal:
        start, batch = values(job.net), next(job.batches(0))
        first, told, statistics = gradients(job, batch)
        norm = np.sqrt(sum((g.astype("float64") ** 2).sum() for g in first.values()))
        set_values(job, {n: v + (0.1 / norm * first[n] if n in first else 0) for n, v in start.items()})
        second, _, _ = gradients(job, batch)
    job = prepare(recipe.add(Sam(0.1)), tmp_path / "sam", Options(**OPTIONS))
    with job.journal:
        with Steps(job) as steps:
            steps.begin()
            ours = train_step(job, next(job.batches(0)))
        found = values(job.net)
    assert len(ours) == accumulate and ours[0].asnumpy() == pytest.approx(told, rel=1e-6)
    moved = max(np.abs(second[name] - first[name]).max() for name in first)
    assert moved > 0.01
    for name, gradient in second.items():
        np.testing.assert_allclose(found[name], start[name] - 0.05 * gradient, atol=0.05 * moved * 1e-2, err_msg=name)
    for name, value in statistics.items():  # those of the first pass, and moved once
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-7, err_msg=name)


def test_both_passes_have_the_same_draws(recipe, tmp_path):
    """With rho as good as 0 the second gradient is the first: dropout, mixup and augmentation are drawn once."""
    dropping = recipe.set(model="alexnet", input_size=64, net={})
    found = []
    for k, tricks in enumerate(((), (Sam(1e-12),))):
        job = prepare(dropping.add(*tricks), tmp_path / str(k), Options(**OPTIONS))
        with job.journal, Steps(job) as steps:
            steps.begin()
            train_step(job, next(job.batches(0)))
        found.append(values(job.net))
    start = values(prepare_net(dropping, tmp_path))
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-7, err_msg=name)
    assert any(np.abs(found[0][name] - start[name]).max() > 1e-4 for name in start)


def prepare_net(recipe, folder):
    job = prepare(recipe, folder / "start", Options(**OPTIONS))
    job.journal.close()
    return job.net


@pytest.mark.parametrize("tricks", [(Sam(), ClipGradients(0.5), Ema(0.9)), (ClipGradients(0.1),)])
def test_a_run_goes_on_bit_for_bit(recipe, tmp_path, tricks):
    recipe = recipe.set(momentum=0.9, optimizer="nag", input_size=16).add(*tricks)
    train_and_evaluate(recipe, tmp_path / "whole", Options(**OPTIONS))
    steps = iter(range(1, 100))
    with pytest.raises(Exception, match="stopped after step 3 of 8"):
        train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS, should_stop=lambda: next(steps) == 3))
    train_and_evaluate(recipe, tmp_path / "parts", Options(**OPTIONS, resume=True))
    whole, parts = (formats.read(tmp_path / run / "final.params") for run in ("whole", "parts"))
    assert all(np.array_equal(array, parts[name]) for name, array in whole.items())


def test_two_devices_and_rounds_and_both_modes_do_the_same(recipe, tmp_path):
    """Without batch statistics 12 images are 2 x 6 on two devices, and two rounds of 6 on one."""
    recipe = recipe.set(net=GROUPED, input_size=16, epochs=1, momentum=0.9).add(Sam(0.1), ClipGradients(0.5), Ema(0.9))
    two = {**OPTIONS, "contexts": [mx.cpu(0), mx.cpu(1)]}
    ways = {"one": (recipe, OPTIONS), "devices": (recipe, two), "rounds": (recipe.set(accumulate=2), OPTIONS)}
    ways["imperative"] = recipe.set(mode="imperative"), OPTIONS
    for name, (changed, options) in ways.items():
        # mixup mixes within a shard, and there are two: not here
        train_and_evaluate(changed.without("mixup"), tmp_path / name, Options(**options))
    found = {name: formats.read(tmp_path / name / "final.params") for name in ways}
    for way in ("devices", "rounds", "imperative"):
        for name, array in found["one"].items():
            np.testing.assert_allclose(found[way][name], array, atol=1e-4, err_msg=f"{way} {name}")


def test_groups_of_a_fixed_size_on_two_devices(recipe, tmp_path):
    """bn_batch: batch normalisation sees 3 images on any number of devices; SAM leaves the first pass's statistics.

    One step: after more, roundings have grown in such groups, with and without tricks. And a seed at which they cross
    no ReLU's 0 in the second pass, as 8, 9, 10 and 12 are; at 5, 6, 7 and 11 one does.
    """
    recipe = recipe.set(bn_batch=3, epochs=1, seed=8).without("mixup").add(Sam(0.1), Ema(0.9))
    found = []
    for devices in (1, 2):
        options = Options(**{**OPTIONS, "contexts": [mx.cpu(k) for k in range(devices)]})
        job = prepare(recipe, tmp_path / str(devices), options)
        with job.journal:
            with Steps(job) as steps:
                steps.begin()
                steps.end(train_step(job, next(job.batches(0))))
            found.append((values(job.net), job.average.arrays()))
    for one, other in zip(*found):
        for name, array in one.items():
            np.testing.assert_allclose(other[name], array, rtol=1e-5, atol=2e-6, err_msg=name)


def test_the_gradient_of_a_run_is_shortened(recipe, tmp_path):
    """One step of lr 0.05 with a gradient of length 0.1 at most moves the weights by 0.005."""
    for norm, moved in ((0.1, 0.005), (1e6, None)):
        job = prepare(recipe.add(ClipGradients(norm)), tmp_path / str(norm), Options(**OPTIONS))
        with job.journal, Steps(job) as steps:
            start = values(job.net)
            steps.begin()
            train_step(job, next(job.batches(0)))
        end = values(job.net)
        names = [name for name in start if "running" not in name]
        far = np.sqrt(sum(((end[name] - start[name]).astype("float64") ** 2).sum() for name in names))
        assert far == pytest.approx(moved, rel=1e-3) if moved else far > 0.05


def test_images_a_second_count_real_images(recipe, tmp_path, monkeypatch):
    """48 in an epoch, though each went through the network twice."""
    seen, plain = [], loop.backpropagate
    monkeypatch.setattr(loop, "backpropagate", lambda *args: seen.append(1) or plain(*args))
    job = prepare(recipe.add(Sam()), tmp_path / "run", Options(**OPTIONS))
    with job.journal:
        loop.train_epoch(job, 0)
        assert len(seen) == 8 and job.progress.images == 48 and job.progress.counted == 48
        seconds, loss = job.progress.seconds, job.progress.loss_sum / 48
        loop.finish_epoch(job, 0, loop.evaluate(job))
    with open(tmp_path / "run" / "metrics.csv") as file:
        (row,) = csv.DictReader(file)
    assert float(row["images_per_second"]) == pytest.approx(48 / seconds)
    assert float(row["train_loss"]) == pytest.approx(loss) and 0.5 < loss < 3


def test_weights_of_float16_would_lose_the_step(recipe, tmp_path, monkeypatch):
    """It is refused where the devices compute in it, not where it is asked for alone."""
    recipe = recipe.add(Sam()).set(dtype="float16")
    for precision in ("float16", "float32"):
        monkeypatch.setattr(prepare_module, "choose_precision", lambda *_, precision=precision: (precision, "here"))
        refused = pytest.raises(Refused, match="sam and float16, in which its step is mostly rounded away")
        with refused if precision == "float16" else contextlib.nullcontext():
            prepare(recipe, tmp_path / precision, Options(**OPTIONS)).journal.close()
