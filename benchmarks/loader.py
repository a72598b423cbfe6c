"""The loader against MXNet's ImageRecordIter and, where it is installed, DALI on the CPU, on the same records."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import time
from collections.abc import Callable, Iterable

import mxnet as mx

from benchmarks.results import comparisons
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.crop import AreaCrop
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.recipe_crop import with_policy
from gluon_tricks.data.records import Records
from gluon_tricks.paper.contest import Contestant, measure

_POLICIES = ("autoaugment", "trivial", "rand-m9-n2")


def run(rec: str, size: int, batch_size: int, threads: int, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Random resized crops alone, with flip, colour jitter, PCA noise and normalisation, and with policies.

    "reduced" has all of the second, and decodes smaller what its crop makes smaller (decode=reduced of a recipe).

    Returns:
        images/s of every contestant and round; a line per comparison.
    """
    if len(Records(rec)) < batch_size:
        raise Refused(f"{rec} has {plural(len(Records(rec)), 'image')}, less than a batch of {batch_size}")
    common = dict(rec=rec, size=size, batch_size=batch_size, threads=threads)
    sides = {"ours": "ours", "ImageRecordIter": "image_record_iter", **({"DALI": "dali"} if has_dali() else {})}
    contestants = [
        Contestant(
            f"{side}, {work}",
            f"{__name__}:{function}",
            {**common, "augmented": work == "augmented"},
            optional=side != "ours",
        )
        for work in ("crop", "augmented")
        for side, function in sides.items()
    ]
    plain = {**common, "augmented": False}
    contestants += [
        Contestant(f"ours, {policy}", f"{__name__}:ours", {**plain, "policy": policy}, optional=True)
        for policy in _POLICIES
    ]
    reduced = {**common, "augmented": True, "reduced": True}
    contestants.append(Contestant("ours, reduced", f"{__name__}:ours", reduced, optional=True))
    results = measure(contestants, rounds)
    what, others = f"loader at {size} px, {plural(threads, 'thread')}", [side for side in sides if side != "ours"]
    pairs = [(f"ours, {work}", f"{other}, {work}") for work in ("crop", "augmented") for other in others]
    pairs += [("ours, reduced", f"{side}, augmented") for side in sides]
    return results, comparisons(results, what, pairs + [(f"ours, {policy}", "ours, crop") for policy in _POLICIES])


def has_dali() -> bool:
    """Whether NVIDIA's DALI is installed, whose CPU operators need no GPU."""
    return importlib.util.find_spec("nvidia") is not None and importlib.util.find_spec("nvidia.dali") is not None


def ours(
    rec: str, size: int, batch_size: int, threads: int, augmented: bool, policy: str = "", reduced: bool = False
) -> Callable[[], float]:
    """Our loader; with `augmented`, and what makes the network's input of it.

    Args:
        policy: as auto_augment of a recipe.
        reduced: JPEGs are decoded smaller where their crop is made so much smaller anyway.
    """
    loader = RecordLoader(
        Records(rec), size=size, batch_size=batch_size, train=True, threads=threads, classes=10**6,
        crop=with_policy(AreaCrop(), policy), reduced=reduced,
    )  # fmt: skip
    network_input = NetworkInput(reuse=4)

    def batches() -> Iterable:
        for epoch in itertools.count():
            for batch in loader.epoch(epoch):
                if augmented:
                    drawn = coefficients("gluoncv", 0, epoch, batch.indices)
                    yield network_input(batch.images, *drawn, mx.cpu())
                else:
                    yield mx.nd.array(batch.images, dtype="uint8")

    return _timed(batches(), batch_size, len(loader.records))


def image_record_iter(rec: str, size: int, batch_size: int, threads: int, augmented: bool) -> Callable[[], float]:
    """MXNet's iterator."""
    source = mx.io.ImageRecordIter(**image_record_iter_options(rec, size, batch_size, threads, augmented))

    def batches() -> Iterable:
        while True:
            source.reset()
            for batch in source:
                yield batch.data[0]

    return _timed(batches(), batch_size, len(Records(rec)))


def image_record_iter_options(rec: str, size: int, batch_size: int, threads: int, augmented: bool) -> dict:
    """The options of ImageRecordIter in GluonCV's recipes."""
    options = dict(
        path_imgrec=rec, path_imgidx=rec[:-3] + "idx", data_shape=(3, size, size), batch_size=batch_size, shuffle=True,
        preprocess_threads=threads, random_resized_crop=True, min_aspect_ratio=3 / 4, max_aspect_ratio=4 / 3,
        min_random_area=0.08, max_random_area=1, verbose=False,
    )  # fmt: skip
    if augmented:
        options.update(
            rand_mirror=True, brightness=0.4, contrast=0.4, saturation=0.4, pca_noise=0.1,
            mean_r=123.68, mean_g=116.779, mean_b=103.939, std_r=58.393, std_g=57.12, std_b=57.375,
        )  # fmt: skip
    return options


def dali(rec: str, size: int, batch_size: int, threads: int, augmented: bool) -> Callable[[], float]:
    """A pipeline of DALI's CPU operators: what ImageRecordIter is asked for."""
    pipeline = importlib.import_module("nvidia.dali").Pipeline(batch_size, threads, device_id=None, seed=1)
    fn, types = (importlib.import_module(f"nvidia.dali.{name}") for name in ("fn", "types"))
    with pipeline:
        data, labels = fn.readers.mxnet(path=[rec], index_path=[rec[:-3] + "idx"], random_shuffle=True)
        part = dict(random_area=[0.08, 1.0], random_aspect_ratio=[3 / 4, 4 / 3])
        images = fn.resize(fn.decoders.image_random_crop(data, output_type=types.RGB, **part), size=[size, size])
        if augmented:
            names = ("brightness", "contrast", "saturation")
            images = fn.color_twist(images, **{name: fn.random.uniform(range=[0.6, 1.4]) for name in names})
            mean, std = [123.68, 116.779, 103.939], [58.393, 57.12, 57.375]
            images = fn.crop_mirror_normalize(
                images, dtype=types.FLOAT, output_layout="CHW", mean=mean, std=std, mirror=fn.random.coin_flip()
            )
        pipeline.set_outputs(images, labels)
    pipeline.build()

    def batches() -> Iterable:
        while True:
            yield mx.nd.array(pipeline.run()[0].as_array(), dtype="float32" if augmented else "uint8")

    return _timed(batches(), batch_size, len(Records(rec)))


def _timed(batches: Iterable, batch_size: int, images: int) -> Callable[[], float]:
    """A round is about one epoch, after using up what was made ahead while others had their turn."""
    steps, batches = max(images // batch_size, 1), iter(batches)

    def play() -> float:
        for _ in range(8):
            next(batches).wait_to_read()
        started = time.perf_counter()
        for _ in range(steps):
            next(batches).wait_to_read()
        return steps * batch_size / (time.perf_counter() - started)

    return play
