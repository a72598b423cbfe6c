"""Train Faster-RCNN on any base network of the zoo (section 6.1): on Pascal VOC, or on built-in scenes.

    train_faster_rcnn.py --base resnet50_v1d --base-params RUN --data VOCdevkit
    train_faster_rcnn.py --data FOLDER --classes cat,dog --train-splits train --val-splits val --base-params RUN
    train_faster_rcnn.py --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto), 1 anything else.
"""

from __future__ import annotations

import functools
import sys

from gluon_tricks import program, transfer_flags
from gluon_tricks.recipes.transfer import DETECTION


def main(argv: list[str] | None = None) -> int:
    args = transfer_flags.parser(__doc__, DETECTION, "voc").parse_args(argv)
    return program.train(args, functools.partial(transfer_flags.recipe_from_flags, recipes=DETECTION, default="voc"))


if __name__ == "__main__":
    sys.exit(main())
