"""What a command line of gluon-tricks train means: a recipe.

A flag that is not given changes nothing, so any flag overrides any recipe. `--batch-size` is per device and rank,
as in GluonCV; a recipe's batch_size is global.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
from collections.abc import Sequence

from gluon_tricks.cli import flags, gluoncv_scripts
from gluon_tricks.cli.balance import with_balance
from gluon_tricks.cli.images import require_one_mean, with_records
from gluon_tricks.cli.optimizer_flags import with_optimizer
from gluon_tricks.cli.parts import with_parts
from gluon_tricks.cli.photos import (
    photos_named,
    refuse_split,
    require_one_set_of_images,
    with_fitting_batch,
    with_photos,
)
from gluon_tricks.cli.refinement_flags import with_refinements
from gluon_tricks.cli.schedule_flags import numbers, told_of_decay, with_schedule
from gluon_tricks.cli.selection import with_selection
from gluon_tricks.cli.set_flag import with_setting
from gluon_tricks.cli.size_flags import with_side, with_sizes
from gluon_tricks.core.errors import Refused
from gluon_tricks.core.together import one_after_another
from gluon_tricks.data.recipe_records import IMAGENET_FOLDER, imagenet_is_here
from gluon_tricks.networks.load import model_of, starting_point
from gluon_tricks.networks.source import as_kept, is_there, may_have_meant
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.registry import get_recipe, is_cell, is_file, recipe_going_on, weights_of
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tasks.registry import require_task
from gluon_tricks.tricks import DataDependentInit, Distillation, StochasticDepth, ZeroGamma
from model_zoo import keywords
from model_zoo.published import is_tag


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The flags of a command line; a mistake in them ends the process with exit code 2."""
    return flags.parser().parse_args(argv)


def recipe_from_flags(
    args: argparse.Namespace, devices: int, begun: Settings | None = None, begun_on: int = 0
) -> tuple[Recipe, list[str]]:
    """The recipe that a command line means.

    Args:
        args: from parse().
        devices: over all ranks, which --batch-size is multiplied by.
        begun: the recipe of the run that goes on, which has what no flag gives; None: a new run.
        begun_on: the devices that it began on, by which a rate of each device is multiplied; 0: `devices`.

    Returns:
        the recipe, and lines to tell about choices that were not asked for.

    Raises:
        Refused: flags that name what is not there, or that do not go together.
    """
    args, said = gluoncv_scripts.as_train_imagenet(args, begun_on or devices, begun)
    _refuse_what_is_replaced(args)
    recipe, notes = start(args, begun)
    notes = said + notes
    recipe = with_selection(recipe, args)
    if not photos_named(args, recipe):
        refuse_split(args)
        recipe, more = changed_by_flags(recipe, args, devices, begun)
        return recipe, notes + more
    asked, _ = changed_by_flags(recipe, args, devices, begun)  # a mistake in a flag is told before packing
    recipe, count, more = with_photos(recipe, asked, args, devices, begun)
    recipe, even_more = changed_by_flags(recipe, args, devices, begun)
    recipe, fitted = with_fitting_batch(recipe, args, count, devices) if begun is None else (recipe, [])
    return recipe, notes + more + even_more + fitted


def changed_by_flags(
    recipe: Recipe, args: argparse.Namespace, devices: int, begun: Settings | None
) -> tuple[Recipe, list[str]]:
    """What the flags make of the recipe that start found. Args, Returns and Raises: as for recipe_from_flags."""
    before = recipe
    with one_after_another():
        recipe, notes = _with_flags(recipe, args, devices, begun)
        by_flags = recipe
        for setting in args.set:
            key, _, text = setting.partition("=")
            if key == "pretrained":  # a tag such as 121e1579 would be read as a number
                recipe = _from_trained(recipe, text, "--set pretrained", named=True, begun=begun)
            else:
                recipe = with_setting(recipe, setting, begun)
        recipe, of_side = with_side(recipe, before, args.set, begun)
    recipe = recipe.checked()
    if begun is not None and not (args.recipe and is_file(args.recipe)):
        recipe = recipe.in_order_of(begun)
    _require_teachers(recipe)
    if begun is None:
        _require_start(recipe)
    require_one_mean(recipe, args)
    recipe, left_out = _without_what_cannot_be(recipe, args)
    notes += [*of_side, *told_of_decay(by_flags, recipe), *left_out, *new_doubts(recipe, before)]
    unusual = recipe.unusual_images()
    notes += [unusual] if unusual and begun is None else []
    if args.num_training_samples is not None:
        notes.append(f"--num-training-samples {args.num_training_samples}: not used, the records are counted")
    return recipe.resolved(), notes


def _with_flags(
    recipe: Recipe, args: argparse.Namespace, devices: int, begun: Settings | None
) -> tuple[Recipe, list[str]]:
    """The same, but for --set."""
    form = "gluoncv" if recipe.name == "imagenet" else "paper"
    gluoncv = args.recipe is None and begun is None and form == "gluoncv"
    recipe = with_balance(recipe, args)
    if args.accumulate is not None:
        recipe = recipe.set(accumulate=args.accumulate)
    if args.batch_size is not None or gluoncv:
        each = recipe.batch_size if args.batch_size is None else args.batch_size
        recipe = recipe.set(batch_size=each * recipe.accumulate * devices)
    recipe = with_records(recipe, args)
    recipe = _with_fields(recipe, args, begun)
    recipe = _with_network(recipe, args, begun)
    recipe, notes = with_schedule(recipe, args)
    return with_refinements(recipe, args, form, begun), notes


_STEPS = 1000  # of an epoch, on which no doubt depends


def new_doubts(recipe: Settings, before: Settings) -> list[str]:
    """Lines on tricks that have no effect in so few epochs, but for those that had none in the recipe before either."""
    (_, was), (_, plan) = before.schedule(_STEPS), recipe.schedule(_STEPS)
    old = {trick for trick in before.tricks if trick.doubt(was)}
    return [line for trick in recipe.tricks if trick not in old and (line := trick.doubt(plan))]


def _refuse_what_is_replaced(args: argparse.Namespace) -> None:
    if args.mode == "symbolic":
        raise Refused("--mode symbolic: hybrid is its successor, as fast and with the same network: --mode hybrid")
    if args.resume_states:
        raise Refused(f"--resume-states {args.resume_states}: a pickle runs code when read; use --resume auto")
    require_one_set_of_images(args)
    if args.resume_epoch and not args.resume_params:
        raise Refused(f"--resume-epoch {args.resume_epoch} goes with --resume-params FILE; --resume auto needs neither")


def start(args: argparse.Namespace, begun: Settings | None = None) -> tuple[Recipe, list[str]]:
    """The recipe that the flags change: the one named, the run's, `photos`, GluonCV's, or without data `shapes`."""
    named = args.recipe or (None if begun else gluoncv_scripts.recipe_of(args.script))
    if named or begun:
        recipe = recipe_going_on(named, begun) if named else begun
        require_task(recipe, Recipe, named or recipe.name)
        if isinstance(begun, type(recipe)) and not recipe.train:  # a named recipe has no records: the run has
            recipe = recipe.set(data=begun.data, train=begun.train, val=begun.val, photos=begun.photos)
        return recipe, []
    if args.data:
        return get_recipe("photos"), []
    if args.data_dir or args.rec_train or args.rec_val or args.use_rec or imagenet_is_here():
        return get_recipe("imagenet"), []
    return get_recipe("shapes"), [
        f"no data named and no ImageNet in {IMAGENET_FOLDER}: running the recipe `shapes` on built-in data"
    ]


_FIELDS = ("input_size", "crop_ratio", "model", "mode", "dtype", "epochs", "lr", "momentum", "wd")
_FIELDS += (
    "init",
    "crop",
    "augment",
    "auto_augment",
    "mean_of",
    "shallow",
    "seed",
)  # flags that are fields of the recipe


def _with_fields(recipe: Recipe, args: argparse.Namespace, begun: Settings | None) -> Recipe:
    given = {field: getattr(args, field) for field in _FIELDS if getattr(args, field) is not None}
    if given.get("init", "").startswith("data:"):
        old = (trick for trick in recipe.tricks if isinstance(trick, DataDependentInit))
        filters = given.pop("init").removeprefix("data:")
        recipe = recipe.add(dataclasses.replace(next(old, DataDependentInit()), filters=filters))
    elif "init" in given:
        for trick in recipe.tricks:
            recipe = recipe.without(trick.label()) if trick.replaces_weights else recipe
    if given.get("shallow"):
        given["shallow"] = as_kept(given["shallow"], getattr(begun, "shallow", ""))
    for flag, field in (("rgb_mean", "mean"), ("rgb_std", "std")):
        if getattr(args, flag):
            given[field] = numbers(getattr(args, flag), f"--{flag.replace('_', '-')}")
    if "mean" in given:
        given.setdefault("mean_of", "")
    if args.resume_params:
        given["start_epoch"] = args.resume_epoch or 0
    recipe = with_optimizer(with_parts(recipe.set(**given), args), args, rated=begun is not None)
    return with_sizes(recipe, args)


def _with_network(recipe: Recipe, args: argparse.Namespace, begun: Settings | None) -> Recipe:
    if args.use_se and not recipe.model.startswith("se_"):
        recipe = recipe.set(model=f"se_{recipe.model}")
    if args.batch_norm and not recipe.model.endswith("_bn"):
        if not recipe.model.startswith("vgg"):
            raise Refused(f"--batch-norm is for VGG, and {recipe.model} is none: leave it out")
        recipe = recipe.set(model=f"{recipe.model}_bn")
    if args.use_gn and args.sync_bn:
        raise Refused("--use-gn and --sync-bn: group normalisation has no statistics of a batch; give one of them")
    if args.use_global_stats:
        recipe = recipe.set(net={**recipe.net, "use_global_stats": True})
    if args.use_gn or args.sync_bn:
        recipe = recipe.set(net={**recipe.net, "norm_layer": "GroupNorm" if args.use_gn else "SyncBatchNorm"})
    for source, flag in ((args.resume_params, "--resume-params"), (args.use_pretrained, "--use-pretrained")):
        if source is not None:
            named = bool(args.model or args.use_se or args.batch_norm)
            recipe = _from_trained(recipe, source, flag, named, begun)
    if args.new_head and not recipe.pretrained:
        raise Refused("--new-head goes with --use-pretrained: without it the whole network starts from random numbers")
    if args.new_head:
        recipe = recipe.set(new_head=True)
    return gluoncv_scripts.with_dropout(recipe, args.drop_rate)


def _without_what_cannot_be(recipe: Recipe, args: argparse.Namespace) -> tuple[Recipe, list[str]]:
    """The recipe without its tricks that the network has no keyword for; one that was asked for is refused later."""
    asked = {setting.partition("=")[0].partition(".")[0] for setting in args.set}
    asked |= {ZeroGamma.label()} if args.last_gamma else set()
    asked |= {StochasticDepth.label()} if args.drop_path is not None else set()
    said = []
    for trick in recipe.tricks:
        missing = set(trick.net_kwargs()) - set(keywords(recipe.model))
        if missing and trick.label() not in asked:
            recipe = recipe.without(trick.label())
            said.append(f"{trick.label()} is left out: {recipe.model} has no {', '.join(sorted(missing))}")
    return recipe, said


def _require_teachers(recipe: Recipe) -> None:
    """Refuses a teacher that is a recipe of a table and no run: gluon-tricks reproduce puts the run in its place."""
    for trick in recipe.tricks:
        if isinstance(trick, Distillation) and is_cell(trick.teacher) and not pathlib.Path(trick.teacher).exists():
            table = trick.teacher.partition("/")[0]
            raise Refused(
                f"the teacher {trick.teacher} is a recipe and no run yet: train it (--recipe {trick.teacher}) and name "
                f"its run with --teacher RUN, or use gluon-tricks reproduce {table}, which does both"
            )


def _require_start(recipe: Recipe) -> None:
    """Refuses a new run of a cell whose start is another cell, or a network that nobody has named."""
    table, start = recipe.name.partition("/")[0], recipe.pretrained
    if is_cell(start) and not is_there(start):
        raise Refused(
            f"the network to start from, {start}, is a recipe and no run yet: name its run with --use-pretrained RUN, "
            f"or use gluon-tricks reproduce {table}, which trains it"
        )
    if start and start == weights_of(recipe):
        raise Refused(
            f"{recipe.name} starts from the weights {start}: name them with --use-pretrained SRC, or use gluon-tricks "
            f"reproduce {table} --network {start}=SRC"
        )


def _from_trained(recipe: Recipe, text: str, flag: str, named: bool, begun: Settings | None) -> Recipe:
    """The recipe that starts from SRC, from "true" (GluonCV's default file), a tag, or from nothing ("false" or "").

    Args:
        named: the network is named by a flag; else it is the one that SRC says it has, if it does.
        begun: the recipe of a run that goes on, whose start stays: SRC may be gone, or have moved on.
    """
    if text.lower() in ("true", "false", ""):
        return recipe.set(pretrained="true" if text.lower() == "true" else "")
    if is_tag(text):
        return recipe.set(pretrained=text)
    before = getattr(begun, "pretrained", "")
    if before and may_have_meant(text, before):
        return recipe.set(model=recipe.model if named else begun.model, pretrained=before)
    try:
        model = recipe.model if named else model_of(text) or recipe.model
        return recipe.set(model=model, pretrained=starting_point(text, model))
    except Refused as error:
        raise Refused(f"{flag}: {error}") from None
