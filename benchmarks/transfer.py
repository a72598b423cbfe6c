"""Faster-RCNN and FCN: ours beside GluonCV's own on the same batches, and what our loader takes of a step.

GluonCV's networks stand on its own base network of the same name and have our parameters. They learn as its scripts
have it: the same parameters are frozen, anchors' targets by its generator, its losses, Trainer.step. Decoding and
resizing are not timed, but for the loop and the loader.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
import numpy as np

from benchmarks.gluoncv_transfer import GluonCVNetwork, gluoncv_base, gluoncv_detector, gluoncv_segmenter
from gluon_tricks.core.errors import Refused, require_known
from gluon_tricks.data.builtin import scenes
from gluon_tricks.paper.contest import Contestant, measure
from gluon_tricks.recipes.transfer import DetectionRecipe, SegmentationRecipe
from gluon_tricks.tasks.detection.evaluation import predict
from gluon_tricks.tasks.segmentation.evaluation import predict_classes
from gluon_tricks.training.job import Job, Options
from gluon_tricks.training.loop import train_epoch, train_step
from gluon_tricks.training.prepare import prepare
from model_zoo import keywords

# Sizes, RoI settings and numbers of classes of the recipes; "paper": those of VOC (whose 20 classes are 10) and ADE20K.
SCALES = {
    "small": {"Faster-RCNN": dict(roi="small", short=300, long=500), "FCN": dict(crop=240, base_size=260)},
    "paper": {"Faster-RCNN": {}, "FCN": dict(classes=150)},
}
_WORK = {
    "training": {"ours": "training", "GluonCV": "gluoncv_training", "the loop": "loop", "the loader": "loader"},
    "prediction": {"ours": "prediction", "GluonCV": "gluoncv_prediction"},
}


def run(
    model: str, scale: str, batch_size: int, threads: int, steps: int, rounds: int
) -> tuple[dict[str, list[float]], list[str]]:
    """Returns seconds per image of every contestant and round, and a line per comparison.

    Args:
        model: base network, a ResNet v1b, v1c or v1d of both zoos.
        scale: of SCALES.
        batch_size: images per step; threads: of the loader; steps: a round's.

    Raises:
        Refused: no such scale, fewer images than a round takes, or a base that GluonCV does not have.
    """
    require_known(scale, list(SCALES), "scale")
    drawn = scenes.DATA_SETS["few_scenes"][0]
    if steps * batch_size > drawn:
        raise Refused(f"{steps} steps of {batch_size} images are more than the {drawn} there are: take fewer")
    gluoncv_base(model)
    results, lines = {}, []
    with tempfile.TemporaryDirectory(prefix="gluon_tricks_benchmark_") as scratch:
        arrange(pathlib.Path(scratch))
        for title, own in SCALES[scale].items():
            fields = {"model": model, **own}
            common = dict(
                network=title, fields=fields, batch_size=batch_size, threads=threads, steps=steps, data=scratch
            )
            found = {}
            for work, sides in _WORK.items():
                names = {side: f"{title}, {work}: {side}" for side in sides}
                contestants = [
                    Contestant(names[side], f"{__name__}:{place}", common, optional=side != "ours")
                    for side, place in sides.items()
                ]
                measured = measure(contestants, rounds)
                results.update(measured)
                found[work] = {side: measured[name] for side, name in names.items() if name in measured}
            lines += compared(f"{title} on {model}, {scale} scale, batch {batch_size}", found)
    return results, lines


def compared(what: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Lines that say what was found; ratios are medians over the rounds.

    Args:
        found: work -> side -> seconds per image in each round; of ours, and of the others as far as they could be
            measured.
    """

    def ratio(a: Sequence[float], b: Sequence[float]) -> float:
        return statistics.median(x / y for x, y in zip(a, b))

    lines = []
    for work, sides in found.items():
        ours, theirs = sides["ours"], sides.get("GluonCV")
        line = f"{what}, {work}: ours {statistics.median(ours):.3f} s an image"
        if theirs:
            line += (
                f", GluonCV on the same base {statistics.median(theirs):.3f} s: ours takes {ratio(ours, theirs):.2f} "
                "of its time"
            )
        lines.append(line)
    step, loop, loader = (found["training"].get(side) for side in ("ours", "the loop", "the loader"))
    parts = []
    if loop:
        parts.append(
            f"the loop: {statistics.median(loop):.3f} s an image, {ratio(loop, step):.2f} of a step whose batch is "
            "there"
        )
    if loader:
        parts.append(f"the loader alone {statistics.median(loader):.4f} s, {ratio(loader, step):.1%} of such a step")
    return lines + ([f"{what}, {'; '.join(parts)}"] if parts else [])


def arrange(folder: pathlib.Path) -> None:
    """The drawn scenes as a folder of images and masks, of which a recipe may say how many classes it has."""
    drawn = scenes.ensure(name="few_scenes")
    for kind, place in (("images", "images"), ("masks", "annotations")):
        (folder / kind).mkdir()
        for split, name in scenes.ADE20K_SPLITS.items():
            (folder / kind / split).symlink_to(drawn / place / name)


# ---- The contestants: each is f(**arguments) -> play() -> seconds per image.


def training(**arguments: Any) -> Callable[[], float]:
    """Our step on batches that are there already."""
    job = open_job(**arguments)

    return _timed(lambda batch: train_step(job, batch)[0], batches(job), job.recipe.batch_size)


def gluoncv_training(**arguments: Any) -> Callable[[], float]:
    """The same batches in GluonCV's network."""
    job, theirs = _both(**arguments)
    numbers = {"learning_rate": job.recipe.lr, "momentum": job.recipe.momentum, "wd": job.recipe.wd}
    trainer = mx.gluon.Trainer(theirs.net.collect_params(), job.recipe.optimizer, numbers)

    def step(batch: Any) -> mx.nd.NDArray:
        shard = on_device(job, batch)
        with mx.autograd.record():
            loss = theirs.loss(*shard)
        loss.backward()
        trainer.step(job.recipe.batch_size)
        return loss

    return _timed(step, batches(job), job.recipe.batch_size)


def prediction(**arguments: Any) -> Callable[[], float]:
    """What our evaluations ask of the network, of the images of the same batches."""
    job = open_job(**arguments)
    return _timed(lambda batch: predicted(job, *on_device(job, batch))[0], batches(job), job.recipe.batch_size)


def gluoncv_prediction(**arguments: Any) -> Callable[[], float]:
    """What GluonCV's scripts ask of its network."""
    job, theirs = _both(**arguments)
    return _timed(lambda batch: theirs.predict(*on_device(job, batch))[0], batches(job), job.recipe.batch_size)


def loop(**arguments: Any) -> Callable[[], float]:
    """Our loop as train_and_evaluate runs it, with the same images in every round."""
    job = open_job(**arguments)

    def play() -> float:
        job.progress.step, job.progress.seconds = 0, 0.0
        train_epoch(job, 0)
        return job.progress.seconds / (job.plan.steps_per_epoch * job.recipe.batch_size)

    return play


def loader(**arguments: Any) -> Callable[[], float]:
    """Our loader with nothing to wait for its batches."""
    job = open_job(**arguments)

    def play() -> float:
        started = time.perf_counter()
        images = sum(batch.count for batch in job.task.train.epoch(0))
        return (time.perf_counter() - started) / images

    return play


def open_job(network: str, fields: dict[str, Any], batch_size: int, threads: int, steps: int, data: str) -> Job:
    """A run whose epochs have so many steps.

    Args:
        network: of CONTESTS.
        fields: of its recipe.
        data: see `arrange`.
    """
    # Blocks that start as their shortcuts: in an untrained base their sums would grow until every box is the image.
    net = {"last_gamma": True} if "last_gamma" in keywords(fields["model"]) else {}
    common = dict(name="benchmark", net=net, batch_size=batch_size, lr=1e-6, tricks=(), epochs=999)
    recipe = CONTESTS[network].recipe({**common, "data": data}, fields)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gluon_tricks_benchmark_"))
    job = prepare(recipe, folder, Options(threads=threads, contexts=[mx.cpu()], log_interval=10**9))
    job.task.train.steps_per_epoch = steps
    job.plan = dataclasses.replace(job.plan, steps_per_epoch=steps)
    return job


class FasterRCNN:
    """What is its own in the contest of Faster-RCNNs."""

    @staticmethod
    def recipe(common: dict[str, Any], fields: dict[str, Any]) -> DetectionRecipe:
        return DetectionRecipe(**{**common, "dataset": "few_scenes", "data": "", **fields})

    @staticmethod
    def theirs(net: mx.gluon.HybridBlock, recipe: DetectionRecipe) -> GluonCVNetwork:
        return gluoncv_detector(net, recipe)

    @staticmethod
    def predicted(net: mx.gluon.HybridBlock, images: mx.nd.NDArray, sizes: np.ndarray, *others) -> Sequence:
        return predict(net, images, sizes)  # without padding


class FCN:
    """What is its own in the contest of FCNs."""

    @staticmethod
    def recipe(common: dict[str, Any], fields: dict[str, Any]) -> SegmentationRecipe:
        masks = dict(dataset="masks", classes=len(scenes.MASK_CLASSES) + 1, void=scenes.VOID)
        return SegmentationRecipe(**{**common, **masks, **fields})

    @staticmethod
    def theirs(net: mx.gluon.HybridBlock, recipe: SegmentationRecipe) -> GluonCVNetwork:
        return gluoncv_segmenter(net, recipe)

    @staticmethod
    def predicted(net: mx.gluon.HybridBlock, images: mx.nd.NDArray, *others) -> Sequence:
        return [predict_classes(net, images)]


CONTESTS = {"Faster-RCNN": FasterRCNN, "FCN": FCN}  # by Task.network_name


def batches(job: Job) -> list[Any]:
    """The loader's batches of an epoch."""
    return list(job.task.train.epoch(0))


def on_device(job: Job, batch: Any) -> tuple:
    """A batch as both sides take it: images (n, 3, H, W), normalised, and what else its shard has (see the tasks)."""
    ((shard,),) = job.task.micro_batches(batch, job.step_context())
    context, images, *others = shard
    return job.task.network_input(images, context), *others


def predicted(job: Job, images: mx.nd.NDArray, truths: np.ndarray, *others) -> Sequence[mx.nd.NDArray]:
    """Our network's detections, or the classes of pixels."""
    return CONTESTS[job.task.network_name].predicted(job.net, images, *others)


def _both(**arguments: Any):
    job = open_job(**arguments)
    return job, CONTESTS[job.task.network_name].theirs(job.net, job.recipe)


def _timed(step: Callable[[Any], mx.nd.NDArray], batches: list[Any], batch_size: int) -> Callable[[], float]:
    """play(): seconds per image over all batches, at most two of which are under way at a time, as in our loop."""

    def play() -> float:
        pending: collections.deque = collections.deque()
        started = time.perf_counter()
        for batch in batches:
            if len(pending) == 2:
                pending.popleft().wait_to_read()
            pending.append(step(batch))
        mx.nd.waitall()
        return (time.perf_counter() - started) / (len(batches) * batch_size)

    return play
