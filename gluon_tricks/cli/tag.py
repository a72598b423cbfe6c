"""Train a classifier whose images show several classes each, or none: on VOC, on your own, or on built-in scenes.

    %(prog)s --data VOCdevkit --model caffenet --init data:kmeans     VOC2007, as the document has it
    %(prog)s --data FOLDER --classes cat,dog --train-splits train --val-splits val
    %(prog)s --rec-train train.rec --rec-val val.rec --model resnet50_v1d --use-pretrained --num-epochs 20
    %(prog)s --resume auto --save-dir RUN                             go on: everything is taken from the run

Records have a label for each class (gluon-tricks pack --list, --voc). Without data it runs on built-in scenes. Exit
codes: 0 done, 2 refused before any work, 75 interrupted and resumable, 130 and 143 interrupted before anything was
started (Ctrl-C, SIGTERM), 1 anything else.
"""

from __future__ import annotations

import argparse

from gluon_tricks.cli import command_line, flags, training
from gluon_tricks.cli.transfer_flags import class_names
from gluon_tricks.core.arguments import whole
from gluon_tricks.core.commands import command
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.recipes.multi_label import MOST_CROPS, MultiLabelRecipe
from gluon_tricks.recipes.named.multi_label import MULTI_LABEL
from gluon_tricks.recipes.registry import recipe_going_on
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import require_task

INTERRUPTED = None  # training.StopRequest takes the signals
_OF_FOLDERS = ("train_splits", "val_splits", "classes")


def own_flags(group) -> None:
    """Adds those flags to a group that only this command has."""
    group.add_argument("--dataset", choices=tuple(MULTI_LABEL), help="the recipe of a data set (by what is named)")
    group.add_argument(
        "--data", type=expanded, metavar="PATH", help="VOCdevkit, or a folder with JPEGImages and Annotations"
    )
    group.add_argument("--train-splits", metavar="LISTS", help="--data: lists to train on (2007_trainval)")
    group.add_argument("--val-splits", metavar="LISTS", help="--data: lists to validate on (2007_test)")
    group.add_argument(
        "--classes", metavar="NAMES", help="--data: your classes, with commas between them, or a file with one a line"
    )
    group.add_argument(
        "--test-crops", type=whole(0, MOST_CROPS), metavar="N",
        help="random crops whose mean logits the run is scored by at its end; 0: the centre crop (the recipe's)",
    )  # fmt: skip


def start(args: argparse.Namespace, begun: Settings | None = None) -> tuple[MultiLabelRecipe, list[str]]:
    """The recipe that the flags change (the one named, the run's, the data set's), and lines to tell."""
    named = "voc" if args.data else "records" if args.rec_train or args.rec_val else "scenes"
    if args.recipe or begun:
        recipe = recipe_going_on(args.recipe, begun) if args.recipe else begun
        require_task(recipe, MultiLabelRecipe, args.recipe or recipe.name)
        if isinstance(begun, type(recipe)) and not recipe.data:  # a named recipe has no images: the run has
            recipe = recipe.set(data=begun.data, train=begun.train, val=begun.val)
        return recipe, []
    recipe = MULTI_LABEL[args.dataset or named]
    said = "no images named: running the recipe tags_scenes on built-in pictures"
    return recipe, [said] if not args.dataset and named == "scenes" else []


def recipe_from_flags(
    args: argparse.Namespace, devices: int, begun: Settings | None = None, begun_on: int = 0
) -> tuple[MultiLabelRecipe, list[str]]:
    """The recipe that a command line means, and lines to tell. Args and Raises: as in command_line."""
    if args.resume_states:
        raise Refused(f"--resume-states {args.resume_states}: a pickle runs code when read; use --resume auto")
    recipe, notes = start(args, begun)
    recipe, more = command_line.changed_by_flags(_with_images(recipe, args), args, devices, begun)
    return recipe, notes + more


def _with_images(recipe: MultiLabelRecipe, args: argparse.Namespace) -> MultiLabelRecipe:
    if args.data and (args.rec_train or args.rec_val):
        raise Refused(f"--data {args.data} and --rec-train or --rec-val name two sets of images: give one of them")
    if args.data and args.dataset not in (None, "voc"):
        raise Refused(f"--dataset {args.dataset} takes no folder, and --data names {args.data}: leave one of them out")
    fields = {}
    if args.data:
        fields.update(data=str(args.data.absolute()), train=(), val=())
    for flag in (flag for flag in _OF_FOLDERS if getattr(args, flag) is not None):
        if not (args.data or recipe.set(**fields).of_folder):
            raise Refused(f"--{flag.replace('_', '-')} goes with --data FOLDER: other images have their own")
        given = getattr(args, flag)
        fields |= {"classes": None, "class_names": class_names(given)} if flag == "classes" else {}
        fields |= {flag: tuple(given.split(","))} if flag != "classes" else {}
    if args.test_crops is not None:
        fields["test_crops"] = args.test_crops
    return recipe.set(**fields)


@command
def main(argv: list[str] | None = None) -> int:
    args = flags.tag_parser(__doc__, own_flags).parse_args(argv)
    synchronised = args.sync_bn or any("SyncBatchNorm" in setting for setting in args.set)
    return training.train(args, start, recipe_from_flags, chatty=synchronised)
