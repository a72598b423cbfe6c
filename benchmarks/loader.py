"""The loader against MXNet's ImageRecordIter, on the same records."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable

import mxnet as mx

from benchmarks.results import compare
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import plural
from gluon_tricks.data.augment import coefficients
from gluon_tricks.data.loader import RecordLoader
from gluon_tricks.data.network_input import NetworkInput
from gluon_tricks.data.records import Records
from gluon_tricks.paper.contest import Contestant, measure


def run(rec: str, size: int, batch_size: int, threads: int, rounds: int) -> tuple[dict[str, list[float]], list[str]]:
    """Random resized crops alone, and with flip, colour jitter, PCA noise and normalisation.

    Returns:
        images/s of every contestant and round; a line per comparison.
    """
    if len(Records(rec)) < batch_size:
        raise Refused(f"{rec} has {plural(len(Records(rec)), 'image')}, less than a batch of {batch_size}")
    common = dict(rec=rec, size=size, batch_size=batch_size, threads=threads)
    names = {"crop": "ours, crop", "full": "ours, augmented"}
    theirs = {"crop": "ImageRecordIter, crop", "full": "ImageRecordIter, augmented"}
    contestants = [
        Contestant(who[work], f"{__name__}:{function}", {**common, "augmented": work == "full"})
        for work in ("crop", "full")
        for who, function in ((names, "ours"), (theirs, "image_record_iter"))
    ]
    results = measure(contestants, rounds)
    what = f"loader at {size} px, {plural(threads, 'thread')}"
    return results, [compare(results, what, names[work], theirs[work]) for work in names]


def ours(rec: str, size: int, batch_size: int, threads: int, augmented: bool) -> Callable[[], float]:
    """Our loader; with `augmented`, and what makes the network's input of it."""
    loader = RecordLoader(Records(rec), size=size, batch_size=batch_size, train=True, threads=threads, classes=10**6)
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
