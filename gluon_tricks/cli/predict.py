"""What a trained network says of photos: the classes of each, the things in it, or the class of every pixel.

    %(prog)s photo.jpg --params runs/imagenet-3                      a classifier: the 5 likeliest classes, with bars
    %(prog)s photos --params resnet50_v1d/117a384e                   one that GluonCV published, on a folder of photos
    %(prog)s photos --params runs/a --params runs/b --crops 10       an ensemble of two, over 10 crops of each photo
    %(prog)s photos --params runs/faster_rcnn_voc-1 --threshold 0.7  a detector: boxes with names and scores
    %(prog)s photo.jpg --params runs/fcn_ade20k-1 --multi-scale      a segmenter: the mask over the photo
    %(prog)s photo.jpg --params runs/voc_classification-1            a tagger: each class of 0.5 or more

Which of them it is follows from the run. Of each image --out gets NAME.png and NAME.json, of a segmenter also
masks/NAME.png with the index of each pixel's class; of several images, index.html shows all. Exit code: 0 done, 1 some
files are no images (the others are done) or the disk is full, 2 refused.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
from collections.abc import Sequence

from gluon_tricks.cli.view_flags import add_view_flags
from gluon_tricks.core.arguments import MOST_GPUS, Parser, real, whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.files import no_empty_folders, require_folder
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.wording import as_utf8, plural, printable
from gluon_tricks.machine.devices import choose_contexts
from gluon_tricks.networks.load import SOURCE
from gluon_tricks.trained.predict import Predictor, open_predictor
from gluon_tricks.trained.prediction_files import Results, contact_sheet, find_images, read_photo


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="files, or folders of them (not those inside them)")
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
        type=pathlib.Path,
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
    paths, out = find_images(args.images), expanded(args.out)
    require_folder(out, "--out", "index.html")
    if out.resolve() in {path.parent.resolve() for path in paths}:
        raise Refused(f"--out {out} is where images lie that are to be looked at: name another folder")
    predictor = open_predictor(
        args.params, model=args.model, class_file=args.classes, context=choose_contexts(args.num_gpus)[0],
        threshold=args.threshold, multi_scale=args.multi_scale, crops=args.crops, scales=args.scales, dense=args.dense,
        members=[(source, None) for source in args.members],
    )  # fmt: skip
    with no_empty_folders(out):
        return _predict(args, paths, predictor)


def _predict(args: argparse.Namespace, paths: Sequence[pathlib.Path], predictor: Predictor) -> int:
    out, broken = expanded(args.out), 0
    about = {"network": predictor.network, "kind": predictor.kind, "params": as_utf8(args.params)}
    if args.members:
        about["members"] = [*map(as_utf8, args.members)]
    results = Results(out)
    for path in paths:
        image = read_photo(path)
        if image is None:
            print(f"{printable(path)} is no image that can be decoded: left out", file=sys.stderr, flush=True)
            broken += 1
            continue
        prediction = predictor.predict(image)
        results.add(path, prediction, {**about, "height": image.shape[0], "width": image.shape[1]})
        note = f" ({prediction.note})" if prediction.note else ""
        print(f"{printable(path)}: {prediction.words}{note}", flush=True)
    if len(paths) > 1 and results.said:
        page = contact_sheet(out, f"{predictor.network}: {predictor.kind}", results.said)
        print(f"{page} shows them all: {plural(len(results.said), 'image')}")
    return broken


@command
def main(argv: list[str] | None = None) -> int:
    return 1 if run(parse(argv)) else 0
