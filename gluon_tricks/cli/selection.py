"""--only-classes and --per-class: a part of the packed images; and names of classes as flags give them."""

from __future__ import annotations

import argparse
import os

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.data.sources import read_classes
from gluon_tricks.recipes.recipe import Recipe


def selection_flags(group) -> None:
    """Adds the two to a group."""
    group.add_argument(
        "--only-classes",
        metavar="NAMES",
        help="images of these classes alone: names with commas between them, or a file with one a line (the recipe's)",
    )
    group.add_argument(
        "--per-class", type=int, metavar="N", help="N training images of each class, drawn by the seed (the recipe's)"
    )


def with_selection(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with what the two flags say."""
    if args.only_classes is not None:
        recipe = recipe.set(only_classes=class_names(args.only_classes, "--only-classes"), classes=None)
    return recipe if args.per_class is None else recipe.set(per_class=args.per_class)


def class_names(given: str, flag: str = "--classes") -> tuple[str, ...]:
    """The class names that a flag gives: those of a file, else those between commas."""
    path = expanded(given)
    if os.path.exists(path) and not os.path.isdir(path):
        return read_classes(path)
    if path.suffix in (".txt", ".json", ".names") or "/" in given and "," not in given:  # Places365 has a/airfield
        raise Refused(f"{flag} {given}: there is no such file")
    return tuple(name.strip() for name in given.split(","))
