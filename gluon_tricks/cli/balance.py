"""--class-weights and --sampling: what is done about classes of unequal size."""

from __future__ import annotations

import argparse
import os

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.reading import expanded
from gluon_tricks.data.weight_list import read_weights
from gluon_tricks.recipes.recipe import SAMPLINGS, Recipe
from gluon_tricks.tricks import ClassWeights
from gluon_tricks.tricks.class_weights import LEAST, MOST


def balance_flags(group) -> None:
    """Adds the two to a group."""
    group.add_argument(
        "--class-weights",
        metavar="balanced|FILE",
        help="how much the images of each class count in the loss: inversely to their number, or as FILE says, a line "
        "NAME,WEIGHT for each class or JSON (the recipe's)",
    )
    group.add_argument(
        "--sampling",
        choices=SAMPLINGS,
        help="balanced: every class is drawn equally often in an epoch (the recipe's, plain)",
    )


def with_balance(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with what the two flags say."""
    if args.sampling is not None:
        recipe = recipe.set(sampling=args.sampling)
    if args.class_weights is None:
        return recipe
    return recipe.add(ClassWeights() if args.class_weights == "balanced" else _of_file(args.class_weights))


def _of_file(given: str) -> ClassWeights:
    path = expanded(given)
    if not os.path.lexists(path):
        raise Refused(f"--class-weights {given}: there is no such file; give balanced, or one with lines NAME,WEIGHT")
    try:
        return ClassWeights(*read_weights(path, LEAST, MOST))
    except Refused as error:
        raise Refused(f"--class-weights: {error}") from None
