"""Train Faster-RCNN on any base network of the zoo (section 6.1): on Pascal VOC, or on built-in scenes.

    %(prog)s --base resnet50_v1d --base-params RUN --data VOCdevkit
    %(prog)s --data FOLDER --classes cat,dog --train-splits train --val-splits val --base-params RUN
    %(prog)s --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

import functools

from gluon_tricks.cli import training, transfer_flags
from gluon_tricks.recipes.named.detection_segmentation import DETECTION

INTERRUPTED = None  # training.StopRequest takes the signals


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
        "--train-splits", metavar="LISTS", help="--dataset voc: lists to train on (2007_trainval,2012_trainval)"
    )
    group.add_argument("--val-splits", metavar="LISTS", help="--dataset voc: lists to validate on (2007_test)")


def main(argv: list[str] | None = None) -> int:
    recipes = dict(recipes=DETECTION, default="voc")
    args = transfer_flags.parser(__doc__, **recipes, own_flags=own_flags).parse_args(argv)
    words = [functools.partial(means, **recipes) for means in (transfer_flags.start, transfer_flags.recipe_from_flags)]
    return training.train(args, *words)
