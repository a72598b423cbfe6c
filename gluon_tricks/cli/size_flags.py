"""--train-size, --resizing and --aug-repeats: how large training images are, and how often each comes in a batch.

And what another --input-size does to what the shorter side becomes before a square is cut out.
"""

from __future__ import annotations

import argparse
import dataclasses

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.data.crop import SideCrop
from gluon_tricks.recipes.recipe import Recipe
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import Resizing


def size_flags(group) -> None:
    """Adds the three to a group."""
    group.add_argument(
        "--train-size",
        type=int,
        metavar="PX",
        help="side of training images, where --input-size is for validation and use alone (the recipe's, the input "
        "size)",
    )
    group.add_argument(
        "--resizing",
        nargs="?",
        const="on",
        metavar="PX,PX|off",
        help="progressive resizing: training images grow from these sides (4/7 of it) to their own size (the recipe's, "
        "off)",
    )
    group.add_argument(
        "--aug-repeats",
        type=int,
        metavar="M",
        help="repeated augmentation: each image M times in a batch, augmented anew; an epoch has as many images (the "
        "recipe's, 1)",
    )


def with_sizes(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with what the three flags say."""
    given = {name: getattr(args, name) for name in ("train_size", "aug_repeats") if getattr(args, name) is not None}
    recipe = recipe.set(**given)
    if args.resizing is None:
        return recipe
    if args.resizing == "off":
        return recipe.without(Resizing.label())
    if args.resizing == "on":
        return recipe if any(isinstance(trick, Resizing) for trick in recipe.tricks) else recipe.add(Resizing())
    try:
        sizes = tuple(int(part) for part in args.resizing.split(","))
    except ValueError:
        raise Refused(
            f"--resizing takes sides such as 128 or 128,160, or off, but got {quoted(args.resizing)}"
        ) from None
    present = next((trick for trick in recipe.tricks if isinstance(trick, Resizing)), None)
    if present is None:
        return recipe.add(Resizing(sizes))
    epochs = present.epochs if len(present.epochs) == len(sizes) else ()
    return recipe.add(dataclasses.replace(present, sizes=sizes, epochs=epochs))


def with_side(recipe: Recipe, before: Recipe, settings: list[str], begun: Settings | None) -> tuple[Recipe, list[str]]:
    """The recipe whose `side` has gone with the input size, and a line on it: training and validation have one scale.

    A `side` that is set stays, and with a train_size the input size is for validation alone.

    Args:
        before: the recipe without the flags.
        settings: those of --set.
        begun: the recipe of the run that goes on, which keeps its side; None: a new run.
    """
    given = any(setting.partition("=")[0] == "side" for setting in settings)
    other_size = recipe.input_size not in (None, before.input_size) and recipe.train_size is None
    if given or not other_size or not {before.crop, recipe.crop} <= {"side", "square"}:
        return recipe, []
    of = before.resolved().input_size
    side = SideCrop(before.side).scaled(recipe.input_size, of).side
    if side == recipe.side or begun is not None and side != getattr(begun, "side", None):
        return recipe, []
    told = f"side is {list(side)}, as {list(recipe.side)} is for images of {of} px: --set side=[LOW,HIGH] for another"
    return recipe.set(side=side), [told] if begun is None else []
