"""--optimizer, --ema, --clip-grad and --sam, flags of every training: how the weights follow from the gradients."""

from __future__ import annotations

import argparse
import dataclasses

from gluon_tricks.core.errors import Refused
from gluon_tricks.recipes.settings import Settings
from gluon_tricks.tricks import ClipGradients, DecoupledDecay, Ema, Sam, Trick, TrustRatio

# name -> the recipe's optimiser, and what is changed of it
_OPTIMIZERS: dict[str, tuple[str, tuple[Trick, ...]]] = {
    "nag": ("nag", ()),
    "sgd": ("sgd", ()),
    "adam": ("adam", ()),
    "adamw": ("adam", (DecoupledDecay(),)),
    "lars": ("sgd", (TrustRatio(),)),
    "lamb": ("adam", (DecoupledDecay(), TrustRatio())),
}
_CHANGES = (DecoupledDecay, TrustRatio)
_OF_LIKE_RATES = ({"nag", "sgd"}, {"adam", "adamw"})  # each of the others takes rates of its own


def optimizer_flags(group) -> None:
    """Adds the four to a group."""
    group.add_argument(
        "--optimizer",
        choices=tuple(_OPTIMIZERS),
        help="Nesterov's, SGD with momentum; Adam, Adam with decoupled weight decay; SGD and that Adam with a rate for "
        "each layer, for large batches: of another kind than the recipe's it takes --lr (the recipe's)",
    )
    group.add_argument(
        "--ema",
        nargs="?",
        type=float,
        const=Ema().decay,
        metavar="DECAY",
        help="average the weights over the updates; final.params is the average (off; DECAY: %(const)s)",
    )
    group.add_argument(
        "--clip-grad", type=float, metavar="NORM", help="shorten gradients that are longer than NORM (off)"
    )
    group.add_argument(
        "--sam",
        nargs="?",
        type=float,
        const=Sam().rho,
        metavar="RHO",
        help="sharpness-aware minimisation: a step takes twice as long (off; RHO: %(const)s)",
    )


def with_optimizer(recipe: Settings, args: argparse.Namespace, rated: bool = False) -> Settings:
    """The recipe with what the four flags say.

    Args:
        rated: the command has a learning rate without --lr too, and not the recipe's.

    Raises:
        Refused: an optimiser that takes other learning rates than the recipe's, and no rate.
    """
    if args.optimizer is not None:
        recipe = _with_named(recipe, args, rated)
    given = {Ema: ("decay", args.ema), ClipGradients: ("norm", args.clip_grad), Sam: ("rho", args.sam)}
    for kind, (field, value) in given.items():
        if value is not None:
            old = next((trick for trick in recipe.tricks if type(trick) is kind), kind())
            recipe = recipe.add(kind(value) if kind is ClipGradients else dataclasses.replace(old, **{field: value}))
    return recipe


def _with_named(recipe: Settings, args: argparse.Namespace, rated: bool) -> Settings:
    """With the optimiser of --optimizer: what it has of the tricks is in the place of what the recipe had of them."""
    old, (base, usual) = _name_of(recipe), _OPTIMIZERS[args.optimizer]
    if old == args.optimizer:
        return recipe
    said = rated or args.lr is not None or any(setting.startswith("lr=") for setting in args.set)
    if not said and not any({old, args.optimizer} <= alike for alike in _OF_LIKE_RATES):
        raise Refused(f"--optimizer {args.optimizer} takes another learning rate than the recipe's {old}: give --lr")
    had = {type(trick): trick for trick in recipe.tricks if isinstance(trick, _CHANGES)}
    others = [trick for trick in recipe.tricks if type(trick) not in had]
    place = next((k for k, trick in enumerate(recipe.tricks) if type(trick) in had), len(others))
    new = [had.get(type(trick), trick) for trick in usual]
    return recipe.set(optimizer=base, tricks=(*others[:place], *new, *others[place:]))


def _name_of(recipe: Settings) -> str:
    """What --optimizer calls the recipe's, or of one that it has no name for what it is made of."""
    changes = {type(trick) for trick in recipe.tricks if isinstance(trick, _CHANGES)}
    names = (
        name
        for name, (base, usual) in _OPTIMIZERS.items()
        if (base, changes) == (recipe.optimizer, {*map(type, usual)})
    )
    return next(names, " with ".join([recipe.optimizer, *sorted(kind.label() for kind in changes)]))
