"""What the tests run on every rank: program.py FOLDER RECORDS MASKS. Each rank leaves FOLDER/rankN.npz."""

import json
import pathlib
import sys
import types

import mxnet as mx
import numpy as np

from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.records import Records
from gluon_tricks.networks.of_recipe import broadcast_parameters, initialised_network, parameters_by_name
from gluon_tricks.networks.statistics import average_statistics, each_device, set_each_device, statistics_on_devices
from gluon_tricks.ranks import distributed
from gluon_tricks.ranks.gradients import Gradients
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.tasks.classification.evaluation import ClassificationScores, evaluate
from gluon_tricks.tasks.classification.task import cross_entropy
from gluon_tricks.training.ascent import Ascent
from gluon_tricks.training.average import Average
from gluon_tricks.training.loop import train_step
from gluon_tricks.training.loss_scale import LossScale
from gluon_tricks.training.rounds import Rounds

IMAGES = 12  # of the global batch


def batch(dtype):
    """The same images (12, 3, 32, 32) and target (12, 4) on every rank; and which of them are this rank's."""
    images = np.random.default_rng(5).normal(1.0, 2.0, (IMAGES, 3, 32, 32))
    target = np.eye(4)[np.arange(IMAGES) % 4]
    shard = slice(*(IMAGES * k // distributed.ranks() for k in (distributed.rank(), distributed.rank() + 1)))
    return mx.nd.array(images[shard], dtype=dtype), mx.nd.array(target[shard], dtype=dtype)


def step_of_a_resnet():
    """Gradients and statistics of one forward and backward of a ResNet-20 in float64, by name."""
    recipe = Recipe(model="cifar_resnet20_v1", classes=4, net={"norm_layer": "SyncBatchNorm"}, seed=distributed.rank())
    net = initialised_network(recipe, [mx.cpu()])
    broadcast_parameters(net)  # the seed was another one on each rank
    net.cast("float64")
    net.hybridize(static_alloc=True, static_shape=True)
    gradients = Gradients(list(net.collect_params().values()), bucket_bytes=2**19)  # of 2 MB
    images, target = batch("float64")
    with mx.autograd.record():
        loss = -(net(images).log_softmax(axis=1) * target).sum(axis=1)  # the loop's is float32
    loss.backward()
    gradients.sum_over_ranks()
    return named(net, gradients)


def twenty_steps(accumulate=1):
    """Parameters of a small network without batch statistics after 20 updates in float32, by name."""
    net = mx.gluon.nn.HybridSequential()
    for channels, wide in ((3, 8), (8, 8)):
        net.add(mx.gluon.nn.Conv2D(wide, 3, 2, 1, in_channels=channels), mx.gluon.nn.Activation("relu"))
    net.add(mx.gluon.nn.GlobalAvgPool2D(), mx.gluon.nn.Dense(4, in_units=8))
    mx.random.seed(0)
    net.initialize(mx.init.Xavier())
    net.hybridize(static_alloc=True, static_shape=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", {"learning_rate": 0.1, "momentum": 0.9}, kvstore=None)
    gradients = Gradients(trainer._params, accumulate > 1, bucket_bytes=1000)
    images, target = batch("float32")
    size = len(images) // accumulate
    task = types.SimpleNamespace(
        micro_batches=lambda batch, step: (
            [[part[k : k + size] for part in batch]] for k in range(0, len(images), size)
        ),
        preprocess=lambda shard: shard,
        forward=lambda net, X: net(X),
        train_error=None,
    )
    job = types.SimpleNamespace(
        task=task, net=net, trainer=trainer, gradients=gradients, loss=cross_entropy, scale=LossScale(False),
        ascent=Ascent(Recipe(), net, trainer, gradients),
        average=Average(Recipe(), net, ClassificationScores),
        recipe=Recipe(batch_size=IMAGES), step_context=lambda: None, rounds=Rounds(Recipe(), net, 1),
    )  # fmt: skip
    for _ in range(20):
        train_step(job, (images, target))
    return named(net, gradients)


def named(net, gradients):
    parameters = parameters_by_name(net)
    found = {f"gradient/{name}": p.grad().asnumpy() for name, p in parameters.items() if p in gradients.trained}
    return {**found, **{f"parameter/{name}": p.data().asnumpy() for name, p in parameters.items()}}


def scores(records):
    """Of an untrained network on 20 images, whatever the number of ranks: top-1, top-5, loss and number of images; and
    what is kept of each image, (20, 5)."""
    net = initialised_network(Recipe(model="cifar_resnet20_v1", classes=4, input_size=32), [mx.cpu()])
    loader = RecordLoader(
        Records(records / "val.rec"), size=32, batch_size=2, train=False, threads=1,
        rank=distributed.rank(), ranks=distributed.ranks(),
    )  # fmt: skip
    network_input, recipe = NetworkInput(), Recipe().resolved()

    def prepared(images, context):
        matrix, flip = coefficients("none", 0, 0, range(len(images)), recipe.mean, recipe.std)
        return network_input(images, matrix, flip, context)

    each = {}
    found = evaluate(net, loader.epoch(), prepared, [mx.cpu()], found=each)
    return np.array([found.top1, found.top5, found.loss, found.images]), np.stack([*each.values()], axis=1)


def messages():
    """What the ranks tell each other."""
    rank, ranks = distributed.rank(), distributed.ranks()
    whole, distributed._PIECE = distributed._PIECE, 4  # bytes: so that ten need three pieces
    found = {
        "ranks": ranks,
        "total": distributed.total(np.array([rank + 1.0, 0.1])),
        "nobody": distributed.agree(False),
        "one": distributed.agree(rank == ranks - 1),
        "bytes": np.frombuffer(distributed.broadcast(b"0123456789" if rank == 0 else b"else"), np.uint8),
        "nothing": np.frombuffer(distributed.broadcast(b""), np.uint8),
        "odd": distributed.differing("a" if rank != 1 else "b"),
        "even": distributed.differing("a"),
    }
    distributed._PIECE = whole
    return found


def statistics():
    """Every rank's running means as a checkpoint keeps them; what this rank has once averaged, and once it is back."""
    net = mx.gluon.nn.BatchNorm(in_channels=2)
    net.initialize()
    net.running_mean.set_data(mx.nd.array([0.1 + distributed.rank(), 0.7]))  # neither is exact in binary
    kept = each_device(statistics_on_devices(net))
    average_statistics(net)
    found = {"kept": kept["running_mean"], "mean": net.running_mean.data().asnumpy()}
    found["same"] = len(each_device(statistics_on_devices(net)))  # now that all ranks have the mean
    set_each_device(statistics_on_devices(net), kept)
    return {**found, "back": net.running_mean.data().asnumpy()}


def results(records):
    found = {f"message/{name}": value for name, value in messages().items()}
    found.update({f"sync/{name}": value for name, value in step_of_a_resnet().items()})
    found.update({f"statistics/{name}": value for name, value in statistics().items()})
    for rounds in (1, 2):
        found.update({f"steps{rounds}/{name}": value for name, value in twenty_steps(rounds).items()})
    found["scores"], found["each"] = scores(records)
    return found


if __name__ == "__main__":
    distributed.start(chatty=True)
    folder, records, masks = map(pathlib.Path, sys.argv[1:])
    found = results(records)
    if distributed.ranks() == 2:
        from waits import waits  # which lies beside this file

        found["waits"] = json.dumps(waits(folder, records, masks))
    np.savez(folder / f"rank{distributed.rank()}.npz", **found)
