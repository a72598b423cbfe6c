"""Train Faster-RCNN on any base network of the zoo (section 6.1): on Pascal VOC, on your own boxes, on built-in scenes.

    %(prog)s --base resnet50_v1d --base-params RUN --data VOCdevkit
    %(prog)s --data FOLDER --classes cat,dog --train-splits train --val-splits val --base-params RUN
    %(prog)s --dataset coco --data FOLDER --base-params RUN
    %(prog)s --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Sequence

from gluon_tricks.cli import gluoncv_transfer, training, transfer_flags
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.named.detection_segmentation import DETECTION

INTERRUPTED = None  # training.StopRequest takes the signals
MEANT = dict(recipes=DETECTION, default="voc", script=gluoncv_transfer.FASTER_RCNN)  # what transfer_flags need to know
_CUSTOM = "GluonCV's options for networks with a pyramid (FPN) are not there: leave it and what follows it out"


def own_flags(group) -> None:
    """Adds those flags to a group that only this command has."""
    group.add_argument(
        "--short", type=int, metavar="PX", help="scale images to this shorter side (the recipe's; voc: 600)"
    )
    group.add_argument(
        "--long", type=int, metavar="PX", help="but to at most this longer side (the recipe's; voc: 1000)"
    )
    group.add_argument("--roi", choices=("paper", "small"), help="sizes of anchors, proposals, regions (the recipe's)")
    group.add_argument(
        "--train-splits",
        metavar="LISTS",
        help="voc: lists to train on (2007_trainval,2012_trainval); coco: a JSON file in --data, or a word such as "
        "train for annotations/instances_train*.json (train)",
    )
    group.add_argument("--val-splits", metavar="LISTS", help="lists to validate on (voc: 2007_test; coco: val)")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags of a command line; a mistake in them ends the process with exit code 2."""
    return gluoncv_transfer.prepared(transfer_flags.parser(__doc__, **MEANT, own_flags=own_flags).parse_args(argv))


@command
def main(argv: list[str] | None = None) -> int:
    words = sys.argv[1:] if argv is None else argv
    if "custom-model" in words:
        raise Refused(f"custom-model: {_CUSTOM}")
    args = parse(words)
    means = [functools.partial(f, **MEANT) for f in (transfer_flags.start, transfer_flags.recipe_from_flags)]
    return training.train(args, *means)
