"""Train FCN on any base network of the zoo (section 6.2): on ADE20K, on images with index masks, on built-in scenes.

    %(prog)s --base resnet50_v1d --base-params RUN --data ADEChallengeData2016
    %(prog)s --dataset masks --data FOLDER --num-classes 11 --void 11 --base-params RUN
    %(prog)s --dataset masks --data FOLDER --mask-values 0,255 --classes paper,ink --base-params RUN
    %(prog)s --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence

from gluon_tricks.cli import gluoncv_transfer, training, transfer_flags
from gluon_tricks.core.commands import command
from gluon_tricks.recipes.named.detection_segmentation import SEGMENTATION

INTERRUPTED = None  # training.StopRequest takes the signals
MEANT = dict(recipes=SEGMENTATION, default="ade20k", script=gluoncv_transfer.FCN)  # what transfer_flags need to know


def own_flags(group) -> None:
    """Adds those flags to a group that only this command has."""
    group.add_argument(
        "--crop-size", type=int, metavar="PX", help="side of the training crops (the recipe's; ade20k: 480)"
    )
    group.add_argument(
        "--base-size",
        type=int,
        metavar="PX",
        help="longer side before scaling and cropping (the recipe's; ade20k: 520)",
    )
    group.add_argument("--num-classes", type=int, metavar="K", help="--dataset masks: the number of classes")
    group.add_argument("--void", type=int, metavar="V", help="--dataset masks: the value that is no class (255)")
    group.add_argument(
        "--mask-values", metavar="V,V", help="--dataset masks: the value of each class (0,1,2,...), such as 0,255"
    )


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags of a command line; a mistake in them ends the process with exit code 2."""
    return gluoncv_transfer.prepared(transfer_flags.parser(__doc__, **MEANT, own_flags=own_flags).parse_args(argv))


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    words = [functools.partial(means, **MEANT) for means in (transfer_flags.start, transfer_flags.recipe_from_flags)]
    return training.train(args, *words, chatty=True)  # its batch normalisation is over all ranks
