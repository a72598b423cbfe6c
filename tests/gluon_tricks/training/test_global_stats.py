"""Training with running statistics, batches of few images, and an input norm that follows other images."""

import mxnet as mx
import numpy as np
import pytest

from gluon_tricks.cli.command_line import parse, recipe_from_flags
from gluon_tricks.core.errors import Refused
from gluon_tricks.networks.of_recipe import parameters_by_name
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Options
from gluon_tricks.training.loop import train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.training.rounds import doubt_of_norms
from model_zoo import get_model

CPU = [mx.cpu()]
FEW = "batch normalisation sees 2 images at a time, and its statistics take 16 or more"


def job_of(recipe, folder):
    return prepare(recipe, folder, Options(contexts=CPU, threads=1))


def statistics(job):
    mx.nd.waitall()  # a backward writes them, which reading does not wait for
    return {name: p.data().asnumpy() for name, p in parameters_by_name(job.net).items() if "running" in name}


@pytest.mark.parametrize("asked", [False, True])
def test_running_statistics_stay_and_the_weights_learn(asked, tmp_path, capsys):
    line = "--recipe shapes --set data=few_shapes --model cifar_resnet20_v1 --batch-size 2 --input-size 32"
    recipe, _ = recipe_from_flags(parse((line + " --use-global-stats" * asked).split()), 1)
    assert recipe.net == ({"use_global_stats": True} if asked else {})
    job = job_of(recipe.set(dtype="float32"), tmp_path / "run")
    with job.journal:
        before, weights = statistics(job), job.net.head.weight.data().asnumpy()
        for _, batch in zip(range(2), job.batches(0)):
            train_step(job, batch)
        after = statistics(job)
        assert not np.array_equal(weights, job.net.head.weight.data().asnumpy())
    moved = [name for name in before if not np.array_equal(before[name], after[name])]
    assert moved == ([] if asked else list(before))
    assert (FEW in capsys.readouterr().out) != asked  # its statistics are no batch's
    assert (FEW in (tmp_path / "run" / "events.jsonl").read_text()) != asked


def test_a_network_without_norms_has_no_running_statistics():
    recipe, _ = recipe_from_flags(parse("--recipe shapes --model vgg11 --use-global-stats".split()), 1)
    with pytest.raises(Refused, match="no argument 'use_global_stats' in vgg11"):
        get_model(recipe.model, **recipe.net)


@pytest.mark.parametrize("images, said", [(None, False), (1, True), (15, True), (16, False), (256, False)])
def test_16_images_are_enough(images, said):
    assert bool(doubt_of_norms(Recipe(), images, 1)) == said


@pytest.mark.parametrize(
    "fields, devices, helps",
    [
        ({}, 1, "a larger batch"),
        ({}, 2, "a larger batch, fewer devices or SyncBatchNorm"),
        ({"net": {"norm_layer": "SyncBatchNorm"}}, 2, "a larger batch"),
        ({"bn_batch": 8}, 2, "a larger bn_batch"),
    ],
)
def test_what_would_give_it_more_images(fields, devices, helps):
    said = doubt_of_norms(Recipe(batch_size=16, **fields), 8, devices)
    assert f" or more: use {helps}, or, where the network is trained already, its running statistics" in said


def shifted(batch):
    """The same pictures, brighter: half of the way to white."""
    return batch._replace(images=127 + batch.images // 2)


def test_the_input_norm_follows_brighter_images_and_a_fixed_mean_does_not(tmp_path):
    """The running mean goes a tenth of the way to the batch's with each step: after 40 steps all but 0.9^40 = 1.5 %.

    A network that subtracts a fixed mean is given images as far from 0 as before.
    """
    common = dict(data="few_shapes", input_size=32, batch_size=16, epochs=1, lr=1e-4, augment="none", dtype="float32")
    own = job_of(Recipe(name="own", model="cvjena_resnet10", **common).resolved(), tmp_path / "own")
    fixed = job_of(
        Recipe(name="fixed", model="cifar_resnet20_v1", mean_of="channels", std=(1, 1, 1), **common).resolved(),
        tmp_path / "fixed",
    )
    with own.journal, fixed.journal:
        usual = np.array(fixed.recipe.mean)  # of the pictures as they are
        other = 127 + usual / 2
        assert np.abs(other - usual).min() > 40
        mean = own.net.stem[0].running_mean
        mean.set_data(mx.nd.array(usual))  # as a training on them leaves it
        for batch in own.batches(0):
            train_step(own, shifted(batch))
            own.progress.step += 1
        assert own.progress.step == 40
        mx.nd.waitall()
        np.testing.assert_allclose(mean.data().asnumpy(), other, atol=8)
        batch = shifted(next(iter(fixed.batches(0))))
        left = fixed.task.evaluation_input(batch.images, mx.cpu()).asnumpy().mean(axis=(0, 2, 3))
    np.testing.assert_allclose(left, other - usual, atol=12)  # far from 0: nothing adapts
