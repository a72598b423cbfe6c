"""evaluate --form: a classifier as it is and in a form that predicts faster, side by side."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import time
from collections.abc import Iterable

import mxnet as mx
import numpy as np
import tqdm

from gluon_tricks.core.arguments import Parser, whole
from gluon_tricks.core.errors import Refused
from gluon_tricks.data.loader import Batch
from gluon_tricks.data.records import Records
from gluon_tricks.tasks.classification.evaluation import evaluate
from gluon_tricks.tasks.classification.evaluation_set import EvaluationSet
from gluon_tricks.tasks.classification.guesses import Guesses
from model_zoo.inference import fuse, quantise

_BATCHES = 4  # that int8 is calibrated on


def add_form_flags(parser: Parser) -> None:
    """--form, --calibration and --calibration-batches."""
    parser.add_argument(
        "--form", choices=("fused", "int8"), help="evaluate it twice, as it is and in this faster form (CPU, float32)"
    )
    parser.add_argument(
        "--calibration",
        nargs="+",
        metavar="FILE",
        help="images that determine the scales of int8 (of a run: its training set)",
    )
    parser.add_argument(
        "--calibration-batches", type=whole(1), metavar="N", help=f"number of batches of them ({_BATCHES})"
    )


def compare(evaluated: EvaluationSet, args: argparse.Namespace, context: mx.Context) -> tuple[dict, Guesses]:
    """The network as it is and in a faster form: how often each is right, and how often they say the same.

    Returns: that, and what each image was taken for by the faster form.
    """
    preprocess, found, net, guesses = evaluated.preprocess("float32"), {}, evaluated.net, []
    others = _calibration_records(evaluated, args) if args.form == "int8" else None  # refused before anything is scored
    for form in ("float32", args.form):
        loader = evaluated.loader(args.batch_size, args.num_data_workers)
        if form == "fused":
            fuse(net, mx.nd.zeros((args.batch_size, 3, *[evaluated.preprocessing.input_size] * 2)))
        elif form == "int8":
            batches = dataclasses.replace(evaluated, records=others).loader(args.batch_size).epoch()
            calibrating = without_padding(itertools.islice(batches, args.calibration_batches or _BATCHES))
            net = quantise(net, [preprocess(images, context) for images in calibrating])
        started = time.monotonic()
        scores = evaluate(net, shown(loader), preprocess, [context])
        seconds = time.monotonic() - started
        found[form] = {"top1": scores.top1, "images_per_second": scores.images / seconds}
        guesses.append(scores.guesses)
    one, other = guesses
    return {**found, "images": scores.images, "agreement": float((one.named == other.named).mean())}, other


def without_padding(batches: Iterable[Batch]) -> list[np.ndarray]:
    """The images of the whole batches, (b, H, W, 3) uint8 each; where there is none, one batch of real ones repeated.

    Padding is black: it would take part in the scales.
    """
    batches = list(batches)
    whole = [batch.images for batch in batches if batch.count == len(batch.images)]
    return whole or [batch.images[np.arange(len(batch.images)) % batch.count] for batch in batches if batch.count]


def _calibration_records(evaluated: EvaluationSet, args: argparse.Namespace) -> Records:
    """Images other than those that are scored. Raises Refused: there are none."""
    records = Records(args.calibration) if args.calibration else evaluated.train
    if records is None:
        raise Refused(
            "--form int8 needs images to find its scales on, other than the scored ones: name them with "
            "--calibration FILE"
        )
    return records


def shown(loader):
    """The loader's batches, with a progress bar in a terminal."""
    return tqdm.tqdm(loader.epoch(), total=loader.steps_per_epoch, unit="batch", disable=None)
