"""Train Faster-RCNN on any base network of the zoo (section 6.1): on Pascal VOC, or on built-in scenes.

    train_faster_rcnn.py --base resnet50_v1d --base-params RUN --data VOCdevkit
    train_faster_rcnn.py --data FOLDER --classes cat,dog --train-splits train --val-splits val --base-params RUN
    train_faster_rcnn.py --dataset scenes --base-params runs/shapes-1

Exit codes: 0 done, 2 refused before any work, 75 interrupted and resumable (--resume auto --save-dir
RUN), 130 and 143 interrupted before anything was started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

if __name__ == "__main__":
    import interrupt  # noqa: F401  first: a Ctrl-C during the imports below

import functools
import sys

from gluon_tricks.cli import training, transfer_flags
from gluon_tricks.recipes.named.detection_segmentation import DETECTION


def main(argv: list[str] | None = None) -> int:
    recipes = dict(recipes=DETECTION, default="voc")
    args = transfer_flags.parser(__doc__, **recipes).parse_args(argv)
    words = [functools.partial(means, **recipes) for means in (transfer_flags.start, transfer_flags.recipe_from_flags)]
    return training.train(args, *words)


if __name__ == "__main__":
    sys.exit(main())
