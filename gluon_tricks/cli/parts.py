"""--freeze and --lr-mult, flags of every training: what does not learn, and what learns at a rate of its own."""

from __future__ import annotations

import argparse

from gluon_tricks.core.errors import Refused
from gluon_tricks.core.wording import quoted
from gluon_tricks.recipes.settings import Settings


def parts_flags(group) -> None:
    """Adds the two to a group."""
    group.add_argument(
        "--freeze",
        action="append",
        metavar="PATTERN",
        help="do not train what it names: features (all but the output), stage1, *.bias; repeatable (the recipe's)",
    )
    group.add_argument(
        "--lr-mult",
        action="append",
        metavar="PATTERN=FACTOR",
        help="another rate for what it names, such as output=10; repeatable (the recipe's)",
    )


def with_parts(recipe: Settings, args: argparse.Namespace) -> Settings:
    """The recipe with what the two flags say, each in the place of all that the recipe says of it."""
    if args.freeze:
        recipe = recipe.set(freeze=tuple(args.freeze))
    return recipe.set(lr_mult=dict(map(_factor, args.lr_mult))) if args.lr_mult else recipe


def _factor(text: str) -> tuple[str, float]:
    pattern, _, factor = text.rpartition("=")
    try:
        number = float(factor)
    except ValueError:
        number = None
    if not pattern or number is None:
        raise Refused(f"--lr-mult takes PATTERN=FACTOR such as output=10, but got {quoted(text)}")
    return pattern, number
