"""The flags of scripts/train_faster_rcnn.py and train_fcn.py, GluonCV's where it has them, and what they mean."""

from __future__ import annotations

import argparse
import pathlib
from collections.abc import Mapping

from gluon_tricks.command_line import numbers
from gluon_tricks.flags import optimisation_flags, run_flags
from gluon_tricks.journal import run_directory
from gluon_tricks.recipe import apply_setting, read_recipe
from gluon_tricks.runtime import Refused
from gluon_tricks.trained import SOURCE, is_there, means_published, model_of
from gluon_tricks.transfer import TransferRecipe
from gluon_tricks.tricks import StepDecay, Warmup

_FIELDS = {  # flag -> field
    "base": "model",
    "dtype": "dtype",
    "epochs": "epochs",
    "lr": "lr",
    "momentum": "momentum",
    "wd": "wd",
    "seed": "seed",
    "short": "short",
    "long": "long",
    "roi": "roi",
    "crop_size": "crop",
    "base_size": "base_size",
    "void": "void",
    "num_classes": "classes",
}


def parser(description: str, recipes: Mapping[str, TransferRecipe], default: str) -> argparse.ArgumentParser:
    """The flags of one of the scripts.

    Args:
        recipes: data set -> the recipe that --dataset starts from.
        default: the data set without --dataset.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    group = parser.add_argument_group("recipe")
    group.add_argument("--dataset", choices=tuple(recipes), help=f"what to start from ({default})")
    group.add_argument("--recipe", metavar="FILE", help="start from a recipe.json instead")
    group.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change any field or trick")
    group.add_argument("--data", type=pathlib.Path, metavar="PATH", help="the data set's folder, where it has one")
    group.add_argument("--base", metavar="MODEL", help="base network, of the model zoo (what --base-params is)")
    group.add_argument("--base-params", metavar="SRC", help=f"its parameters: {SOURCE}")
    detecting = next(iter(recipes.values())).task == "detection"
    (_detection_flags if detecting else _segmentation_flags)(group)
    group = parser.add_argument_group("optimisation")
    optimisation_flags(group)
    group.add_argument("--dtype", choices=("float32", "float16", "bfloat16"))
    group.add_argument("--seed", type=int, help="of every random number (0)")
    group.add_argument("-j", "--num-data-workers", type=int, metavar="N", help="threads of the loader (all cores)")
    run_flags(parser.add_argument_group("run"))
    return parser


def _detection_flags(group) -> None:
    group.add_argument("--short", type=int, metavar="PX", help="images are scaled to this shorter side (600)")
    group.add_argument("--long", type=int, metavar="PX", help="or to this longer side, if they would exceed it (1000)")
    group.add_argument("--roi", choices=("paper", "small"), help="counts and sizes of anchors, proposals and regions")


def _segmentation_flags(group) -> None:
    group.add_argument("--crop-size", type=int, metavar="PX", help="side of the training crops (480)")
    group.add_argument("--base-size", type=int, metavar="PX", help="longer side before scale and crop (520)")
    group.add_argument("--num-classes", type=int, metavar="K", help="--dataset masks: how many classes there are")
    group.add_argument("--void", type=int, metavar="V", help="--dataset masks: the value that is no class (255)")


def recipe_from_flags(
    args: argparse.Namespace, devices: int, recipes: Mapping[str, TransferRecipe], default: str
) -> tuple[TransferRecipe, list[str]]:
    """The recipe that a command line means, and lines to tell. Args: devices: over all ranks; the rest as for parser.

    Raises:
        Refused: flags that name what is not there, or that do not go together.
    """
    for flag in ("resume_params", "resume_states", "resume_epoch"):
        if getattr(args, flag):
            raise Refused(f"--{flag.replace('_', '-')}: use --resume auto, which goes on with everything")
    task = recipes[default].task
    recipe = read_recipe(args.recipe) if args.recipe else recipes[args.dataset or default]
    if recipe.task != task:
        raise Refused(f"{args.recipe} is a recipe of {recipe.task}, and this script is for {task}")
    if args.recipe and args.dataset:
        recipe = recipe.set(dataset=args.dataset, classes=None, class_names=())
    _refuse_what_has_no_effect(args, recipe)
    if getattr(args, "num_classes", None) is not None:
        recipe = recipe.set(classes=None, class_names=())
    given = {field: getattr(args, flag, None) for flag, field in _FIELDS.items()}
    recipe = recipe.set(**{field: value for field, value in given.items() if value is not None})
    if args.base_params:
        recipe = _with_base(recipe, args)
    if args.data:
        recipe = recipe.set(data=str(args.data.expanduser().absolute()))
    if args.accumulate is not None:
        recipe = recipe.set(accumulate=args.accumulate)
    if args.batch_size is not None:
        recipe = recipe.set(batch_size=args.batch_size * recipe.accumulate * devices)
    recipe = _with_schedule(recipe, args)
    for setting in args.set:
        recipe = apply_setting(recipe, setting)
    notes = [] if recipe.base_params else ["no --base-params: the base network starts from random numbers"]
    return recipe, notes


def _with_base(recipe: TransferRecipe, args: argparse.Namespace) -> TransferRecipe:
    """What --base-params says of the network goes before the recipe's; a file is named by its whole path.

    A run that goes on says itself what it stands on, so that the base's file need not be there any more.
    """
    source = args.base_params
    if is_there(source) or not means_published(source):
        source = str(pathlib.Path(source).expanduser().absolute())
    recipe = recipe.set(base_params=source)
    stored = run_directory(args.save_dir, recipe.name, resume=True) / "recipe.json" if args.resume else None
    if stored is None or not stored.is_file():
        said = model_of(source)
        return recipe.set(model=recipe.model if args.base or not said else said)
    begun = read_recipe(stored)
    if getattr(begun, "base_params", "") != source or args.base not in (None, begun.model):
        return recipe
    found = {field: getattr(begun, field) for field in ("model", "dense_side") if hasattr(begun, field)}
    return recipe.set(**found)


def _refuse_what_has_no_effect(args: argparse.Namespace, recipe: TransferRecipe) -> None:
    if args.data and recipe.dataset.endswith("scenes"):
        raise Refused(f"--data {args.data}: {recipe.dataset} is built in; name the kind of your data with --dataset")
    for flag in ("num_classes", "void"):
        if getattr(args, flag, None) is not None and recipe.dataset != "masks":
            raise Refused(f"--{flag.replace('_', '-')} goes with --dataset masks: {recipe.dataset} has its own")


def _with_schedule(recipe: TransferRecipe, args: argparse.Namespace) -> TransferRecipe:
    if args.lr_decay is not None or args.lr_decay_epoch:
        old = next((trick for trick in recipe.tricks if isinstance(trick, StepDecay)), None)
        if old is None and not args.lr_decay_epoch:
            raise Refused(f"--lr-decay {args.lr_decay} goes with --lr-decay-epoch: {recipe.name} has no step decay")
        old = old or StepDecay()
        at = numbers(args.lr_decay_epoch, "--lr-decay-epoch") if args.lr_decay_epoch else old.epochs
        recipe = recipe.add(StepDecay(at, old.by if args.lr_decay is None else args.lr_decay))
    if args.warmup_epochs is not None:
        recipe = recipe.add(Warmup(args.warmup_epochs))
    return recipe
