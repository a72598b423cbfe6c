"""The whole training loop: against its parts, in both precisions, and against a loop of GluonCV's parts."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable

import mxnet as mx
import numpy as np

from benchmarks.loader import image_record_iter_options
from benchmarks.results import WITHOUT_BFLOAT16, comparisons, precisions
from gluon_tricks.core.environment import usable_cores
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.foreign import import_gluoncv
from gluon_tricks.data.record_writer import RecordWriter
from gluon_tricks.data.records import Records
from gluon_tricks.paper.contest import Contestant, measure
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.training.job import Job, Options
from gluon_tricks.training.loop import train_epoch, train_step
from gluon_tricks.training.prepare import prepare
from gluon_tricks.tricks import NoBiasDecay, Trick, ZeroGamma
from model_zoo import get_model, keywords

# As a user of GluonCV gets it: MXNet takes half the logical cores unless OMP_NUM_THREADS says otherwise.
_LEFT_ALONE = "GluonCV's loop, float32, MXNet's own number of threads"


def run(
    rec: str, model: str, size: int, batch_size: int, threads: int, steps: int, rounds: int
) -> tuple[dict[str, list[float]], list[str]]:
    """Returns images/s of every contestant and round, and a line per comparison.

    Args:
        rec: training records.
        model: of both zoos.
        size: px; batch_size: images per step; threads: of either loader.
        steps: a round's.

    Raises:
        Refused: GluonCV has no such network, or all images are of one class.
    """
    peer = get_model(model).peers.get("gluoncv")
    if peer is None or not peer.model:
        raise Refused(f"GluonCV has no {model} to be compared with: choose a network that it has, such as resnet50_v1d")
    if len(np.unique(Records(rec).labels())) < 2:
        raise Refused("all images to train on are of one class: name a folder of several images, or other records")
    half = str(max(usable_cores() // 2, 1))
    common = dict(rec=rec, model=model, size=size, batch_size=batch_size, threads=threads, steps=steps)
    contestants = [
        *(Contestant(f"{n}, {d}", f"{__name__}:{f}", {**common, "dtype": d})
          for d in precisions() for n, f in (("the loop", "loop"), ("one fixed batch", "fixed_batch"))),
        Contestant("GluonCV's loop, float32", f"{__name__}:gluoncv_loop", common, optional=True),
        Contestant(_LEFT_ALONE, f"{__name__}:gluoncv_loop", common, {"OMP_NUM_THREADS": half}, optional=True),
    ]  # fmt: skip
    results = measure(contestants, rounds)
    what = f"training {model} at {size} px, batch {batch_size}"
    pairs = [
        ("the loop, float32", "one fixed batch, float32"),
        ("the loop, bfloat16", "one fixed batch, bfloat16"),
        ("the loop, bfloat16", "the loop, float32"),
        ("the loop, float32", "GluonCV's loop, float32"),
        ("the loop, float32", _LEFT_ALONE),
    ]
    return results, comparisons(results, what, pairs) + ([] if "bfloat16" in precisions() else [WITHOUT_BFLOAT16])


def loop(**arguments) -> Callable[[], float]:
    """Our loop as train_and_evaluate runs it: train_epoch, an epoch being a round."""
    job, epochs = _job(**arguments), itertools.count()

    def play() -> float:
        epoch, job.progress.seconds = next(epochs), 0.0
        train_epoch(job, epoch)
        return job.plan.steps_per_epoch * job.recipe.batch_size / job.progress.seconds

    return play


def fixed_batch(**arguments) -> Callable[[], float]:
    """Augmentation and step on one batch of pixels that is there already: what the loop would be without a loader."""
    job = _job(**arguments)
    batch = next(iter(job.task.train.epoch(0)))

    def play() -> float:
        pending: collections.deque = collections.deque()
        started = time.perf_counter()
        for _ in range(job.plan.steps_per_epoch):
            if len(pending) == 2:
                pending.popleft().wait_to_read()
            pending.extend(train_step(job, batch))
        mx.nd.waitall()
        return job.plan.steps_per_epoch * job.recipe.batch_size / (time.perf_counter() - started)

    return play


def gluoncv_loop(rec: str, model: str, size: int, batch_size: int, threads: int, steps: int) -> Callable[[], float]:
    """GluonCV's network, MXNet's ImageRecordIter and Trainer, and the accuracy read after every batch."""
    net = import_gluoncv().model_zoo.get_model(model, classes=len(Records(rec).classes))
    net.initialize(mx.init.MSRAPrelu())
    net.hybridize(static_alloc=True, static_shape=True)
    source = mx.io.ImageRecordIter(**image_record_iter_options(rec, size, batch_size, threads, augmented=True))
    numbers = {"learning_rate": 0.01, "wd": 1e-4, "momentum": 0.9}
    trainer = mx.gluon.Trainer(net.collect_params(), "nag", numbers)
    loss, accuracy = mx.gluon.loss.SoftmaxCrossEntropyLoss(), mx.metric.Accuracy()

    def batches():
        while True:
            source.reset()
            yield from source

    stream = batches()

    def play() -> float:
        started = time.perf_counter()
        for _ in range(steps):
            batch = next(stream)
            images, labels = (part[0].as_in_context(mx.cpu()) for part in (batch.data, batch.label))
            with mx.autograd.record():
                logits = net(images)
                value = loss(logits, labels)
            value.backward()
            trainer.step(batch_size)
            accuracy.update(labels, logits)
        mx.nd.waitall()
        return steps * batch_size / (time.perf_counter() - started)

    return play


def _job(rec: str, model: str, size: int, batch_size: int, threads: int, steps: int, dtype: str) -> Job:
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gluon_tricks_benchmark_"))
    recipe = Recipe(
        name="benchmark", model=model, data="records", train=(rec,), val=(_two_images(rec, folder),), input_size=size,
        batch_size=batch_size, lr=0.01, augment="gluoncv", dtype=dtype, tricks=usual_tricks(model), epochs=999,
    )  # fmt: skip
    job = prepare(recipe, folder, Options(threads=threads, contexts=[mx.cpu()], log_interval=10**9))
    job.task.train.steps_per_epoch = min(steps, job.task.train.steps_per_epoch)
    job.plan = dataclasses.replace(job.plan, steps_per_epoch=job.task.train.steps_per_epoch)
    return job


def usual_tricks(model: str) -> tuple[Trick, ...]:
    """The paper's that do not change what a step costs, as far as the network takes them."""
    return (NoBiasDecay(), *((ZeroGamma(),) if "last_gamma" in keywords(model) else ()))


def _two_images(rec: str, folder: pathlib.Path) -> str:
    """Validation records, which a job must have and which are not looked at: two images of two classes."""
    records = Records(rec)
    labels = records.labels()
    with RecordWriter(folder / "val", records.classes or [str(k) for k in range(int(labels.max()) + 1)]) as writer:
        for i in (0, int(np.flatnonzero(labels != labels[0])[0])):
            label, id, image = records.read(i)
            writer.add(int(label), id, image)
    return str(folder / "val.rec")
