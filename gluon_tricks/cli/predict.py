"""What a trained network says of photos: the classes of each, the things in it, or the class of every pixel.

    %(prog)s photo.jpg --params runs/imagenet-3                      a classifier: the 5 likeliest classes, with bars
    %(prog)s photos --params resnet50_v1d/117a384e                   one that GluonCV published, on a folder of photos
    %(prog)s photos --params runs/a --params runs/b --crops 10       an ensemble of two, over 10 crops of each photo
    %(prog)s photos --params runs/faster_rcnn_voc-1 --threshold 0.7  a detector: boxes with names and scores
    %(prog)s photo.jpg --params runs/fcn_ade20k-1 --multi-scale      a segmenter: the mask over the photo
    %(prog)s photo.jpg --params runs/voc_classification-1            a tagger: each class of 0.5 or more

Which of them it is follows from the run. Folders are looked through with all that lies below them. Of each image --out
gets NAME.png and NAME.json in the same folders, of a segmenter also masks/NAME.png with the index of each pixel's
class; of several images, or a folder, predictions.csv has all as a table, and index.html shows them, the most confident
first. Where an image's folder is called as one of a classifier's classes, it is said whether that was right, and the
wrong ones come first. Exit code: 0 done, 1 some files are no images (the others are done) or the disk is full, 2
refused.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TextIO

import numpy as np
import tqdm

from gluon_tricks.cli.view_flags import add_view_flags
from gluon_tricks.core.arguments import MOST_GPUS, Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.files import no_empty_folders, require_folder
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import as_utf8, plural, printable
from gluon_tricks.data.encoding import NoImage
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.trained.contact_sheet import PAGE, contact_sheet
from gluon_tricks.trained.found_photos import Photo, find_photos, without_results
from gluon_tricks.trained.predict import Predictor, open_predictor
from gluon_tricks.trained.prediction_files import Results, is_result, read_photo
from gluon_tricks.trained.prediction_table import TABLE, PredictionTable


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, or trees of folders of them")
    parser.add_argument(
        "--params", required=True, action="append", metavar="SRC",
        help=f"{SOURCE}; of detectors and segmenters a run or a checkpoint; given several times: an ensemble",
    )  # fmt: skip
    parser.add_argument("--model", metavar="NAME", help="the network, where a parameter file fits several")
    parser.add_argument("--classes", metavar="FILE", help="the classes' names, one a line (default: the run's)")
    parser.add_argument(
        "--threshold", type=real(0, 1), metavar="S", help="least score of boxes, and of a tagger's classes (0.5)"
    )
    parser.add_argument(
        "--multi-scale", action="store_true", help="for masks: the mean over 6 scales and mirror images"
    )
    add_view_flags(parser)
    parser.add_argument(
        "--out",
        type=expanded,
        default=pathlib.Path("predictions"),
        metavar="FOLDER",
        help="folder for the results (predictions)",
    )
    parser.add_argument(
        "--num-gpus", type=whole(0, MOST_GPUS), metavar="N", help="0: the CPU (default: one GPU, if one is usable)"
    )
    args = parser.parse_args(argv)
    args.params, *args.members = args.params
    return args


def run(args: argparse.Namespace) -> int:
    """Everything from the flags to the pictures; how many files are no images."""
    photos, out = find_photos(args.images, args.out), args.out
    require_folder(out, "--out", PAGE, TABLE)
    photos = without_results(photos, args.images, out, "prediction", _are_results)
    predictor = open_predictor(
        args.params, model=args.model, class_file=args.classes, context=choose_contexts(args.num_gpus)[0],
        threshold=args.threshold, multi_scale=args.multi_scale, crops=args.crops, scales=args.scales, dense=args.dense,
        members=[(source, None) for source in args.members],
    )  # fmt: skip
    with no_empty_folders(out):
        return _predict(args, photos, predictor)


def _are_results(out: pathlib.Path, inside: Sequence[Photo]) -> bool:
    """Whether the images in --out are pictures of an earlier prediction; that of a single photo has no table."""
    return (out / TABLE).is_file() or all(is_result(out, photo.path) for photo in inside)


def _predict(args: argparse.Namespace, photos: Sequence[Photo], predictor: Predictor) -> int:
    out, broken = args.out, 0
    about = {"network": predictor.network, "kind": predictor.kind, "params": as_utf8(args.params)}
    if args.members:
        about["members"] = [*map(as_utf8, args.members)]
    several = len(photos) > 1 or any(map(os.path.isdir, args.images))
    results, rights = Results(out), []
    with PredictionTable(out / TABLE) as table, tqdm.tqdm(photos, unit="photo", disable=None, leave=False) as bar:
        for photo in bar:
            name = printable(photo.path)
            try:
                image = read_photo(photo.path)
            except NoImage as why:
                _tell(bar, f"{name} is left out: {why}", sys.stderr)
                broken += 1
                continue
            prediction = predictor.of_photo(image, photo)
            size = {"height": image.shape[0], "width": image.shape[1]}
            results.add(photo.path, prediction, {**about, **size}, photo.name)
            if several:
                table.add([("file", os.path.abspath(photo.path)), *row] for row in prediction.table)
            rights += [prediction.right] if prediction.right is not None else []
            note = f" ({prediction.note})" if prediction.note else ""
            _tell(bar, f"{name}: {prediction.words}{note}", sys.stdout)
    if several and results.shown:
        page = contact_sheet(out, f"{predictor.network}: {predictor.kind}", results.shown)
        print(f"{page} shows them all: {plural(len(results.shown), 'image')}")
    if rights:
        print(_count(rights, len(photos) - broken))
    return broken


def _tell(bar: tqdm.tqdm, line: str, stream: TextIO) -> None:
    """Prints a line above the bar."""
    bar.write(line, file=stream)
    stream.flush()


def _count(rights: Sequence[bool], images: int) -> str:
    """How many of the images whose class is known are right."""
    others = images - len(rights)
    rest = f"; {plural(others, 'other')} in no folder of a class" if others else ""
    return f"{sum(rights)} of {plural(len(rights), 'image')} right by their folders: top-1 {np.mean(rights):.2%}{rest}"


@command
def main(argv: list[str] | None = None) -> int:
    return 1 if run(parse(argv)) else 0
