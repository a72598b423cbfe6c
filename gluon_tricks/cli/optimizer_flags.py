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


def optimizer_flags(group) -> None:
    """Adds the four to a group."""
    group.add_argument(
        "--optimizer",
        choices=tuple(_OPTIMIZERS),
        help="Nesterov's, SGD with momentum, Adam; Adam with decoupled weight decay; SGD and that Adam with a rate for "
        "each layer, for large batches: give --lr with the last three (the recipe's)",
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


def with_optimizer(recipe: Settings, args: argparse.Namespace) -> Settings:
    """The recipe with what the four flags say.

    Raises:
        Refused: an optimiser that takes other learning rates than the recipe's, and no rate.
    """
    if args.optimizer is not None:
        recipe = _with_named(recipe, args)
    given = {Ema: ("decay", args.ema), ClipGradients: ("norm", args.clip_grad), Sam: ("rho", args.sam)}
    for kind, (field, value) in given.items():
        if value is not None:
            old = next((trick for trick in recipe.tricks if type(trick) is kind), kind())
            recipe = recipe.add(kind(value) if kind is ClipGradients else dataclasses.replace(old, **{field: value}))
    return recipe


def _with_named(recipe: Settings, args: argparse.Namespace) -> Settings:
    old, before = recipe.optimizer, [trick for trick in recipe.tricks if isinstance(trick, _CHANGES)]
    base, usual = _OPTIMIZERS[args.optimizer]
    after = [next((trick for trick in before if type(trick) is type(new)), new) for new in usual]
    for kind in _CHANGES:
        recipe = recipe.without(kind.label())
    recipe = recipe.set(optimizer=base).add(*after)
    said = args.lr is not None or any(setting.startswith("lr=") for setting in args.set)
    if usual and not said and (base, after) != (old, before):
        raise Refused(f"--optimizer {args.optimizer} takes another learning rate than the recipe's {old}: give --lr")
    return recipe
