"""Train FCN on any base network of the zoo (section 6.2): on ADE20K, on images with index masks, on built-in scenes.

    %(prog)s --base resnet50_v1d --base-params RUN --data ADEChallengeData2016
    %(prog)s --dataset masks --data FOLDER --num-classes 11 --void 11 --base-params RUN
    %(prog)s --dataset masks --data FOLDER --mask-values 0,255 --classes paper,ink --base-params RUN
    %(prog)s --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

import functools

from gluon_tricks.cli import training, transfer_flags
from gluon_tricks.recipes.named.detection_segmentation import SEGMENTATION

INTERRUPTED = None  # training.StopRequest takes the signals


def main(argv: list[str] | None = None) -> int:
    recipes = dict(recipes=SEGMENTATION, default="ade20k")
    args = transfer_flags.parser(__doc__, **recipes).parse_args(argv)
    words = [functools.partial(means, **recipes) for means in (transfer_flags.start, transfer_flags.recipe_from_flags)]
    return training.train(args, *words, chatty=True)  # its batch normalisation is over all ranks
