"""The flags of gluon-tricks detect and segment, GluonCV's where it has them, and what they mean."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from gluon_tricks.cli import gluoncv_transfer
from gluon_tricks.cli.command_line import new_doubts
from gluon_tricks.cli.flags import optimisation_flags, run_flags
from gluon_tricks.cli.optimizer_flags import with_optimizer
from gluon_tricks.cli.parts import with_parts
from gluon_tricks.cli.schedule_flags import numbers, told_of_decay
from gluon_tricks.cli.selection import class_names
from gluon_tricks.cli.set_flag import with_setting
from gluon_tricks.core.arguments import MOST_THREADS, Parser, whole
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.core.together import one_after_another
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.annotations.coco_files import looks_like_coco
from gluon_tricks.networks.load import SOURCE, model_of
from gluon_tricks.networks.source import is_there, means_published, pinned
from gluon_tricks.recipes.registry import is_cell, is_file, list_recipes, recipe_going_on, weights_of
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.recipes.transfer import TransferRecipe
from gluon_tricks.tasks.registry import require_task
from gluon_tricks.tricks import NoBiasDecay, Plateau, StepDecay, Warmup

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
    "mode": "mode",
    "aux_weight": "aux_weight",
}
_OWN_DATA = {  # flag -> the data sets that it goes with
    "classes": ("voc", "coco", "masks"),
    "num_classes": ("masks",),
    "void": ("masks",),
    "mask_values": ("masks",),
    "train_splits": ("voc", "coco"),
    "val_splits": ("voc", "coco"),
}


_OTHERS = ("coco", "pascal", "citys", "mhpv1", "ade", "sbd")  # GluonCV's data sets


def parser(
    description: str, recipes: Mapping[str, TransferRecipe], default: str, own_flags: Callable[[Any], None],
    script: gluoncv_transfer.Script,
) -> Parser:  # fmt: skip
    """The flags of one of the two.

    Args:
        recipes: data set -> the recipe that --dataset starts from.
        default: the data set without --dataset.
        own_flags: adds those that the other has not to a group.
        script: GluonCV's for the same.
    """
    parser = Parser(description, usage="%(prog)s [FLAGS]")
    group = parser.add_argument_group("recipe")
    group.add_argument(
        "--dataset",
        type=lambda name: _data_set(name, recipes),
        metavar="NAME",
        help=f"the recipe of a data set: {', '.join(recipes)} ({default})",
    )
    names = ", ".join(list_recipes(type(recipes[default])))
    group.add_argument("--recipe", metavar="NAME|FILE", help=f"start from a recipe instead: {names}; RUN/recipe.json")
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a field or trick; repeatable",
    )
    group.add_argument("--data", type=expanded, metavar="PATH", help="the data set's folder, where it has one")
    group.add_argument(
        "--base", type=str.lower, metavar="MODEL", help="base network of the zoo (that of --base-params)"
    )
    group.add_argument(
        "--base-params", metavar="SRC", help=f"parameters of the base network: {SOURCE} (random numbers)"
    )
    group.add_argument(
        "--classes", metavar="NAMES", help="your classes: names with commas between them, or a file with one a line"
    )
    own_flags(group)
    group = parser.add_argument_group("optimisation")
    optimisation_flags(group)
    group.add_argument(
        "--dtype", choices=("float32", "float16", "bfloat16"), help="precision; float16 is for GPUs (the recipe's)"
    )
    group.add_argument("--seed", type=int, help="seed of all random numbers (the recipe's, 0)")
    group.add_argument(
        *("-j", "--num-data-workers", "--num-workers", "--workers"),
        type=whole(1, MOST_THREADS),
        metavar="N",
        help="threads of the loader (all cores)",
    )
    run_flags(parser.add_argument_group("run"))
    script.add_flags(parser.add_argument_group("GluonCV's script"))
    return parser


def _data_set(name: str, recipes: Mapping[str, TransferRecipe]) -> str:
    if name in recipes:
        return name
    own = "; masks of others: --dataset masks" if "masks" in recipes else "; boxes of others: --dataset coco, or voc"
    own = f"{own} with --data FOLDER" if name.split("_")[0] in _OTHERS else ""
    raise argparse.ArgumentTypeError(f"{quoted(name)} is not there: choose one of {', '.join(recipes)}{own}")


def start(
    args: argparse.Namespace, recipes: Mapping[str, TransferRecipe], default: str, script: gluoncv_transfer.Script,
    begun: Settings | None = None,
) -> tuple[TransferRecipe, list[str]]:  # fmt: skip
    """The recipe that the flags change (the file's, the run's, the data set's), and lines to tell. Args: see below."""
    coco = "coco" in recipes and args.data and looks_like_coco(args.data, sum(_lists(args).values(), ()))
    dataset = args.dataset or ("coco" if coco else default)
    fresh = script.recipe if script.wrote(args) and dataset == script.recipe.dataset else recipes[dataset]
    recipe = recipe_going_on(args.recipe, begun) if args.recipe else begun or fresh
    require_task(recipe, type(recipes[default]), args.recipe or recipe.name)
    if args.dataset and args.dataset != recipe.dataset:
        recipe = recipe.set(dataset=args.dataset, classes=None, class_names=())
    if isinstance(begun, type(recipe)) and begun.dataset == recipe.dataset and not recipe.data:
        recipe = recipe.set(data=begun.data)
    return recipe, []


def recipe_from_flags(
    args: argparse.Namespace, devices: int, begun: Settings | None, begun_on: int = 0, *,
    recipes: Mapping[str, TransferRecipe], default: str, script: gluoncv_transfer.Script,
) -> tuple[TransferRecipe, list[str]]:  # fmt: skip
    """The recipe that a command line means, and lines to tell.

    Args:
        devices: over all ranks.
        begun: the recipe of the run that goes on, which has what no flag gives; None: a new run.
        begun_on: the devices that it began on, by which GluonCV's lines are understood; 0: `devices`.
        recipes, default: as for parser.
        script: GluonCV's, whose lines are understood.

    Raises:
        Refused: flags that name what is not there, or that do not go together.
    """
    for flag in ("resume_params", "resume_states", "resume_epoch"):
        if getattr(args, flag):
            raise Refused(f"--{flag.replace('_', '-')}: use --resume auto, which goes on with everything")
    before, notes = start(args, recipes, default, script, begun)
    _refuse_what_has_no_effect(args, before)
    with one_after_another():
        by_flags, said = _with_flags(before, args, (devices, begun_on or devices), begun, script)
        recipe = by_flags
        for setting in args.set:
            recipe = with_setting(recipe, setting, begun)
    recipe = recipe.checked()
    if begun is not None and not (args.recipe and is_file(args.recipe)):
        recipe = recipe.in_order_of(begun)
    if begun is None and is_cell(recipe.base_params) and not is_there(recipe.base_params):
        raise Refused(
            f"the base network {recipe.base_params} is a recipe and no run yet: name a run with --base-params RUN, or "
            "use gluon-tricks reproduce, which trains it"
        )
    if begun is None and recipe.base_params and recipe.base_params == weights_of(recipe):
        raise Refused(
            f"{recipe.name} starts from the weights {recipe.base_params}: name them with --base-params SRC, or use "
            f"gluon-tricks reproduce {recipe.name.partition('/')[0]} --network {recipe.base_params}=SRC"
        )
    if not recipe.base_params and begun is None:
        notes.append("no --base-params: the base network starts from random numbers")
    return recipe.resolved(), [*said, *notes, *told_of_decay(by_flags, recipe), *new_doubts(recipe, before)]


def _with_flags(
    recipe: TransferRecipe, args: argparse.Namespace, devices: tuple[int, int], begun: Settings | None,
    script: gluoncv_transfer.Script,
) -> tuple[TransferRecipe, list[str]]:  # fmt: skip
    """The same, but for --set. Args: devices: over all ranks, now and when the run began."""
    given = {field: getattr(args, flag, None) for flag, field in _FIELDS.items()}
    given = {field: value for field, value in given.items() if value is not None}
    recipe = with_parts(recipe.set(**{**_of_own_data(args), **given}), args)
    rated = begun is not None or script.rate is not None and script.wrote(args)
    recipe = with_optimizer(recipe, args, rated)
    if args.base_params is not None:
        recipe = _with_base(recipe, args, begun) if args.base_params else recipe.set(base_params="")
    if args.data:
        recipe = recipe.set(data=str(args.data.absolute()))
    if args.accumulate is not None:
        recipe = recipe.set(accumulate=args.accumulate)
    if args.batch_size is not None:
        recipe = recipe.set(batch_size=args.batch_size * recipe.accumulate * devices[0])
    return script.understood(_with_schedule(recipe, args), args, devices[1], begun)


def _with_base(recipe: TransferRecipe, args: argparse.Namespace, begun: Settings | None) -> TransferRecipe:
    """What --base-params says of the network goes before the recipe's; a file is named by its whole path.

    A run that goes on says itself what it stands on, so that the base's file need not be there any more.
    """
    source = args.base_params
    if is_there(source) or not means_published(source):
        source = str(expanded(source).absolute())
    source = pinned(source, getattr(begun, "base_params", ""))
    recipe = recipe.set(base_params=source)
    if begun is None:
        said = model_of(source)
        return recipe.set(model=recipe.model if args.base or not said else said)
    if getattr(begun, "base_params", "") != source or args.base not in (None, begun.model):
        return recipe
    found = {field: getattr(begun, field) for field in ("model", "dense_side") if hasattr(begun, field)}
    return recipe.set(**found)


def _refuse_what_has_no_effect(args: argparse.Namespace, recipe: TransferRecipe) -> None:
    if args.data and recipe.dataset.endswith("scenes"):
        raise Refused(f"--data {args.data}: {recipe.dataset} is built in; name the kind of your data with --dataset")
    for flag, datasets in _OWN_DATA.items():
        if getattr(args, flag, None) is not None and recipe.dataset not in datasets:
            fit = [name for name in recipe.choices["dataset"] if name in datasets]
            raise Refused(
                f"--{flag.replace('_', '-')} goes with --dataset {' or '.join(fit)}: {recipe.dataset} has its own"
            )


def _of_own_data(args: argparse.Namespace) -> dict[str, Any]:
    """Fields that say what own data is: its classes, their values in masks, its lists."""
    fields: dict[str, Any] = {}
    if args.classes is not None:
        fields.update(classes=None, class_names=class_names(args.classes))
    elif getattr(args, "num_classes", None) is not None or getattr(args, "mask_values", None) is not None:
        fields.update(classes=None, class_names=())
    if getattr(args, "mask_values", None) is not None:
        fields["mask_values"] = values = numbers(args.mask_values, "--mask-values", int)
        if args.void in values:
            raise Refused(f"--void {args.void} is one of --mask-values {args.mask_values}: a value is a class or none")
    return {**fields, **_lists(args)}


def _lists(args: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """The lists or files that are named for training and for validation."""
    given = {flag: getattr(args, flag, None) for flag in ("train_splits", "val_splits")}
    return {flag: tuple(text.split(",")) for flag, text in given.items() if text is not None}


def _with_schedule(recipe: TransferRecipe, args: argparse.Namespace) -> TransferRecipe:
    plateau = next((trick for trick in recipe.tricks if isinstance(trick, Plateau)), None)
    if plateau and args.lr_decay is not None and not args.lr_decay_epoch:
        recipe = recipe.add(dataclasses.replace(plateau, by=args.lr_decay))
    elif args.lr_decay is not None or args.lr_decay_epoch:
        old = next((trick for trick in recipe.tricks if isinstance(trick, StepDecay)), None)
        if old is None and not args.lr_decay_epoch:
            raise Refused(f"--lr-decay {args.lr_decay} goes with --lr-decay-epoch: {recipe.name} has no step decay")
        old = old or StepDecay()
        at = numbers(args.lr_decay_epoch, "--lr-decay-epoch") if args.lr_decay_epoch else old.epochs
        recipe = recipe.add(StepDecay(at, old.by if args.lr_decay is None else args.lr_decay))
    if args.warmup_epochs is not None:
        old = next((trick for trick in recipe.tricks if isinstance(trick, Warmup)), Warmup())
        recipe = recipe.add(dataclasses.replace(old, epochs=args.warmup_epochs))
    return recipe.add(NoBiasDecay()) if getattr(args, "no_wd", False) else recipe
